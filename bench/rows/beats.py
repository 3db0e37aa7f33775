"""Heartbeats over HTTP: one a request, and a thousand a request."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.databases import Beat, Database
from bench.figures import Goal, NotMeasured, Row, alternated, compared
from bench.load import HEALTH, Load, Request, load_for, require_margin
from bench.stand import Fleet, Stand
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import BEAT_SPACING_MS, DAY_MS

CONNECTIONS = (1, 64, 256)
BATCH_BEATS = 1_000
BATCH_CONNECTIONS = 4

HEARTBEAT_GOALS = {"sqlite": Goal(0.5, is_floor=True), "postgres": Goal(0.4, is_floor=True)}
LATENCY_GOAL = Goal(20, is_floor=False, of_ratio=False)
BATCH_GOALS = (
    Goal(20_000, is_floor=True, of_ratio=False, must=15_000),
    Goal(0.6, is_floor=True),
)


def beats_of(fleet: Fleet, *, progress: int) -> list[Request]:
    """A beat of each session, in order."""
    seeded = fleet.filled.beating
    body = f'{{"fencing_token":{seeded.fencing_token},"progress":{progress}}}'
    return [Request("POST", f"/v1/sessions/{each}/heartbeat", body) for each in seeded.session_ids]


def batches_of(fleet: Fleet, *, progress: int) -> list[Request]:
    """The same, a thousand in a request."""
    seeded = fleet.filled.beating
    rest = f'"fencing_token":{seeded.fencing_token},"progress":{progress}}}'
    requests = []
    for begin in range(0, len(seeded.session_ids) - BATCH_BEATS + 1, BATCH_BEATS):
        beats = ",".join(f'{{"session_id":"{each}",{rest}' for each in seeded.session_ids[begin : begin + BATCH_BEATS])
        requests.append(Request("POST", "/v1/heartbeats", f'{{"heartbeats":[{beats}]}}'))
    return requests


def heartbeats(stand: Stand, store: str) -> Iterator[Row]:
    """Rates and latencies of single beats, beside the constant reply. Raises: NotMeasured."""
    fleet = stand.fleet(store)
    seconds, runs = stand.options.seconds, stand.options.runs
    name = fleet.filled.database.store_name
    for connections in CONNECTIONS:
        constant = partial(load_for, fleet.target, HEALTH, connections=connections, seconds=seconds)
        notes: set[str] = set()
        pairs = alternated(partial(_beaten, stand, fleet, connections, notes), constant, runs=runs)
        require_margin([each for _, each in pairs], connections=connections)
        goals = (HEARTBEAT_GOALS[store],) if connections > 1 else ()
        label = "1 connection" if connections == 1 else f"{connections} connections"
        yield rates(f"beats/s, {label}", name, pairs, goals=goals, notes=sorted(notes))
        if connections > 64:
            continue
        for label, pick in _LATENCIES.items():
            goals = (LATENCY_GOAL,) if label == "p99" else ()
            ours, beside = [pick(each) for each, _ in pairs], [pick(each) for _, each in pairs]
            yield compared(f"  {label} in ms", name, ours=ours, beside=beside, goals=goals)
        yield server_cpu("  server's CPU, µs a beat", name, pairs)


_LATENCIES: dict[str, Callable[[Load], float]] = {"p50": lambda load: load.p50_ms, "p99": lambda load: load.p99_ms}


def rates(
    name: str, store: str, pairs: Sequence[tuple[Load, Load]], *, goals: tuple[Goal, ...], notes: Sequence[str] = ()
) -> Row:
    """A row of rates: ours, and the constant reply's."""
    ours, beside = [each.rate for each, _ in pairs], [each.rate for _, each in pairs]
    detail = {
        "server_microseconds": [round(each.server_microseconds, 2) for each, _ in pairs],
        "server_microseconds_beside": [round(each.server_microseconds, 2) for _, each in pairs],
        "generator_seconds": [round(each.generator_seconds, 3) for each, _ in pairs],
    }
    return compared(name, store, ours=ours, beside=beside, goals=goals, notes=notes, detail=detail)


