"""Every way out that a refusal suggests works, in the very state in which it is suggested."""

from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest

from holdfast.commands.command import Command
from holdfast.commands.keys import CreateKey
from holdfast.commands.notes import PatchSession
from holdfast.commands.recovery import RecoverSession
from holdfast.commands.rows import Key
from holdfast.commands.starts import StartSession, TakeOver, TakeOverSession
from holdfast.commands.transitions import ArchiveSession, DeleteSession, EndSession, ResumeSession
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.errors import Action, Refusal, WayOut
from holdfast.domain.ids import KeyId, SessionId
from holdfast.domain.session import EndReason, Session
from holdfast.engine.batch import Outcome
from holdfast.testing.factories import ADMIN, AGENT, LEASE_MS, start
from tests.support.states import ATTEMPTS_MAX, STATES, VERBS, Subject, reach
from tests.support.stores import World, answer, fork, session_of, world

OUTSIDE: Final = {Action.READ, Action.EXPLAIN}
"""What is asked of the readers, and works for every session that there is."""

TOKEN_CHOICES: Final = ("current", "missing", "older", "higher")


def follow(elsewhere: World, way: WayOut, refused: Command, by: Actor) -> Outcome | None:
    """Do what a way out says, as the caller who was refused; None: there is nothing to do but to read."""
    caller, action = elsewhere.caller, way.action
    if action in OUTSIDE:
        assert elsewhere.store.get(Key(Session, (way.session_id,))) is not None
        return None
    if action == Action.START:
        if way.identity is None:
            return caller.do(start("repo=another"), by=by)
        identity = way.identity
        return caller.do(StartSession(identity.scope, identity.agent, identity.holder_id), by=by)
    if action == Action.CREATE_KEY:
        return caller.do(CreateKey("new", KeyScope.AGENT, None, bytes(32)), by=ADMIN._replace(account_id=by.account_id))
    if action == Action.REPEAT_WITH_NEW_KEY:
        return caller.do(refused, by=by, key="another-key")
    if action == Action.START_TAKING_OVER:
        assert isinstance(refused, StartSession)
        return caller.do(refused._replace(take_over=TakeOver("it is silent", SessionId(way.session_id or ""))), by=by)
    return follow_to_session(elsewhere, way, refused, by)


def follow_to_session(elsewhere: World, way: WayOut, refused: Command, by: Actor) -> Outcome:
    """Do what a way out says of a session, with that session's token."""
    caller = elsewhere.caller
    session = session_of(elsewhere.store, way.session_id or "")
    token = session.fencing_token
    match way.action:
        case Action.TAKE_OVER:
            if way.after_at_ms is not None:
                caller.serve(way.after_at_ms - elsewhere.clock.now_ms())
            return caller.do(TakeOverSession(session.id, None, "holder-3", "it is silent"), by=by)
        case Action.FORCE_TAKE_OVER:
            operator = by._replace(key_id=KeyId("key_operator"), scope=KeyScope.OPERATOR)
            return caller.do(TakeOverSession(session.id, None, "holder-3", "it has to be", force=True), by=operator)
        case Action.RECOVER:
            if way.after_at_ms is not None:
                caller.serve(way.after_at_ms - elsewhere.clock.now_ms())
            return caller.do(RecoverSession(session.id, "holder-3", ATTEMPTS_MAX), by=by)
        case Action.FORCE_RECOVER:
            operator = by._replace(key_id=KeyId("key_operator"), scope=KeyScope.OPERATOR)
            forced = RecoverSession(session.id, "holder-3", ATTEMPTS_MAX, force=True, reason="it has to be")
            return caller.do(forced, by=operator)
        case Action.RESUME:
            return caller.do(ResumeSession(session.id, token), by=by)
        case Action.END:
            return caller.do(EndSession(session.id, token, EndReason.COMPLETED), by=by)
        case Action.ARCHIVE:
            return caller.do(ArchiveSession(session.id), by=by)
        case Action.REPEAT_WITH_TOKEN:
            return caller.do(refused._replace(fencing_token=token), by=by)  # type: ignore[attr-defined]
        case Action.REPEAT_WITH_REVISION:
            return caller.do(refused._replace(revision=session.revision), by=by)  # type: ignore[attr-defined]
        case _:
            raise AssertionError(f"nobody knows how to {way.action}")


def check(here: World, refusal: Refusal, refused: Command, by: Actor) -> None:
    """Follow every way out, each from the same state."""
    for way in refusal.ways_out:
        outcome = follow(fork(here), way, refused, by)
        assert outcome is None or isinstance(outcome, Reply), f"{way} after {answer(refusal)}: {outcome}"


def token_of(subject: Subject, choice: str) -> int | None:
    """A token to say a verb with."""
    return {"current": subject.token, "missing": None, "older": subject.token - 1, "higher": subject.token + 1}[choice]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("is_exclusive", [False, True])
