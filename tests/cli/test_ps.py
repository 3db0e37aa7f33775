"""`holdfast ps`, from its requests to what a person reads."""

import json
import os
import pty
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.spool import Entry, Spool, this_process
from holdfast.doors.cli.text import shown
from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.fake_server import Asked, FakeServer, Reply, problem
from tests.cli.test_words import session, time_of

OUTPUT_SECONDS_MAX = 30.0

IN_TERMINAL = """
import os, sys
os.login_tty(0)
os.execv(sys.executable, [sys.executable, "-m", "holdfast", *sys.argv[1:]])
"""
"""Makes the terminal the process's controlling one, so that an interrupt typed there reaches `holdfast`."""


def answer_with(*sessions: dict[str, Any]) -> Any:
    """An answer that filters by status as the server does."""

    def answer(asked: Asked) -> Reply:
        found = [each for each in sessions if asked.query.get("status") in (None, each["status"])]
        return Reply(200, {"items": found, "next_cursor": None})

    return answer


def test_ps_lists_who_works_who_failed_and_who_ended_just_now(cli: Cli, fake: FakeServer) -> None:
    fake.answer = answer_with(
        session(id="sess_01KAAAAAAAAAAAAAAAAA000001"),
        session(id="sess_01KAAAAAAAAAAAAAAAAA000002", status="failed", status_reason="exit code 1"),
        session(id="sess_01KAAAAAAAAAAAAAAAAA000003", status="failed", taken_over_by="sess_01KAAAAAAAAAAAAAAAAA000001"),
        session(id="sess_01KAAAAAAAAAAAAAAAAA000004", status="ended", end_reason="completed", ended_at=time_of(299)),
        session(id="sess_01KAAAAAAAAAAAAAAAAA000005", status="ended", end_reason="completed", ended_at=time_of(300)),
        session(id="sess_01KAAAAAAAAAAAAAAAAA000006", status="abandoned"),
    )
    result = cli("ps", HOLDFAST_URL=fake.url)
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "ID      AGENT   SCOPE              STATUS                           AGE",
        "000001  claude  acme/api, track 2  active, beat 3 s ago             12 min",
        "000002  claude  acme/api, track 2  failed: exit code 1, 12 min ago  12 min",
        "000004  claude  acme/api, track 2  ended: completed, 4 min ago      12 min",
    ]


def test_ps_all_lists_whatever_became_of_it_over_all_pages(cli: Cli, fake: FakeServer) -> None:
    pages = {
        None: ([session(id=f"sess_01KAAAAAAAAAAAAAAAAA00000{n}") for n in (1, 2)], "next"),
        "next": ([session(id="sess_01KAAAAAAAAAAAAAAAAA000003", status="abandoned")], None),
    }

    def answer(asked: Asked) -> Reply:
        items, following = pages[asked.query.get("cursor")]
        return Reply(200, {"items": items, "next_cursor": following})

    fake.answer = answer
    assert len(cli("ps", "--all", HOLDFAST_URL=fake.url).stdout.splitlines()) == 4
    listed = json.loads(cli("ps", "--all", "--json", HOLDFAST_URL=fake.url).stdout)
    assert listed == pages[None][0] + pages["next"][0]
    assert len(json.loads(cli("ps", "--all", "--json", "--limit", "2", HOLDFAST_URL=fake.url).stdout)) == 2


def test_ps_asks_for_what_the_filters_say(cli: Cli, fake: FakeServer) -> None:
    fake.answer = answer_with(session(), session(scope="repo=github.com%2Facme%2Fweb"))
    arguments = ("--status", "active", "--agent", "claude", "--liveness", "live", "--scope", "acme/api")
    result = cli("ps", *arguments, HOLDFAST_URL=fake.url)
    assert len(result.stdout.splitlines()) == 2
    assert fake.asked[-1].query == {
        "status": "active",
        "agent": "claude",
        "liveness": "live",
        "q": "acme",
        "limit": "200",
    }


def test_ps_counts_time_by_the_servers_clock(cli: Cli, fake: FakeServer) -> None:
    fake.answer = answer_with(session(last_heartbeat_at=time_of(3)))
    assert "active, beat 3 s ago" in cli("ps", HOLDFAST_URL=fake.url).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Begin a session: holdfast run -- COMMAND"),
        (("--all",), "Begin one: holdfast run -- COMMAND"),
        (("--agent", "x"), "No session is like that. `holdfast ps --all` lists all."),
    ],
)
def test_where_there_is_nothing_ps_says_what_to_do_and_leaves_the_pipe_empty(
    arguments: tuple[str, ...], sentence: str, cli: Cli, fake: FakeServer
) -> None:
    result = cli("ps", *arguments, HOLDFAST_URL=fake.url)
    assert (result.exit_code, result.stdout) == (0, "")
    assert sentence in result.stderr.splitlines()


