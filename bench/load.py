"""Load over HTTP: closed loops on a number of connections, driven by wrk where it is installed, else from here.

What the generator itself costs is part of every answer, so that nobody takes its limit for the server's.
"""

import json
import os
import resource
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.figures import NotMeasured

HOST = "127.0.0.1"
SCRIPT = Path(__file__).with_name("load.lua")

GENERATOR_MARGIN = 1.5
"""A generator that could not send this many times what the constant reply takes would measure itself."""

TIMEOUT_SECONDS = 30.0
"""How long an answer, or the generator after its time, may take before the row is given up."""

RECEIVED_BYTES_MAX = 256 * 1024
"""Read from a connection at a time: an answer to a batch of 1,000 in one or two pieces."""


class Request(NamedTuple):
    """One request, sent with the key unless it is the constant reply's. body: JSON; empty: none is sent."""

    method: str
    path: str
    body: str = ""


HEALTH_PATH = "/health"
HEALTH = (Request("GET", HEALTH_PATH),)
"""The constant reply: the same server and the same way through it, no key, no rule, no store."""


class Target(NamedTuple):
    """A server under load."""

    port: int
    pid: int
    key: str


class Load(NamedTuple):
    """What one run of a load gave.

    answered: with a 2xx; refused: with anything else; broken: not at all. generator_seconds, server_seconds: CPU time.
    """

    answered: int
    refused: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float
    generator_seconds: float
    server_seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    @property
    def server_microseconds(self) -> float:
        """The server's CPU time for an answer."""
        return self.server_seconds * 1e6 / max(1, self.answered)


def has_wrk() -> bool:
    """Whether wrk can be used."""
    return shutil.which("wrk") is not None


def generator_name() -> str:
    """Who sends the load."""
    return "wrk" if has_wrk() else "a loop in Python (wrk is not installed; on Debian: apt-get install wrk)"


def generator_threads(connections: int) -> int:
    """How many threads the generator uses: one on a small machine, where the server needs the rest."""
    return min(connections, 1 if (os.cpu_count() or 1) <= 4 or not has_wrk() else 2)


def load_for(target: Target, requests: Sequence[Request], *, connections: int, seconds: int) -> Load:
    """Send the requests in turn, over and over, for so long. Raises: NotMeasured."""
    before = cpu_seconds(target.pid)
    drive = _drive_by_wrk if has_wrk() else _drive_for
    result = drive(target, requests, connections=connections, seconds=seconds)
    result = result._replace(server_seconds=cpu_seconds(target.pid) - before)
    if not result.answered:
        raise NotMeasured(f"the server answered none of the requests ({result.refused:,} refusals)")
    return result


def load_once(target: Target, requests: Sequence[Request], *, connections: int) -> Load:
    """Send each of the requests once. Raises: NotMeasured."""
    before = cpu_seconds(target.pid)
    result = _drive(target, requests, connections=connections, count=len(requests), seconds=TIMEOUT_SECONDS)
    return result._replace(server_seconds=cpu_seconds(target.pid) - before)


def require_margin(constant: Sequence[Load], *, connections: int) -> None:
    """Make sure that the generator was not the limit. Raises: NotMeasured."""
    capacity, rate = 0.0, 0.0
    for each in constant:
        capacity += generator_threads(connections) * each.answered / max(each.generator_seconds, 1e-9)
        rate += each.rate
    if capacity < GENERATOR_MARGIN * rate:
        raise NotMeasured(
            f"{generator_name()} could send {capacity / len(constant):,.0f} requests/s, less than {GENERATOR_MARGIN} "
            f"times the {rate / len(constant):,.0f} of the constant reply"
        )


