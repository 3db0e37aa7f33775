"""It never matters whether the sweeper came by before a caller did: the answer and the rows are the same."""

import re
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.commands.command import Command
from holdfast.commands.notes import PatchSession
from holdfast.commands.starts import TakeOver
from holdfast.commands.transitions import ArchiveSession, DeleteSession, EndSession, ParkSession
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditHead, AuditRecord
from holdfast.domain.ids import Mint
from holdfast.domain.lifecycle import settle
from holdfast.domain.limits import ABANDON_AFTER_MS, MINUTE_MS
from holdfast.domain.session import EndReason, Session
from holdfast.testing.factories import AGENT, FAIL_AFTER_MS, LEASE_MS, report, start
from tests.support.states import STATES, VERBS, Subject, reach
from tests.support.stores import World, answer, dump, fork, session_of, strictly, world

QUICK: Final = settings(max_examples=200, deadline=None, derandomize=True, database=None)

SILENCES_MS: Final = st.sampled_from(
    (0, 1, LEASE_MS - 1, LEASE_MS, FAIL_AFTER_MS, MINUTE_MS * 30, ABANDON_AFTER_MS, 2 * ABANDON_AFTER_MS)
)

STARTS: Final = {
    f"start {number}": start(holder_id=holder_id, exclusive=exclusive, take_over=take_over, supersede=supersede)
    for number, (holder_id, exclusive, take_over, supersede) in enumerate(
        (holder_id, exclusive, take_over, supersede)
        for holder_id in ("holder-1", "holder-9")
        for exclusive in (None, True)
        for take_over in (None, TakeOver("it is silent"))
        for supersede in (False, True)
    )
}

IDS: Final = re.compile(r"\b(evt|aud|cp|ho|sess)_[0-9A-Z]{26}")
"""Ids, whose random part depends on how many others the same command made; what they name is compared."""


def said(name: str, subject: Subject, *, has_token: bool) -> tuple[Command, Actor]:
    """What is said to a session, or of its scope."""
    token = subject.token if has_token else None
    if name in STARTS:
        return STARTS[name], AGENT
    if name == "patch what is known":
        return PatchSession(subject.id, token, 2, (("branch", "main"),)), AGENT
    if name == "report":
        return report("client-1", fencing_token=token), AGENT
    return VERBS[name](subject, token)


def seen(outcome: str, here: World, *, known: set[str]) -> tuple[str, str]:
    """An answer and everything in the store, without ids that are new and without who noticed what time did."""

    def named(text: str) -> str:
        return IDS.sub(lambda found: found[0] if found[0] in known else f"new {found[1]}", text)

    rows = {name: [list(row) for row in table] for name, table in dump(here.store).items()}
    check_due = Session._fields.index("check_due_ms")
    for row in rows["session"]:
        row[check_due] = None
    # Events of several sessions may be told in another order; those of one are not.
    rows["event"].sort(key=lambda row: str(row[5]))
    for row in rows["event"]:
        row[1] = row[2] = row[8] = row[9] = None
    # A record's hash is over its id, which is new as well.
    for row in rows["audit"]:
        row[AuditRecord._fields.index("previous_sha256")] = row[AuditRecord._fields.index("sha256")] = None
    for row in rows["audit_head"]:
        row[AuditHead._fields.index("last_sha256")] = None
    return named(outcome), named(strictly(rows))


QUESTIONS: Final = given(
    state=st.sampled_from(sorted(STATES)),
    name=st.sampled_from(sorted([*VERBS, *STARTS, "patch what is known", "report"])),
    silence_ms=SILENCES_MS,
    is_exclusive=st.booleans(),
    has_token=st.booleans(),
)


@QUICK
@QUESTIONS
@example("failed by report", "fail", 2 * ABANDON_AFTER_MS, True, True)
@example("stalled", "patch what is known", 0, True, True)
@example("parked", "resume", ABANDON_AFTER_MS, True, True)
@example("abandoned", "start 0", 0, True, True)
@example("abandoned", "report", 0, False, False)
def test_a_sweep_just_before_changes_nothing(
    state: str, name: str, silence_ms: int, is_exclusive: bool, has_token: bool
) -> None:
    check_that_a_sweep_changes_nothing(state, name, silence_ms, is_exclusive=is_exclusive, has_token=has_token)


@pytest.mark.proof
@settings(QUICK, max_examples=20_000, derandomize=False)
@QUESTIONS
def test_a_sweep_just_before_changes_nothing_however_often(
    state: str, name: str, silence_ms: int, is_exclusive: bool, has_token: bool
) -> None:
    check_that_a_sweep_changes_nothing(state, name, silence_ms, is_exclusive=is_exclusive, has_token=has_token)


def check_that_a_sweep_changes_nothing(
    state: str, name: str, silence_ms: int, *, is_exclusive: bool, has_token: bool
) -> None:
    with world("dicts", sqlite_path=None, postgres_url=None) as unswept:
        unswept.caller.accepted(start(client_session_id="client-1", exclusive=is_exclusive, policy=STATES[state][0]))
        subject = reach(state, unswept.caller, is_exclusive=is_exclusive)
        if state == "parked":
            wake_at_ms = unswept.clock.now_ms() + silence_ms
            unswept.caller.accepted(ParkSession(subject.id, subject.token, wake_at_ms, None))
        unswept.caller.serve(silence_ms)
        command, by = said(name, subject, has_token=has_token)
        known = {str(row[0]) for row in dump(unswept.store)["session"]}
        swept = fork(unswept)
        swept.caller.sweep()
        results = []
        for here in (unswept, swept):
            # The same randomness, however many ids the sweep has made.
            here.caller.mint = Mint()
            envelope = unswept.caller.wrap(command, by=by)._replace(entropy=bytes(range(16)))
            outcome = here.caller.send([envelope])[0]
            here.caller.sweep()
            results.append(seen(answer(outcome), here, known=known))
        assert results[0] == results[1]


def test_a_wake_that_is_due_is_told_before_whatever_a_caller_does(dicts: World) -> None:
    subject = reach("parked", dicts.caller, is_exclusive=True)
    wake_at_ms = dicts.clock.now_ms() + 5_000
    dicts.caller.accepted(ParkSession(subject.id, subject.token, wake_at_ms, None))
    dicts.caller.serve(5_000)
    dicts.caller.accepted(EndSession(subject.id, subject.token, EndReason.COMPLETED))
    events = [str(row[3]) for row in dump(dicts.store)["event"]]
    assert events == ["session.started", "session.parked", "session.parked", "session.wake", "session.ended"]


def test_what_time_decided_is_told_before_a_session_is_deleted(dicts: World) -> None:
    subject = reach("failed by report", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(ArchiveSession(subject.id))
    dicts.caller.serve(ABANDON_AFTER_MS)
    dicts.caller.accepted(DeleteSession(subject.id))
    events = [str(row[3]) for row in dump(dicts.store)["event"]]
    assert events == [f"session.{name}" for name in ("started", "failed", "archived", "abandoned", "deleted")]


@pytest.mark.parametrize("state", STATES)
def test_settling_twice_is_settling_once(state: str, dicts: World) -> None:
    subject = reach(state, dicts.caller, is_exclusive=True)
    for silence_ms in (0, LEASE_MS, FAIL_AFTER_MS, ABANDON_AFTER_MS):
        dicts.caller.serve(silence_ms)
        now = dicts.caller.present()
        once = settle(session_of(dicts.store, subject.id), now=now)
        assert settle(once.session, now=now) == once._replace(happenings=())
