"""Every state that a session can be in, and how to bring one there; every verb, and how to say it."""

from collections.abc import Callable
from typing import Final, NamedTuple

from holdfast.commands.command import Command
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.notes import PatchSession, WriteCheckpoint
from holdfast.commands.recovery import RecoverSession
from holdfast.commands.starts import TakeOverSession
from holdfast.commands.transitions import (
    ArchiveSession,
    DeleteSession,
    EndSession,
    FailSession,
    ParkSession,
    PauseSession,
    ResumeSession,
    StallSession,
    StopSession,
)
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import ABANDON_AFTER_MS
from holdfast.domain.policy import PolicyRequest
from holdfast.domain.session import EndReason
from holdfast.testing.caller import Caller
from holdfast.testing.factories import FAIL_AFTER_MS, LEASE_MS, REVIVABLE, STRICT, actor, start

FIRST_FAILURE = "the build broke"
OTHER_HOLDER = "holder-2"
ATTEMPTS_MAX = 3


class Subject(NamedTuple):
    """A session in some state, and who holds, or held, it. token: its own current one."""

    caller: Caller
    holder: Actor
    scope: str
    id: SessionId
    token: int
    exclusive: bool

    @property
    def operator(self) -> Actor:
        """An operator of the session's account."""
        return self.holder._replace(key_id=actor(key_id="key_operator").key_id, scope=KeyScope.OPERATOR)


Step = Callable[[Subject], object]


def _say(make: Callable[[Subject], Command]) -> Step:
    return lambda subject: subject.caller.accepted(make(subject), by=subject.holder)


def _silent(for_ms: int) -> Step:
    return lambda subject: subject.caller.serve(for_ms)


def take_over(subject: Subject, *, force: bool = False) -> TakeOverSession:
    """A takeover by somebody else."""
    return TakeOverSession(subject.id, "codex", OTHER_HOLDER, "it is silent", force=force)


def recover(subject: Subject, *, force: bool = False) -> RecoverSession:
    """A recovery by somebody else."""
    reason = "it has to be" if force else None
    return RecoverSession(subject.id, OTHER_HOLDER, ATTEMPTS_MAX, agent="codex", force=force, reason=reason)


def _recover_until_the_last(subject: Subject) -> Subject:
    """The session that goes on after as many recoveries as there may be."""
    for _ in range(ATTEMPTS_MAX):
        subject.caller.accepted(FailSession(subject.id, subject.token, FIRST_FAILURE), by=subject.holder)
        again = RecoverSession(subject.id, "holder-1", ATTEMPTS_MAX)
        body = subject.caller.accepted(again, by=subject.holder).body
        subject = subject._replace(id=SessionId(body["id"]), token=body["fencing_token"])
    return subject


def _replace(subject: Subject) -> None:
    another = start(subject.scope, holder_id=OTHER_HOLDER, exclusive=subject.exclusive)
    subject.caller.accepted(another, by=subject.holder)


_PAUSE: Final = _say(lambda subject: PauseSession(subject.id, subject.token))
_PARK: Final = _say(lambda subject: ParkSession(subject.id, subject.token, None, "until tomorrow"))
_END: Final = _say(lambda subject: EndSession(subject.id, subject.token, EndReason.COMPLETED))
_FAIL: Final = _say(lambda subject: FailSession(subject.id, subject.token, FIRST_FAILURE))
_TAKE_OVER: Final = _say(take_over)
_RECOVER: Final = _say(recover)
_STOP: Final = _say(lambda subject: StopSession(subject.id, "it costs too much"))
_TO_FAILED: Final = _silent(FAIL_AFTER_MS)
_TO_ABANDONED: Final = _silent(FAIL_AFTER_MS + ABANDON_AFTER_MS)

