"""Every cell of what there is and what is asked for, every precondition in its order, both sides of every boundary."""

import json
from typing import Any

import apsw
import pytest

from holdfast.domain.errors import Code
from holdfast.doors.workspace.main import GROUPS
from holdfast.embedded import Embedded
from tests.workspace.conftest import START_AT, Checkout, autonomous

LEASE = 60
HOURS_8 = 8 * 60 * 60

EXISTING = ("nothing", "interactive", "interactive stale", "own", "own stale", "other", "other stale")
REQUESTED = ("interactive", "autonomous")

OWNED = "explicit takeover or clear is required before a different actor can start"
CELLS: dict[tuple[str, str], str] = {
    ("nothing", "interactive"): "fresh",
    ("nothing", "autonomous"): "fresh",
    ("interactive", "interactive"): "refresh",
    ("interactive", "autonomous"): (
        "active interactive session already exists in this workspace; clear it or wait for it to become stale before "
        "autonomous start"
    ),
    ("interactive stale", "interactive"): "reset",
    ("interactive stale", "autonomous"): "reset",
    ("own", "interactive"): (
        "active autonomous session is owned by `a`; clear it or wait for it to become stale before switching back to "
        "interactive work"
    ),
    ("own", "autonomous"): "refresh",
    ("own stale", "interactive"): (
        "stale autonomous session is owned by `a`; clear it or use explicit takeover before interactive start"
    ),
    ("own stale", "autonomous"): "reset",
    ("other", "interactive"): (
        "active autonomous session is owned by `b`; clear it or wait for it to become stale before switching back to "
        "interactive work"
    ),
    ("other", "autonomous"): (
        "active autonomous session is owned by `b`; explicit takeover or clear is required before a different actor "
        "can start"
    ),
    ("other stale", "interactive"): (
        "stale autonomous session is owned by `b`; clear it or use explicit takeover before interactive start"
    ),
    ("other stale", "autonomous"): (
        "stale autonomous session is owned by `b`; use `holdfast session-state takeover` to adopt it"
    ),
}


def _arrange(checkout: Checkout, existing: str) -> dict[str, Any]:
    """Bring about what is there; the report of its start."""
    if existing == "nothing":
        return {}
    if existing.startswith("interactive"):
        started = checkout.interactive("--mode", "research")
        checkout.now += HOURS_8 + 1 if existing.endswith("stale") else 10
    else:
        actor = "a" if existing.startswith("own") else "b"
        started = checkout.autonomous(actor, "--mode", "research", "--supervisor-id", "s", lease=LEASE)
        checkout.now += LEASE if existing.endswith("stale") else 10
    for reason, more in (("stays", ["--blocking"]), ("goes", [])):
        checkout.say("escalation", "add", "--reason", reason, *more, "--path", str(checkout.root))
    checkout.say("gates", "set", "review", "--path", str(checkout.root))
    return started


def _hanging(checkout: Checkout) -> tuple[list[str], list[str]]:
    """The reasons of the open escalations, and the gates."""
    escalations = checkout.say("escalation", "list", "--path", str(checkout.root), "--json").report["escalations"]
    gates = checkout.say("gates", "list", "--path", str(checkout.root), "--json").report["gates"]
    return [each["reason"] for each in escalations], [each["text"] for each in gates]


def test_the_table_has_every_cell() -> None:
    assert set(CELLS) == {(existing, requested) for existing in EXISTING for requested in REQUESTED}


@pytest.mark.parametrize(("existing", "requested"), CELLS)
def test_a_start_in_every_cell(checkout: Checkout, existing: str, requested: str) -> None:
    before = _arrange(checkout, existing)
    hanging = _hanging(checkout)
    command = ["start"] if requested == "interactive" else autonomous("a", lease=90)
    outcome = CELLS[existing, requested]
    if outcome not in ("fresh", "refresh", "reset"):
        assert checkout.refused(*command) == outcome
        assert _hanging(checkout) == hanging
        return
    started = checkout.done(*command)
    is_refresh = outcome == "refresh"
    assert started["reset"] is not is_refresh
    assert started["revision"] == before.get("revision", 0) + 1
    assert started["fencing_token"] == before.get("fencing_token", 0) + 1
    assert started["start_count"] == (2 if is_refresh else 1)
    assert started["mode"] == ("research" if is_refresh else "general")
    assert (started["session_id"] == before.get("session_id")) is is_refresh
    assert started.get("supervisor_id") == before.get("supervisor_id")
    assert started.get("lease_ttl_secs") == (None if requested == "interactive" else 90)
    if not is_refresh:
        hanging = (["stays"] if before else [], [])
    assert _hanging(checkout) == hanging


