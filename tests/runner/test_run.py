"""`holdfast run` as a whole: real processes against a server that can be made to misbehave."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from holdfast.domain.limits import NAME_CHARS_MAX
from holdfast.runner import run as runs
from holdfast.runner.exits import CommandEnd, ExitCode
from holdfast.runner.schedule import Pace
from tests.client.fake_server import KEY, Asked, Reply, problem
from tests.runner.conftest import World
from tests.runner.processes import (
    QUICK,
    WAIT_SECONDS_MAX,
    arguments,
    children_of,
    eventually,
    is_alive,
    pids_in,
    run,
    running,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

# ---------------------------------------------------------------- the session


def test_a_command_that_succeeds_is_a_session_from_start_to_end(world: World) -> None:
    done = run("--scope", "demo", "--", "true", environ=world.environ, cwd=world.directory)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "holdfast: session sess_1 on demo\n")
    start, *_, end = world.server.asked
    assert {name: start.body[name] for name in ("scope", "agent", "machine_id", "policy", "exclusive")} == {
        "scope": "demo",
        "agent": "true",
        "machine_id": "mach_test",
        "policy": {"lease_seconds": 15, "heartbeat_interval_seconds": 5, "on_lapse": "revivable"},
        "exclusive": False,
    }
    assert start.body["meta"]["command"] == ["true"]
    assert (end.path, end.body) == ("/v1/sessions/sess_1/end", {"end_reason": "completed", "fencing_token": 1})
    assert all(asked.idempotency_key for asked in world.server.asked if not asked.path.endswith("/heartbeat"))
    assert world.spooled == []


def test_two_runs_in_one_directory_are_two_sessions(world: World) -> None:
    for _ in range(2):
        run("--", "true", environ=world.environ, cwd=world.directory)

    first, second = world.server.asked_for("/v1/sessions")
    assert first.body["scope"] == second.body["scope"] == {"workspace": f"mach_test:{world.directory}"}
    assert first.body["holder_id"] != second.body["holder_id"]
    assert first.body["client_session_id"] != second.body["client_session_id"]


def test_the_scope_is_the_origin_of_the_repository_without_its_password(world: World) -> None:
    subprocess.run(["git", "init", "-q"], cwd=world.directory, check=True)
    url = "https://me:secret@GitHub.com/owner/name.git"
    subprocess.run(["git", "config", "remote.origin.url", url], cwd=world.directory, check=True)

    run("--", "true", environ=world.environ, cwd=world.directory)

    assert world.server.asked[0].body["scope"] == {"repo": "github.com/owner/name"}


def test_what_is_checked_out_is_told(world: World) -> None:
    git = ("git", "-c", "user.name=me", "-c", "user.email=me@host")
    for words in (("init", "-q", "-b", "feature/lexer"), ("commit", "-q", "--allow-empty", "-m", "begin")):
        subprocess.run([*git, *words], cwd=world.directory, check=True)
    told = subprocess.run([*git, "rev-parse", "HEAD"], cwd=world.directory, check=True, capture_output=True, text=True)
    commit_sha = told.stdout.strip()
    run("--", "true", environ=world.environ, cwd=world.directory)
    subprocess.run([*git, "checkout", "-q", "--detach"], cwd=world.directory, check=True)
    run("--", "true", environ=world.environ, cwd=world.directory)

    on_branch, detached = world.server.asked_for("/v1/sessions")
    assert (on_branch.body["branch"], on_branch.body["commit_sha"]) == ("feature/lexer", commit_sha)
    assert ("branch" in detached.body, detached.body["commit_sha"]) == (False, commit_sha)


def test_a_long_name_of_a_command_is_shortened_to_what_the_server_takes(world: World) -> None:
    script = world.directory / ("x" * 200)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    run("--", str(script), environ=world.environ, cwd=world.directory)

    assert len(world.server.asked[0].body["agent"]) == NAME_CHARS_MAX


def test_a_project_is_named_and_leaves_the_scope_as_it_is(world: World) -> None:
    run("--project", "web", "--", "true", environ=world.environ, cwd=world.directory)
    run("--project", "web", "--scope", "demo", "--", "true", environ=world.environ, cwd=world.directory)

    here, given = world.server.asked_for("/v1/sessions")
    workspace = f"mach_test:{world.directory}"
    assert {name: here.body[name] for name in ("scope", "workspace", "project_id")} == {
        "scope": f"workspace={quote(workspace, safe='')}",
        "workspace": workspace,
        "project_id": "web",
    }
    assert (given.body["scope"], given.body["project_id"]) == ("demo", "web")


def test_it_beats_while_the_command_runs_and_its_progress_never_goes_down(world: World) -> None:
    with running([*QUICK, "--", "sh", "-c", "while :; do :; done"], world.environ, cwd=world.directory) as runner:
        beats = world.server.wait_for("/heartbeat", count=5)
        runner.terminate()
        runner.communicate(timeout=WAIT_SECONDS_MAX)

    counted = [beat.body["progress"] for beat in beats]
    assert counted == sorted(counted)
    assert counted[-1] > counted[0]
    assert {beat.body["fencing_token"] for beat in beats} == {1}


def test_the_command_finds_its_session_but_not_the_key(world: World) -> None:
    names = ["HOLDFAST_SESSION_ID", "HOLDFAST_FENCING_TOKEN", "HOLDFAST_URL", "HOLDFAST_KEY", "LC_CTYPE"]
    program = f"import os; print([os.environ.get(name) for name in {names}])"
    nested = {**world.environ, "HOLDFAST_SESSION_ID": "sess_outer", "HOLDFAST_FENCING_TOKEN": "77"}

    done = run("--", sys.executable, "-c", program, environ=nested, cwd=world.directory)

    # This python adds LC_CTYPE to its own environment where there is no locale; the runner must not.
    assert done.stdout.startswith(f"['sess_1', '1', '{world.server.url}', None, ")
    shell = run("--", "sh", "-c", "echo ${LC_CTYPE-unset}", environ=nested, cwd=world.directory)
    assert shell.stdout == "unset\n"


def test_a_key_that_was_in_the_environment_stays_there(world: World) -> None:
    given = {**world.environ, "HOLDFAST_KEY": KEY}
    done = run("--", "sh", "-c", "echo $HOLDFAST_KEY", environ=given, cwd=world.directory)
    assert done.stdout == f"{KEY}\n"


def test_the_command_line_is_recorded_without_its_secrets(world: World) -> None:
    run(
        "--",
        "true",
        "--token",
        "abc",
        "--password=def",
        "sk-ant-0123456789",
        environ=world.environ,
        cwd=world.directory,
    )
    recorded = world.server.asked[0].body["meta"]["command"]
    assert recorded == ["true", "--token", "[redacted]", "--password=[redacted]", "[redacted]"]


# ---------------------------------------------------------------- the command is untouched


@pytest.mark.parametrize("code", [1, 3, 75, 255])
def test_an_exit_code_is_passed_on_and_the_session_fails(world: World, code: int) -> None:
    done = run("--", "sh", "-c", f"exit {code}", environ=world.environ, cwd=world.directory)

    assert done.returncode == code
    assert world.server.asked[-1].path == "/v1/sessions/sess_1/fail"
    assert world.server.asked[-1].body == {
        "reason": f"exit code {code}",
        "error_details": {"exit_code": code},
        "fencing_token": 1,
    }


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE])
def test_a_death_by_signal_is_repeated_so_that_the_shell_sees_it(world: World, number: signal.Signals) -> None:
    done = run("--", "sh", "-c", f"kill -{int(number)} $$", environ=world.environ, cwd=world.directory)

    assert done.returncode == -number
    assert world.server.asked[-1].body == {
        "reason": f"signal {number.name}",
        "error_details": {"exit_code": 128 + number, "signal": number.name},
        "fencing_token": 1,
    }


def test_standard_streams_and_other_descriptors_reach_the_command(world: World) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"from three")
    os.close(write_end)
    script = f"cat; cat <&{read_end}; echo err >&2"
    with running(["--", "bash", "-c", script], world.environ, cwd=world.directory, pass_fds=[read_end]) as runner:
        out, err = runner.communicate("from stdin, ", timeout=WAIT_SECONDS_MAX)
    os.close(read_end)

    assert out == "from stdin, from three"
    assert err == f"holdfast: session sess_1 on {world.directory}\nerr\n"


def test_a_reader_sees_the_end_when_the_command_closes_its_output(world: World) -> None:
    script = "exec >&-; echo $$ >closed; exec sleep 1000"
    with running(["--", "sh", "-c", script], world.environ, cwd=world.directory) as runner:
        assert runner.stdout is not None
        assert runner.stdout.read() == ""
        assert runner.poll() is None
        runner.terminate()
        assert runner.wait(WAIT_SECONDS_MAX) == -signal.SIGTERM


def test_a_command_that_is_not_found_is_127_and_a_failed_session(world: World) -> None:
    done = run("--", "no-such-command", environ=world.environ, cwd=world.directory)

    assert done.returncode == 127
    assert done.stderr.splitlines()[-1] == "holdfast: no-such-command: command not found"
    assert world.server.asked[-1].body == {
        "reason": "cannot be executed: command not found",
        "error_details": {"exit_code": 127},
        "fencing_token": 1,
    }


def test_a_command_that_may_not_be_executed_is_126(world: World) -> None:
    (world.directory / "plain").write_text("data")
    done = run("--", "./plain", environ=world.environ, cwd=world.directory)
    assert done.returncode == 126
    assert done.stderr.splitlines()[-1] == "holdfast: ./plain: Permission denied"


def test_a_script_without_an_interpreter_line_is_run_by_sh(world: World) -> None:
    script = world.directory / "script"
    script.write_text('echo "$1"\n')
    script.chmod(0o700)
    done = run("--", "./script", "as ever", environ=world.environ, cwd=world.directory)
    assert (done.returncode, done.stdout) == (0, "as ever\n")


# ---------------------------------------------------------------- signals

COUNTER = r"""
import os, signal
numbers = {getattr(signal, name) for name in "SIGTERM SIGHUP SIGINT SIGUSR1 SIGUSR2 SIGQUIT SIGALRM SIGWINCH".split()}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
os.write(1, b"ready\n")
while (number := signal.sigwait(numbers)) != signal.SIGWINCH:
    os.write(1, number.name.encode() + b"\n")
