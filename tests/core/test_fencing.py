"""Fencing tokens: what a wrong one does to each verb in each state (nothing), and what a missing one does."""

from itertools import product
from typing import Final

import pytest

from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.commands.starts import TakeOverSession
from holdfast.commands.transitions import ArchiveSession, DeleteSession, EndSession
from holdfast.commands.view import Reply
from holdfast.domain.errors import Action, Code, Refusal
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import EndReason
from holdfast.testing.factories import ADMIN, LEASE_MS, OPERATOR, start
from tests.core.test_status_table import CELLS, STATUSES
from tests.support.states import HOLDERS_VERBS, STATES, VERBS, reach
from tests.support.stores import World, answer, dump, dump_account, rows_of, session_of

TOKEN_FLOOR: Final = 70_707_070
"""Makes tokens that are found in a text where they do not belong."""


@pytest.fixture
def floored(dicts: World) -> World:
    """A store whose tokens are long numbers."""
    (state,) = rows_of(dicts.store, ServiceState)
    dicts.store.tables[ServiceState][(1,)] = state._replace(token_floor=TOKEN_FLOOR)  # type: ignore[attr-defined]
    return dicts


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("offset", [-1, 1])
def test_a_wrong_token_is_refused_and_changes_nothing(state: str, offset: int, floored: World) -> None:
    for number, (verb, is_exclusive) in enumerate(product((*HOLDERS_VERBS, "archive", "delete"), (True, False))):
        subject = reach(state, floored.caller, is_exclusive=is_exclusive, account_id=f"account-{number}")
        before = dump_account(floored.store, subject.holder.account_id)
        said = VERBS[verb](subject, subject.token + offset)
        refusal = floored.caller.refused(said.command, by=said.by)
        assert refusal.code == Code.FENCING_TOKEN_STALE, (verb, is_exclusive)
        assert dump_account(floored.store, subject.holder.account_id) == before, (verb, is_exclusive)
        assert str(TOKEN_FLOOR)[:6] not in answer(refusal)


@pytest.mark.parametrize("state", STATES)
def test_a_missing_token_is_refused_for_an_exclusive_session_only(state: str, floored: World) -> None:
    for number, (verb, is_exclusive) in enumerate(product(HOLDERS_VERBS, (True, False))):
        subject = reach(state, floored.caller, is_exclusive=is_exclusive, account_id=f"account-{number}")
        before = dump_account(floored.store, subject.holder.account_id)
        said = VERBS[verb](subject, None)
        outcome = floored.caller.do(said.command, by=said.by)
        expected = CELLS[state][verb].split()[0]
        is_over = state.startswith(("failed by report", "abandoned", "ended")) or "taken over" in state
        if expected in STATUSES and is_exclusive and not is_over:
            expected = "fencing_token_required"
        if expected in STATUSES:
            assert isinstance(outcome, Reply), (verb, is_exclusive, outcome)
            assert session_of(floored.store, subject.id).status == expected
            continue
        assert isinstance(outcome, Refusal), (verb, is_exclusive)
        assert outcome.code == expected, (verb, is_exclusive)
        assert dump_account(floored.store, subject.holder.account_id) == before, (verb, is_exclusive)
        assert str(TOKEN_FLOOR)[:6] not in answer(outcome)