def test_a_refresh_warns_in_the_words_of_the_seed(checkout: Checkout) -> None:
    checkout.interactive()
    said = checkout.say("session-state", "start", "--path", str(checkout.root))
    assert said.out == (
        "Warning: active session already exists for profile `main` in this clone; incrementing start_count\n"
        f"Session state: mode=general start_count=2 started_at={START_AT} reset=false\n"
    )
    checkout.done("clear")
    checkout.autonomous("a")
    assert checkout.autonomous("a")["warning"] == (
        "active autonomous session owned by `a` already exists for profile `main` in this workspace; refreshing lease "
        "and incrementing start_count"
    )


def test_a_refresh_takes_the_new_lease_and_kind_and_keeps_the_supervisor_unless_given(checkout: Checkout) -> None:
    checkout.autonomous("a", "--supervisor-id", "s", lease=60)
    started = checkout.autonomous("a", "--owner-kind", "runtime_supervisor", lease=90)
    assert (started["lease_ttl_secs"], started["owner_kind"], started["supervisor_id"], started["start_count"]) == (
        90,
        "runtime_supervisor",
        "s",
        2,
    )
    assert checkout.autonomous("a", "--supervisor-id", "t")["supervisor_id"] == "t"


# Usage: the seed's texts, in its order, before the database is touched.

ONLY_AUTONOMOUS = " is only valid with `--lifecycle autonomous`"
USAGE = [
    (
        ["--owner-kind", "runtime_worker", "--actor-id", "a"],
        "`--owner-kind` is only valid with `--lifecycle autonomous`",
    ),
    (["--actor-id", "a", "--supervisor-id", "s"], "`--actor-id`" + ONLY_AUTONOMOUS),
    (["--supervisor-id", "s", "--lease-seconds", "9"], "`--supervisor-id`" + ONLY_AUTONOMOUS),
    (["--lease-seconds", "9"], "`--lease-seconds`" + ONLY_AUTONOMOUS),
    (["--lifecycle", "autonomous"], "`--actor-id` is required with `--lifecycle autonomous`"),
    (["--lifecycle", "autonomous", "--actor-id", "a"], "`--lease-seconds` is required with `--lifecycle autonomous`"),
    (
        [*autonomous()[1:], "--owner-kind", "interactive"],
        "`interactive` is not a valid `--owner-kind` for autonomous sessions",
    ),
]


@pytest.mark.parametrize(("flags", "error"), USAGE, ids=[error for _, error in USAGE])
def test_flags_that_do_not_go_together(checkout: Checkout, flags: list[str], error: str) -> None:
    assert checkout.refused("start", *flags, code=2) == error
    assert not checkout.directory.exists()


@pytest.mark.parametrize(("lease", "code"), [("0", 2), ("1", 0), ("2592000", 0), ("2592001", 2), ("-1", 2), ("x", 2)])
def test_a_lease_is_1_second_to_30_days(checkout: Checkout, lease: str, code: int) -> None:
    said = checkout.ask("start", "--lifecycle", "autonomous", "--actor-id", "a", "--lease-seconds", lease)
    assert said.code == code


@pytest.mark.parametrize(("length", "code"), [(0, 2), (1, 0), (200, 0), (201, 2)])
def test_an_id_has_1_to_200_characters(checkout: Checkout, length: int, code: int) -> None:
    assert checkout.ask(*autonomous("é" * length)).code == code


def test_the_profile_is_looked_at_first(checkout: Checkout) -> None:
    assert checkout.ask("start", "--profile", "No!", "--actor-id", "a").report["code"] == "profile_invalid"


# Heartbeats.


