"""Workspaces on every kind of store: the same commands, the same answers, the same rows."""

import json
from typing import Any

import pytest

from holdfast.commands.command import Command
from holdfast.commands.handoffs import CreateHandoff, SetHandoffStatus
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.starts import StartSession, TakeOverSession
from holdfast.commands.transitions import EndSession, FailSession
from holdfast.commands.view import Reply
from holdfast.commands.workspace_entries import AddEscalation, ResolveEscalation, SetGates
from holdfast.commands.workspace_focus import FOCUS_ACTIONS_MAX
from holdfast.commands.workspace_starts import ClearWorkspace, KeepBaseline, StartWorkspace, TakeOverWorkspace
from holdfast.commands.workspaces import BeatWorkspace
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.drafting import drafted
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.handoff import HandoffStatus
from holdfast.domain.ids import HandoffId, SessionId
from holdfast.domain.policy import PolicyRequest
from holdfast.domain.session import EndReason
from holdfast.domain.workspace import Entry, EntryKind, Mode, OwnerKind, Workspace
from holdfast.engine import workspaces
from holdfast.testing.factories import actor
from tests.support.stores import World, rows_in_account, strictly

SCOPE = "workspace=main"
LEASE_S = 60
AGENT = StartWorkspace(SCOPE, OwnerKind.RUNTIME_WORKER, "a", lease_seconds=LEASE_S, supervisor_id="s")
PERSON = StartWorkspace(SCOPE, OwnerKind.INTERACTIVE, "interactive")
TAKEOVER = TakeOverWorkspace(SCOPE, "b", "it fell silent")

STORY: list[Command | int] = [
    BeatWorkspace(SCOPE),
    PERSON._replace(mode=Mode.RESEARCH),
    BeatWorkspace(SCOPE, activity="reading"),
    PERSON,
    AGENT,
    AddEscalation(SCOPE, "which one?", blocking=True),
    AddEscalation(SCOPE, "or this?"),
    SetGates(SCOPE, (("tests", True), ("review", False))),
    ClearWorkspace(SCOPE),
    AGENT,
    AGENT._replace(owner_kind=OwnerKind.RUNTIME_SUPERVISOR),
    BeatWorkspace(SCOPE, "a", "building"),
    BeatWorkspace(SCOPE, "b"),
    PERSON,
    TAKEOVER,
    59,
    BeatWorkspace(SCOPE, "a"),
    60,
    BeatWorkspace(SCOPE, "a"),
    PERSON,
    AGENT._replace(actor_id="c"),
    ClearWorkspace(SCOPE, "x"),
    TAKEOVER._replace(expected_revision=1),
    TAKEOVER,
    TAKEOVER,
    ClearWorkspace(SCOPE, "a"),
    ClearWorkspace(SCOPE, "s"),
    ClearWorkspace(SCOPE),
    AGENT,
    LEASE_S,
    AGENT,
    LEASE_S,
    ClearWorkspace(SCOPE, force=True, reason="nobody is left"),
]


def _tell(world: World, by: Actor) -> list[str]:
    told = []
    for step in STORY:
        if isinstance(step, int):
            for _ in range(step):
                world.caller.serve(1_000)
            continue
        outcome = world.caller.do(step, by=by)
        told.append(strictly(_without_token(outcome)))
    return told


def _without_token(outcome: Reply | Refusal) -> Any:
    if isinstance(outcome, Refusal):
        return [str(outcome.code), outcome.data]
    return {name: value for name, value in outcome.body.items() if not name.endswith("_epoch_s")}


def test_a_story_is_the_same_on_every_store(dicts: World, database: World) -> None:
    by = actor("workspace-story")
    told = [_tell(world, by) for world in (dicts, database)]
    codes = [each.split('"')[1] for each in told[0] if each.startswith("[")]
    assert codes[:6] == [
        Code.WORKSPACE_EMPTY,
        Code.WORKSPACE_OWNED_INTERACTIVE,
        Code.HEARTBEAT_NOT_OWNER,
        Code.WORKSPACE_OWNED_AUTONOMOUS,
        Code.TAKEOVER_TOO_EARLY,
        Code.WORKSPACE_STALE,
    ]
    normal = [[_without_ids(each) for each in story] for story in told]
    assert normal[0] == normal[1]
    [workspace] = rows_in_account(database.store, Workspace, "workspace-story")
    assert workspace.session_id is None


def _without_ids(text: str) -> str:
    import re

    return re.sub(r"(ses|sess|esc)_[0-9A-Z]{26}", r"\1_…", text)