def test_what_agents_say_reaches_a_pipe_escaped_and_without_colours(cli: Cli, fake: FakeServer) -> None:
    evil = "\x1b]0;owned\x07\u202e\u200b\n"
    fake.answer = answer_with(
        session(id=f"sess_{evil}", agent=evil, scope=evil, status_note=evil, holder_id=evil, status_reason=evil)
    )
    for verb in (("ps",), ("show", "sess_01KAAAAAAAAAAAAAAAAA00000001")):
        result = cli(*verb, HOLDFAST_URL=fake.url)
        assert result.exit_code in (0, 5)
        text = result.stdout.replace("\n", "")
        assert shown(text) == text


def test_ps_delivers_what_an_earlier_run_could_not_tell(cli: Cli, fake: FakeServer, home: Path) -> None:
    entry = Entry("run-1", fake.url, "run-key-1", this_process()._replace(started="0"), {"agent": "claude"})
    Spool(home / ".local/share/holdfast/spool", tell=print).open(entry)
    result = cli("ps", HOLDFAST_URL=fake.url)
    assert result.exit_code == 0
    (report,) = [asked for asked in fake.asked if asked.method == "POST"]
    assert (report.path, report.body["agent"], report.body["end_reason"]) == (
        "/v1/sessions/report",
        "claude",
        "crashed",
    )
    assert list((home / ".local/share/holdfast/spool").glob("*.json")) == []


def test_ps_says_what_became_of_a_report_that_the_server_refuses(cli: Cli, fake: FakeServer, home: Path) -> None:
    entry = Entry("run-1", fake.url, "run-key-1", this_process()._replace(started="0"), {"agent": "claude"})
    Spool(home / ".local/share/holdfast/spool", tell=print).open(entry)
    usual = fake.answer
    fake.answer = lambda asked: (
        Reply(422, problem(422, "validation_failed", "No.")) if asked.method == "POST" else usual(asked)
    )
    result = cli("ps", "--json", HOLDFAST_URL=fake.url)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "the server refuses it: validation_failed" in result.stderr


def test_a_watch_without_a_terminal_is_a_wrong_usage(cli: Cli, fake: FakeServer) -> None:
    result = cli("ps", "--watch", HOLDFAST_URL=fake.url)
    assert result.exit_code == 2
    assert "--watch needs a terminal" in result.stderr


class Screen:
    """A terminal of 100 columns in which `holdfast` runs."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.said = ""
        self._descriptor = descriptor

    def read_until(self, text: str) -> None:
        """Wait until the text was written."""
        while text not in self.said:
            said = self._read()
            assert said, f"{text!r} did not come: {self.said!r}"
            self.said += said

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._descriptor, keys)

    def hang_up(self) -> None:
        """Close the terminal, if it is not closed yet."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def end(self) -> int:
        """Read to the end; the exit code."""
        while said := self._read():
            self.said += said
        return self.process.wait(timeout=OUTPUT_SECONDS_MAX)

    def _read(self) -> str:
        """What was written next; empty at the end."""
        is_ready, _, _ = select.select([self._descriptor], [], [], OUTPUT_SECONDS_MAX)
        assert is_ready, f"nothing more came: {self.said!r}"
        try:
            return os.read(self._descriptor, 65536).decode("utf-8", "replace")
        except OSError:
            return ""


@contextmanager
def terminal(*arguments: str, **environ: str) -> Iterator[Screen]:
    """`holdfast` in a terminal of its own."""
    import fcntl
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environ},
    )
    os.close(inner)
    screen = Screen(process, outer)
    try:
        yield screen
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        screen.hang_up()


@pytest.mark.parametrize("keys", [b"q", b"\x03"])
def test_a_watch_shows_the_table_and_leaves_the_terminal_as_it_was(keys: bytes, server: Server, home: Path) -> None:
    agent = f"watched{len(keys)}{keys[0]}"
    server.api.request("POST", "/v1/sessions", body={"agent": agent})
    environ = {"HOME": str(home), "HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}
    with terminal("ps", "--watch", "--agent", agent, **environ) as screen:
        screen.read_until(agent)
        screen.press(keys)
        assert screen.end() == 0
        assert "\x1b[?1049l" in screen.said
        assert "\x1b[?25h" in screen.said


def test_a_watch_whose_terminal_goes_away_ends(server: Server, home: Path) -> None:
    server.api.request("POST", "/v1/sessions", body={"agent": "watched"})
    environ = {"HOME": str(home), "HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}
    with terminal("ps", "--watch", "--agent", "watched", **environ) as screen:
        screen.read_until("watched")
        screen.hang_up()
        assert screen.process.wait(timeout=OUTPUT_SECONDS_MAX) != 0


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_and_hints_unless_no_color_is_set(
    no_color: str, is_coloured: bool, server: Server, home: Path
) -> None:
    agent = f"coloured{no_color}"
    server.api.request("POST", "/v1/sessions", body={"agent": agent})
    environ = {"HOME": str(home), "HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY, "NO_COLOR": no_color}
    with terminal("ps", "--agent", agent, **environ) as screen:
        assert screen.end() == 0
        assert ("\x1b[" in screen.said) is is_coloured
        assert "1 session: 1 active." in screen.said
