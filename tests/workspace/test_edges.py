"""What is broken, foreign, shut or out of the ordinary: told in a sentence, never mistaken for nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from holdfast.doors.workspace import prompt
from holdfast.embedded import Embedded
from tests.workspace.conftest import START_AT, Checkout, autonomous

BYTES_OF_NO_TEXT = "\udcff"
"""What Python makes of the byte 0xff in an argument."""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"schema_version": 3,',
        b"\xff\xfe{}",
        b"[]",
        b"[" * 100_000,
        b'{"schema_version":3,"started_at_epoch_s":1,"last_started_at_epoch_s":1,"start_count":1,"session_id":"\\ud800"}',
    ],
)
def test_a_session_file_that_is_none_is_an_error_that_changes_nothing(checkout: Checkout, content: bytes) -> None:
    path = checkout.write_legacy()
    path.write_bytes(content)
    for command in (["show"], ["start"], ["heartbeat"], ["clear"], ["takeover", "--actor-id", "b", "--reason", "r"]):
        said = checkout.ask(*command)
        assert (said.code, said.report["code"]) == (1, "legacy_corrupt"), said
        assert [each.name for each in checkout.directory.iterdir()] == ["session_state.json"]
    path.rename(path.with_suffix(".away"))
    assert checkout.interactive()["start_count"] == 1


ESCALATION = {"id": "esc_1", "kind": "blocking", "reason": "which?", "created_at_epoch_s": START_AT}


@pytest.mark.parametrize(
    "entries",
    [
        [ESCALATION | {"session_id": {"a": 1}}],
        [ESCALATION | {"created_at_epoch_s": -1}],
        [ESCALATION | {"created_at_epoch_s": 10**30}],
        [ESCALATION | {"created_at_epoch_s": True}],
        [ESCALATION | {"reason": "\ud800"}],
        [ESCALATION | {"kind": "other"}],
        [ESCALATION | {"id": f"esc_{number}"} for number in range(201)],
    ],
)
def test_an_escalation_that_is_none_is_an_error_that_changes_nothing(checkout: Checkout, entries: list[Any]) -> None:
    checkout.directory.mkdir(parents=True)
    (checkout.directory / "escalation_state.json").write_text(json.dumps({"schema_version": 1, "entries": entries}))
    said = checkout.ask("start")
    assert (said.code, said.report["code"]) == (1, "legacy_corrupt"), said
    assert [each.name for each in checkout.directory.iterdir()] == ["escalation_state.json"]


def test_a_clear_forgets_what_was_brought_in_on_top_of_what_was_there(checkout: Checkout) -> None:
    checkout.interactive()
    here = ("--path", str(checkout.root))
    checkout.say("escalation", "add", "--reason", "mine", *here)
    entries = [ESCALATION | {"id": f"esc_{number}"} for number in range(200)]
    (checkout.directory / "escalation_state.json").write_text(json.dumps({"schema_version": 1, "entries": entries}))
    assert len(checkout.say("escalation", "list", *here).out.splitlines()) == 1
    checkout.done("heartbeat")
    assert len(checkout.say("escalation", "list", *here).out.splitlines()) == 201
    checkout.done("clear")
    assert checkout.count("workspace_entry where kind = 'escalation'") == 0


@pytest.mark.parametrize(
    "command", [["gates", "set"], ["escalation", "resolve"], ["session-state", "heartbeat", "--actor-id"]]
)
def test_what_is_no_text_is_wrong_usage(checkout: Checkout, command: list[str]) -> None:
    checkout.interactive()
    said = checkout.say(*command, BYTES_OF_NO_TEXT, "--path", str(checkout.root))
    assert said.code == 2
    assert "is not text in UTF-8" in said.err


def test_a_directory_whose_name_is_no_text_is_refused(checkout: Checkout) -> None:
    there = checkout.root.parent / BYTES_OF_NO_TEXT
    there.mkdir()
    said = checkout.ask("start", "--path", str(there))
    assert (said.code, said.report["code"]) == (2, "path_not_text")
    assert list(there.iterdir()) == []


def test_an_empty_profile_is_none(checkout: Checkout) -> None:
    assert checkout.ask("start", "--profile", "").report["code"] == "profile_invalid"


def test_more_gates_than_there_may_be_are_wrong_usage(checkout: Checkout) -> None:
    here = ("--path", str(checkout.root))
    assert checkout.say("gates", "set", *["x"] * 201, *here).code == 2
    assert checkout.say("gates", "set", *["x"] * 200, *here).code == 0


def _shut(checkout: Checkout, monkeypatch: pytest.MonkeyPatch, what: Path) -> None:
    """Have the system say that nobody may look there, as it says to everybody but root."""
    look = os.stat

    def stat(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        if str(path).startswith(str(what)):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("what", ["database", "git directory"])
def test_what_nobody_may_read_is_not_mistaken_for_nothing(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    checkout.autonomous("a")
    checkout.done("clear", "--actor-id", "a")
    if what == "database":
        # SQLite cannot open a directory either.
        (checkout.directory / "state.db").unlink()
        (checkout.directory / "state.db").mkdir()
        _shut(checkout, monkeypatch, checkout.directory / "state.db")
    else:
        _shut(checkout, monkeypatch, checkout.root / ".git" / "HEAD")
    here = ("--path", str(checkout.root))
    for command in (
        ["session-state", "show"],
        ["session-state", "heartbeat"],
        ["session-state", "clear"],
        ["escalation", "list"],
        ["git-hook", "check"],
    ):
        said = checkout.say(*command, *here)
        assert (said.code, "Permission denied" in said.err) == (1, True), said
    assert checkout.say("prompt", *here).out == "holdfast?\n"


def test_a_database_that_cannot_be_opened_is_told_with_what_helps(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.autonomous("a")
    (checkout.directory / "state.db").unlink()
    (checkout.directory / "state.db").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode, **_: str(path).endswith("state.db"))
    said = checkout.ask("show")
    assert said.report["suggestion"].startswith(f"make `{checkout.directory}` writable")
    monkeypatch.setattr(os, "access", lambda *_, **__: True)
    full = os.statvfs_result((1,) * 4 + (0,) * 7)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert checkout.ask("show").report["suggestion"] == "the disk is full: make room, then try again"


def test_a_prompt_says_that_it_cannot_tell_where_rows_contradict_each_other(checkout: Checkout) -> None:
    checkout.autonomous("a")
    database = Embedded(str(checkout.directory / "state.db"), creates=False)
    database.rows._connection.execute("delete from session_profile")
    database.close()
    assert checkout.say("prompt", "--path", str(checkout.root)).out == "holdfast?\n"


@pytest.mark.parametrize(
    ("actor", "shown"), [("日" * 12, "日" * 12), ("日" * 13, "日" * 11 + "…"), ("x" * 25, "x" * 23 + "…")]
)
def test_a_prompt_keeps_to_its_columns(checkout: Checkout, actor: str, shown: str) -> None:
    checkout.autonomous(actor)
    assert checkout.say("prompt", "--path", str(checkout.root), "--format", "{actor}").out == f"{shown}\n"
    assert prompt.ACTOR_COLUMNS_MAX == 24


# Ways out.


def test_a_lease_from_the_future_is_refused_with_the_way_out_that_works(checkout: Checkout) -> None:
    checkout.autonomous("a")
    checkout.now -= 365 * 24 * 3600
    for command in (["clear"], ["clear", "--actor-id", "b"]):
        said = checkout.ask(*command)
        assert said.code == 3
        assert "clear --force --reason <reason>" in said.report["suggestion"]
    assert checkout.ask("clear", "--actor-id", "b").report["code"] == "clear_of_ahead"
    assert checkout.done("clear", "--force", "--reason", "the clock was wrong")["cleared"] is True


@pytest.mark.parametrize("command", [["heartbeat", "--actor-id", "a"], autonomous("a")])
def test_whoever_speaks_after_the_clock_was_set_back_holds_no_lease_of_the_future(
    checkout: Checkout, command: list[str]
) -> None:
    checkout.autonomous("a")
    checkout.now -= 365 * 24 * 3600
    said = checkout.done(*command)
    assert said["last_heartbeat_at_epoch_s"] == checkout.now
    checkout.now += 60
    assert checkout.show()["status"] == "stale"
    assert checkout.done("takeover", "--actor-id", "b", "--reason", "it fell silent")["prior_actor_id"] == "a"


def test_whoever_is_called_unknown_takes_over_from_nobody_known(checkout: Checkout) -> None:
    checkout.write_legacy(
        session_id="ses_X", owner_kind="runtime_worker", lease_ttl_secs=5, last_heartbeat_at_epoch_s=1
    )
    said = checkout.ask(*autonomous("unknown"))
    assert (said.code, said.report["code"]) == (3, "workspace_stale_owned")
    taken = checkout.done("takeover", "--actor-id", "unknown", "--reason", "as it said")
    assert (taken["prior_actor_id"], taken["actor_id"]) == ("unknown", "unknown")


def test_the_minutes_of_a_session_are_those_of_the_seconds_that_are_shown(checkout: Checkout) -> None:
    checkout.now += 0.9
    checkout.interactive()
    for later, minutes in ((59.0, 0), (0.2, 1)):
        checkout.now += later
        assert checkout.show()["session_minutes"] == minutes


# Bare repositories.


def test_a_bare_repository_keeps_its_session_in_itself(checkout: Checkout) -> None:
    bare = checkout.root.parent / "bare.git"
    (bare / "objects").mkdir(parents=True)
    (bare / "HEAD").write_text("ref: refs/heads/main\n")
    (bare / "hooks").mkdir()
    started = checkout.done("start", "--path", str(bare / "hooks"))
    assert started["path"] == str(bare / "holdfast" / "main" / "state.db")


def test_whoever_stands_in_the_git_directory_is_in_the_workspace(checkout: Checkout) -> None:
    (checkout.root / ".git" / "objects").mkdir()
    (checkout.root / ".git" / "hooks").mkdir()
    started = checkout.interactive()
    for where in (".git", ".git/hooks"):
        assert checkout.done("show", "--path", str(checkout.root / where))["session_id"] == started["session_id"]
