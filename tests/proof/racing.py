"""Clients that all ask at the same moment."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.proof.client import Answer

RACE_SECONDS_MAX = 60.0


class Run(NamedTuple):
    """One client's race: what it was answered, and from when until when it was in flight (monotonic seconds)."""

    answer: Answer
    from_at: float
    until_at: float


def race(runners: Sequence[Callable[[], Answer]]) -> list[Run]:
    """Have them all ask at once; their runs, in the order of the runners."""
    barrier = threading.Barrier(len(runners))

    def run(ask: Callable[[], Answer]) -> Run:
        barrier.wait(RACE_SECONDS_MAX)
        from_at = time.monotonic()
        answer = ask()
        return Run(answer, from_at, time.monotonic())

    with ThreadPoolExecutor(len(runners)) as pool:
        return list(pool.map(run, runners))


def in_flight_together(runs: Sequence[Run]) -> int:
    """The most that were in flight at one moment."""
    return max(sum(each.from_at <= run.from_at <= each.until_at for each in runs) for run in runs)