def test_heartbeats_ask_in_order(checkout: Checkout) -> None:
    beat = ["heartbeat", "--actor-id", "x", "--activity", "z" * 281]
    empty = "no active session telemetry is available; run `holdfast session-state start --path .` first"
    assert checkout.refused(*beat) == empty
    checkout.interactive()
    assert checkout.refused(*beat) == "heartbeat requires an active autonomous session"
    checkout.done("clear")
    checkout.autonomous("a", lease=LEASE)
    not_owner = "heartbeat requires actor `x` to match the active autonomous owner `a`"
    assert checkout.refused(*beat) == not_owner
    checkout.now += LEASE
    assert checkout.refused(*beat) == not_owner
    own = ["heartbeat", "--actor-id", "a", "--activity", "z" * 281]
    assert checkout.refused(*own) == (
        "autonomous session lease for `a` is stale; restart with the same actor or use takeover deliberately"
    )
    checkout.autonomous("a", lease=LEASE)
    assert checkout.refused(*own, code=2) == "activity text is too long (max 280 characters)"


def test_a_row_without_an_id_cannot_beat(checkout: Checkout) -> None:
    checkout.write_legacy(owner_kind="runtime_worker", owner_id="a", lease_ttl_secs=60, last_heartbeat_at_epoch_s=1)
    said = checkout.ask("heartbeat", "--actor-id", "a")
    assert said.report["error"] == "active autonomous session is missing session_id"


@pytest.mark.parametrize(("late_by", "code"), [(-1, 0), (0, 3)])
def test_a_lease_is_stale_when_its_last_second_ends(checkout: Checkout, late_by: int, code: int) -> None:
    checkout.now += 0.9
    started = checkout.autonomous("a", lease=LEASE)
    checkout.now = started["lease_expires_at_epoch_s"] + late_by + 0.0
    assert checkout.show()["stale"] is (code != 0)
    assert checkout.ask("heartbeat", "--actor-id", "a").code == code


def test_a_late_heartbeat_never_revives_a_lease(checkout: Checkout) -> None:
    checkout.autonomous("a", lease=1)
    checkout.now += 100
    for _ in range(2):
        checkout.refused("heartbeat", "--actor-id", "a")
    assert checkout.show()["status"] == "stale"


@pytest.mark.parametrize("char", ["x", "é", "🙂"])
def test_an_activity_has_up_to_280_characters(checkout: Checkout, char: str) -> None:
    checkout.autonomous("a")
    beat = checkout.done("heartbeat", "--actor-id", "a", "--activity", f" {char * 280}\n")
    assert beat["current_activity"] == char * 280
    checkout.now += 1
    checkout.refused("heartbeat", "--actor-id", "a", "--activity", char * 281, code=2)
    assert checkout.show()["last_heartbeat_at_epoch_s"] == START_AT


def test_a_heartbeat_keeps_an_old_activity_where_none_is_said(checkout: Checkout) -> None:
    checkout.autonomous("a")
    checkout.done("heartbeat", "--actor-id", "a", "--activity", "reading")
    checkout.now += 5
    beat = checkout.done("heartbeat", "--actor-id", "a", "--activity", "  ")
    assert beat == {
        "command": "session-state-heartbeat",
        "ok": True,
        "profile": "main",
        "path": str(checkout.directory / "state.db"),
        "session_id": beat["session_id"],
        "actor_id": "a",
        "activity": "reading",
        "current_activity": "reading",
        "last_heartbeat_at_epoch_s": START_AT + 5,
        "lease_expires_at_epoch_s": START_AT + 65,
        "revision": 3,
        "activity_updated_at_epoch_s": START_AT,
    }


def test_a_person_may_beat_too(checkout: Checkout) -> None:
    checkout.interactive()
    checkout.now += HOURS_8
    beat = checkout.done("heartbeat", "--activity", "thinking")
    assert "lease_expires_at_epoch_s" not in beat
    checkout.now += HOURS_8
    assert checkout.show()["status"] == "active"
    assert checkout.interactive()["current_activity"] == "thinking"


def test_a_clock_that_is_set_back_makes_nothing_stale(checkout: Checkout) -> None:
    checkout.autonomous("a", lease=1)
    checkout.now -= 10_000
    assert checkout.show()["status"] == "active"
    assert checkout.done("heartbeat", "--actor-id", "a")["revision"] == 2


# Takeover.

TAKEOVER = ["takeover", "--actor-id", "b", "--reason", "it fell silent"]


