"""Handoffs: what is written of them, what becomes of them, and what is drafted where nobody wrote one."""

import json
from typing import Any, Final

import pytest

from holdfast.commands.handoffs import CreateHandoff, RegisterSchema, SetHandoffStatus
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.starts import TakeOverSession
from holdfast.commands.transitions import ArchiveSession, DeleteSession, EndSession, FailSession
from holdfast.commands.view import Reply
from holdfast.domain.drafting import drafted
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.handoff import LIFE, SETTABLE, Draft, Handoff, HandoffBody, HandoffStatus, Topic, Who
from holdfast.domain.ids import HandoffId, SessionId
from holdfast.domain.limits import ABANDON_AFTER_MS
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.session import EndReason
from holdfast.testing.factories import AGENT, FAIL_AFTER_MS, LEASE_MS, NEVER_FAILS, OPERATOR, actor, start
from tests.support.states import reach
from tests.support.stores import World, dump, profile_of, rows_of, session_of


def draft(summary: str = "half of it is done", **fields: Any) -> Draft:
    """A handoff that says little."""
    return drafted(**{"summary": summary, "payload": {"summary": summary}} | fields)


def end(subject: Any, said: Draft | None, reason: EndReason = EndReason.COMPLETED) -> EndSession:
    return EndSession(subject.id, subject.token, reason, None, said)


def handoffs(world: World) -> list[Handoff]:
    """All of them, oldest first."""
    return sorted(rows_of(world.store, Handoff), key=lambda each: each.id)


