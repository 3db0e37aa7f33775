"""A machine full of real processes, each with tasks of one queue: the dead are found in time and the living left alone.

Slots and tasks of the dead are free once, and each of them is recovered once, whoever asks and however often.
HOLDFAST_PROOF_FLEET says how many processes there are in the long test.
"""

import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from holdfast.domain.times import epoch_ms
from holdfast.runner.exits import ExitCode
from tests.proof.client import Answer, Client
from tests.proof.racing import in_flight_together, race
from tests.proof.report import percentiles
from tests.runner.processes import arguments, environ
from tests.support.server import KEY, Server, eventually

FLEET_IN_CI: Final = 16
FLEET: Final = int(os.environ.get("HOLDFAST_PROOF_FLEET", "200"))

KILLED_SHARE: Final = 0.3
STOPPED_SHARE: Final = 0.1
SLEEPING_SHARE: Final = 0.05

MACHINE: Final = "mach_test"
PROJECT: Final = "fleet"

WORK: Final = f"{shlex.quote(sys.executable)} -m holdfast task claim --json >/dev/null && exec sleep 3600"
"""What each run does, as any agent would: it takes a task of the run's project, and works on it."""

STARTED_AT_ONCE: Final = 8
"""More Pythons that start at once keep each other, and those that beat, from the processors."""

RECOVERERS: Final = 8

DETECTION_MS_MAX: Final = 1_000
"""From the end of a lease to the record that it lapsed. Source: native-v1, "Statuses"."""

Told = Sequence[dict[str, Any]]


class Pace(NamedTuple):
    """How often the runs beat, and how long the server waits for them; the longer, the more of them share a core."""

    interval_seconds: float
    lease_seconds: float


class Run(NamedTuple):
    """A run and its session."""

    process: subprocess.Popen[bytes]
    session_id: str
    slot: int


class Fleet(NamedTuple):
    """The runs by what becomes of them.

    stopped: until somebody went on with their work. sleepers: of the living, stopped too, and woken within their lease.
    """

    killed: list[Run]
    stopped: list[Run]
    sleepers: list[Run]
    living: list[Run]

    @property
    def dead(self) -> list[Run]:
        """Those that fall silent, and whose work somebody goes on with."""
        return [*self.killed, *self.stopped]