def server_cpu(name: str, store: str, pairs: Sequence[tuple[Load, Load]]) -> Row:
    """A row of the server's CPU time for an answer, which depends less on what else the machine does."""
    ours = [each.server_microseconds for each, _ in pairs]
    return compared(name, store, ours=ours, beside=[each.server_microseconds for _, each in pairs])


def _beaten(stand: Stand, fleet: Fleet, connections: int, notes: set[str]) -> Load:
    """One run of single beats, checked against the table."""
    progress = stand.next_progress()
    requests = beats_of(fleet, progress=progress)
    load = load_for(fleet.target, requests, connections=connections, seconds=stand.options.seconds)
    check_written(fleet, load, progress=progress, sessions=len(requests), beats_a_request=1, notes=notes)
    return load


def check_written(
    fleet: Fleet, load: Load, *, progress: int, sessions: int, beats_a_request: int, notes: set[str]
) -> None:
    """Compare the beats that were answered with the rows that bear this run's progress, and note what differs.

    A beat that comes too soon after the last one is answered and not written, so it must not pass for a durable one.
    Raises: NotMeasured where fewer were written than answered.
    """
    if load.refused or load.broken:
        notes.add(f"{load.refused:,} refused and {load.broken:,} unanswered in a run")
    beats = load.answered * beats_a_request
    written = fleet.filled.database.count(f"select count(*) from session where progress = {progress}")
    if written < min(beats, sessions):
        raise NotMeasured(f"only {written:,} of {beats:,} answered beats were written")
    if beats > sessions:
        notes.add(
            f"sessions beat more than once in a run ({beats:,} beats, {sessions:,} sessions): use more --sessions"
        )
        if sessions / (beats / load.seconds) < 1.5 * BEAT_SPACING_MS / 1_000:
            raise NotMeasured(f"{sessions:,} sessions are too few: their beats came too soon to be written")


def batches(stand: Stand, store: str) -> Iterator[Row]:
    """Beats by the thousand, beside the plain statements for the same rows. Raises: NotMeasured."""
    fleet = stand.fleet(store)
    notes: set[str] = set()

    def ours() -> float:
        progress = stand.next_progress()
        requests = batches_of(fleet, progress=progress)
        load = load_for(fleet.target, requests, connections=BATCH_CONNECTIONS, seconds=stand.options.seconds)
        check_written(
            fleet,
            load,
            progress=progress,
            sessions=len(requests) * BATCH_BEATS,
            beats_a_request=BATCH_BEATS,
            notes=notes,
        )
        return load.rate * BATCH_BEATS

    raw = RawBeats(stand.copy_of(store), fleet.filled.beating.session_ids, seconds=stand.options.seconds)
    try:
        pairs = alternated(ours, partial(raw.rate, BATCH_BEATS), runs=stand.options.runs)
    finally:
        raw.close()
    yield compared(
        "beats/s, 1,000 a request",
        fleet.filled.database.store_name,
        ours=[each for each, _ in pairs],
        beside=[each for _, each in pairs],
        goals=BATCH_GOALS,
        notes=sorted(notes),
    )


class RawBeats:
    """The same rows written by plain statements, on a copy of the database, for so long a run."""

    def __init__(self, database: Database, session_ids: Sequence[SessionId], *, seconds: float) -> None:
        self._writer = database.raw_writer()
        self._ids = session_ids
        self._seconds = seconds
        self._position = 0
        self._progress = 0

    def rate(self, batch: int) -> float:
        """Rows a second in transactions of so many. What is bound is made before the time is taken."""
        self._progress += 1
        rows, taken = 0, 0.0
        while taken < self._seconds:
            beats = self._next(batch)
            began_at = time.perf_counter()
            self._writer.write(beats)
            taken += time.perf_counter() - began_at
            rows += len(beats)
        return rows / taken

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()

    def _next(self, batch: int) -> list[Beat]:
        now_ms = time.time_ns() // 1_000_000
        if self._position + batch > len(self._ids):
            self._position = 0
        ids = self._ids[self._position : self._position + batch]
        self._position += batch
        return [(now_ms + DAY_MS, now_ms, self._progress, each) for each in ids]