def test_an_end_with_a_handoff_leaves_both_and_the_same_again_is_answered_alike(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    first = dicts.caller.accepted(end(subject, draft()))
    before = dump(dicts.store)
    dicts.caller.serve(5_000)
    again = dicts.caller.accepted(end(subject, draft()))
    (handoff,) = handoffs(dicts)
    assert (first.body["status"], first.body["handoff_id"], again.body) == ("ended", handoff.id, first.body)
    assert {name: rows for name, rows in dump(dicts.store).items() if name != "service_state"} == {
        name: rows for name, rows in before.items() if name != "service_state"
    }
    assert (handoff.status, handoff.auto, handoff.from_agent, handoff.scope) == ("open", False, "claude", subject.scope)
    found = dicts.caller.accepted(start(subject.scope)).body["last_handoff"]
    assert (found["id"], found["payload_json"]) == (handoff.id, '{"summary":"half of it is done"}')


def test_another_handoff_of_an_ended_session_is_refused_and_kept_once(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(end(subject, draft()))
    replies = [dicts.caller.accepted(end(subject, draft("something else"))) for _ in range(2)]
    refusals = [reply.body["refusal"] for reply in replies]
    _, orphan = handoffs(dicts)
    assert [each["code"] for each in refusals] == ["session_ended"] * 2
    assert [each["data"]["handoff_id"] for each in refusals] == [orphan.id] * 2
    assert (orphan.orphan_reason, orphan.summary) == ("session_ended", "something else")
    assert dicts.caller.accepted(start(subject.scope)).body["last_handoff"]["id"] == orphan.id


REFUSED: Final = {
    "ended": "session_ended",
    "ended, taken over": "session_taken_over",
    "failed, taken over": "session_taken_over",
    "abandoned, taken over": "session_taken_over",
    "abandoned, replaced": "session_abandoned",
    "failed by report": "session_failed",
}


@pytest.mark.parametrize("state", REFUSED)
@pytest.mark.parametrize("is_kept_open", [False, True])
def test_the_last_words_of_a_session_that_is_over_are_kept_though_refused(
    dicts: World, state: str, is_kept_open: bool
) -> None:
    subject = reach(state, dicts.caller, is_exclusive=True)
    said = draft("my last words")
    command = CreateHandoff(subject.id, None, said) if is_kept_open else end(subject, said)
    before = session_of(dicts.store, subject.id)
    reply = dicts.caller.accepted(command, key="one-key")
    orphan = handoffs(dicts)[-1]
    assert (reply.body["refusal"]["code"], orphan.orphan_reason) == (REFUSED[state], REFUSED[state])
    assert (orphan.summary, orphan.auto, session_of(dicts.store, subject.id)) == ("my last words", False, before)
    again = dicts.caller.accepted(command, key="one-key")
    assert (again.is_replay, again.body) == (True, reply.body)


@pytest.mark.parametrize("state", ["abandoned", "failed by silence", "stalled", "parked"])
def test_an_end_after_silence_is_accepted_with_its_handoff(dicts: World, state: str) -> None:
    subject = reach(state, dicts.caller, is_exclusive=True)
    body = dicts.caller.accepted(end(subject, draft())).body
    (handoff,) = [each for each in handoffs(dicts) if not each.auto]
    assert (body["status"], body["late"]) == ("ended", state in ("abandoned", "failed by silence"))
    assert (body["handoff_id"], handoff.orphan_reason) == (handoff.id, None)


def test_a_stale_or_missing_token_leaves_nothing(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    before = dump(dicts.store)
    for token, code in ((subject.token + 1, Code.FENCING_TOKEN_STALE), (None, Code.FENCING_TOKEN_REQUIRED)):
        for command in (
            EndSession(subject.id, token, EndReason.COMPLETED, None, draft()),
            CreateHandoff(subject.id, token, draft()),
        ):
            assert dicts.caller.refused(command).code == code
    assert dump(dicts.store) == before


def test_each_different_handoff_of_a_session_that_goes_on_is_a_new_one(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    said = [CreateHandoff(subject.id, subject.token, draft(summary)) for summary in ("one", "two", "one")]
    replies = [dicts.caller.accepted(command) for command in said]
    assert [reply.created for reply in replies] == [True, True, False]
    assert replies[0].body["id"] == replies[2].body["id"] != replies[1].body["id"]
    ended = dicts.caller.accepted(end(subject, draft("two")))
    assert ended.body["handoff_id"] == replies[1].body["id"]
    assert len(handoffs(dicts)) == 2


def test_a_session_that_breaks_off_leaves_a_draft_of_what_is_known(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    note = WriteCheckpoint(subject.id, subject.token, "the parser works", '["parser"]', "[]", '["lexer"]', None, "dev")
    dicts.caller.accepted(note)
    dicts.caller.serve(FAIL_AFTER_MS)
    dicts.caller.sweep()
    (found,) = handoffs(dicts)
    assert (found.auto, found.branch, found.from_agent, found.status) == (True, "dev", "claude", "open")
    assert "fell silent" in found.summary
    assert "the parser works" in found.summary
    (body,) = rows_of(dicts.store, HandoffBody)
    assert (body.work_completed_json, body.next_actions_json) == ('["parser"]', '["lexer"]')
    assert json.loads(body.payload_json)["checkpoint"]["number"] == 1
    # It is given up and then taken over, and nothing new is known of it.
    dicts.caller.serve(ABANDON_AFTER_MS)
    dicts.caller.sweep()
    taken = dicts.caller.accepted(TakeOverSession(subject.id, "codex", "holder-2", "it is silent"))
    assert [each.id for each in handoffs(dicts)] == [found.id]
    assert taken.body["last_handoff"]["id"] == found.id


@pytest.mark.parametrize("policy", [None, NEVER_FAILS])
def test_a_session_that_is_taken_over_or_superseded_leaves_a_draft(dicts: World, policy: Any) -> None:
    subject = reach("stalled", dicts.caller, is_exclusive=True)
    taken = dicts.caller.accepted(TakeOverSession(subject.id, "codex", "holder-2", "it is silent")).body
    assert (taken["last_handoff"]["auto"], taken["last_handoff"]["session_id"]) == (True, subject.id)
    started = dicts.caller.accepted(start(subject.scope, agent="codex", holder_id="holder-2", supersede=True)).body
    assert (started["last_handoff"]["auto"], started["last_handoff"]["session_id"]) == (True, taken["id"])


def test_own_words_leave_no_room_for_a_draft_but_later_work_does(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(CreateHandoff(subject.id, subject.token, draft()))
    dicts.caller.serve(FAIL_AFTER_MS)
    dicts.caller.sweep()
    assert [each.auto for each in handoffs(dicts)] == [False]
    back = dicts.caller.accepted(start(subject.scope, exclusive=True)).body
    dicts.caller.serve(10_000)
    dicts.caller.accepted(FailSession(subject.id, back["fencing_token"], "the build broke"))
    assert [each.auto for each in handoffs(dicts)] == [False, True]


def test_an_end_that_is_the_works_own_leaves_no_draft(dicts: World) -> None:
    done = reach("active", dicts.caller, is_exclusive=True, scope="repo=done")
    dicts.caller.accepted(EndSession(done.id, done.token, EndReason.COMPLETED))
    assert handoffs(dicts) == []
    subject = reach("failed by silence", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(EndSession(subject.id, subject.token, EndReason.COMPLETED))
    # It had failed by then, whether anybody had seen it or not.
    assert [each.auto for each in handoffs(dicts)] == [True]
    other = reach("active", dicts.caller, is_exclusive=True, scope="repo=other")
    dicts.caller.accepted(end(other, draft(), EndReason.CRASHED))
    assert [each.auto for each in handoffs(dicts)] == [True, False]
    third = reach("active", dicts.caller, is_exclusive=True, scope="repo=third")
    dicts.caller.accepted(EndSession(third.id, third.token, EndReason.CRASHED))
    assert [each.auto for each in handoffs(dicts)] == [True, False, True]


def about(world: World, track: str | None = None, **fields: Any) -> dict[str, Any]:
    """A started session about a repository."""
    parts = ScopeParts(venture="v", repo="o/r", track=track)
    command = start(canonical(parts), holder_id=f"holder-{track}", **fields)
    return world.caller.accepted(command._replace(about=command.about._replace(parts=parts))).body


def test_a_newer_handoff_on_an_issue_supersedes_the_open_one(dicts: World) -> None:
    session = about(dicts)
    ids = []
    for number, summary in ((7, "one"), (8, "two"), (7, "three"), (7, "four")):
        said = draft(summary, topic=Topic(issue_number=number))
        ids.append(dicts.caller.accepted(CreateHandoff(SessionId(session["id"]), None, said)).body["id"])
        if summary == "three":
            dicts.caller.accepted(SetHandoffStatus(HandoffId(ids[-1]), HandoffStatus.ACKNOWLEDGED))
    found = {each.id: (str(each.status), each.superseded_by) for each in handoffs(dicts)}
    assert [found[each] for each in ids] == [
        ("superseded", ids[2]),
        ("open", None),
        ("acknowledged", None),
        ("open", None),
    ]


def test_a_handoff_is_found_by_its_track_and_else_by_its_repository(dicts: World) -> None:
    first, second = about(dicts, "1"), about(dicts, "2")
    dicts.caller.accepted(EndSession(SessionId(first["id"]), None, EndReason.COMPLETED, None, draft("of track 1")))
    dicts.caller.accepted(EndSession(SessionId(second["id"]), None, EndReason.COMPLETED, None, draft("of track 2")))
    assert about(dicts, "1")["last_handoff"]["summary"] == "of track 1"
    assert about(dicts, "3")["last_handoff"] is None
    assert about(dicts, "4", looks_wider=True)["last_handoff"]["summary"] == "of track 2"
    # Of a withdrawn one nothing is shown.
    last = handoffs(dicts)[-1]
    dicts.caller.accepted(SetHandoffStatus(last.id, HandoffStatus.WITHDRAWN))
    assert about(dicts, "5", looks_wider=True)["last_handoff"]["summary"] == "of track 1"


def bring_to(world: World, status: HandoffStatus, subject: Any) -> HandoffId:
    """A handoff in a status, whichever way leads there."""
    said = draft(f"to be {status}")
    handoff_id = HandoffId(world.caller.accepted(CreateHandoff(subject.id, subject.token, said)).body["id"])
    if status in SETTABLE:
        world.caller.accepted(SetHandoffStatus(handoff_id, status, "as it should be"))
    return handoff_id


@pytest.mark.parametrize("to", SETTABLE)
@pytest.mark.parametrize("status", [HandoffStatus.OPEN, *SETTABLE])
def test_a_handoff_takes_the_steps_of_its_life_and_no_other(
    dicts: World, status: HandoffStatus, to: HandoffStatus
) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    handoff_id = bring_to(dicts, status, subject)
    other = actor(key_id="key_other")
    for by in (other, AGENT, OPERATOR):
        before = dump(dicts.store)
        outcome = dicts.caller.do(SetHandoffStatus(handoff_id, to, "why"), by=by)
        (now,) = handoffs(dicts)
        who = LIFE[status].get(to)
        if who == Who.ANYBODY or (who == Who.SENDER and by != other):
            assert isinstance(outcome, Reply)
            assert (now.status, now.status_by, now.status_note) == (to, by.key_id, "why")
            assert (now.open_at_ms, now.closed_at_ms is None) == (None, to == HandoffStatus.ACKNOWLEDGED)
            # Said again by the same key it is as it was; nobody else can say it too.
            assert dicts.caller.accepted(SetHandoffStatus(handoff_id, to, "again"), by=by) == outcome
            return
        if status == to and by == AGENT:
            assert isinstance(outcome, Reply)
            assert now.status_note == "as it should be"
            continue
        assert isinstance(outcome, Refusal)
        assert outcome.code == (Code.FORBIDDEN if who == Who.SENDER else Code.HANDOFF_SETTLED)
        assert dump(dicts.store) == before


def test_a_foreign_handoff_is_not_there(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    handoff_id = bring_to(dicts, HandoffStatus.OPEN, subject)
    foreign = actor("another")
    told = [
        dicts.caller.refused(SetHandoffStatus(each, HandoffStatus.DONE), by=foreign)
        for each in (handoff_id, HandoffId("ho_none"))
    ]
    assert [(each.code, each.data) for each in told] == [(Code.NOT_FOUND, {"what": "handoff"})] * 2
    bound = AGENT._replace(project_id="p1")
    assert dicts.caller.refused(SetHandoffStatus(handoff_id, HandoffStatus.DONE), by=bound).code == Code.NOT_FOUND


def test_a_version_of_a_schema_never_changes(dicts: World) -> None:
    first = dicts.caller.accepted(RegisterSchema("review/1", "{}", "a"))
    again = dicts.caller.accepted(RegisterSchema("review/1", "{}", "a"))
    assert (first.created, again.created, again.body) == (True, False, first.body)
    assert dicts.caller.refused(RegisterSchema("review/1", "true", "b")).code == Code.HANDOFF_SCHEMA_EXISTS
    assert dicts.caller.accepted(RegisterSchema("review/2", "true", "b")).created


def test_a_deleted_session_takes_its_handoffs_along(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(CreateHandoff(subject.id, subject.token, draft("one")))
    dicts.caller.accepted(end(subject, draft("two")))
    dicts.caller.accepted(ArchiveSession(subject.id))
    deleted = dicts.caller.accepted(DeleteSession(subject.id)).body["deleted"]
    assert deleted == {"sessions": 1, "checkpoints": 0, "handoffs": 2}
    assert (handoffs(dicts), rows_of(dicts.store, HandoffBody)) == ([], [])


def test_the_clock_of_a_handoff_is_the_stores_own(database: World) -> None:
    account_id = "handoffs-1"
    holder = actor(account_id)
    begun = database.caller.accepted(start("repo=x", exclusive=True), by=holder).body
    command = EndSession(SessionId(begun["id"]), begun["fencing_token"], EndReason.COMPLETED, None, draft())
    outcomes = database.caller.do_all(command, command, command, by=holder)
    assert len({str(outcome.body) for outcome in outcomes if isinstance(outcome, Reply)}) == 1
    (handoff,) = [each for each in rows_of(database.store, Handoff) if each.account_id == account_id]
    assert handoff.created_at_ms == profile_of(database.store, begun["id"]).ended_at_ms


def test_a_draft_is_written_in_the_sweep_that_finds_the_silence(database: World) -> None:
    holder = actor("handoffs-2")
    begun = database.caller.accepted(start("repo=x", exclusive=True), by=holder).body
    database.caller.accepted(WriteCheckpoint(begun["id"], begun["fencing_token"], "half of it"), by=holder)
    database.caller.serve(LEASE_MS)
    database.caller.sweep()
    assert [each for each in rows_of(database.store, Handoff) if each.account_id == "handoffs-2"] == []
    database.caller.serve(FAIL_AFTER_MS)
    database.caller.sweep()
    (found,) = [each for each in rows_of(database.store, Handoff) if each.account_id == "handoffs-2"]
    assert (found.auto, found.session_id) == (True, begun["id"])
    take_over = TakeOverSession(begun["id"], "codex", "holder-2", "it is silent")
    next_one = database.caller.accepted(take_over, by=holder)
    assert next_one.body["last_handoff"]["id"] == found.id
