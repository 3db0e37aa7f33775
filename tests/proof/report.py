"""What a proof found, and the line that says how much it looked at."""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How an answer and what became of it can disagree."""

    LOST = "lost"
    DOUBLED = "doubled"
    WRONG = "wrong"


class Finding(NamedTuple):
    """One disagreement."""

    kind: Kind
    what: str


def bound_95(trials: int) -> str:
    """The rate that is excluded with 95 % confidence where none of so many trials failed: the rule of three."""
    return "none" if trials == 0 else f"{3 / trials:.2g}"


def summary(title: str, counts: Mapping[str, object], *, findings: Sequence[Finding], trials: int) -> str:
    """One line: what was done how often, what was found, and the bound on what was not."""
    by_kind = Counter(finding.kind for finding in findings)
    told = [f"{name} {count}" for name, count in counts.items()]
    told += [f"{kind.value} {by_kind[kind]}" for kind in Kind]
    return f"{title}: {', '.join(told)}; 95 % bound {bound_95(trials)} per acknowledgement"


def percentiles(delays_ms: Sequence[int]) -> str:
    """The spread of some delays."""
    ordered = sorted(delays_ms)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _SHARES.items()}
    return ", ".join(f"{name} {delay_ms} ms" for name, delay_ms in at.items())


_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