@contextmanager
def running(server: Server, directory: Path, *, size: int, pace: Pace) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many runs, each with a task; in the end every one of them is gone, and no other process is touched."""
    variables = environ(directory, f"http://127.0.0.1:{server.port}", HOLDFAST_KEY=KEY)
    processes: list[subprocess.Popen[bytes]] = []
    interval, lease = str(pace.interval_seconds), str(pace.lease_seconds)
    options = ("--project", PROJECT, "--heartbeat-interval", interval, "--lease", lease)
    try:
        with Client(server) as client:
            for number in range(size):
                words = arguments(*options, "--scope", f"work {number}", "--", "sh", "-c", WORK)
                quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                processes.append(subprocess.Popen(words, env=variables, cwd=directory, **quiet))  # type: ignore[call-overload]
                if number % STARTED_AT_ONCE == STARTED_AT_ONCE - 1 or number == size - 1:
                    eventually(lambda number=number: claimed(client) > number, seconds_max=60)  # type: ignore[misc]
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.send_signal(signal.SIGCONT)
        for process in processes:
            process.wait(30)


def claimed(client: Client) -> int:
    """How many tasks are in progress."""
    found = client.get(f"/v1/tasks?project_id={PROJECT}&status=in_progress&include_total=true&limit=1")
    return int(found.body["total"])


def listed(client: Client, path: str, **filters: str) -> list[dict[str, Any]]:
    """All of a list, page after page."""
    found: list[dict[str, Any]] = []
    query = "".join(f"&{name}={value}" for name, value in filters.items())
    cursor = ""
    while True:
        body = client.get(f"{path}?limit=200{query}{cursor}").body
        found += body["items"]
        if body["next_cursor"] is None:
            return found
        cursor = f"&cursor={body['next_cursor']}"


def sessions(client: Client, **filters: str) -> dict[str, dict[str, Any]]:
    """All sessions, by id."""
    return {each["id"]: each for each in listed(client, "/v1/sessions", **filters)}


def tasks(client: Client) -> dict[str, dict[str, Any]]:
    """All tasks, by id."""
    return {each["id"]: each for each in listed(client, "/v1/tasks", project_id=PROJECT)}


def holders(client: Client) -> dict[int, str]:
    """Who is in which slot of the machine."""
    found = client.get(f"/v1/machines/{MACHINE}").body["slots"]
    return {slot["number"]: slot["session_id"] for slot in found if slot["session_id"] is not None}


def lapsed(client: Client) -> set[str]:
    """Sessions that the server holds for dead, and has recorded as such."""
    return {each for status in ("stalled", "failed") for each in sessions(client, status=status)}


def prove(server: Server, directory: Path, *, size: int, pace: Pace) -> None:
    with Client(server) as client:
        presence = {"heartbeat_interval_seconds": 600, "lease_seconds": 3600}
        registered = client.post("/v1/machines", {"machine_id": MACHINE, "slot_count": size, **presence})
        assert registered.status == 201, registered
        assert client.post("/v1/projects", {"id": PROJECT}).status == 201
        for number in range(size + size // 2):
            assert client.post("/v1/tasks", {"project_id": PROJECT, "name": f"task {number}"}).status == 201
    with running(server, directory, size=size, pace=pace) as processes, Client(server) as client:
        of_pid = {each["meta"]["pid"]: each for each in sessions(client).values()}
        runs = [Run(each, of_pid[each.pid]["id"], of_pid[each.pid]["slot"]) for each in processes]
        assert sorted(run.slot for run in runs) == list(range(1, size + 1))
        # Every other one has a second task.
        for run in runs[: size - size % 2 : 2]:
            assert claim(client, run.session_id).status == 200
        fleet = split(runs)
        before = tasks(client)
        assert Counter(Counter(each["session_id"] for each in before.values()).values()) == {
            1: size - size // 2,
            2: size // 2,
        }

        disaster(server, client, fleet)
        dead = {run.session_id for run in fleet.dead}
        eventually(lambda: dead <= lapsed(client), seconds_max=3 * pace.lease_seconds + 60)

        told = client.events()
        check_detection(told, dead=dead, living={run.session_id for run in fleet.living})
        assert holders(client) == {run.slot: run.session_id for run in fleet.living}
        freed = {task_id for task_id, each in before.items() if each["session_id"] in dead}
        check_tasks(tasks(client), before, freed)

        recovered = recover_all(server, client, fleet)

        # Each slot of a dead one is there for the session that goes on with its work, and for no second one.
        expected = {each["slot"]: each["id"] for each in recovered} | {run.slot: run.session_id for run in fleet.living}
        assert len(expected) == size
        assert holders(client) == expected
        refused = client.post("/v1/sessions", {"agent": "claude", "machine_id": MACHINE})
        assert (refused.status, refused.code) == (409, "no_free_slot")

        given = claim_all(server, [each["id"] for each in recovered])
        assert Counter(given) == dict.fromkeys(freed, 1)

        check_waking(client, fleet, before)
        assert holders(client) == expected
        now = tasks(client)
        assert {each: now[each] for each in before.keys() - freed} == {
            each: before[each] for each in before.keys() - freed
        }
        requeued = [each["data"]["task_id"] for each in client.events() if each["type"] == "task.requeued"]
        assert Counter(requeued) == dict.fromkeys(freed, 1)
    print(
        f"fleet: {len(freed)} tasks queued again and claimed once each, {len(recovered)} sessions recovered once each"
    )


def split(runs: Sequence[Run]) -> Fleet:
    """The runs, spread over the slots."""
    killed, stopped = math.ceil(len(runs) * KILLED_SHARE), math.ceil(len(runs) * STOPPED_SHARE)
    spread = sorted(runs, key=lambda run: run.slot * 7 % (len(runs) + 1))
    living = spread[killed + stopped :]
    sleepers = living[: math.ceil(len(runs) * SLEEPING_SHARE)]
    return Fleet(spread[:killed], spread[killed : killed + stopped], sleepers, living)


def disaster(server: Server, client: Client, fleet: Fleet) -> None:
    """Some runs die, the server does, others die while it is away, and others stand still, for good or for a while."""
    for run in fleet.killed[::2]:
        run.process.kill()
    server.kill()
    for run in fleet.killed[1::2]:
        run.process.kill()
    client.close()
    server.start()
    for run in (*fleet.stopped, *fleet.sleepers):
        run.process.send_signal(signal.SIGSTOP)
    sleeping = {run.session_id for run in fleet.sleepers}
    eventually(lambda: sleeping <= sessions(client, liveness="late").keys(), seconds_max=60)
    for run in fleet.sleepers:
        run.process.send_signal(signal.SIGCONT)


def check_detection(told: Told, *, dead: set[str], living: set[str]) -> None:
    """Every dead one was found once, in time; nobody else was."""
    stalls = [each for each in told if each["type"] == "session.stalled"]
    times = Counter(each["session_id"] for each in stalls)
    assert times == dict.fromkeys(dead, 1)
    of_living = {each["type"] for each in told if each["session_id"] in living}
    assert of_living == {"session.started", "task.started"}
    delays_ms = [epoch_ms(each["recorded_at"]) - epoch_ms(each["at"]) for each in stalls]
    print(f"fleet: {len(dead)} of {len(dead) + len(living)} found dead, after their lease: {percentiles(delays_ms)}")
    assert max(delays_ms) <= DETECTION_MS_MAX


def check_tasks(now: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]], freed: set[str]) -> None:
    """Every task of the dead is pending again; the others are as they were."""
    for task_id, each in now.items():
        if task_id in freed:
            assert (each["status"], each["ready"], each["session_id"], each["attempts"]) == ("pending", True, None, 1)
        else:
            assert each == before[task_id]


def recover_all(server: Server, client: Client, fleet: Fleet) -> list[dict[str, Any]]:
    """Recover each of the dead; the new sessions, one each, linked both ways."""
    found: list[dict[str, Any]] = []
    overlaps: list[int] = []
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(RECOVERERS)]
        for number, run in enumerate(fleet.dead):
            if number % 4 == 0:
                # The first one never hears the answer, and asks again.
                recovery(client, run, "holder-0", ask_only=True)
            raced = race([partial(recovery, each, run, f"holder-{of}") for of, each in enumerate(clients)])
            overlaps.append(in_flight_together(raced))
            answers = [each.answer for each in raced]
            won = [of for of, each in enumerate(answers) if each.status == 201]
            assert len(won) == 1, answers
            assert {each.code for each in answers if each.status != 201} == {"session_recovered"}
            new = answers[won[0]].body
            again = recovery(client, run, f"holder-{won[0]}")
            assert (again.status, again.content, again.is_replay) == (201, answers[won[0]].content, True)
            without_key = client.post(path_of(run), {"holder_id": f"holder-{won[0]}"})
            assert (without_key.status, without_key.body["id"]) == (200, new["id"])
            found.append(new)
    assert max(overlaps) > 1, "no two recoverers ever asked at the same time"
    known = sessions(client)
    for run, new in zip(fleet.dead, found, strict=True):
        old = known[run.session_id]
        assert (old["status"], old["end_reason"], old["recovered_by"]) == ("ended", "recovered", new["id"])
        assert known[new["id"]]["recovered_from"] == old["id"]
        assert new["fencing_token"] > 1
    from_whom = Counter(each["recovered_from"] for each in known.values() if each["recovered_from"] is not None)
    assert from_whom == dict.fromkeys((run.session_id for run in fleet.dead), 1)
    return found


def path_of(run: Run) -> str:
    return f"/v1/sessions/{run.session_id}/recover"


def recovery(client: Client, run: Run, holder_id: str, *, ask_only: bool = False) -> Answer:
    """What a recoverer is told. ask_only: it goes away before it is told anything."""
    body = {"holder_id": holder_id, "policy": {"lease_seconds": 3600}}
    key = f"recover-{run.session_id}-{holder_id}"
    client.ask("POST", path_of(run), body, key=key)
    if not ask_only:
        return client.hear()
    client.close()
    return Answer(0, b"", is_replay=False)


def claim(client: Client, session_id: str) -> Answer:
    return client.post("/v1/tasks/claim", {"session_id": session_id})


def claim_all(server: Server, session_ids: Sequence[str]) -> list[str]:
    """Have all of these sessions claim tasks, some at a time, until there is none left; the tasks they were given."""
    given: list[str] = []
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(RECOVERERS)]
        waiting = list(session_ids)
        while waiting:
            some, waiting = waiting[:RECOVERERS], waiting[RECOVERERS:]
            raced = race([partial(claim, each, session_id) for each, session_id in zip(clients, some, strict=False)])
            for session_id, each in zip(some, raced, strict=True):
                assert each.answer.status in (200, 204), each.answer
                if each.answer.status == 200:
                    given.append(each.answer.body["id"])
                    waiting.append(session_id)
    return given


def check_waking(client: Client, fleet: Fleet, before: dict[str, dict[str, Any]]) -> None:
    """Whoever wakes finds that others went on with its work: it stops, and nothing that it says is taken."""
    for run in fleet.stopped:
        run.process.send_signal(signal.SIGCONT)
    for run in fleet.stopped:
        assert run.process.wait(60) == ExitCode.SESSION_LOST
    now = sessions(client)
    woken = {run.session_id for run in fleet.stopped}
    assert {(now[each]["status"], now[each]["end_reason"]) for each in woken} == {("ended", "recovered")}
    for session_id in woken:
        said: list[tuple[str, dict[str, Any]]] = [
            ("heartbeat", {}),
            ("checkpoint", {"summary": "all of it is done"}),
            ("end", {"end_reason": "completed"}),
        ]
        refused = [client.post(f"/v1/sessions/{session_id}/{verb}", body) for verb, body in said]
        refused += [
            client.post(f"/v1/tasks/{task_id}/complete", {"session_id": session_id})
            for task_id, each in before.items()
            if each["session_id"] == session_id
        ]
        assert {(each.status, each.code) for each in refused} == {(409, "session_recovered")}


def test_the_dead_are_found_in_time_and_what_was_theirs_is_there_once(sqlite_url: str, tmp_path: Path) -> None:
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