def test_every_way_out_of_a_refused_verb_works(state: str, is_exclusive: bool, dicts: World) -> None:
    refusals = 0
    subject = reach(state, dicts.caller, is_exclusive=is_exclusive)
    for is_swept in (False, True):
        if is_swept:
            dicts.caller.sweep()
        for say in VERBS.values():
            for choice in TOKEN_CHOICES:
                said = say(subject, token_of(subject, choice))
                here = fork(dicts)
                outcome = here.caller.do(said.command, by=said.by)
                if isinstance(outcome, Refusal):
                    refusals += 1
                    check(dicts, outcome, said.command, said.by)
    assert refusals > 0


def existing(world: World, states: tuple[str, ...], *, is_exclusive: bool) -> Iterator[Subject]:
    """Sessions on one scope, one for each state, by holders of their own."""
    for number, state in enumerate(states):
        if number == 0:
            yield reach(state, world.caller, is_exclusive=is_exclusive)
        else:
            other = start(holder_id=f"sharer-{number}", policy=STATES[state][0])
            body = world.caller.accepted(other).body
            subject = Subject(world.caller, AGENT, other.scope or "", body["id"], body["fencing_token"], False)
            for step in STATES[state][1]:
                result = step(subject)
                subject = result if isinstance(result, Subject) else subject
            yield subject


STARTS: Final = [
    start(holder_id="holder-9", exclusive=is_exclusive, take_over=take_over, client_session_id=client_session_id)
    for is_exclusive in (None, True)
    for take_over in (None, TakeOver("it is silent"))
    for client_session_id in (None, "client-9")
]

CROWDS: Final = [
    *[((state,), is_exclusive) for state in STATES for is_exclusive in (False, True)],
    *[(pair, False) for pair in product(("active", "parked", "stalled", "abandoned"), ("active", "stalled"))],
    (("stalled", "stalled", "stalled"), False),
]


@pytest.mark.parametrize(("states", "is_exclusive"), CROWDS, ids=str)
def test_every_way_out_of_a_refused_start_works(states: tuple[str, ...], is_exclusive: bool, dicts: World) -> None:
    subjects = list(existing(dicts, states, is_exclusive=is_exclusive))
    named = [
        start(holder_id="holder-9", exclusive=each, take_over=TakeOver("it is silent", subject.id))
        for each in (None, True)
        for subject in subjects
    ]
    for is_swept in (False, True):
        if is_swept:
            dicts.caller.sweep()
        for command in (*STARTS, *named):
            outcome = fork(dicts).caller.do(command)
            if isinstance(outcome, Refusal):
                check(dicts, outcome, command, AGENT)


def test_a_lapsed_holder_can_be_taken_over_as_a_start_is_told(dicts: World) -> None:
    subject = reach("stalled", dicts.caller, is_exclusive=True)
    refusal = dicts.caller.refused(start(holder_id="holder-9", exclusive=True))
    assert (refusal.code.value, refusal.data["session_id"]) == ("scope_lapsed", subject.id)
    assert [way.action for way in refusal.ways_out] == [Action.START_TAKING_OVER, Action.TAKE_OVER, Action.RECOVER]


def test_the_ways_out_of_other_refusals_work(dicts: World) -> None:
    subject = reach("active", dicts.caller, is_exclusive=True)
    ended = reach("ended", dicts.caller, is_exclusive=True, scope="repo=ended")
    conflict = PatchSession(subject.id, subject.token, 99, (("branch", "main"),))
    check(dicts, dicts.caller.refused(conflict), conflict, AGENT)
    delete = DeleteSession(ended.id)
    check(dicts, dicts.caller.refused(delete), delete, AGENT)
    dicts.caller.accepted(start("repo=c", client_session_id="client-1"))
    reused = start("repo=d", client_session_id="client-1")
    check(dicts, dicts.caller.refused(reused), reused, AGENT)
    dicts.caller.accepted(start("repo=e"), key="key-1")
    another_body = start("repo=f")
    check(dicts, dicts.caller.refused(another_body, key="key-1"), another_body, AGENT)
    create = CreateKey("ci", KeyScope.AGENT, None, bytes([7]) * 32)
    dicts.caller.accepted(create, by=ADMIN, key="key-2")
    check(dicts, dicts.caller.refused(create, by=ADMIN, key="key-2"), create, ADMIN)


def test_a_crowded_scope_can_be_shared(dicts: World) -> None:
    for number in range(257):
        dicts.caller.accepted(start(holder_id=f"holder-{number}", policy=None))
    dicts.caller.serve(LEASE_MS)
    alone = start(holder_id="holder-x", exclusive=True)
    refusal = dicts.caller.refused(alone)
    assert refusal.code.value == "scope_crowded"
    check(dicts, refusal, alone, AGENT)
    with world("dicts", sqlite_path=None, postgres_url=None) as fewer:
        for number in range(256):
            fewer.caller.accepted(start(holder_id=f"holder-{number}", policy=None))
        assert fewer.caller.refused(alone).code.value == "lease_held"
