"""A hundred thousand live sessions: how soon a beat is answered among them, and what sweep and alert watch cost.

A session is looked at once a lease. Here its check is due within the first minutes, spread evenly, at the pace at which
sessions with a lease of three intervals are; then no more are due, and what the server uses then is what there is
besides the sweep.
"""

import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.databases import Database, Seeded, seed
from bench.figures import Goal, NotMeasured, Row, percentile, spread
from bench.load import TIMEOUT_SECONDS, Connection, Request, Target, asked, cpu_seconds, raw_request
from bench.stand import Stand
from holdfast.domain.limits import DAY_MS

INTERVAL_SECONDS = 30
"""Of the sessions' beats; their lease is three of them, as by default."""

CHECKED_AFTER_SECONDS = 2.5 * INTERVAL_SECONDS
"""A session that beats is looked at when the lease is over that it had at the last look; then its last beat was half an
interval ago, so the next look is due that much before a whole lease."""

CONNECTIONS = 64
SETTLE_SECONDS = 8
WATCHED = ("late", "no_progress", "parked")
"""Alert rules, each about all sessions."""

P99_GOAL = Goal(20, is_floor=False, of_ratio=False)
CORE_GOAL = Goal(2, is_floor=False, of_ratio=False)


class Paced(NamedTuple):
    """A run at an even pace. latencies_ms: from the moment a request was due, so that no stall hides behind itself."""

    latencies_ms: list[float]
    refused: int
    seconds: float


def live(stand: Stand, store: str) -> Iterator[Row]:
    """Beats of all sessions while they are swept and watched; then what sweep and watch take. Raises: NotMeasured."""
    options = stand.options
    rate = options.sessions / INTERVAL_SECONDS
    seconds = max(5, options.seconds)
    # Checks are due in the runs with beats and in as many without, and none are after that.
    busy_seconds = SETTLE_SECONDS + 2 * options.runs * seconds + 5
    checks = options.sessions / CHECKED_AFTER_SECONDS
    database = stand.empty(store)
    seeded = seed(database, sessions=options.sessions, checks_a_second=checks)
    if options.sessions / checks < busy_seconds:
        raise NotMeasured(f"{options.sessions / checks:.0f} s of checks are fewer than the {busy_seconds} s of runs")
    with stand.serving(database) as target:
        time.sleep(SETTLE_SECONDS)
        swept = [_cpu_share(target, seconds) for _ in range(options.runs)]
        rules = [_add_rule(target, each) for each in WATCHED]
        beaten = _beaten(target, database, seeded, rate=rate, seconds=seconds, runs=options.runs)
        for each in rules:
            _remove_rule(target, each)
        _wait_for_checks(database)
        idle = [_cpu_share(target, seconds) for _ in range(options.runs)]
        for each in WATCHED:
            _add_rule(target, each)
        time.sleep(2)
        watched = [_cpu_share(target, seconds) for _ in range(options.runs)]
    name = database.store_name
    refused = sum(each.refused for each in beaten)
    notes = (f"{refused:,} beats were refused",) if refused else ()
    answered = [len(each.latencies_ms) / each.seconds for each in beaten]
    yield Row(f"beats/s, {options.sessions:,} live", name, spread(answered), notes=notes)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        late = [percentile(each.latencies_ms, share) for each in beaten]
        yield Row(f"  {label} in ms", name, spread(late), goals=(P99_GOAL,) if label == "p99" else ())
    idle_share = spread(idle).median
    yield Row("idle, % of a core", name, spread([100 * each for each in idle]))
    for label, shares in ((f"sweep of {checks:,.0f}/s, % of a core", swept), ("alert watch, % of a core", watched)):
        over = [100 * (each - idle_share) for each in shares]
        yield Row(label, name, spread(over), goals=(CORE_GOAL,))


def _beaten(target: Target, database: Database, seeded: Seeded, *, rate: float, seconds: int, runs: int) -> list[Paced]:
    """Beats at this rate, each session in its turn. Raises: NotMeasured where fewer were written than answered."""
    body = f'{{"fencing_token":{seeded.fencing_token},"progress":{{}}}}'
    paced, begin = [], 0
    count = int(rate * seconds)
    for number in range(1, runs + 1):
        ids = [seeded.session_ids[at % len(seeded.session_ids)] for at in range(begin, begin + count)]
        begin += count
        text = body.replace("{}", str(number))
        requests = [Request("POST", f"/v1/sessions/{each}/heartbeat", text) for each in ids]
        before = database.count(f"select count(*) from session where progress = {number}")
        run = _paced(target, requests, rate=rate)
        written = database.count(f"select count(*) from session where progress = {number}") - before
        if written < len(set(ids)) - run.refused:
            raise NotMeasured(f"only {written:,} of {len(set(ids)):,} beats were written")
        paced.append(run)
    return paced


def _paced(target: Target, requests: Sequence[Request], *, rate: float) -> Paced:
    """Send each request when it is due, or as soon as a connection is free, and wait for all answers."""
    raw = [raw_request(each, target) for each in requests]
    opened = [Connection(target.port) for _ in range(CONNECTIONS)]
    by_descriptor = {each.socket.fileno(): each for each in opened}
    poll = select.epoll()
    for each in opened:
        poll.register(each.socket, select.EPOLLIN)
    free, latencies, refused, sent = deque(opened), list[float](), 0, 0
    due = {each.socket.fileno(): 0.0 for each in opened}
    began_at = time.perf_counter()
    try:
        while len(latencies) < len(raw):
            now = time.perf_counter()
            while sent < len(raw) and free and began_at + sent / rate <= now:
                connection = free.popleft()
                due[connection.socket.fileno()] = began_at + sent / rate
                connection.send(raw[sent])
                sent += 1
            wait = max(0.0, began_at + sent / rate - now) if sent < len(raw) and free else TIMEOUT_SECONDS
            ready = poll.poll(wait)
            if not ready and wait == TIMEOUT_SECONDS:
                raise NotMeasured(f"no answer came within {TIMEOUT_SECONDS:g} s")
            for descriptor, _ in ready:
                connection = by_descriptor[descriptor]
                answer = connection.receive()
                if answer is not None:
                    latencies.append((time.perf_counter() - due[descriptor]) * 1e3)
                    refused += answer[9:10] != b"2"
                    free.append(connection)
    finally:
        poll.close()
        for each in opened:
            each.socket.close()
    return Paced(latencies, refused, time.perf_counter() - began_at)


def _cpu_share(target: Target, seconds: float) -> float:
    """What the server and its writer use of a core, from 0, over so long."""
    before, began_at = cpu_seconds(target.pid), time.perf_counter()
    time.sleep(seconds)
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


def _remove_rule(target: Target, rule_id: str) -> None:
    asked(target, "DELETE", f"/v1/alerts/{rule_id}", None)
