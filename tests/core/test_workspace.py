"""Workspaces on every kind of store: the same commands, the same answers, the same rows."""

from typing import Any

import pytest

from holdfast.commands.command import Command
from holdfast.commands.starts import StartSession
from holdfast.commands.transitions import EndSession
from holdfast.commands.view import Reply
from holdfast.commands.workspace_entries import AddEscalation, ResolveEscalation, SetGates
from holdfast.commands.workspace_starts import ClearWorkspace, KeepBaseline, StartWorkspace, TakeOverWorkspace
from holdfast.commands.workspaces import BeatWorkspace
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.ids import SessionId
from holdfast.domain.session import EndReason
from holdfast.domain.workspace import Mode, OwnerKind, Workspace
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


def test_a_plain_session_on_the_scope_is_not_run_over(database: World) -> None:
    by = actor("workspace-rival")
    database.caller.accepted(StartSession(SCOPE, "claude", "holder", exclusive=True), by=by)
    assert database.caller.refused(AGENT, by=by).code == Code.LEASE_HELD


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
