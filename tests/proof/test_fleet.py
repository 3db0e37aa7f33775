"""A machine full of real processes: every dead one is found in time, no living one is, and every slot is free once.

HOLDFAST_PROOF_FLEET says how many processes there are in the long test.
"""

import math
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from holdfast.domain.times import epoch_ms
from tests.proof.client import Client
from tests.proof.report import percentiles
from tests.runner.processes import arguments, environ
from tests.support.server import KEY, Server, eventually

FLEET_IN_CI: Final = 16
FLEET: Final = int(os.environ.get("HOLDFAST_PROOF_FLEET", "200"))

KILLED_SHARE: Final = 0.3
STOPPED_SHARE: Final = 0.1

MACHINE: Final = "mach_test"

STARTED_AT_ONCE: Final = 8
"""More Pythons that start at once keep each other, and those that beat, from the processors."""

DETECTION_MS_MAX: Final = 1_000
"""From the end of a lease to the record that it lapsed. Source: native-v1, "Statuses"."""


class Pace(NamedTuple):
    """How often the runs beat, and how long the server waits for them; the longer, the more of them share a core."""

    interval_seconds: float
    lease_seconds: float


class Run(NamedTuple):
    """A run and its session."""

    process: subprocess.Popen[bytes]
    session_id: str
    slot: int


