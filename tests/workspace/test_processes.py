"""Commands as processes: what one imports, many at once, and those that are killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Done, environment
from tests.support.server import PROGRAM

RACES = int(os.environ.get("HOLDFAST_TEST_TAKEOVER_RACES", "3"))
"""How often two processes race for a takeover; a thousand of them take some minutes."""

SECONDS_MAX = 120.0

IMPORTED = {
    "apsw",
    "holdfast",
    "holdfast.__main__",
    "holdfast.commands",
    "holdfast.commands.bodies",
    "holdfast.commands.command",
    "holdfast.commands.holding",
    "holdfast.commands.leaving",
    "holdfast.commands.releasing",
    "holdfast.commands.rows",
    "holdfast.commands.slots",
    "holdfast.commands.view",
    "holdfast.commands.workspaces",
    "holdfast.domain",
    "holdfast.doors",
    "holdfast.doors.shown",
    "holdfast.doors.workspace",
    "holdfast.doors.workspace.arguments",
    "holdfast.doors.workspace.context",
    "holdfast.doors.workspace.heartbeat",
    "holdfast.doors.workspace.main",
    "holdfast.doors.workspace.place",
    "holdfast.doors.workspace.words",
    "holdfast.embedded",
    "holdfast.engine",
    "holdfast.engine.batch",
    "holdfast.store",
    "holdfast.store.embedded",
    "holdfast.store.events",
    "holdfast.store.port",
    "holdfast.store.sql",
    "holdfast.store.sqlite_rows",
}
"""All that a heartbeat imports besides rules (`holdfast.domain.…`) and what `typing` brings along."""

OF_TYPING = {
    *("_collections", "_functools", "_operator", "_sre", "_typing", "_weakrefset", "binascii", "collections", "abc"),
    *("collections.abc", "contextlib", "copyreg", "enum", "functools", "itertools", "keyword", "operator", "re"),
    *("reprlib", "time", "types", "typing", "typing.io", "typing.re", "warnings", "weakref", "gc", "_heapq", "heapq"),
    *("re._casefix", "re._compiler", "re._constants", "re._parser", "annotationlib", "_opcode_metadata", "_types"),
}

PROBE = """
import sys
before = set(sys.modules)
import os, holdfast.__main__
leave = os._exit
def tell(status):
    sys.stderr.write(" ".join(sorted(set(sys.modules) - before)))
    sys.stderr.flush()
    leave(status)
os._exit = tell
sys.argv = ["holdfast", "session-state", "heartbeat", "--actor-id", "a"]
holdfast.__main__.main()
"""


class Repository:
    """A repository in which commands are processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = dict(environment(root.parent))

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.root,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str) -> Done:
        """Carry out a command."""
        return ended(self.begin(*arguments))

    def state(self, *arguments: str) -> dict[str, Any]:
        """The report of a `session-state` command that must succeed."""
        done = self.run("session-state", *arguments, "--json")
        assert done.code == 0, done
        return done.document


def ended(process: subprocess.Popen[str]) -> Done:
    """A command that ended."""
    said, complained = process.communicate(timeout=SECONDS_MAX)
    return Done(process.returncode, said, complained)