STATES: Final[dict[str, tuple[PolicyRequest, tuple[Step, ...]]]] = {
    "active": (REVIVABLE, ()),
    "paused": (REVIVABLE, (_PAUSE,)),
    "parked": (REVIVABLE, (_PARK,)),
    "stalled": (REVIVABLE, (_silent(LEASE_MS),)),
    "stalled, strict": (STRICT, (_silent(LEASE_MS),)),
    "failed by silence": (REVIVABLE, (_TO_FAILED,)),
    "failed by silence, strict": (STRICT, (_TO_FAILED,)),
    "failed by report": (REVIVABLE, (_FAIL,)),
    "abandoned": (REVIVABLE, (_TO_ABANDONED,)),
    "abandoned, replaced": (REVIVABLE, (_TO_ABANDONED, _replace)),
    "ended": (REVIVABLE, (_END,)),
    "ended, taken over": (REVIVABLE, (_silent(LEASE_MS), _TAKE_OVER)),
    "failed, taken over": (REVIVABLE, (_TO_FAILED, _TAKE_OVER)),
    "abandoned, taken over": (REVIVABLE, (_TO_ABANDONED, _TAKE_OVER)),
    "stalled, recovered": (REVIVABLE, (_silent(LEASE_MS), _RECOVER)),
    "failed by report, recovered": (REVIVABLE, (_FAIL, _RECOVER)),
    "abandoned, recovered": (REVIVABLE, (_TO_ABANDONED, _RECOVER)),
    "active, asked to stop": (REVIVABLE, (_STOP,)),
    "stalled, asked to stop": (REVIVABLE, (_STOP, _silent(LEASE_MS))),
    "failed by report, asked to stop": (REVIVABLE, (_STOP, _FAIL)),
    "active, last attempt": (REVIVABLE, (_recover_until_the_last,)),
    "stalled, quarantined": (REVIVABLE, (_recover_until_the_last, _silent(LEASE_MS))),
    "stalled, strict, quarantined": (STRICT, (_recover_until_the_last, _silent(LEASE_MS))),
    "failed by silence, quarantined": (REVIVABLE, (_recover_until_the_last, _TO_FAILED)),
    "failed by report, quarantined": (REVIVABLE, (_recover_until_the_last, _FAIL)),
    "abandoned, quarantined": (REVIVABLE, (_recover_until_the_last, _TO_ABANDONED)),
}
"""The policy of the session, and the steps that lead to the state; a step may lead to another session. Silence is not
swept up: nobody came by."""


def reach(
    state: str, caller: Caller, *, is_exclusive: bool, account_id: str = "default", scope: str = "repo=holdfast"
) -> Subject:
    """A session in a state."""
    policy, steps = STATES[state]
    holder = actor(account_id)
    body = caller.accepted(start(scope, policy=policy, exclusive=is_exclusive), by=holder).body
    subject = Subject(caller, holder, scope, SessionId(body["id"]), body["fencing_token"], is_exclusive)
    caller.serve(5_000)
    caller.accepted(Heartbeat(subject.id, subject.token), by=holder)
    for step in steps:
        result = step(subject)
        subject = result if isinstance(result, Subject) else subject
    return subject


class Said(NamedTuple):
    """A verb as a command, by whom."""

    command: Command
    by: Actor


def _by_holder(make: Callable[[Subject, int | None], Command]) -> Callable[[Subject, int | None], Said]:
    return lambda subject, token: Said(make(subject, token), subject.holder)


HOLDERS_VERBS: Final[dict[str, Callable[[Subject, int | None], Said]]] = {
    "beat": _by_holder(lambda subject, token: Heartbeat(subject.id, token)),
    "write a checkpoint": _by_holder(lambda subject, token: WriteCheckpoint(subject.id, token, "half of it is done")),
    "patch": _by_holder(lambda subject, token: PatchSession(subject.id, token, None, (("branch", "main"),))),
    "pause": _by_holder(lambda subject, token: PauseSession(subject.id, token)),
    "resume": _by_holder(lambda subject, token: ResumeSession(subject.id, token)),
    "park": _by_holder(lambda subject, token: ParkSession(subject.id, token, None, None)),
    "end": _by_holder(lambda subject, token: EndSession(subject.id, token, EndReason.MANUAL)),
    "end as before": _by_holder(lambda subject, token: EndSession(subject.id, token, EndReason.COMPLETED)),
    "fail": _by_holder(lambda subject, token: FailSession(subject.id, token, "the disk is full")),
    "fail as before": _by_holder(lambda subject, token: FailSession(subject.id, token, FIRST_FAILURE)),
    "stall": _by_holder(lambda subject, token: StallSession(subject.id, token, "it hangs")),
}
"""Verbs that need the token of an exclusive session."""

OTHER_VERBS: Final[dict[str, Callable[[Subject, int | None], Said]]] = {
    "archive": lambda subject, token: Said(ArchiveSession(subject.id, token), subject.holder),
    "delete": lambda subject, token: Said(DeleteSession(subject.id, token), subject.holder),
    "ask to stop": lambda subject, token: Said(StopSession(subject.id, "it costs too much"), subject.operator),
    "take over": lambda subject, token: Said(take_over(subject), subject.holder),
    "take over, forced": lambda subject, token: Said(take_over(subject, force=True), subject.operator),
    "take over, forced by an agent": lambda subject, token: Said(take_over(subject, force=True), subject.holder),
    "recover": lambda subject, token: Said(recover(subject), subject.holder),
    "recover, forced": lambda subject, token: Said(recover(subject, force=True), subject.operator),
    "recover, forced by an agent": lambda subject, token: Said(recover(subject, force=True), subject.holder),
    "recover, by another": lambda subject, token: Said(recover(subject)._replace(holder_id="late"), subject.holder),
}

VERBS: Final = HOLDERS_VERBS | OTHER_VERBS

SILENCES: Final = {
    "a minute of silence": LEASE_MS,
    "five minutes of silence": FAIL_AFTER_MS,
    "a day more of silence": FAIL_AFTER_MS + ABANDON_AFTER_MS,
}