@contextmanager
def running(server: Server, directory: Path, *, size: int, pace: Pace) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many runs of `sleep`; in the end every one of them is gone, and no other process is touched."""
    variables = environ(directory, f"http://127.0.0.1:{server.port}", HOLDFAST_KEY=KEY)
    processes: list[subprocess.Popen[bytes]] = []
    options = ("--heartbeat-interval", str(pace.interval_seconds), "--lease", str(pace.lease_seconds))
    try:
        with Client(server) as client:
            for number in range(size):
                words = arguments(*options, "--scope", f"work {number}", "--", "sleep", "3600")
                quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                processes.append(subprocess.Popen(words, env=variables, cwd=directory, **quiet))  # type: ignore[call-overload]
                if number % STARTED_AT_ONCE == STARTED_AT_ONCE - 1:
                    eventually(lambda number=number: taken(client) > number, seconds_max=60)  # type: ignore[misc]
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.send_signal(signal.SIGCONT)
        for process in processes:
            process.wait(30)


def taken(client: Client) -> int:
    """How many slots of the machine are taken."""
    found = client.get(f"/v1/machines/{MACHINE}").body
    return int(found["slot_count"] - found["slots_free"])


def sessions(client: Client, **filters: str) -> list[dict[str, Any]]:
    """All sessions, page after page."""
    found: list[dict[str, Any]] = []
    query = "".join(f"&{name}={value}" for name, value in filters.items())
    cursor = ""
    while True:
        body = client.get(f"/v1/sessions?limit=200{query}{cursor}").body
        found += body["items"]
        if body["next_cursor"] is None:
            return found
        cursor = f"&cursor={body['next_cursor']}"


def holders(client: Client) -> dict[int, str]:
    """Who is in which slot of the machine."""
    found = client.get(f"/v1/machines/{MACHINE}").body["slots"]
    return {slot["number"]: slot["session_id"] for slot in found if slot["session_id"] is not None}


def prove(server: Server, directory: Path, *, size: int, pace: Pace) -> None:
    killed_count, stopped_count = math.ceil(size * KILLED_SHARE), math.ceil(size * STOPPED_SHARE)
    with Client(server) as client:
        registered = client.send("POST", "/v1/machines", {"machine_id": MACHINE, "slot_count": size})
        assert registered.status == 201
    with running(server, directory, size=size, pace=pace) as processes, Client(server) as client:
        eventually(lambda: taken(client) == size, seconds_max=120)
        of_pid = {each["meta"]["pid"]: each for each in sessions(client)}
        runs = [Run(each, of_pid[each.pid]["id"], of_pid[each.pid]["slot"]) for each in processes]
        assert sorted(run.slot for run in runs) == list(range(1, size + 1))
        killed, stopped, living = split(runs, killed_count, stopped_count)

        for run in killed[::2]:
            run.process.kill()
        server.kill()
        for run in killed[1::2]:
            run.process.kill()
        client.close()
        server.start()
        for run in stopped:
            run.process.send_signal(signal.SIGSTOP)
        dead = {run.session_id for run in (*killed, *stopped)}
        eventually(lambda: dead <= lapsed(client), seconds_max=3 * pace.lease_seconds + 60)

        told = client.events()
        check_detection(told, dead=dead, living={run.session_id for run in living})
        assert holders(client) == {run.slot: run.session_id for run in living}

        # Each of the freed slots is there for one session, and for no second one.
        fresh = [start(client, number) for number in range(len(dead))]
        assert {each["slot"] for each in fresh} == {run.slot for run in (*killed, *stopped)}
        refused = client.send("POST", "/v1/sessions", {"agent": "claude", "machine_id": MACHINE})
        assert (refused.status, refused.code) == (409, "no_free_slot")

        # Who wakes up finds the slot taken, and goes on without one.
        for run in stopped:
            run.process.send_signal(signal.SIGCONT)
        woken = {run.session_id for run in stopped}
        eventually(lambda: woken.isdisjoint(lapsed(client)), seconds_max=60)
        slots = {each["id"]: each["slot"] for each in sessions(client) if each["id"] in woken}
        assert set(slots.values()) == {None}
        assert Counter(holders(client).values()).most_common(1)[0][1] == 1
        assert taken(client) == size


def split(runs: Sequence[Run], killed_count: int, stopped_count: int) -> tuple[list[Run], list[Run], list[Run]]:
    """Those that are to be killed, those that are to be stopped, and the others; spread over the slots."""
    spread = sorted(runs, key=lambda run: run.slot * 7 % (len(runs) + 1))
    return (
        spread[:killed_count],
        spread[killed_count : killed_count + stopped_count],
        spread[killed_count + stopped_count :],
    )


def lapsed(client: Client) -> set[str]:
    """Sessions that the server holds for dead, and has recorded as such."""
    return {each["id"] for status in ("stalled", "failed") for each in sessions(client, status=status)}


def check_detection(told: Sequence[dict[str, Any]], *, dead: set[str], living: set[str]) -> None:
    """Every dead one was found once, in time; nobody else was."""
    stalls = [each for each in told if each["type"] == "session.stalled"]
    times = Counter(each["session_id"] for each in stalls)
    assert times == dict.fromkeys(dead, 1)
    assert not [each for each in told if each["session_id"] in living and each["type"] != "session.started"]
    delays_ms = [epoch_ms(each["recorded_at"]) - epoch_ms(each["at"]) for each in stalls]
    print(f"fleet: {len(dead)} of {len(dead) + len(living)} found dead, after their lease: {percentiles(delays_ms)}")
    assert max(delays_ms) <= DETECTION_MS_MAX


def start(client: Client, number: int) -> dict[str, Any]:
    answer = client.send(
        "POST",
        "/v1/sessions",
        {"agent": "claude", "holder_id": f"fresh-{number}", "scope": f"fresh {number}", "machine_id": MACHINE},
    )
    assert answer.status == 201, answer
    return answer.body


def test_every_dead_run_is_found_in_time_and_every_slot_is_free_once(sqlite_url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Server(sqlite_url, directory=tmp_path / "node", keeps_port=True) as server:
        server.start()
        prove(server, home, size=FLEET_IN_CI, pace=Pace(1.0, 5.0))


@pytest.mark.proof
def test_a_large_fleet_dies_in_time(database_url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    began = time.monotonic()
    with Server(database_url, directory=tmp_path / "node", keeps_port=True) as server:
        server.start()
        prove(server, home, size=FLEET, pace=Pace(5.0, 30.0))
    print(f"a fleet of {FLEET} took {time.monotonic() - began:.0f} s")