def test_takeovers_ask_in_order(checkout: Checkout) -> None:
    assert checkout.refused(*TAKEOVER) == "no stale autonomous session exists to take over"
    checkout.interactive()
    checkout.now += HOURS_8 + 1
    assert checkout.refused(*TAKEOVER) == "takeover only applies to stale autonomous sessions"
    checkout.done("clear")
    checkout.autonomous("b", lease=LEASE)
    assert checkout.refused(*TAKEOVER).startswith(
        "takeover is only allowed after the active autonomous lease becomes stale"
    )
    checkout.now += LEASE
    assert checkout.refused(*TAKEOVER) == (
        "takeover requires a different actor than the stale owner; use `holdfast session-state start` to recover the "
        "same actor lease"
    )
    assert checkout.ask("takeover", "--actor-id", "c").report["error"] == "`--reason` is required"


@pytest.mark.parametrize("after", [LEASE, 6 * LEASE, 40 * 3600])
def test_a_takeover_is_a_new_session_however_long_ago_the_old_one_fell_silent(checkout: Checkout, after: int) -> None:
    old = checkout.autonomous("a", "--mode", "implement", "--supervisor-id", "s", lease=LEASE)
    checkout.done("heartbeat", "--actor-id", "a", "--activity", "reading")
    checkout.now += after
    assert checkout.show()["status"] == "stale"
    taken = checkout.done(*TAKEOVER)
    assert taken == {
        "command": "session-state-takeover",
        "ok": True,
        "profile": "main",
        "path": str(checkout.directory / "state.db"),
        "prior_session_id": old["session_id"],
        "prior_actor_id": "a",
        "session_id": taken["session_id"],
        "actor_id": "b",
        "supervisor_id": "s",
        "lease_ttl_secs": LEASE,
        "last_heartbeat_at_epoch_s": START_AT + after,
        "lease_expires_at_epoch_s": START_AT + after + LEASE,
        "revision": 3,
        "fencing_token": 2,
        "reason": "it fell silent",
    }
    shown = checkout.show()
    assert (shown["mode"], shown["owner_kind"], shown["start_count"]) == ("implement", "runtime_worker", 1)
    assert "current_activity" not in shown
    assert taken["session_id"] != old["session_id"]
    checkout.refused("heartbeat", "--actor-id", "a")


def test_a_takeover_keeps_what_hangs_on_the_workspace(checkout: Checkout) -> None:
    _arrange(checkout, "other stale")
    hanging = _hanging(checkout)
    checkout.done("takeover", "--actor-id", "a", "--reason", "why")
    assert _hanging(checkout) == hanging