def test_the_refusal_of_a_missing_token_says_how_to_go_on(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    refusal = dicts.caller.refused(Heartbeat(subject.id))
    actions = [way.action for way in refusal.ways_out]
    assert actions == [Action.REPEAT_WITH_TOKEN, Action.EXPLAIN, Action.START]


def test_the_attempt_before_a_resume_cannot_write_any_more(dicts: World) -> None:
    first = dicts.caller.accepted(start(exclusive=True)).body
    second = dicts.caller.accepted(start(exclusive=True)).body
    assert (second["id"], second["fencing_token"]) == (first["id"], first["fencing_token"] + 1)
    before = dump(dicts.store)
    late_release = EndSession(first["id"], first["fencing_token"], EndReason.COMPLETED)
    assert dicts.caller.refused(late_release).code == Code.FENCING_TOKEN_STALE
    assert dump(dicts.store) == before


def test_an_old_holder_cannot_reach_its_successor(dicts: World) -> None:
    old = dicts.caller.accepted(start(exclusive=True)).body
    dicts.caller.serve(LEASE_MS)
    new = dicts.caller.accepted(TakeOverSession(old["id"], None, "holder-2", "it is silent")).body
    before = dump(dicts.store)
    for session_id, token, code in (
        (old["id"], old["fencing_token"], Code.SESSION_TAKEN_OVER),
        (old["id"], None, Code.SESSION_TAKEN_OVER),
        (old["id"], new["fencing_token"], Code.FENCING_TOKEN_STALE),
        (new["id"], old["fencing_token"], Code.FENCING_TOKEN_STALE),
        (new["id"], None, Code.FENCING_TOKEN_REQUIRED),
    ):
        assert dicts.caller.refused(Heartbeat(session_id, token)).code == code
        assert dicts.caller.refused(EndSession(session_id, token, EndReason.MANUAL)).code == code
    assert dump(dicts.store) == before


def test_tokens_go_on_where_a_deleted_session_left_them(dicts: World) -> None:
    first = dicts.caller.accepted(start(exclusive=True)).body
    dicts.caller.accepted(EndSession(first["id"], first["fencing_token"], EndReason.CLEARED))
    dicts.caller.accepted(ArchiveSession(first["id"]))
    dicts.caller.accepted(DeleteSession(first["id"]))
    second = dicts.caller.accepted(start(exclusive=True)).body
    assert second["fencing_token"] == first["fencing_token"] + 1


def test_no_token_at_or_below_the_floor_is_issued(floored: World) -> None:
    assert floored.caller.accepted(start()).body["fencing_token"] == TOKEN_FLOOR + 1


def test_each_sharer_has_a_token_of_its_own_and_none_touches_another_s(dicts: World) -> None:
    sharers = [dicts.caller.accepted(start(holder_id=f"holder-{number}")).body for number in range(3)]
    assert [body["fencing_token"] for body in sharers] == [1, 2, 3]
    dicts.caller.serve(5_000)
    for body in sharers:
        dicts.caller.accepted(Heartbeat(body["id"], body["fencing_token"]))
        for other in sharers:
            if other is not body:
                wrong = Heartbeat(body["id"], other["fencing_token"])
                assert dicts.caller.refused(wrong).code == Code.FENCING_TOKEN_STALE


def test_a_refused_beat_of_many_changes_nothing_and_keeps_no_other_from_counting(dicts: World) -> None:
    bodies = [dicts.caller.accepted(start(f"repo={name}", exclusive=True)).body for name in "abc"]
    dicts.caller.serve(5_000)
    before = session_of(dicts.store, bodies[1]["id"])
    tokens = [body["fencing_token"] for body in bodies]
    tokens[1] += 1
    beats = [Heartbeat(body["id"], token, "busy") for body, token in zip(bodies, tokens, strict=True)]
    reply = dicts.caller.accepted(HeartbeatBatch((*beats, Heartbeat(bodies[0]["id"])))).body
    assert [result["ok"] for result in reply["results"]] == [True, False, True, False]
    codes = [result["refusal"]["code"] for result in reply["results"] if not result["ok"]]
    assert codes == ["fencing_token_stale", "fencing_token_required"]
    assert (reply["accepted"], reply["refused"]) == (2, 2)
    assert session_of(dicts.store, bodies[1]["id"]) == before
    assert session_of(dicts.store, bodies[2]["id"]).activity == "busy"


def test_a_foreign_session_is_refused_as_an_unknown_one(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    before = dump(dicts.store)
    for stranger in (OPERATOR, ADMIN):
        for verb, say in VERBS.items():
            if verb == "take over, forced by an agent":
                continue
            foreign = stranger._replace(account_id=subject.holder.account_id + "-2")  # type: ignore[arg-type]
            refusal = dicts.caller.refused(say(subject, subject.token).command, by=foreign)
            unknown = subject._replace(id=f"{subject.id}x")  # type: ignore[arg-type]
            assert answer(refusal) == answer(dicts.caller.refused(say(unknown, subject.token).command, by=foreign))
            assert refusal.code == Code.NOT_FOUND
    assert dump(dicts.store) == before
