"""`holdfast machine up` with real processes and a real server: what it says of the machine and of what dies there."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.spool import RUNNER_GONE, Entry, Spool, this_process
from holdfast.runner.run_watch import RunWatch
from tests.proof.client import Client
from tests.runner.processes import arguments, children_of, environ, is_alive, kill_group
from tests.support.server import KEY, PROGRAM, Server, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

MACHINE = "mach_test"
LONG_LEASE = ("--heartbeat-interval", "60", "--lease", "600")
"""Nobody waits for such a lease: what is found before it is over was told by somebody."""


class World:
    """A server, a home, and what is started in it."""

    def __init__(self, server: Server, home: Path, client: Client) -> None:
        self.server = server
        self.client = client
        self.directory = home
        self.environ = environ(home, f"http://127.0.0.1:{server.port}", HOLDFAST_KEY=KEY)

    @contextmanager
    def agent(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """An agent; whatever is left of it at the end is killed."""
        with self._started((*PROGRAM, "machine", "up", *words)) as process:
            eventually(lambda: self.machine().get("status") == "online")
            yield process

    @contextmanager
    def run(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A run of `holdfast run`."""
        with self._started(arguments(*words)) as process:
            yield process

    @contextmanager
    def _started(self, words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            words,
            env=self.environ,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        with process:
            try:
                yield process
            finally:
                kill_group(process)

    def machine(self) -> dict[str, Any]:
        return self.client.get(f"/v1/machines/{MACHINE}").body

    def sessions(self, **filters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        items: list[dict[str, Any]] = self.client.get(f"/v1/sessions?{query}").body["items"]
        return items

    def slots(self) -> dict[int, str]:
        return {slot["number"]: slot["status"] for slot in self.machine()["slots"]}


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    home = tmp_path / "home"
    home.mkdir()
    with Server(sqlite_url, directory=tmp_path / "node", keeps_port=True) as server:
        server.start()
        with Client(server) as client:
            yield World(server, home, client)


def test_a_killed_run_is_told_at_once_and_its_slot_is_free(world: World) -> None:
    with world.agent("--slots", "2") as agent:
        assert world.slots() == {1: "free", 2: "free"}
        with world.run(*LONG_LEASE, "--exclusive", "--scope", "work", "--", "sleep", "1000") as run:
            eventually(lambda: len(world.sessions(status="active")) == 1 and bool(children_of(run.pid)))
            assert world.slots() == {1: "taken", 2: "free"}
            run.kill()
            run.wait()
            eventually(lambda: len(world.sessions(status="failed")) == 1)
        (failed,) = world.sessions(status="failed")
        assert (failed["status_reason"], failed["failed_by"]) == (RUNNER_GONE, "report")
        assert world.slots() == {1: "free", 2: "free"}
        agent.terminate()
        assert agent.wait(30) == 0
    assert world.machine()["status"] == "offline"
    assert not list((world.directory / ".local/share/holdfast/spool").glob("*.json"))


def test_a_reused_process_id_keeps_no_session_alive(world: World) -> None:
    with world.run(*LONG_LEASE, "--scope", "work", "--", "sleep", "1000") as run:
        eventually(lambda: len(world.sessions(status="active")) == 1 and bool(children_of(run.pid)))
        run.kill()
        run.wait()
    (path,) = (world.directory / ".local/share/holdfast/spool").glob("*.json")
    entry = json.loads(path.read_text())
    # The system gives the id to somebody else, who lives on.
    entry["runner"]["pid"] = world.server.pid
    path.write_text(json.dumps(entry))
    with world.agent():
        eventually(lambda: len(world.sessions(status="failed")) == 1)
    assert not path.exists()


def test_an_agent_tells_of_a_run_whose_process_id_it_got_itself(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", tell=pytest.fail)
    own = this_process()
    entries = {
        "run-before": own._replace(started="1"),
        "run-own": own,
    }
    for name, runner in entries.items():
        spool.open(Entry(name, "http://x", f"key-{name}", runner, {}, session_id="sess_1"))
    watch = RunWatch(spool, url="http://x", add=lambda *_: None, remove=lambda _: None)
    watch.scan()
    assert watch.gone == {"run-before"}
    watch.close()


def test_a_run_that_ends_by_itself_is_its_own_business(world: World) -> None:
    with world.agent("--slots", "1"):
        with world.run("--scope", "work", "--", "true") as run:
            assert run.wait(30) == 0
        (ended,) = world.sessions()
        assert (ended["status"], ended["end_reason"], ended["slot"]) == ("ended", "completed", 1)
        assert world.slots() == {1: "free"}


def test_what_dies_while_the_server_is_away_is_told_when_it_is_back(world: World) -> None:
    with world.agent("--slots", "1", "--heartbeat-interval", "0.5", "--lease", "60"):
        with world.run(*LONG_LEASE, "--scope", "work", "--", "sleep", "1000") as run:
            eventually(lambda: len(world.sessions(status="active")) == 1 and bool(children_of(run.pid)))
            world.server.kill()
            run.kill()
            run.wait()
            world.client.close()
            world.server.start()
            eventually(lambda: len(world.sessions(status="failed")) == 1)
        assert world.slots() == {1: "free"}
        assert world.machine()["status"] == "online"


def test_a_command_is_kept_in_each_slot_and_ends_with_the_agent(world: World) -> None:
    script = 'echo $$ > "pid-$HOLDFAST_SLOT"; exec sleep 1000'
    with world.agent("--slots", "2", "--", "sh", "-c", script) as agent:
        eventually(lambda: len(world.sessions(status="active")) == 2)
        files = [world.directory / f"pid-{number}" for number in (1, 2)]
        eventually(lambda: all(file.exists() and file.read_text().strip() for file in files))
        pids = [int(file.read_text()) for file in files]
        assert world.slots() == {1: "taken", 2: "taken"}
        agent.terminate()
        assert agent.wait(30) == 0
        assert not any(map(is_alive, pids))
    assert [each["status"] for each in world.sessions()] == ["ended", "ended"]
    assert world.slots() == {1: "free", 2: "free"}


def test_a_command_that_fails_is_started_again_as_often_as_was_said(world: World) -> None:
    script = 'echo x >> tries; test "$(wc -l < tries)" -ge 3'
    with world.agent("--slots", "1", "--restart", "on-failure:5", "--", "sh", "-c", script) as agent:
        assert agent.wait(60) == 0
    assert (world.directory / "tries").read_text() == "x\n" * 3
    first, second, third = reversed(world.sessions())
    assert [each["end_reason"] for each in (first, second, third)] == ["recovered", "recovered", "completed"]
    assert (second["recovered_from"], third["recovered_from"]) == (first["id"], second["id"])


def test_a_command_that_goes_on_failing_is_given_up(world: World) -> None:
    with world.agent("--restart", "on-failure:1", "--", "sh", "-c", "exit 3") as agent:
        assert agent.wait(60) == 1
    assert [each["status"] for each in world.sessions()] == ["failed", "ended"]
    assert world.slots() == {1: "free"}


def test_a_stopped_command_is_not_beaten_for_and_its_session_comes_back_with_it(world: World) -> None:
    script = "echo $$ > pid; exec sleep 1000"
    pace = ("--heartbeat-interval", "0.3", "--lease", "2")
    with world.agent("--slots", "1", *pace, "--", "sh", "-c", script):
        eventually(lambda: (world.directory / "pid").exists() and (world.directory / "pid").read_text().strip() != "")
        pid = int((world.directory / "pid").read_text())
        eventually(lambda: world.sessions()[0]["progress"] is not None)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: world.sessions()[0]["status"] == "stalled")
        assert world.slots() == {1: "free"}
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: world.sessions()[0]["status"] == "active")
        assert world.slots() == {1: "taken"}


def test_a_session_that_was_taken_over_ends_its_command(world: World) -> None:
    pace = ("--heartbeat-interval", "0.3", "--lease", "20")
    with world.agent("--slots", "1", *pace, "--", "sleep", "1000") as agent:
        eventually(lambda: len(world.sessions(status="active")) == 1)
        (session,) = world.sessions()
        taken = world.client.post(
            f"/v1/sessions/{session['id']}/takeover", {"holder_id": "another", "reason": "it has to be", "force": True}
        )
        assert taken.status == 201
        assert agent.wait(30) == 1
    assert world.client.session(session["id"])["status"] == "ended"


def test_a_killed_agent_leaves_no_command_and_the_next_one_tells_it(world: World) -> None:
    script = "echo $$ > pid; exec sleep 1000"
    with world.agent("--slots", "1", *LONG_LEASE, "--", "sh", "-c", script) as agent:
        eventually(lambda: (world.directory / "pid").exists() and (world.directory / "pid").read_text().strip() != "")
        pid = int((world.directory / "pid").read_text())
        agent.kill()
        agent.wait()
        eventually(lambda: not is_alive(pid))
    assert world.slots() == {1: "taken"}
    with world.agent():
        eventually(lambda: world.slots() == {1: "free"})
    assert [each["status_reason"] for each in world.sessions()] == [RUNNER_GONE]


def test_a_killed_keeper_takes_its_command_along_and_is_told(world: World) -> None:
    script = "echo $$ $PPID > pid; exec sleep 1000"
    with world.agent("--slots", "1", "--", "sh", "-c", script) as agent:
        eventually(lambda: (world.directory / "pid").exists() and (world.directory / "pid").read_text().strip() != "")
        pid, keeper_pid = map(int, (world.directory / "pid").read_text().split())
        os.kill(keeper_pid, signal.SIGKILL)
        assert agent.wait(30) == 1
        assert not is_alive(pid)
    assert [each["status_reason"] for each in world.sessions()] == ["its keeper was killed"]
