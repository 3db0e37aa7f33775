"""What a measurement says: spreads over several runs, rows of the table, and goals."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

A = TypeVar("A")
B = TypeVar("B")


VERDICTS = ("", "ok", "above", "below", "below!")
"""What is said of a row's goal, the better before the worse."""


class NotMeasured(Exception):
    """A row cannot be measured here; the text says why."""


class Spread(NamedTuple):
    """The median of several runs, and the least and greatest of them."""

    median: float
    low: float
    high: float
    samples: tuple[float, ...]


def spread(samples: Sequence[float]) -> Spread:
    """What several runs gave."""
    return Spread(statistics.median(samples), min(samples), max(samples), tuple(samples))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them, from 0 to 1, does not exceed; infinite where there is none."""
    ordered = sorted(values) or [float("inf")]
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Goal(NamedTuple):
    """What a figure should be. of_ratio: the goal is for ours over the other's, else for ours alone.

    must: what it has to be at least where the goal is more; None: the goal is all.
    """

    limit: float
    is_floor: bool
    of_ratio: bool = True
    must: float | None = None

    @property
    def shown(self) -> str:
        """As the table has it, such as `x ≥ 0.5` for a ratio and `< 20` for a figure."""
        sign = ("≥" if self.is_floor else "≤") if self.of_ratio else ("≥" if self.is_floor else "<")
        return f"{'x ' if self.of_ratio else ''}{sign} {self.limit:,g}"

    def verdict(self, figure: float) -> str:
        """`ok`; `below` a floor, with `!` if below what must be; `above` a ceiling."""
        if self.is_floor:
            if figure >= self.limit:
                return "ok"
            return "below!" if self.must is not None and figure < self.must else "below"
        return "ok" if figure <= self.limit else "above"


class Row(NamedTuple):
    """One line of the table.

    beside: the peer's or the limit's figure of the same runs; ratio: ours over it, run by run.
    why_not: why there are no figures. notes: what a reader has to know besides. detail: more, for the JSON.
    """

    name: str
    store: str
    ours: Spread | None = None
    beside: Spread | None = None
    ratio: Spread | None = None
    goals: tuple[Goal, ...] = ()
    why_not: str = ""
    notes: tuple[str, ...] = ()
    detail: Mapping[str, Any] = MappingProxyType({})

    @property
    def verdict(self) -> str:
        """How it stands to its goals: the worst of them."""
        return max(map(self.verdict_of, self.goals), key=VERDICTS.index, default="")

    def verdict_of(self, goal: Goal) -> str:
        """How it stands to one of them."""
        figure = self.ratio if goal.of_ratio else self.ours
        return "" if figure is None else goal.verdict(figure.median)


def compared(
    name: str,
    store: str,
    *,
    ours: Sequence[float],
    beside: Sequence[float],
    goals: tuple[Goal, ...] = (),
    notes: Sequence[str] = (),
    detail: dict[str, Any] | None = None,
) -> Row:
    """A row of two figures, taken in turn. The ratio is the median of the pairs', which share the machine's mood."""
    ratios = [one / other for one, other in zip(ours, beside, strict=True)]
    return Row(name, store, spread(ours), spread(beside), spread(ratios), goals, "", tuple(notes), detail or {})


def alternated(ours: Callable[[], A], beside: Callable[[], B], *, runs: int) -> list[tuple[A, B]]:
    """Both, in turn, so many times, after one turn that does not count."""
    ours()
    beside()
    return [(ours(), beside()) for _ in range(runs)]