def test_a_session_that_ended_by_another_door_is_missing(database: World) -> None:
    by = actor("workspace-ended")
    started = database.caller.accepted(AGENT, by=by).body
    core_id = SessionId(started["session_id"].replace("ses_", "sess_"))
    database.caller.accepted(EndSession(core_id, started["fencing_token"], EndReason.COMPLETED), by=by)
    assert workspaces.status(database.store, by, scope=SCOPE, actor_id=None)["status"] == "missing"
    again = database.caller.accepted(PERSON, by=by).body
    assert (again["revision"], again["fencing_token"], again["start_count"]) == (2, 2, 1)


def test_a_session_that_another_door_began_on_the_scope_is_the_workspaces_own(database: World) -> None:
    by = actor("workspace-rival")
    begun = StartSession(SCOPE, "claude", "holder", PolicyRequest(lease_ms=LEASE_S * 1_000), exclusive=True)
    for is_after_a_clear in (False, True):
        database.caller.accepted(begun, by=by)
        assert _shown(database, by)["actor_id"] == "holder"
        for command in (AGENT, PERSON, TAKEOVER, ClearWorkspace(SCOPE), ClearWorkspace(SCOPE, "s")):
            refused = database.caller.refused(command, by=by)
            assert refused.code.startswith(("workspace_owned", "takeover_too_early", "clear_")), refused
        beat = database.caller.accepted(BeatWorkspace(SCOPE, "holder", "reading"), by=by).body
        assert (beat["activity"], beat["lease_ttl_secs"]) == ("reading", LEASE_S)
        if is_after_a_clear:
            _let_pass(database, LEASE_S)
            assert _shown(database, by)["status"] == "stale"
            taken = database.caller.accepted(TAKEOVER, by=by).body
            assert (taken["prior_actor_id"], taken["actor_id"]) == ("holder", "b")
        cleared = database.caller.accepted(ClearWorkspace(SCOPE, "b" if is_after_a_clear else "holder"), by=by).body
        assert cleared["cleared"] is True
        database.caller.accepted(AGENT, by=by)
        assert database.caller.accepted(ClearWorkspace(SCOPE, "s"), by=by).body["supervisor_id"] == "s"
    assert _shown(database, by)["status"] == "missing"


def test_a_failed_session_gives_way_to_one_that_another_door_began(database: World) -> None:
    by = actor("workspace-after")
    started = database.caller.accepted(AGENT, by=by).body
    failed = FailSession(_core_id(started), started["fencing_token"], "it broke")
    database.caller.accepted(failed, by=by)
    assert _shown(database, by)["status"] == "stale"
    database.caller.accepted(StartSession(SCOPE, "claude", "holder", exclusive=True), by=by)
    shown = _shown(database, by)
    assert (shown["status"], shown["actor_id"]) == ("active", "holder")
    assert "supervisor_id" not in {name for name, value in shown.items() if value is not None}


def test_whoever_took_over_by_another_door_renews_as_itself(database: World) -> None:
    by = actor("workspace-heir")
    started = database.caller.accepted(AGENT, by=by).body
    take_over = TakeOverSession(_core_id(started), "claude", "heir", "mine now", force=True)
    database.caller.accepted(take_over, by=by._replace(scope=KeyScope.OPERATOR))
    assert database.caller.refused(BeatWorkspace(SCOPE, "a"), by=by).code == Code.HEARTBEAT_NOT_OWNER
    beat = database.caller.accepted(BeatWorkspace(SCOPE, "heir", "reading"), by=by).body
    assert (beat["actor_id"], beat["activity"], beat["lease_ttl_secs"]) == ("heir", "reading", LEASE_S)


def _shown(world: World, by: Actor) -> dict[str, Any]:
    return workspaces.status(world.store, by, scope=SCOPE, actor_id=None)


