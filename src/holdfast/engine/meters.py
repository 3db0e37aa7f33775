"""What is counted while the server works: plain numbers, each written by one thread, read whenever somebody asks.

A door turns them into its own form. Adding to a number costs some ten nanoseconds; nothing here takes a lock.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from holdfast.commands.view import Changes
from holdfast.domain.events import EventType, Rule
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.session import EndReason

REQUEST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STORE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
DETECTION_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 30.0, 300.0)
"""Upper bounds of buckets. Detection is promised within a second, so that is where it is told most finely."""


class Histogram:
    """How often a value fell between which bounds. counts: one more than there are bounds, for what is above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: Iterable[float]) -> None:
        """Count many values."""
        every = list(values)
        for bucket, count in Counter(map(partial(bisect_left, self.bounds), every)).items():
            self.counts[bucket] += count
        self.total += sum(every)


class RouteMeter:
    """What became of requests on one route: how long they took, and the statuses of those that were not 2xx."""

    __slots__ = ("others", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram(REQUEST_SECONDS)
        self.others: Counter[int] = Counter()


class DoorMeters:
    """What the HTTP door counts, on the event loop's thread.

    routes: by method and path; both are empty for requests that meant no route. wire_refusals: what was refused before
    it was a request, by code; whoever wires a server sets it. settle: counts what was put aside, to be called before
    anything is read; the door sets it.
    """

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], RouteMeter] = {}
        self.errors: Counter[str] = Counter()
        self.idempotency_hits = 0
        self.heartbeats_accepted = 0
        self.heartbeats_refused: Counter[str] = Counter()
        self.wire_refusals: Callable[[], Mapping[str, int]] = dict
        self.settle: Callable[[], None] = lambda: None

    def route(self, method: str, path: str) -> RouteMeter:
        """The meter of a route."""
        return self.routes.setdefault((method, path), RouteMeter())


class BatchFigures(NamedTuple):
    """What a writer tells of one batch. delays: of each session found silent, seconds from its lease's end.

    ends: of sessions, by the reason.
    """

    commands: int
    seconds: float
    commits: tuple[float, ...]
    events: Mapping[str, int]
    delays: tuple[float, ...]
    ends: Mapping[str, int]


class BatchMeter:
    """Counts during one batch, where it is carried out."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._commits: list[float] = []
        self._events: dict[str, int] = {}
        self._delays: list[float] = []
        self._ends: dict[str, int] = {}

    def committed(self, changes: Changes, *, recorded_at_ms: int, seconds: float) -> None:
        """Count a commit, what it told, and how long after their leases the silent were found."""
        self._commits.append(seconds)
        for each in changes.emitted:
            happening = each.happening
            _count(self._events, happening.type.value)
            if happening.type in _ENDS:
                _count(self._ends, str(happening.data.get("end_reason") or _ENDS[happening.type]))
            if happening.rule == Rule.LEASE_LAPSED:
                self._delays.append((recorded_at_ms - happening.at_ms) / SECOND_MS)

    def figures(self, *, commands: int) -> BatchFigures:
        """All of it, at the end of the batch."""
        seconds = time.perf_counter() - self._began
        return BatchFigures(commands, seconds, tuple(self._commits), self._events, tuple(self._delays), self._ends)


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


_ENDS = {
    EventType.ENDED: "ended",
    EventType.TAKEN_OVER: "taken_over",
    EventType.FAILED: "failed",
    EventType.ABANDONED: "abandoned",
}
"""Happenings by which a session is over, and the reason where they tell none."""


class WriterMeters:
    """What became of batches, as the engine was told by its writer.

    busy_since: since when commands have been with the writer without any being answered, monotonic seconds; None while
    none are. finished_at: when it finished the last batch; None before the first.
    """

    def __init__(self) -> None:
        self.batch_commands = Histogram(BATCH_SIZES)
        self.batch_seconds = Histogram(STORE_SECONDS)
        self.commit_seconds = Histogram(STORE_SECONDS)
        self.detection_seconds = Histogram(DETECTION_SECONDS)
        self.events: Counter[str] = Counter({each.value: 0 for each in EventType})
        self.ends: Counter[str] = Counter(dict.fromkeys((*EndReason, *_ENDS.values()), 0))
        self.busy_since: float | None = None
        self.finished_at: float | None = None
        self.last = BatchFigures(0, 0.0, (), {}, (), {})

    def began(self) -> None:
        """Note that the writer has work, unless it had already."""
        if self.busy_since is None:
            self.busy_since = time.monotonic()

    def finished(self, figures: BatchFigures, *, has_more: bool) -> None:
        """Count a batch. has_more: the writer has further work."""
        now = time.monotonic()
        self.last, self.finished_at = figures, now
        self.busy_since = now if has_more else None
        self.batch_commands.add(figures.commands)
        self.batch_seconds.add(figures.seconds)
        for seconds in figures.commits:
            self.commit_seconds.add(seconds)
        if figures.events:
            self.detection_seconds.add_all(figures.delays)
            self.events.update(figures.events)
            self.ends.update(figures.ends)