"""


@pytest.fixture
def hangup_is_heard() -> Iterator[None]:
    """The tests may run under nohup, and what is ignored at the start stays ignored."""
    old = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, old)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGALRM"])
@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.usefixtures("hangup_is_heard")
def test_a_signal_reaches_the_command_once(world: World, name: str, to_group: bool) -> None:
    with running(["--", sys.executable, "-c", COUNTER], world.environ, cwd=world.directory) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        for _ in range(3):
            send = os.killpg if to_group else os.kill
            send(runner.pid, getattr(signal, name))
            assert runner.stdout.readline() == f"{name}\n"
        # Through the same path as the others, so whatever came twice comes before it.
        os.kill(runner.pid, signal.SIGWINCH)
        assert runner.communicate(timeout=WAIT_SECONDS_MAX)[0] == ""
        assert runner.returncode == 0


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(world: World) -> None:
    words = ["--", sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGHUP).name)"]
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running(words, world.environ, cwd=world.directory) as runner:
            assert runner.communicate(timeout=WAIT_SECONDS_MAX)[0] == "SIG_IGN\n"
    finally:
        signal.signal(signal.SIGHUP, old)


def test_the_command_gets_default_dispositions_and_an_empty_mask(world: World) -> None:
    words = ["sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status"]
    alone = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    done = run("--", *words, environ=world.environ, cwd=world.directory)
    assert done.stdout == alone.stdout


# ---------------------------------------------------------------- no writer is left behind

BROOD = """
echo $$ >command
(echo $BASHPID >child; exec sleep 1000) &
setsid sh -c 'echo $$ >daemon; exec sleep 1000' &
setsid sh -c 'setsid sh -c "echo \\$\\$ >grandchild; exec sleep 1000" & exit' &
trap '' TERM
while :; do sleep 1000; done
"""
NAMES = ("command", "child", "daemon", "grandchild")


def test_a_killed_runner_leaves_nothing_of_its_command(world: World) -> None:
    with running(["--", "bash", "-c", BROOD], world.environ, cwd=world.directory) as runner:
        pids = pids_in(world.directory, *NAMES)
        keepers = children_of(runner.pid)
        runner.kill()
        eventually(lambda: not any(is_alive(pid) for pid in [*pids, *keepers]))
    assert world.server.asked_for("/end") == world.server.asked_for("/fail") == []


def test_a_killed_keeper_takes_everything_with_it(world: World) -> None:
    with running(["--", "bash", "-c", BROOD], world.environ, cwd=world.directory) as runner:
        pids = pids_in(world.directory, *NAMES)
        (keeper,) = children_of(runner.pid)
        os.kill(keeper, signal.SIGKILL)
        _, err = runner.communicate(timeout=WAIT_SECONDS_MAX)

    assert not any(is_alive(pid) for pid in pids)
    assert runner.returncode == 71
    assert err.splitlines()[-1] == "holdfast: the command's keeper was killed, so the command was killed too"
    assert world.server.asked[-1].body["reason"] == "its keeper was killed"


def test_the_command_dies_even_when_runner_and_keeper_are_killed_together(world: World) -> None:
    words = ["--", "sh", "-c", "echo $$ >command; exec sleep 1000"]
    with running(words, world.environ, cwd=world.directory) as runner:
        (pid,) = pids_in(world.directory, "command")
        keepers = children_of(runner.pid)
        # Stopped first, so that the runner cannot act on the keeper's death.
        os.kill(runner.pid, signal.SIGSTOP)
        os.kill(keepers[0], signal.SIGKILL)
        runner.kill()
        eventually(lambda: not is_alive(pid))


def test_what_a_command_left_running_is_stopped_when_it_ends(world: World) -> None:
    script = "setsid sh -c 'echo $$ >daemon; exec sleep 1000' & until test -s daemon; do :; done; exit 4"
    done = run("--", "sh", "-c", script, environ=world.environ, cwd=world.directory)

    assert not is_alive(pids_in(world.directory, "daemon")[0])
    assert done.returncode == 4
    assert "stopping a process that the command left running" in done.stderr


def test_what_a_command_left_may_finish_by_itself(world: World) -> None:
    script = "(sleep 0.2; echo finished) & exit 0"
    done = run("--", "sh", "-c", script, environ=world.environ, cwd=world.directory)
    assert (done.stdout, done.returncode) == ("finished\n", 0)
    assert "stopping" not in done.stderr


def test_what_a_command_left_may_stay_when_that_is_asked_for(world: World) -> None:
    script = "setsid sh -c 'echo $$ >daemon; exec sleep 1000 >/dev/null 2>&1' & until test -s daemon; do :; done"
    done = run("--leave-background", "--", "sh", "-c", script, environ=world.environ, cwd=world.directory)

    (pid,) = pids_in(world.directory, "daemon")
    try:
        assert is_alive(pid)
        assert done.returncode == 0
    finally:
        os.kill(pid, signal.SIGKILL)


def test_nothing_that_matches_the_runner_or_the_command_matches_the_keeper(world: World) -> None:
    with running(["--", "sleep", "1000"], world.environ, cwd=world.directory) as runner:
        # The keeper is the child that has a child itself; git, asked for the origin, comes and goes before.
        eventually(lambda: any(children_of(child) for child in children_of(runner.pid)))
        (keeper,) = [child for child in children_of(runner.pid) if children_of(child)]
        line = Path(f"/proc/{keeper}/cmdline").read_text().replace("\0", " ")
        assert "holdfast run" not in line
        assert "sleep" not in line


# ---------------------------------------------------------------- the server says stop


@pytest.mark.parametrize(
    "code", ["fencing_token_stale", "session_taken_over", "session_ended", "session_failed", "session_abandoned"]
)
def test_a_command_whose_session_is_lost_is_stopped_and_nothing_is_told(world: World, code: str) -> None:
    world.server.refuse("/heartbeat", problem(409, code, "Somebody else has it."))

    done = run(*QUICK, "--", "sleep", "1000", environ=world.environ, cwd=world.directory)

    assert done.returncode == 75
    assert done.stderr.splitlines()[1:] == [
        f"holdfast: stopping the command: Somebody else has it. ({code})",
        f"holdfast: the command was stopped: Somebody else has it. ({code})",
    ]
    assert world.server.asked_for("/end") == world.server.asked_for("/fail") == []
    assert world.spooled == []


def test_the_end_of_a_command_whose_strict_lease_expired_is_told(world: World) -> None:
    """The session is nobody else's yet, and how it ended says more than that it was silent."""
    world.server.refuse("/heartbeat", problem(409, "lease_expired", "It was silent for too long."))

    done = run(*QUICK, "--strict", "--", "sleep", "1000", environ=world.environ, cwd=world.directory)

    assert done.returncode == 75
    (told,) = world.server.asked_for("/fail")
    assert told.body["reason"] == "stopped: its lease could have lapsed"
    assert world.spooled == []