def _let_pass(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.caller.serve(1_000)


def _core_id(started: dict[str, Any]) -> SessionId:
    return SessionId(started["session_id"].replace("ses_", "sess_"))


def test_a_session_of_another_project_on_the_scope_is_not_run_over(database: World) -> None:
    mine = actor("workspace-rivals")._replace(project_id="mine")
    other = mine._replace(project_id="other")
    database.caller.accepted(StartSession(SCOPE, "claude", "holder", exclusive=True), by=other)
    assert _shown(database, mine)["status"] == "missing"
    assert database.caller.refused(AGENT, by=mine).code == Code.LEASE_HELD


def test_another_project_is_not_there(database: World) -> None:
    mine = actor("workspace-projects")._replace(project_id="mine")
    other = mine._replace(project_id="other")
    started = database.caller.accepted(PERSON, by=mine).body
    for command in (
        PERSON,
        BeatWorkspace(SCOPE),
        ClearWorkspace(SCOPE),
        TAKEOVER,
        AddEscalation(SCOPE, "why?"),
        SetGates(SCOPE, ()),
        ResolveEscalation(SCOPE, "esc_x"),
        KeepBaseline(SCOPE, started["session_id"], "{}"),
    ):
        assert database.caller.refused(command, by=other).code == Code.NOT_FOUND
    with pytest.raises(Refusal):
        workspaces.status(database.store, other, scope=SCOPE, actor_id=None)


def test_the_same_request_again_is_answered_as_it_was(database: World) -> None:
    by = actor("workspace-again")
    first, second = (database.caller.accepted(AGENT, by=by, key="start-once") for _ in range(2))
    assert second.is_replay
    assert second.body == first.body


def left(world: World, by: Actor) -> tuple[Any, Any]:
    """What an agent is shown of what was left in the workspace."""
    found = workspaces.sections(world.store, by, scope=SCOPE)
    return found["handoff"], found["recovery"]


def costs(world: World, by: Actor) -> list[Any]:
    """What the sessions that ended were about, the newest last."""
    entries = [each for each in rows_in_account(world.store, Entry, by.account_id) if each.kind == EntryKind.COST]
    return [json.loads(each.body_json or "")["focus"] for each in sorted(entries, key=lambda each: each.id)]


def test_what_is_shown_and_what_a_session_was_about_come_from_the_last_handoff(database: World) -> None:
    by, caller = actor("account-left", scope=KeyScope.OPERATOR), database.caller
    started = caller.accepted(PERSON, by=by).body
    session_id = SessionId("sess_" + started["session_id"].removeprefix("ses_"))
    assert left(database, by) == (None, None)

    def checkpoint(summary: str, *next_actions: str) -> str:
        caller.serve(5)
        note = WriteCheckpoint(
            session_id, started["fencing_token"], summary, next_actions_json=json.dumps(next_actions)
        )
        return str(caller.accepted(note, by=by).body["id"])

    def handoff(summary: str, *next_actions: str) -> str:
        caller.serve(5)
        said = drafted(summary=summary, payload={}, blockers=["no key"], next_actions=next_actions)
        return str(caller.accepted(CreateHandoff(session_id, started["fencing_token"], said), by=by).body["id"])

    first = checkpoint("Half of it.\nMore", "the rest")
    fallen_back = {"handoff": None, "checkpoint": first, "blockers": [], "next_actions": ["the rest"]}
    assert left(database, by) == ({"title": "Half of it."}, fallen_back)
    said = handoff("All of it.\nIndeed", "review")
    told = {"id": said, "status": "open", "status_label": None, "from_agent": "interactive", "to_agent": None}
    shown = {"title": "All of it.", **told, "auto": False, "orphan": False}
    recovery = {"handoff": said, "checkpoint": first, "blockers": ["no key"], "next_actions": ["review"]}
    assert left(database, by) == (shown, recovery)
    second = checkpoint("And more.", "the new rest")
    assert left(database, by) == (
        shown,
        {**fallen_back, "handoff": said, "checkpoint": second, "next_actions": ["the new rest"]},
    )
    last = handoff("All.", *[f"action {number}" for number in range(FOCUS_ACTIONS_MAX + 1)])
    caller.accepted(ClearWorkspace(SCOPE), by=by)
    caller.accepted(SetHandoffStatus(HandoffId(last), HandoffStatus.DONE), by=by)
    caller.accepted(PERSON, by=by)
    caller.accepted(ClearWorkspace(SCOPE), by=by)
    assert costs(database, by) == [
        {
            "attention_anchor": None,
            "handoff_title": "All.",
            "open_actions": [f"action {number}" for number in range(FOCUS_ACTIONS_MAX)],
        },
        {"attention_anchor": None, "handoff_title": "All.", "open_actions": []},
    ]
    caller.accepted(SetHandoffStatus(HandoffId(said), HandoffStatus.WITHDRAWN), by=by)
    assert left(database, by)[0]["id"] == last


def test_a_takeover_shows_the_handoff_that_was_drafted_for_the_old_session(database: World) -> None:
    by, caller = actor("account-drafted", scope=KeyScope.OPERATOR), database.caller
    caller.accepted(AGENT, by=by)
    caller.serve(LEASE_S * 1_000)
    caller.accepted(TAKEOVER, by=by)
    handoff, recovery = left(database, by)
    assert (handoff["auto"], handoff["from_agent"], recovery["handoff"]) == (True, "runtime_worker", handoff["id"])
    assert handoff["title"] == "runtime_worker left no handoff: its session was taken over."