def test_a_takeover_that_was_decided_on_another_state_is_told_who_won(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.autonomous("a", lease=LEASE)
    checkout.now += LEASE
    from holdfast.doors.workspace import sessions

    before = sessions._status

    def then_somebody_else_is_faster(context: Any) -> dict[str, Any]:
        found = before(context)
        monkeypatch.setattr(sessions, "_status", before)
        checkout.done("takeover", "--actor-id", "winner", "--reason", "first")
        return found

    monkeypatch.setattr(sessions, "_status", then_somebody_else_is_faster)
    said = checkout.ask(*TAKEOVER)
    assert (said.code, said.report["code"]) == (4, "workspace_changed")
    assert said.report["error"] == (
        "takeover detected concurrent session mutation: expected revision 1, current is 2, and it is owned by "
        "`winner`; retry `holdfast session-state takeover`"
    )


# Clear.


def test_a_clear_that_meant_another_session_clears_nothing(checkout: Checkout) -> None:
    from holdfast.commands.workspace_starts import ClearWorkspace
    from holdfast.domain.errors import Refusal

    seen = checkout.interactive()
    checkout.done("clear")
    checkout.interactive()
    before = checkout.rows()
    database = Embedded(str(checkout.directory / "state.db"), creates=False)
    try:
        outcome = database.run(ClearWorkspace("workspace=main", expected_session_id=seen["session_id"]))
    finally:
        database.close()
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.WORKSPACE_CHANGED
    assert checkout.rows() == before


def test_a_clear_reports_what_it_cleared(checkout: Checkout) -> None:
    checkout.autonomous("a", "--supervisor-id", "s")
    cleared = checkout.done("clear", "--actor-id", "s", "--reason", "done")
    assert cleared == {
        "command": "session-state-clear",
        "ok": True,
        "profile": "main",
        "path": str(checkout.directory / "state.db"),
        "cleared": True,
        "reason": "done",
        "lifecycle": "autonomous",
        "owner_kind": "runtime_worker",
        "actor_id": "a",
        "supervisor_id": "s",
        "cleared_revision": 2,
    }
    assert checkout.interactive()["revision"] == 3
    assert checkout.show()["status"] == "active"


@pytest.mark.parametrize("existing", ["interactive", "interactive stale"])
def test_anybody_may_clear_after_a_person(checkout: Checkout, existing: str) -> None:
    _arrange(checkout, existing)
    assert checkout.done("clear", "--actor-id", "anybody")["cleared"] is True
    assert _hanging(checkout) == ([], [])


def test_clearing_an_agents_session_takes_its_name(checkout: Checkout) -> None:
    checkout.autonomous("a")
    assert checkout.refused("clear") == (
        "clearing an autonomous session requires `--actor-id` matching the owner or supervisor"
    )


def test_clearing_where_nothing_is_creates_nothing(checkout: Checkout) -> None:
    assert checkout.done("clear")["cleared"] is False
    assert not checkout.directory.exists()
    said = checkout.say("session-state", "clear", "--path", str(checkout.root))
    assert said.out == f"No session state found at {checkout.directory / 'state.db'}\n"


def test_a_second_clear_finds_nothing_and_forgets_what_is_left(checkout: Checkout) -> None:
    checkout.interactive()
    checkout.done("clear")
    checkout.say("escalation", "add", "--reason", "late", "--blocking", "--path", str(checkout.root))
    assert checkout.done("clear")["cleared"] is False
    assert _hanging(checkout) == ([], [])


@pytest.mark.parametrize("existing", ["other", "other stale"])
def test_clearing_by_force_works_on_what_nobody_can_be_waited_for(checkout: Checkout, existing: str) -> None:
    _arrange(checkout, existing)
    command = ["clear", "--force", "--reason", "its machine is gone"]
    assert checkout.refused("clear", "--force", code=2) == "`--reason` is required with `--force`"
    if existing == "other":
        checkout.refused(*command)
        return
    assert checkout.done(*command)["cleared"] is True
    assert checkout.count("audit where action = 'workspace.force_cleared'") == 1


def test_a_lease_from_the_future_can_be_cleared_by_force(checkout: Checkout) -> None:
    checkout.autonomous("a", lease=LEASE)
    checkout.now -= 365 * 24 * 3600
    assert checkout.done("clear", "--force", "--reason", "the clock was wrong")["cleared"] is True


def test_what_ended_is_kept_with_what_it_cost(checkout: Checkout) -> None:
    checkout.autonomous("a", lease=LEASE)
    checkout.done("heartbeat", "--actor-id", "a")
    checkout.say("gates", "set", "tests", "review", "--met", "1", "--path", str(checkout.root))
    checkout.now += 59
    checkout.done("clear", "--actor-id", "a")
    connection = apsw.Connection(str(checkout.directory / "state.db"))
    query = "select text, body_json from workspace_entry where kind = 'cost'"
    [(ended_by, body)] = connection.execute(query).fetchall()
    connection.close()
    cost = json.loads(str(body))
    assert (ended_by, cost["seconds"], cost["starts"], cost["heartbeats"]) == ("clear", 59, 1, 1)
    assert cost["focus"]["attention_anchor"] == "review"


# Show, profiles, worktrees.


def test_show_of_nothing_creates_nothing(checkout: Checkout) -> None:
    assert checkout.show() == {
        "command": "session-state-show",
        "ok": True,
        "profile": "main",
        "path": str(checkout.directory / "state.db"),
        "status": "missing",
    }
    assert not checkout.directory.exists()


def test_show_reads_an_old_file_and_leaves_it_alone(checkout: Checkout) -> None:
    path = checkout.write_legacy(session_id="ses_OLD", start_count=4)
    shown = checkout.show()
    assert (shown["session_id"], shown["start_count"], shown["status"]) == ("ses_OLD", 4, "active")
    assert path.exists()
    assert not (checkout.directory / "state.db").exists()


def test_an_old_file_beside_a_session_is_put_aside_unread(checkout: Checkout) -> None:
    started = checkout.interactive()
    path = checkout.write_legacy()
    path.write_text("{ not valid json }")
    assert checkout.done("heartbeat")["session_id"] == started["session_id"]
    assert not path.exists()


@pytest.mark.parametrize("field", ["mode", "owner_kind"])
def test_a_value_that_there_is_not_is_refused_in_an_old_file(checkout: Checkout, field: str) -> None:
    checkout.write_legacy(**{field: "other"})
    assert "none that there is" in checkout.refused("start", code=1)


@pytest.mark.parametrize(("actor", "conflict"), [("a", False), ("b", True)])
def test_show_tells_whose_way_a_session_is_in(checkout: Checkout, actor: str, conflict: bool) -> None:
    checkout.autonomous("a", lease=LEASE)
    assert checkout.show("--actor-id", actor)["ownership_conflict"] is conflict
    checkout.now += LEASE
    assert checkout.show("--actor-id", actor)["ownership_conflict"] is False
    assert "ownership_conflict" not in checkout.show()


def test_a_profile_that_was_never_started_is_refused_and_the_others_are_named(checkout: Checkout) -> None:
    checkout.interactive()
    for command in ("heartbeat", "clear", "show"):
        error = checkout.refused(command, "--profile", "other")
        assert error.endswith("there is: main")
    checkout.interactive("--profile", "other")
    assert checkout.show("--profile", "other")["status"] == "active"
    assert "profile `other` has a live session" in checkout.show()["notes"][0]


def test_a_linked_worktree_is_a_workspace_of_its_own_and_is_noted(checkout: Checkout) -> None:
    linked = checkout.root.parent / "linked"
    git_dir = checkout.root / ".git" / "worktrees" / "linked"
    git_dir.mkdir(parents=True)
    linked.mkdir()
    (git_dir / "HEAD").write_text("ref: refs/heads/other\n")
    (git_dir / "commondir").write_text("../..\n")
    (git_dir / "gitdir").write_text(f"{linked / '.git'}\n")
    (linked / ".git").write_text(f"gitdir: {git_dir}\n")
    started = checkout.done("start", "--path", str(linked))
    assert started["path"] == str(git_dir / "holdfast" / "main" / "state.db")
    assert checkout.show()["status"] == "missing"
    assert f"worktree {linked} has a live session" in checkout.show()["notes"][0]
    checkout.done("clear", "--path", str(linked))
    assert "notes" not in checkout.show()


def test_show_delta_is_only_what_changed_since_the_start(checkout: Checkout) -> None:
    checkout.autonomous("a")
    checkout.now += 5
    checkout.done("heartbeat", "--actor-id", "a")
    assert checkout.show("--delta")["changed"] == {}
    checkout.say("gates", "set", "review", "--path", str(checkout.root))
    (checkout.root / ".git" / "HEAD").write_text("0123456789012345678901234567890123456789\n")
    changed = checkout.show("--delta")["changed"]
    assert changed["git_state"] == {"branch": None, "commit": "0123456789012345678901234567890123456789"}
    assert set(changed) == {"gates", "git_state"}


def test_a_takeover_is_shown_the_handoff_of_the_session_that_broke_off(checkout: Checkout) -> None:
    checkout.autonomous("a")
    checkout.now += 61
    checkout.done("takeover", "--actor-id", "b", "--reason", "it fell silent")
    # It was shown at the start, so nothing changed since.
    assert checkout.show("--delta")["changed"] == {}
    connection = apsw.Connection(str(checkout.directory / "state.db"))
    connection.execute("delete from workspace_entry where kind = 'baseline'")
    connection.close()
    changed = checkout.show("--delta")
    assert changed["baseline"] is False
    handoff = changed["changed"]["handoff"]
    assert (handoff["auto"], handoff["title"]) == (True, "runtime_worker left no handoff: its session was taken over.")
    checkout.done("clear", "--actor-id", "b")


def test_no_more_than_32_baselines_are_kept(checkout: Checkout) -> None:
    for _ in range(34):
        checkout.interactive()
    assert checkout.count("workspace_entry where kind = 'baseline'") == 32


# What cannot be noted is no failure, and what is hostile is shown harmless.


def test_a_presence_that_cannot_be_noted_is_a_warning(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/dev/null/nowhere")
    said = checkout.ask("start")
    assert said.code == 0
    assert said.err.startswith("warning: failed to record machine presence")


def test_presence_is_ready_with_the_lease_and_idle_for_a_day_after(checkout: Checkout) -> None:
    from holdfast.doors.workspace.place import presences

    checkout.autonomous("a", lease=LEASE)
    assert [(each.health, each.lease_seconds) for each in presences()] == [("ready", LEASE)]
    checkout.done("clear", "--actor-id", "a")
    assert [(each.health, each.lease_seconds) for each in presences()] == [("idle", 86_400)]
    checkout.now += 86_400
    assert presences() == []


def test_a_marker_that_cannot_be_read_is_a_warning(checkout: Checkout) -> None:
    (checkout.root / ".holdfast.toml").write_text("locality_id = ")
    said = checkout.ask("start")
    assert said.code == 0
    assert "cannot be read" in said.err


HOSTILE = "a\nFAKE\x1b[2J\u202e\u200b\x9b\u2028z"
ESCAPED = r"a\nFAKE\x1b[2J\u202e\u200b\x9b\u2028z"


def test_hostile_ids_are_escaped_in_every_line(checkout: Checkout) -> None:
    here = ("--path", str(checkout.root))
    said = [checkout.say("session-state", *autonomous(HOSTILE, lease=LEASE), *here)]
    said.append(checkout.say("session-state", *autonomous(HOSTILE, lease=LEASE), *here))
    said.append(checkout.say("session-state", "heartbeat", "--actor-id", HOSTILE, "--activity", HOSTILE, *here))
    said.append(checkout.say("session-state", "show", *here))
    said.append(checkout.say("session-state", "heartbeat", "--actor-id", HOSTILE + "x", *here))
    said.append(checkout.say("prompt", *here))
    checkout.now += LEASE
    said.append(checkout.say("session-state", "takeover", "--actor-id", HOSTILE + "y", "--reason", HOSTILE, *here))
    said.append(checkout.say("escalation", "add", "--reason", HOSTILE, *here))
    said.append(checkout.say("gates", "set", HOSTILE, *here))
    for each in said:
        text = (each.out + each.err).replace("\n", "")
        assert text.isprintable(), each
        assert "FAKE" not in [line[:4] for line in (each.out + each.err).splitlines()]
    assert ESCAPED in said[2].out
    assert ESCAPED in said[6].out
    assert checkout.show()["actor_id"] == HOSTILE + "y"
    assert checkout.ask("show").out.isascii()


def test_no_path_leads_into_a_git_directory_that_is_none(checkout: Checkout) -> None:
    plain = checkout.root.parent / "plain"
    plain.mkdir()
    started = checkout.done("start", "--path", str(plain))
    assert started["path"] == str(plain / ".holdfast" / "main" / "state.db")
    assert checkout.show("--path", str(plain), "--delta")["changed"] == {}


@pytest.mark.parametrize(
    "rest", [[], ["nonsense"], ["start", "--nonsense"], ["start", "extra"], ["start", "--mode", "x"]]
)
def test_a_wrong_command_line_is_exit_2(checkout: Checkout, rest: list[str]) -> None:
    assert checkout.say("session-state", *rest).code == 2


def test_help_says_what_there_is(checkout: Checkout) -> None:
    for group in ("session-state", "escalation", "gates", "git-hook"):
        said = checkout.say(group, "--help")
        assert (said.code, said.err) == (0, "")
    assert "--lease-seconds" in checkout.say("session-state", "start", "--help").out
    assert checkout.say("gates", "set", "--help").out.startswith("Usage: holdfast gates set [OPTIONS] GATE...\n")


@pytest.mark.parametrize("group", GROUPS)
def test_each_verb_shows_an_example_of_its_own(checkout: Checkout, group: str) -> None:
    usage = checkout.say(group, "--help").out.partition(" [OPTIONS]")[0]
    for verb in usage.removeprefix(f"Usage: holdfast {group} ").split("|"):
        _, _, examples = checkout.say(group, verb, "--help").out.partition("\nExamples:\n")
        assert examples.startswith(f"  holdfast {group} {verb}")


# No dead ends: whatever is there, somebody gets the workspace back as the refusal says.


@pytest.mark.parametrize("existing", EXISTING)
def test_a_person_gets_every_workspace_back(checkout: Checkout, existing: str) -> None:
    _arrange(checkout, existing)
    said = checkout.ask("start")
    if said.code == 0:
        return
    if existing in ("own", "other"):
        checkout.now += LEASE
    assert checkout.ask("clear", "--force", "--reason", "I need it").code == 0
    assert checkout.ask("start").code == 0