def children_cpu_seconds() -> float:
    """CPU time of all child processes that are over."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cpu_seconds(pid: int) -> float:
    """CPU time of a server and the writer that it forked, which Linux tells to the nanosecond, else in hundredths."""
    server = psutil.Process(pid)
    processes = [server, *server.children()]
    try:
        stats = [path for each in processes for path in Path(f"/proc/{each.pid}/task").glob("*/schedstat")]
        return sum(int(path.read_text().split()[0]) for path in stats) / 1e9
    except (OSError, ValueError):
        return float(sum(sum(each.cpu_times()[:2]) for each in processes))


def _drive_by_wrk(target: Target, requests: Sequence[Request], *, connections: int, seconds: int) -> Load:
    threads = generator_threads(connections)
    repeated = [*requests] * (1 if len(requests) >= threads else threads)
    with tempfile.NamedTemporaryFile("w", prefix="holdfast-load-", suffix=".tsv") as file:
        file.writelines(f"{each.method}\t{each.path}\t{each.body}\n" for each in repeated)
        file.flush()
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(SCRIPT)]
        command += [f"http://{HOST}:{target.port}", "--", file.name, target.key, str(threads)]
        before = children_cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + TIMEOUT_SECONDS)
        after = children_cpu_seconds()
    said = done.stdout.strip().splitlines()
    if done.returncode != 0 or not said or not said[-1].startswith("{"):
        raise NotMeasured(f"wrk failed: {(done.stderr.strip() or done.stdout.strip())[-200:]}")
    figures = json.loads(said[-1])
    return Load(
        answered=figures["requests"] - figures["refused"],
        refused=figures["refused"],
        broken=figures["broken"],
        seconds=figures["microseconds"] / 1e6,
        p50_ms=figures["p50"] / 1e3,
        p99_ms=figures["p99"] / 1e3,
        generator_seconds=after - before,
        server_seconds=0.0,
    )


def _drive_for(target: Target, requests: Sequence[Request], *, connections: int, seconds: int) -> Load:
    return _drive(target, requests, connections=connections, count=None, seconds=seconds)


class Connection:
    """One closed loop: a request is sent once the last one was answered."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        """Send a request, and leave its answer to `receive`."""
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The answer, once all of it is there. Raises: NotMeasured."""
        data = self.socket.recv(RECEIVED_BYTES_MAX)
        if not data:
            raise NotMeasured("the server closed a connection")
        self.received += data
        head_bytes = self.received.find(b"\r\n\r\n")
        if head_bytes < 0:
            return None
        length_at = self.received.find(b"content-length: ") + len(b"content-length: ")
        length = int(self.received[length_at : self.received.find(b"\r", length_at)])
        return self.received if len(self.received) >= head_bytes + 4 + length else None


def _drive(target: Target, requests: Sequence[Request], *, connections: int, count: int | None, seconds: float) -> Load:
    """One process, one thread, as little as possible an answer. count: stop after so many; None: when time is up."""
    raw = [raw_request(each, target) for each in requests]
    opened = [Connection(target.port) for _ in range(min(connections, count or connections))]
    by_descriptor = {each.socket.fileno(): each for each in opened}
    poll = select.epoll()
    latencies: deque[float] = deque()
    sent, refused, in_flight = 0, 0, 0
    cpu_before, began_at = time.thread_time(), time.perf_counter()
    ends_at = began_at + seconds
    try:
        for connection in opened:
            poll.register(connection.socket, select.EPOLLIN)
            connection.send(raw[sent % len(raw)])
            sent += 1
            in_flight += 1
        now = time.perf_counter()
        while in_flight and now < ends_at:
            ready = poll.poll(TIMEOUT_SECONDS)
            if not ready:
                raise NotMeasured(f"no answer came within {TIMEOUT_SECONDS:g} s")
            for descriptor, _ in ready:
                connection = by_descriptor[descriptor]
                answer = connection.receive()
                if answer is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - connection.sent_at)
                refused += answer[9:10] != b"2"
                if count is not None and sent >= count:
                    in_flight -= 1
                    continue
                connection.send(raw[sent % len(raw)])
                sent += 1
    finally:
        taken, cpu_after = time.perf_counter() - began_at, time.thread_time()
        poll.close()
        for connection in opened:
            connection.socket.close()
    ordered = sorted(latencies) or [0.0]
    return Load(
        answered=len(latencies) - refused,
        refused=refused,
        broken=0,
        seconds=taken,
        p50_ms=ordered[len(ordered) // 2] * 1e3,
        p99_ms=ordered[len(ordered) * 99 // 100] * 1e3,
        generator_seconds=cpu_after - cpu_before,
        server_seconds=0.0,
    )


def asked(target: Target, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """What the server answers to one request. Raises: NotMeasured where it refuses."""
    connection = HTTPConnection(HOST, target.port, timeout=TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status >= 300:
        raise NotMeasured(f"{method} {path} was refused: {content[:200]!r}")
    answered: dict[str, Any] = json.loads(content) if content else {}
    return answered


def raw_request(request: Request, target: Target) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {HOST}:{target.port}"]
    body = request.body.encode()
    if request.path != HEALTH_PATH:
        lines.append(f"Authorization: Bearer {target.key}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
