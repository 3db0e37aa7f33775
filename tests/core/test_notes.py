"""What a holder writes down: checkpoints, and changes to what its session is about; and what a deletion leaves."""

import json
from typing import Any, Final

import pytest

from holdfast.commands.notes import PatchSession, WriteCheckpoint, merge_patch
from holdfast.commands.transitions import ArchiveSession, DeleteSession, EndSession, StopSession
from holdfast.domain.errors import Code
from holdfast.domain.limits import META_BYTES_MAX
from holdfast.domain.session import EndReason
from holdfast.testing.factories import OPERATOR, start
from tests.support.states import reach
from tests.support.stores import World, dump, profile_of, session_of, told

RFC_7396: Final[list[tuple[Any, Any, Any]]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""The examples of the RFC's appendix A."""


@pytest.mark.parametrize(("target", "patch", "expected"), RFC_7396, ids=str)
def test_a_merge_patch_does_what_the_rfc_says(target: Any, patch: Any, expected: Any) -> None:
    before = json.dumps(target)
    assert merge_patch(target, patch) == expected
    assert json.dumps(target) == before


def test_checkpoints_are_numbered_and_the_last_one_is_what_the_next_start_finds(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    fields: dict[str, Any] = {
        "work_completed_json": '["a"]',
        "blockers_json": '["b"]',
        "next_actions_json": '["c"]',
        "state_json": '{"d":"🦊"}',
        "branch": "main",
        "commit_sha": "abc",
    }
    notes = [WriteCheckpoint(subject.id, subject.token, f"note {number}", **fields) for number in (1, 2, 3)]
    replies = [dicts.caller.accepted(note) for note in notes]
    answered = [(reply.created, reply.body["number"], reply.body["summary"]) for reply in replies]
    assert answered == [(True, 1, "note 1"), (True, 2, "note 2"), (True, 3, "note 3")]
    last = {
        name: replies[-1].body[name] for name in ("id", "session_id", "number", "summary", "created_at_ms", *fields)
    }
    dicts.caller.accepted(EndSession(subject.id, subject.token, EndReason.COMPLETED))
    found = dicts.caller.accepted(start(holder_id="holder-2")).body["last_checkpoint"]
    assert {name: found[name] for name in last} == last
    assert session_of(dicts.store, subject.id).checkpoint_count == 3


def test_a_patch_changes_what_it_names_and_the_revision(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    first = PatchSession(subject.id, subject.token, 1, (("branch", "main"), ("issue_number", 7)), '{"a":1,"b":{"c":2}}')
    body = dicts.caller.accepted(first).body
    assert (body["revision"], body["branch"], body["issue_number"]) == (2, "main", 7)
    second = PatchSession(subject.id, subject.token, 2, (("branch", None),), '{"a":null,"b":{"d":3}}')
    body = dicts.caller.accepted(second).body
    assert (body["revision"], body["branch"], body["issue_number"]) == (3, None, 7)
    assert json.loads(body["meta_json"]) == {"b": {"c": 2, "d": 3}}
    before = dump(dicts.store)
    refusal = dicts.caller.refused(second)
    assert (refusal.code, refusal.data["revision"], refusal.data["given"]) == (Code.REVISION_CONFLICT, 3, 2)
    assert dump(dicts.store) == before


def test_the_free_json_of_a_session_is_bounded(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    for length, code in ((META_BYTES_MAX - 8, None), (META_BYTES_MAX - 7, Code.VALIDATION_FAILED)):
        patch = PatchSession(subject.id, subject.token, None, (), json.dumps({"a": "x" * length}))
        outcome = dicts.caller.do(patch)
        assert getattr(outcome, "code", None) == code


def test_a_request_to_stop_is_heard_with_the_next_beat_and_moves_the_revision(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    body = dicts.caller.accepted(StopSession(subject.id, "it costs too much"), by=OPERATOR).body
    assert (body["stop_requested"], body["stop_reason"], body["revision"]) == (True, "it costs too much", 2)
    assert told(dicts.store, subject.id)[-1] == "stop_requested"


def test_a_deleted_session_takes_everything_along_but_its_events_tokens_and_audit(dicts: World) -> None:
    body = dicts.caller.accepted(start(client_session_id="client-1")).body
    other = dicts.caller.accepted(start(holder_id="holder-2", client_session_id="client-2")).body
    for session_id in (body["id"], body["id"], other["id"]):
        dicts.caller.accepted(WriteCheckpoint(session_id, None, "a note"))
    dicts.caller.accepted(EndSession(body["id"], None, EndReason.COMPLETED))
    dicts.caller.accepted(ArchiveSession(body["id"]))
    before = dump(dicts.store)
    reply = dicts.caller.accepted(DeleteSession(body["id"])).body
    assert reply == {"id": body["id"], "deleted": {"sessions": 1, "checkpoints": 2, "handoffs": 0}}
    after = dump(dicts.store)
    for table in ("session", "session_profile", "checkpoint", "client_session"):
        left = [row for row in before[table] if body["id"] not in row]
        assert after[table] == left, table
        assert left, table
    assert after["scope"] == before["scope"]
    assert [row[:-1] for row in after["event"]][: len(before["event"])] == [row[:-1] for row in before["event"]]
    assert (after["event"][-1][3], after["audit"][-1][4]) == ("session.deleted", "session.deleted")
    assert profile_of(dicts.store, other["id"]).client_session_id == "client-2"