def test_a_stop_that_was_asked_for_is_obeyed_and_told(world: World) -> None:
    world.server.stop_reason = "maintenance"

    done = run(*QUICK, "--", "sleep", "1000", environ=world.environ, cwd=world.directory)

    assert done.returncode == 76
    assert done.stderr.splitlines()[-1] == "holdfast: the command was stopped: somebody asked for it: maintenance"
    assert world.server.asked[-1].body == {"end_reason": "killed", "fencing_token": 1}


def test_a_command_that_will_not_end_is_killed_after_the_grace_with_all_its_children(world: World) -> None:
    words = [*QUICK, "--stop-grace", "0.3", "--", "bash", "-c", BROOD]
    with running(words, world.environ, cwd=world.directory) as runner:
        pids = pids_in(world.directory, *NAMES)
        world.server.stop_reason = "enough"
        runner.communicate(timeout=WAIT_SECONDS_MAX)

    assert runner.returncode == 76
    assert not any(is_alive(pid) for pid in pids)


def test_a_strict_command_does_not_outlive_its_lease_when_the_server_falls_silent(world: World) -> None:
    words = [
        "--strict",
        "--heartbeat-interval",
        "0.2",
        "--lease",
        "2",
        "--",
        "sh",
        "-c",
        "trap '' TERM; sleep 1000 & wait",
    ]
    with running(words, world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/heartbeat")
        world.server.is_silent = True
        _, err = runner.communicate(timeout=WAIT_SECONDS_MAX)

    assert runner.returncode == 75
    assert "holdfast: the command was stopped: its lease could have lapsed, and --strict was given" in err
    assert len(world.spooled) == 1
    end = json.loads(world.spooled[0].read_text())["end"]
    assert end["call"]["body"]["reason"] == "stopped: its lease could have lapsed"


def test_a_strict_command_is_killed_even_while_its_runner_is_stopped(world: World) -> None:
    words = [
        "--strict",
        "--heartbeat-interval",
        "0.2",
        "--lease",
        "2",
        "--",
        "sh",
        "-c",
        "echo $$ >command; sleep 1000",
    ]
    with running(words, world.environ, cwd=world.directory) as runner:
        (pid,) = pids_in(world.directory, "command")
        os.kill(runner.pid, signal.SIGSTOP)
        eventually(lambda: not is_alive(pid))
        os.kill(runner.pid, signal.SIGCONT)
        runner.communicate(timeout=WAIT_SECONDS_MAX)
    assert runner.returncode == 75


def test_a_command_that_is_not_strict_runs_on_without_the_server(world: World) -> None:
    words = ["--heartbeat-interval", "0.1", "--lease", "0.3", "--", "cat"]
    with running(words, world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/heartbeat")
        world.server.close()
        assert runner.stderr is not None
        told = [runner.stderr.readline() for _ in range(2)][-1]
        assert "has not answered for a whole lease" in told
        world.server.listen()
        assert "answers; the session is recorded" in runner.stderr.readline()
        out, _ = runner.communicate("still here", timeout=WAIT_SECONDS_MAX)
    assert (runner.returncode, out) == (0, "still here")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_an_unknown_session_is_a_warning(world: World, status: int) -> None:
    world.server.refuse("/heartbeat", problem(status, "refused", "Not you."))
    with running([*QUICK, "--", "cat"], world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/heartbeat", count=3)
        _, err = runner.communicate("", timeout=WAIT_SECONDS_MAX)
    assert runner.returncode == 0
    assert err.count("WARNING: the server refuses this session: Not you. (refused).") == 1


# ---------------------------------------------------------------- the start is refused, or not answered


def test_a_scope_that_is_held_is_told_with_its_ways_out_and_the_command_does_not_run(world: World) -> None:
    held = problem(
        409,
        "lease_held",
        "Session sess_9 of \x1b[1mclaude holds it.",
        ways_out=[{"action": "explain", "session_id": "s"}],
    )
    world.server.refuse("/v1/sessions", held)

    done = run("--exclusive", "--", "touch", "ran", environ=world.environ, cwd=world.directory)

    assert done.returncode == 73
    assert done.stderr.splitlines() == [
        "holdfast: the server refuses this session: Session sess_9 of [1mclaude holds it. (lease_held)",
        "holdfast: The command was not run.",
        "holdfast: What you can do:",
        "holdfast:   holdfast explain s (why it is as it is)",
    ]
    assert not (world.directory / "ran").exists()
    assert world.spooled == []


def test_without_a_key_the_command_runs_with_a_warning(world: World) -> None:
    done = run("--", "true", environ={**world.environ, "HOLDFAST_KEY": "wrong"}, cwd=world.directory)
    assert done.returncode == 0
    assert "WARNING: the server refuses this session: This needs a key." in done.stderr
    assert "wrong" not in done.stderr
    assert len(world.spooled) == 1


def test_without_a_key_a_command_that_needs_an_answer_does_not_run(world: World) -> None:
    wrong = {**world.environ, "HOLDFAST_KEY": "wrong"}
    done = run("--strict", "--", "touch", "ran", environ=wrong, cwd=world.directory)
    assert done.returncode == 77
    assert not (world.directory / "ran").exists()


def test_a_start_whose_answer_was_lost_is_asked_again_with_the_same_key(world: World) -> None:
    lost = [True]

    def drop_the_first_answer(asked: Asked) -> Reply | None:
        if asked.path == "/v1/sessions" and lost.pop() if lost else False:
            reply = world.server._carry_out(asked)
            world.server._replies[(asked.path, asked.idempotency_key or "")] = (asked.body, reply)
            return Reply(0, None, drops=True)
        return None

    world.server.rules.append(drop_the_first_answer)
    done = run("--exclusive", "--", "true", environ=world.environ, cwd=world.directory)

    assert done.returncode == 0
    first, second = world.server.asked_for("/v1/sessions")
    assert (first.body, first.idempotency_key) == (second.body, second.idempotency_key)
    assert list(world.server.sessions) == ["sess_1"]


@pytest.mark.parametrize("reply", [None, problem(503, "overloaded"), problem(429, "rate_limited")])
def test_a_command_that_needs_an_answer_waits_for_one_and_does_not_run_without(
    world: World, reply: Reply | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "ANSWER_SECONDS_MAX", 0.5)
    monkeypatch.chdir(world.directory)
    if reply is None:
        world.server.close()
    else:
        world.server.refuse("/v1/sessions", reply)
    options = runs.RunOptions(
        command=("touch", "ran"),
        agent=None,
        scope=None,
        is_exclusive=True,
        take_over_reason=None,
        is_strict=False,
        pace=Pace(5, 15),
        stop_grace_seconds=10,
        leaves_background=False,
    )

    assert runs.run(options, environ=world.environ, name_ways_out=lambda _: []) == CommandEnd(
        ExitCode.SERVER_AWAY, None
    )
    assert capfd.readouterr().err.endswith(
        "--exclusive, --strict, --restart, --slot and taking over need an answer first.\n"
    )
    assert reply is None or len(world.server.asked) > 1
    assert not (world.directory / "ran").exists()


def test_control_c_while_the_start_is_not_answered_ends_the_runner(world: World) -> None:
    world.server.is_silent = True
    with running(["--exclusive", "--", "touch", "ran"], world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/v1/sessions")
        runner.send_signal(signal.SIGINT)
        runner.communicate(timeout=WAIT_SECONDS_MAX)
    assert runner.returncode == -signal.SIGINT
    assert not (world.directory / "ran").exists()


def test_closed_standard_streams_do_no_harm(world: World) -> None:
    line = " ".join(shlex.quote(word) for word in arguments("--", "sh", "-c", "echo $$ >ran; exit 5"))
    done = subprocess.run(
        ["sh", "-c", f"{line} <&- >&- 2>&-"], env=world.environ, cwd=world.directory, timeout=WAIT_SECONDS_MAX
    )
    assert done.returncode == 5
    assert (world.directory / "ran").exists()


def test_a_home_that_cannot_be_written_is_a_warning(world: World) -> None:
    homeless = {**world.environ, "HOME": "/proc/nowhere", "HOLDFAST_KEY": KEY}
    homeless.pop("HOLDFAST_MACHINE_ID")
    done = run("--", "sh", "-c", "exit 4", environ=homeless, cwd=world.directory)
    assert done.returncode == 4
    assert "WARNING: this machine's id cannot be kept" in done.stderr
    assert world.server.asked[-1].body["reason"] == "exit code 4"


def test_fields_that_are_not_accepted_are_named(world: World) -> None:
    errors = [{"field": "scope", "message": "is too long"}]
    world.server.refuse("/v1/sessions", problem(422, "validation_failed", "See errors.", errors=errors))
    done = run("--", "touch", "ran", environ=world.environ, cwd=world.directory)
    assert done.returncode == 73
    assert done.stderr.splitlines()[1] == "holdfast: scope: is too long"


def test_taking_over_shows_what_was_left_and_gives_it_to_the_command(world: World) -> None:
    script = "import json, os; print(json.load(open(os.environ['HOLDFAST_LAST_CHECKPOINT'])))"
    words = ["--take-over", "it died", "--", sys.executable, "-c", script]
    done = run(*words, environ=world.environ, cwd=world.directory)

    assert world.server.asked[0].body["take_over"] == {"reason": "it died"}
    assert done.stderr.splitlines()[1:] == [
        "holdfast:   took over from sess_old",
        "holdfast:   its last checkpoint: Half of the [31mtests pass",
        "holdfast:   next: fix the other half",
    ]
    left = {"session_id": "sess_old", "last_checkpoint": world.server.sessions["sess_1"]["last_checkpoint"]}
    assert done.stdout == f"{ {**left, 'last_handoff': None} }\n"


# ---------------------------------------------------------------- the server is away


def test_a_run_without_the_server_is_reported_once_when_it_is_back(world: World) -> None:
    world.server.close()
    done = run("--scope", "demo", "--", "sh", "-c", "exit 3", environ=world.environ, cwd=world.directory)
    assert done.returncode == 3
    (spooled,) = world.spooled

    world.server.listen()
    with running(["--", "cat"], world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/report")
        runner.communicate("", timeout=WAIT_SECONDS_MAX)

    (report,) = world.server.asked_for("/report")
    told = {name: report.body[name] for name in ("scope", "agent", "machine_id", "end_reason", "exit_code")}
    assert told == {"scope": "demo", "agent": "sh", "machine_id": "mach_test", "end_reason": "crashed", "exit_code": 3}
    assert report.body["client_session_id"] == spooled.stem
    assert report.body["started_at"] <= report.body["ended_at"]
    assert world.spooled == []


def test_a_server_that_comes_while_the_command_runs_gets_the_session_late(world: World) -> None:
    world.server.close()
    with running([*QUICK, "--", "cat"], world.environ, cwd=world.directory) as runner:
        eventually(lambda: len(world.spooled) == 1)
        world.server.listen()
        world.server.wait_for("/heartbeat")
        runner.communicate("", timeout=WAIT_SECONDS_MAX)

    assert runner.returncode == 0
    assert len(world.server.asked_for("/v1/sessions")) == 1
    assert world.server.asked[-1].path == "/v1/sessions/sess_1/end"
    assert world.server.reports == {}
    assert world.spooled == []


def test_a_late_start_on_a_scope_that_somebody_holds_stops_the_command(world: World) -> None:
    world.server.close()
    with running([*QUICK, "--", "cat"], world.environ, cwd=world.directory) as runner:
        eventually(lambda: len(world.spooled) == 1)
        world.server.refuse("/v1/sessions", problem(409, "lease_held", "It is held."))
        world.server.listen()
        runner.wait(WAIT_SECONDS_MAX)
        runner.communicate()
    assert runner.returncode == 75


def test_an_end_that_could_not_be_told_is_told_by_the_next_run(world: World) -> None:
    with running([*QUICK, "--", "cat"], world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/heartbeat")
        world.server.close()
        runner.communicate("", timeout=WAIT_SECONDS_MAX)
    assert len(world.spooled) == 1

    world.server.listen()
    with running(["--", "cat"], world.environ, cwd=world.directory) as runner:
        world.server.wait_for("/sess_1/end")
        runner.communicate("", timeout=WAIT_SECONDS_MAX)
    assert world.spooled == []
    assert world.server.reports == {}


def test_an_end_that_the_server_cannot_hear_is_said_to_be_kept(world: World) -> None:
    world.server.refuse("/end", problem(503, "unavailable", "Not now."))
    done = run(*QUICK, "--", "true", environ=world.environ, cwd=world.directory)
    assert done.returncode == 0
    assert "the next `holdfast run` or `holdfast ps` tells it how this ended" in done.stderr.splitlines()[-1]
    assert len(world.spooled) == 1


def test_a_runner_that_was_killed_without_the_server_is_reported_as_crashed(world: World) -> None:
    world.server.close()
    with running(["--", "sleep", "1000"], world.environ, cwd=world.directory) as runner:
        eventually(lambda: len(world.spooled) == 1 and bool(children_of(runner.pid)))
        runner.kill()
        runner.communicate(timeout=WAIT_SECONDS_MAX)

    world.server.listen()
    with running(["--", "cat"], world.environ, cwd=world.directory) as runner:
        (report,) = world.server.wait_for("/report")
        runner.communicate("", timeout=WAIT_SECONDS_MAX)
    assert report.body["end_reason"] == "crashed"
    assert "exit_code" not in report.body
    assert world.spooled == []


def test_a_killed_run_that_the_server_knows_is_left_to_the_server(world: World) -> None:
    with running(["--", "sleep", "1000"], world.environ, cwd=world.directory) as runner:
        eventually(lambda: len(world.spooled) == 1 and bool(children_of(runner.pid)))
        runner.kill()
        runner.communicate(timeout=WAIT_SECONDS_MAX)

    with running(["--", "cat"], world.environ, cwd=world.directory) as runner:
        eventually(lambda: len(world.spooled) == 2 and runner.poll() is None and len(world.server.sessions) == 2)
        runner.communicate("", timeout=WAIT_SECONDS_MAX)
    assert world.server.reports == {}
    assert world.server.sessions["sess_1"]["status"] == "active"


@pytest.mark.parametrize("slot_count", [None, 0], ids=["unknown machine", "no slots"])
def test_a_run_in_a_slot_of_a_machine_without_any_is_not_run(slot_count: int | None, world: World) -> None:
    world.server.slot_count = slot_count
    ran = run("--slot", "3", "--", "touch", "it-ran", environ=world.environ, cwd=world.directory)
    assert ran.returncode == ExitCode.START_REFUSED
    assert "machine mach_test has no slots" in ran.stderr
    assert "holdfast machine up --slots" in ran.stderr
    assert not world.server.asked_for("/v1/sessions")
    assert not (world.directory / "it-ran").exists()


def test_a_run_asks_for_the_slot_that_was_named_or_for_none(world: World) -> None:
    run("--slot", "3", "--", "true", environ=world.environ, cwd=world.directory)
    run("--no-slot", "--", "true", environ=world.environ, cwd=world.directory)

    in_slot, outside = world.server.asked_for("/v1/sessions")
    assert (in_slot.body["machine_id"], in_slot.body["slot"]) == ("mach_test", 3)
    assert outside.body.keys().isdisjoint({"machine_id", "slot"})
