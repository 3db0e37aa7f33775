"""Event streams: how soon an event reaches everybody who follows, and what that costs the server."""

import select
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import psutil

from bench.figures import Goal, NotMeasured, Row, percentile, spread
from bench.load import HOST, Request, Target, asked, raw_request
from bench.stand import Stand
from holdfast.doors.http.server import permit_open_files

STREAMS = 5_000
DELIVERIES_A_SECOND = 10_000
CROWDS = (500, STREAMS)
"""How many of the streams hear each event: those of a project, or everybody."""

P99_GOAL = Goal(100, is_floor=False, of_ratio=False)
RATE_GOAL = Goal(0.98 * DELIVERIES_A_SECOND, is_floor=True, of_ratio=False)

SETTLE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
RECEIVED_BYTES_MAX = 64 * 1024
ENVIRON = {
    "HOLDFAST_STREAMS_PER_KEY_MAX": str(STREAMS + 1_000),
    "HOLDFAST_STREAMS_PER_ACCOUNT_MAX": str(STREAMS + 1_000),
}
_RECORDED = b'"recorded_at":"'
_TIME_CHARS = len("2026-01-17T10:00:00.000Z")


class Delivered(NamedTuple):
    """One run. missing: deliveries that never came. late_ms: for each delivery, the time since its event was recorded.

    server_seconds, own_seconds: CPU time.
    """

    seconds: float
    missing: int
    late_ms: list[float]
    server_seconds: float
    own_seconds: float


def streams(stand: Stand, store: str) -> Iterator[Row]:
    """Delays of deliveries, with as many a second as there should be. Raises: NotMeasured."""
    permit_open_files(STREAMS + 256)
    database = stand.empty(store)
    with stand.serving(database, environ=ENVIRON) as target:
        for crowd in CROWDS:
            with _Crowds(target, crowd=crowd) as crowds:
                crowds.run(SETTLE_SECONDS)
                memory_mb = psutil.Process(target.pid).memory_info().rss / 1e6
                runs = [crowds.run(stand.options.seconds) for _ in range(stand.options.runs)]
            yield from _rows(runs, database.store_name, crowd=crowd, memory_mb=memory_mb)


def _rows(runs: Sequence[Delivered], store: str, *, crowd: int, memory_mb: float) -> Iterator[Row]:
    missing = sum(each.missing for each in runs)
    notes = (f"{missing:,} deliveries never came",) if missing else ()
    name = f"{STREAMS:,} streams, {crowd:,} an event"
    rates = [len(each.late_ms) / each.seconds for each in runs]
    detail = {"server_memory_mb": round(memory_mb), "own_seconds": [round(each.own_seconds, 2) for each in runs]}
    yield Row(name, store, spread(rates), goals=(RATE_GOAL,), notes=notes, detail=detail)
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        late = [percentile(each.late_ms, share) for each in runs]
        yield Row(f"  {label} in ms", store, spread(late), goals=(P99_GOAL,) if label == "p99" else ())
    cost = [each.server_seconds * 1e6 / max(1, len(each.late_ms)) for each in runs]
    yield Row("  server's CPU, µs a delivery", store, spread(cost))


class _Crowds:
    """Streams, as many to each project as hear an event, and a session in each project that makes them."""

    def __init__(self, target: Target, *, crowd: int) -> None:
        self._target = target
        self._crowd = crowd
        self._projects = [f"project-{crowd}-{number}" for number in range(STREAMS // crowd)]
        self._sessions = [_start(target, project) for project in self._projects]
        self._verbs = ["pause", "resume"]
        self._events = 0
        self._times: dict[bytes, float] = {}
        self._sockets = {}
        self._poll = select.epoll()
        for number in range(STREAMS):
            project = self._projects[number % len(self._projects)]
            opened = _opened(target, Request("GET", f"/v1/events/stream?project_id={project}"))
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened, select.EPOLLIN)
        self._asking = socket.create_connection((HOST, target.port))
        self._await_opened()

    def __enter__(self) -> "_Crowds":
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for opened in (*self._sockets.values(), self._asking):
            opened.close()

    def run(self, seconds: float) -> Delivered:
        """Make events at an even pace for so long, and wait until all of them came."""
        pause = self._crowd / DELIVERIES_A_SECOND
        count = round(seconds / pause)
        server, own = _cpu(self._target.pid), time.process_time()
        began_at = time.monotonic()
        late_ms: list[float] = []
        for number in range(count):
            self._make_event()
            due_at = began_at + (number + 1) * pause
            late_ms += self._receive_for(max(0.0, due_at - time.monotonic()), expected=count * self._crowd)
        expected = count * self._crowd
        took = time.monotonic() - began_at
        late_ms += self._receive_for(PATIENCE_SECONDS, expected=expected - len(late_ms))
        taken = (_cpu(self._target.pid) - server, time.process_time() - own)
        return Delivered(max(took, seconds), expected - len(late_ms), late_ms, *taken)

    def _await_opened(self) -> None:
        """Until each stream has begun: it tells what happens from then on. Raises: NotMeasured."""
        waited_for = set(self._sockets)
        while waited_for:
            ready = self._poll.poll(PATIENCE_SECONDS)
            if not ready:
                raise NotMeasured(f"{len(waited_for):,} streams did not begin")
            for descriptor, _ in ready:
                if b"retry:" not in self._sockets[descriptor].recv(RECEIVED_BYTES_MAX):
                    raise NotMeasured("a stream was refused")
                waited_for.discard(descriptor)

    def _make_event(self) -> None:
        turn, which = divmod(self._events, len(self._sessions))
        self._events += 1
        path = f"/v1/sessions/{self._sessions[which]}/{self._verbs[turn % 2]}"
        self._asking.sendall(raw_request(Request("POST", path, "{}"), self._target))

    def _receive_for(self, seconds: float, *, expected: int) -> list[float]:
        """The delays of what arrives within a time, or until as many came as are expected."""
        ends_at = time.monotonic() + seconds
        late_ms: list[float] = []
        while (left := ends_at - time.monotonic()) > 0 and len(late_ms) < expected:
            for descriptor, _ in self._poll.poll(left):
                data = self._sockets[descriptor].recv(RECEIVED_BYTES_MAX)
                if not data:
                    raise NotMeasured("the server ended a stream")
                late_ms += self._delays(data, now=time.time())
        return late_ms

    def _delays(self, data: bytes, *, now: float) -> Iterator[float]:
        at = data.find(_RECORDED)
        while at >= 0:
            start = at + len(_RECORDED)
            text = data[start : start + _TIME_CHARS]
            recorded_at = self._times.get(text)
            if recorded_at is None:
                recorded_at = self._times[text] = datetime.fromisoformat(text.decode()).timestamp()
            yield (now - recorded_at) * 1e3
            at = data.find(_RECORDED, start)


def _start(target: Target, project: str) -> str:
    body = {"agent": "bench", "scope": {"project_id": project}, "policy": {"lease_seconds": 86_400}}
    return str(asked(target, "POST", "/v1/sessions", body)["id"])


def _opened(target: Target, request: Request) -> socket.socket:
    opened = socket.create_connection((HOST, target.port), timeout=PATIENCE_SECONDS)
    opened.sendall(raw_request(request, target))
    return opened


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
