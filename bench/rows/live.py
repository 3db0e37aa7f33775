"""A hundred thousand live sessions: how soon a beat is answered among them, and what sweep and alert watch cost.

First all beat, on leases of three minutes, from where such beats have left them. Whoever beats twice a lease is never
looked at: then the sweep is passes that find nothing, as while the server idles. Those who beat seldom are looked at
once a lease: what that takes is measured on sessions of their own, all of whose checks are due within the first
minutes, spread evenly, and nobody beats.
"""

import math
import os
import select
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from bench.databases import Beating, Database, Seeded, seed
from bench.figures import Goal, NotMeasured, Row, compared, percentile, spread
from bench.load import TIMEOUT_SECONDS, Connection, Request, Target, asked, cpu_seconds, raw_request
from bench.stand import Stand
from holdfast.domain.limits import DAY_MS, SECOND_MS

INTERVAL_SECONDS = 30
LEASE_SECONDS = 180
"""Source: seed 002: beats every 30 to 60 seconds, and three minutes of silence before a session counts as dead."""

CHECKED_AFTER_SECONDS = LEASE_SECONDS - INTERVAL_SECONDS / 2
"""A session is looked at when the lease is over that it had at the last look. It beat half an interval before that, on
average, so the next look is due that much sooner than a lease later."""

SINGLES, BATCH_BEATS = 11, 100
"""Beats of their own between two batches, and beats in a batch, as the agent of a machine sends them."""

CONNECTIONS = 64
SETTLE_SECONDS = 8
SYNC_EVERY_SECONDS = 0.02

SHARE_SECONDS = 30
"""The alert watch rests fifty times as long as a pass takes: a shorter look would see one pass or none."""

WATCHED = ("late", "no_progress", "parked")
"""Alert rules, each about all sessions."""

P99_GOAL = Goal(20, is_floor=False, of_ratio=False)
CORE_GOAL = Goal(2, is_floor=False, of_ratio=False)


class Paced(NamedTuple):
    """A run at an even pace.

    latencies_ms: of single beats, from the moment they were due, so that no stall hides those behind it.
    synced_ms: of writes that were synced to the same disk meanwhile, since no beat is answered before one is.
    """

    beats: int
    latencies_ms: list[float]
    refused: int
    seconds: float
    synced_ms: list[float]


def live(stand: Stand, store: str) -> Iterator[Row]:
    """Beats of all sessions while they are swept and watched; then what sweep and watch take. Raises: NotMeasured."""
    options = stand.options
    rate = options.sessions / INTERVAL_SECONDS
    # Every session beats once in all of the runs, so that the writer knows them all by then, as it does in service.
    seconds = max(math.ceil(INTERVAL_SECONDS / options.runs), options.seconds)
    if SETTLE_SECONDS + options.runs * (seconds + 2) > CHECKED_AFTER_SECONDS:
        raise NotMeasured(f"the runs do not fit into the {CHECKED_AFTER_SECONDS:g} s for which a lease lasts")
    beating = Beating(INTERVAL_SECONDS * SECOND_MS, LEASE_SECONDS * SECOND_MS)
    database = stand.empty(store)
    seeded = seed(database, sessions=options.sessions, beating=beating)
    with stand.serving(database) as target:
        for each in WATCHED:
            _add_rule(target, each)
        time.sleep(SETTLE_SECONDS)
        beaten = _beaten(stand, target, database, seeded, rate=rate, seconds=seconds)
    name = database.store_name
    refused = sum(each.refused for each in beaten)
    notes = (f"{refused:,} requests were refused",) if refused else ()
    answered = [each.beats / each.seconds for each in beaten]
    yield Row(f"beats/s, {options.sessions:,} live", name, spread(answered), notes=notes)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        late = [percentile(each.latencies_ms, share) for each in beaten]
        synced = [percentile(each.synced_ms, share) for each in beaten]
        goals = (P99_GOAL,) if label == "p99" else ()
        yield compared(f"  {label} in ms", name, ours=late, beside=synced, goals=goals)
    yield from _shares(stand, store)


def _shares(stand: Stand, store: str) -> Iterator[Row]:
    """What the sweep and the alert watch take of a core while nobody beats, on leases that none outlives."""
    sessions = stand.options.sessions
    checks = sessions / CHECKED_AFTER_SECONDS
    database = stand.empty(store)
    seed(database, sessions=sessions, checks_a_second=checks)
    with stand.serving(database) as target:
        time.sleep(SETTLE_SECONDS)
        swept = _cpu_share(target)
        _wait_for_checks(database)
        idle = _cpu_share(target)
        for each in WATCHED:
            _add_rule(target, each)
        watched = _cpu_share(target)
    name = database.store_name
    yield Row("idle, sweep included, % of a core", name, spread([100 * idle]), goals=(CORE_GOAL,))
    yield Row("alert watch, % of a core", name, spread([100 * (watched - idle)]), goals=(CORE_GOAL,))
    yield Row(f"{checks:,.0f} looks/s, % of a core", name, spread([100 * (swept - idle)]))