def autonomous(actor: str, lease: int) -> list[str]:
    """An agent's start."""
    return ["start", "--lifecycle", "autonomous", "--actor-id", actor, "--lease-seconds", str(lease)]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository of git."""
    root = tmp_path / "repository"
    root.mkdir()
    made = Repository(root)
    subprocess.run(["git", "init", "-q", "."], cwd=root, env=made.environ, check=True)
    return made


def test_a_heartbeat_imports_no_more_than_it_needs(repository: Repository) -> None:
    repository.state(*autonomous("a", 600))
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=repository.root, env=repository.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = {name for name in done.stderr.split() if not name.startswith("holdfast.domain.")}
    assert found - IMPORTED - OF_TYPING == set()
    assert "holdfast.commands.workspaces" in found


def test_50_heartbeats_at_once_all_count(repository: Repository) -> None:
    repository.state(*autonomous("a", 600))
    beats = [repository.begin("session-state", "heartbeat", "--actor-id", "a", "--json") for _ in range(50)]
    done = [ended(each) for each in beats]
    assert [each.code for each in done] == [0] * 50, done
    assert sorted(each.document["revision"] for each in done) == list(range(2, 52))
    shown = repository.state("show")
    assert (shown["revision"], shown["status"]) == (51, "active")


def test_two_processes_race_for_a_takeover_and_one_wins(repository: Repository) -> None:
    repository.state(*autonomous("old", 600))
    for number in range(RACES):
        _let_lapse(repository.root)
        before = repository.state("show")
        names = (f"left-{number}", f"right-{number}")
        racing = [
            repository.begin("session-state", "takeover", "--actor-id", name, "--reason", "race", "--json")
            for name in names
        ]
        done = dict(zip(names, (ended(each) for each in racing), strict=True))
        winners = [name for name, each in done.items() if each.code == 0]
        assert len(winners) == 1, done
        [loser] = set(names) - set(winners)
        assert done[loser].code in (3, 4), done[loser]
        assert f"`{winners[0]}`" in done[loser].document["error"]
        now = repository.state("show")
        assert (now["actor_id"], now["revision"]) == (winners[0], before["revision"] + 1)


def test_two_clears_at_once_end_one_session(repository: Repository) -> None:
    repository.state(*autonomous("a", 600))
    racing = [repository.begin("session-state", "clear", "--actor-id", "a", "--json") for _ in range(2)]
    done = [ended(each) for each in racing]
    assert [each.code for each in done] == [0, 0], done
    assert sorted(each.document["cleared"] for each in done) == [False, True]


def test_first_starts_at_once_make_one_database(repository: Repository) -> None:
    racing = [repository.begin("session-state", "start", "--json") for _ in range(4)]
    done = [ended(each) for each in racing]
    assert [each.code for each in done] == [0] * 4, done
    assert sorted(each.document["start_count"] for each in done) == [1, 2, 3, 4]
    assert len({each.document["session_id"] for each in done}) == 1


def test_a_killed_command_leaves_a_whole_state_behind(repository: Repository) -> None:
    repository.state(*autonomous("a", 600))
    acknowledged = 1
    for number in range(8):
        process = repository.begin("session-state", "heartbeat", "--actor-id", "a", "--json")
        # From before the interpreter is up to after the commit.
        killer = threading.Timer(0.015 * number, lambda it=process: it.send_signal(signal.SIGKILL))
        killer.start()
        done = ended(process)
        killer.cancel()
        if done.code == 0:
            acknowledged = done.document["revision"]
        shown = repository.state("show")
        assert (shown["status"], shown["actor_id"]) == ("active", "a")
        assert shown["revision"] in (acknowledged, acknowledged + 1)
        acknowledged = shown["revision"]
    assert repository.state("heartbeat", "--actor-id", "a")["revision"] == acknowledged + 1


def _let_lapse(root: Path) -> None:
    """Move the lease of the session that works here to a day ago."""
    import apsw

    connection = apsw.Connection(str(root / ".git" / "holdfast" / "main" / "state.db"))
    connection.execute(
        "update session set due_ms = due_ms - 86400000, check_due_ms = due_ms - 86400000,"
        " last_heartbeat_at_ms = last_heartbeat_at_ms - 86400000 where status = 'active'"
    )
    connection.close()


# The hook.


@pytest.fixture
def pushing(repository: Repository) -> Repository:
    """A repository with a commit, a remote and the hook."""
    remote = repository.root.parent / "remote.git"
    _git(repository, "init", "-q", "--bare", str(remote))
    _git(repository, "remote", "add", "origin", str(remote))
    _git(repository, "config", "user.email", "agent@example.org")
    _git(repository, "config", "user.name", "agent")
    _commit(repository)
    return repository


def _git(repository: Repository, *arguments: str, **environ: str) -> Done:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository.root,
        env={**repository.environ, **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _commit(repository: Repository) -> None:
    assert _git(repository, "commit", "-q", "--allow-empty", "-m", "work").code == 0


def _push(repository: Repository, token: int | None = None) -> Done:
    _commit(repository)
    environ = {} if token is None else {"HOLDFAST_FENCING_TOKEN": str(token)}
    return _git(repository, "push", "-q", "origin", "HEAD:refs/heads/main", **environ)


def test_a_push_from_a_taken_over_session_is_refused_and_a_current_one_passes(pushing: Repository) -> None:
    assert pushing.run("git-hook", "install").code == 0
    assert _push(pushing).code == 0
    old = pushing.state(*autonomous("a", 600))["fencing_token"]
    assert _push(pushing, old).code == 0
    _let_lapse(pushing.root)
    lapsed = _push(pushing, old)
    assert lapsed.code != 0
    assert "the lease of its session ran out" in lapsed.complained
    new = pushing.state("takeover", "--actor-id", "b", "--reason", "it fell silent")["fencing_token"]
    refused = _push(pushing, old)
    assert refused.code != 0
    assert "is not current; the workspace is held by `b` now. Run `holdfast session-state show`" in refused.complained
    unnamed = _push(pushing)
    assert unnamed.code != 0
    assert "set HOLDFAST_FENCING_TOKEN" in unnamed.complained
    assert _push(pushing, new).code == 0
    pushing.state("clear", "--actor-id", "b")
    assert "its session is over" in _push(pushing, new).complained
    assert _push(pushing).code == 0


@pytest.mark.parametrize("hooks_path", [None, "hooks of mine"])
def test_the_hook_goes_on_with_the_one_that_was_there(pushing: Repository, hooks_path: str | None) -> None:
    directory = pushing.root / (hooks_path or ".git/hooks")
    if hooks_path is not None:
        _git(pushing, "config", "core.hooksPath", hooks_path)
    directory.mkdir(exist_ok=True)
    mine = directory / "pre-push"
    mine.write_text(f'#!/bin/sh\ncat >> "{pushing.root}/seen"\necho "$1" >> "{pushing.root}/seen"\n')
    mine.chmod(0o755)
    for _ in range(2):
        assert pushing.run("git-hook", "install").code == 0
    assert _push(pushing).code == 0
    seen = (pushing.root / "seen").read_text()
    assert "refs/heads/main" in seen
    assert seen.endswith("origin\n")
    assert pushing.run("git-hook", "uninstall").code == 0
    assert "cat >>" in mine.read_text()
    assert not (directory / "pre-push.before-holdfast").exists()


def test_installing_outside_git_is_refused(tmp_path: Path) -> None:
    there = Repository(tmp_path / "plain")
    there.root.mkdir()
    done = there.run("git-hook", "install")
    assert (done.code, "is not in a git repository" in done.complained) == (3, True)


def test_a_prompt_is_empty_without_a_session_and_short_with_one(repository: Repository) -> None:
    assert repository.run("prompt") == Done(0, "\n", "")
    repository.state(*autonomous("runtime/$(reboot)`x`", 600))
    said = repository.run("prompt", "--format", "{status} {actor} {mode}").said
    assert said == "active runtime/_(reboot)_x_ general\n"
    assert json.loads(repository.run("session-state", "show", "--json").said)["status"] == "active"


def test_a_hook_whose_holdfast_is_gone_or_whose_database_is_broken_says_what_to_do(pushing: Repository) -> None:
    assert pushing.run("git-hook", "install").code == 0
    token = pushing.state(*autonomous("a", 600))["fencing_token"]
    assert _git(pushing, "push", "-q", "origin", "HEAD:refs/heads/x", HOLDFAST_FENCING_TOKEN=f" {token} ").code == 0
    database = pushing.root / ".git" / "holdfast" / "main" / "state.db"
    for each in database.parent.iterdir():
        each.unlink()
    database.write_bytes(b"no database" * 500)
    broken = _push(pushing, token)
    assert broken.code != 0
    assert "Traceback" not in broken.complained
    assert f"move `{database}` away" in broken.complained
    shown = pushing.run("session-state", "show", "--json")
    assert (shown.code, shown.document["code"]) == (1, "database_unusable")
    assert shown.document["suggestion"].startswith(f"move `{database}` away")
    database.unlink()
    assert pushing.state("start")["start_count"] == 1
    hook = pushing.root / ".git" / "hooks" / "pre-push"
    hook.write_text(hook.read_text().replace(sys.executable, "/gone/python"))
    gone = _push(pushing)
    assert gone.code != 0
    assert "Run\nholdfast: `holdfast git-hook install` again" in gone.complained


def test_a_hook_judges_every_ref_in_every_worktree_by_its_own_session(pushing: Repository) -> None:
    assert pushing.run("git-hook", "install").code == 0
    token = pushing.state(*autonomous("a", 600))["fencing_token"]
    pushing.environ["HOLDFAST_FENCING_TOKEN"] = str(token)
    assert _git(pushing, "push", "-q", "origin", "HEAD:refs/heads/b1", "HEAD:refs/heads/b2").code == 0
    pushing.environ["HOLDFAST_FENCING_TOKEN"] = str(token + 1)
    assert _git(pushing, "push", "-q", "origin", ":refs/heads/b1", "HEAD:refs/heads/b3").code != 0
    assert _git(pushing, "push", "-q", "--no-verify", "origin", ":refs/heads/b1").code == 0
    linked = Repository(pushing.root.parent / "linked")
    assert _git(pushing, "worktree", "add", "-q", str(linked.root), "-b", "linked").code == 0
    linked.environ = dict(pushing.environ)
    assert "nobody works in this workspace" in _push(linked, token).complained
    theirs = linked.state(*autonomous("b", 600))["fencing_token"]
    assert _push(linked, theirs).code == 0
    del linked.environ["HOLDFAST_FENCING_TOKEN"]
    assert "held by the agent `b`" in _push(linked).complained


def test_a_hook_judges_the_repository_that_is_pushed_from_wherever_the_caller_stands(pushing: Repository) -> None:
    assert pushing.run("git-hook", "install").code == 0
    token = pushing.state(*autonomous("a", 600))["fencing_token"]
    elsewhere = Repository(pushing.root.parent / "elsewhere")
    elsewhere.root.mkdir()
    push = ("push", "-q", "origin", "HEAD:refs/heads/elsewhere")
    for said in (
        _git(elsewhere, *push, GIT_DIR=str(pushing.root / ".git")),
        _git(elsewhere, "--git-dir", str(pushing.root / ".git"), *push),
        _git(elsewhere, "-C", str(pushing.root), *push),
    ):
        assert (said.code, "held by the agent `a`" in said.complained) == (1, True), said
    passing = {"GIT_DIR": str(pushing.root / ".git"), "HOLDFAST_FENCING_TOKEN": str(token)}
    assert _git(elsewhere, *push, **passing).code == 0


HUSKY = """\
n=$(basename "$0")
s=$(dirname "$(dirname "$0")")/$n
[ ! -f "$s" ] && exit 0
sh -e "$s" "$@"
"""


def test_the_hook_before_finds_itself_under_its_own_name(pushing: Repository) -> None:
    made = pushing.root / ".husky" / "_"
    made.mkdir(parents=True)
    (made / "h").write_text(HUSKY)
    (made / "pre-push").write_text('#!/usr/bin/env sh\n. "${0%/*}/h"\n')
    (made / "pre-push").chmod(0o755)
    (made.parent / "pre-push").write_text("echo theirs ran >&2\nexit 1\n")
    _git(pushing, "config", "core.hooksPath", ".husky/_")
    installed = pushing.run("git-hook", "install")
    assert f"in {made.parent / 'pre-push'} stays" in installed.said
    refused = _push(pushing)
    assert (refused.code, "theirs ran" in refused.complained) == (1, True)


def test_a_hook_whose_python_lost_holdfast_says_what_to_do(pushing: Repository, tmp_path: Path) -> None:
    assert pushing.run("git-hook", "install").code == 0
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    hook = pushing.root / ".git" / "hooks" / "pre-push"
    hook.write_text(hook.read_text().replace(sys.executable, str(python)))
    gone = _push(pushing)
    assert (gone.code, "`holdfast git-hook install` again" in gone.complained) == (1, True)
    assert pushing.run("git-hook", "install", "extra").code == 2


@pytest.mark.parametrize("command", [("prompt",), ("session-state", "show")])
def test_an_answer_that_cannot_be_written_is_no_traceback(repository: Repository, command: tuple[str, ...]) -> None:
    repository.state(*autonomous("日", 600))
    is_prompt = command == ("prompt",)
    said = ""
    for shell, code in (
        ('exec "$@" > /dev/full', 0 if is_prompt else 1),
        ('exec "$@" >&-', 0),
        ('exec "$@" >&- 2>&-', 0),
        ('PYTHONIOENCODING=ascii exec "$@"', 0),
    ):
        words = ["sh", "-c", shell, "sh", *PROGRAM, *command]
        done = subprocess.run(words, cwd=repository.root, env=repository.environ, capture_output=True, text=True)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (shell, done)
        said += done.stdout
    assert "\\u65e5" in said