def _beaten(
    stand: Stand, target: Target, database: Database, seeded: Seeded, *, rate: float, seconds: int
) -> list[Paced]:
    """Beats at this rate, each session in its turn. Raises: NotMeasured where fewer were written than answered."""
    paced: list[Paced] = []
    sessions = cycle(seeded.session_ids)
    rounds = int(rate * seconds / (SINGLES + BATCH_BEATS))
    for number in range(1, stand.options.runs + 1):
        told = f'"fencing_token":{seeded.fencing_token},"progress":{number}}}'
        requests: list[Request] = []
        for _ in range(rounds):
            requests += [
                Request("POST", f"/v1/sessions/{each}/heartbeat", f"{{{told}") for each in islice(sessions, SINGLES)
            ]
            beats = ",".join(f'{{"session_id":"{each}",{told}' for each in islice(sessions, BATCH_BEATS))
            requests.append(Request("POST", "/v1/heartbeats", f'{{"heartbeats":[{beats}]}}'))
        with _syncing(stand.directory) as synced_ms:
            run = _paced(target, requests, rate=len(requests) / seconds)
        beats_sent = rounds * (SINGLES + BATCH_BEATS)
        written = database.count(f"select count(*) from session where progress = {number}")
        if written < beats_sent and not run.refused:
            raise NotMeasured(f"only {written:,} of {beats_sent:,} beats were written")
        paced.append(run._replace(beats=beats_sent, synced_ms=synced_ms))
    return paced


def _paced(target: Target, requests: Sequence[Request], *, rate: float) -> Paced:
    """Send each request when it is due, or as soon as a connection is free, and wait for all answers."""
    raw = [raw_request(each, target) for each in requests]
    opened = [Connection(target.port) for _ in range(CONNECTIONS)]
    by_descriptor = {each.socket.fileno(): each for each in opened}
    poll = select.epoll()
    for each in opened:
        poll.register(each.socket, select.EPOLLIN)
    free, latencies, answered, refused, sent = deque(opened), list[float](), 0, 0, 0
    batches: set[int] = set()
    due = {each.socket.fileno(): 0.0 for each in opened}
    began_at = time.perf_counter()
    try:
        while answered < len(raw):
            now = time.perf_counter()
            while sent < len(raw) and free and began_at + sent / rate <= now:
                connection = free.popleft()
                due[connection.socket.fileno()] = began_at + sent / rate
                connection.send(raw[sent])
                (batches.add if sent % (SINGLES + 1) == SINGLES else batches.discard)(connection.socket.fileno())
                sent += 1
            wait = max(0.0, began_at + sent / rate - now) if sent < len(raw) and free else TIMEOUT_SECONDS
            ready = poll.poll(wait)
            if not ready and wait == TIMEOUT_SECONDS:
                raise NotMeasured(f"no answer came within {TIMEOUT_SECONDS:g} s")
            for descriptor, _ in ready:
                connection = by_descriptor[descriptor]
                answer = connection.receive()
                if answer is not None:
                    answered += 1
                    if descriptor not in batches:
                        latencies.append((time.perf_counter() - due[descriptor]) * 1e3)
                    refused += answer[9:10] != b"2"
                    free.append(connection)
    finally:
        poll.close()
        for each in opened:
            each.socket.close()
    return Paced(0, latencies, refused, time.perf_counter() - began_at, [])


@contextmanager
def _syncing(directory: Path) -> Iterator[list[float]]:
    """Write 4 KB and sync them every now and then, in a thread; how long each took, in milliseconds."""
    taken_ms: list[float] = []
    is_over = threading.Event()

    def write() -> None:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            while not is_over.wait(SYNC_EVERY_SECONDS):
                began_at = time.perf_counter()
                file.write(bytes(4_096))
                os.fdatasync(file.fileno())
                taken_ms.append((time.perf_counter() - began_at) * 1e3)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield taken_ms
    finally:
        is_over.set()
        thread.join()


def _cpu_share(target: Target) -> float:
    """What the server and its writer use of a core, from 0 to 1 for each."""
    before, began_at = cpu_seconds(target.pid), time.perf_counter()
    time.sleep(SHARE_SECONDS)
    return (cpu_seconds(target.pid) - before) / (time.perf_counter() - began_at)


def _wait_for_checks(database: Database) -> None:
    """Wait until every session was looked at. Raises: NotMeasured."""
    deadline = time.monotonic() + 4 * CHECKED_AFTER_SECONDS
    while database.count(f"select count(*) from session where check_due_ms < due_ms - {DAY_MS // 2}"):
        if time.monotonic() > deadline:
            raise NotMeasured("not every session was looked at")
        time.sleep(1)


def _add_rule(target: Target, kind: str) -> str:
    return str(asked(target, "POST", "/v1/alerts", {"type": kind})["id"])
