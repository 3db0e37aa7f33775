"""The life of a session: one table of what may happen in which phase, and the functions that read it.

Two rules govern everything here:

1. Time decides first. Every function begins by letting time change the session (`settle`), just as the sweeper would,
   so it never matters whether the sweeper came by before the caller did.
2. What the table does not list is refused, with a code that the phase determines, and changes nothing.

Nothing about sessions' states is decided anywhere else. The diagram in `docs/lifecycle.md` is generated from the table.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, assert_never

from holdfast.domain.errors import Action, Code, Identity, Refusal, WayOut
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.limits import ABANDON_AFTER_MS, BEAT_SPACING_MS
from holdfast.domain.policy import INTERACTIVE, OnLapse, Policy
from holdfast.domain.scope import Scope, has_later_rival
from holdfast.domain.service_time import Moment
from holdfast.domain.session import EndReason, FailedBy, Session, Status, identity


class Phase(StrEnum):
    """A status, split where the rules differ: a failure that was concluded can be contradicted, a reported one not."""

    ACTIVE = "active"
    PAUSED = "paused"
    PARKED = "parked"
    STALLED = "stalled"
    FAILED_BY_SILENCE = "failed by silence"
    FAILED_BY_REPORT = "failed by report"
    ABANDONED = "abandoned"
    ENDED = "ended"


class Verb(StrEnum):
    """What can happen to a session. The first three are time's; the others are somebody's."""

    LAPSE = "lapse"
    FAIL_SILENT = "fail silent"
    GIVE_UP = "give up"
    BEAT = "beat"
    PAUSE = "pause"
    RESUME = "resume"
    PARK = "park"
    END = "end"
    FAIL = "fail"
    STALL = "stall"
    STOP = "ask to stop"
    TAKE_OVER = "take over"
    RECOVER = "recover"
    ACQUIRE = "start again"
    ARCHIVE = "archive"
    DELETE = "delete"


class When(StrEnum):
    """A condition on a move."""

    ALWAYS = "always"
    REVIVABLE = "if revivable and not replaced"
    FORCED = "by an operator, forced"
    FREE = "unless quarantined or asked to stop"
    NOT_REPLACED = "if not replaced"
    ARCHIVED = "if archived"


class Move(NamedTuple):
    """Where a verb leads. is_late: the caller is told that silence had been taken for an end before."""

    to: Phase
    when: When = When.ALWAYS
    is_late: bool = False


_P = Phase
_BEATING: Final = {
    Verb.LAPSE: Move(_P.STALLED),
    Verb.PAUSE: Move(_P.PAUSED),
    Verb.RESUME: Move(_P.ACTIVE),
    Verb.PARK: Move(_P.PARKED),
    Verb.END: Move(_P.ENDED),
    Verb.FAIL: Move(_P.FAILED_BY_REPORT),
    Verb.STALL: Move(_P.STALLED),
    Verb.TAKE_OVER: Move(_P.ENDED, When.FORCED),
    Verb.RECOVER: Move(_P.ENDED, When.FORCED),
    Verb.ACQUIRE: Move(_P.ACTIVE),
}

TABLE: Final[dict[Phase, dict[Verb, Move]]] = {
    _P.ACTIVE: {Verb.BEAT: Move(_P.ACTIVE), Verb.STOP: Move(_P.ACTIVE), **_BEATING},
    _P.PAUSED: {Verb.BEAT: Move(_P.PAUSED), Verb.STOP: Move(_P.PAUSED), **_BEATING},
    _P.PARKED: {
        Verb.BEAT: Move(_P.PARKED),
        Verb.PAUSE: Move(_P.PAUSED),
        Verb.RESUME: Move(_P.ACTIVE),
        Verb.PARK: Move(_P.PARKED),
        Verb.END: Move(_P.ENDED),
        Verb.FAIL: Move(_P.FAILED_BY_REPORT),
        Verb.STOP: Move(_P.PARKED),
        Verb.TAKE_OVER: Move(_P.ENDED, When.FORCED),
        Verb.RECOVER: Move(_P.ENDED, When.FORCED),
        Verb.ACQUIRE: Move(_P.ACTIVE),
    },
    _P.STALLED: {
        Verb.BEAT: Move(_P.ACTIVE, When.REVIVABLE),
        Verb.FAIL_SILENT: Move(_P.FAILED_BY_SILENCE),
        Verb.GIVE_UP: Move(_P.ABANDONED),
        Verb.RESUME: Move(_P.ACTIVE, When.REVIVABLE),
        Verb.END: Move(_P.ENDED),
        Verb.FAIL: Move(_P.FAILED_BY_REPORT),
        Verb.STALL: Move(_P.STALLED),
        Verb.STOP: Move(_P.STALLED),
        Verb.TAKE_OVER: Move(_P.ENDED),
        Verb.RECOVER: Move(_P.ENDED, When.FREE),
        Verb.ACQUIRE: Move(_P.ACTIVE),
    },
    _P.FAILED_BY_SILENCE: {
        Verb.BEAT: Move(_P.ACTIVE, When.REVIVABLE),
        Verb.GIVE_UP: Move(_P.ABANDONED),
        Verb.END: Move(_P.ENDED, is_late=True),
        Verb.FAIL: Move(_P.FAILED_BY_REPORT, is_late=True),
        Verb.STOP: Move(_P.FAILED_BY_SILENCE),
        Verb.TAKE_OVER: Move(_P.FAILED_BY_SILENCE),
        Verb.RECOVER: Move(_P.ENDED, When.FREE),
        Verb.ACQUIRE: Move(_P.ACTIVE),
        Verb.ARCHIVE: Move(_P.FAILED_BY_SILENCE),
        Verb.DELETE: Move(_P.FAILED_BY_SILENCE, When.ARCHIVED),
    },
    _P.FAILED_BY_REPORT: {
        Verb.GIVE_UP: Move(_P.ABANDONED),
        Verb.TAKE_OVER: Move(_P.FAILED_BY_REPORT),
        Verb.RECOVER: Move(_P.ENDED, When.FREE),
        Verb.ARCHIVE: Move(_P.FAILED_BY_REPORT),
        Verb.DELETE: Move(_P.FAILED_BY_REPORT, When.ARCHIVED),
    },
    _P.ABANDONED: {
        Verb.END: Move(_P.ENDED, When.NOT_REPLACED, is_late=True),
        Verb.FAIL: Move(_P.FAILED_BY_REPORT, When.NOT_REPLACED, is_late=True),
        Verb.TAKE_OVER: Move(_P.ABANDONED),
        Verb.RECOVER: Move(_P.ENDED, When.FREE),
        Verb.ARCHIVE: Move(_P.ABANDONED),
        Verb.DELETE: Move(_P.ABANDONED, When.ARCHIVED),
    },
    _P.ENDED: {
        Verb.ARCHIVE: Move(_P.ENDED),
        Verb.DELETE: Move(_P.ENDED, When.ARCHIVED),
    },
}

HOLDING: Final = frozenset({_P.ACTIVE, _P.PAUSED, _P.PARKED, _P.STALLED, _P.FAILED_BY_SILENCE})
"""Phases in which a session counts as a holder of its scope, live or lapsed."""

LIVE: Final = frozenset({_P.ACTIVE, _P.PAUSED, _P.PARKED})
"""Phases of a holder that has not lapsed."""

BROKEN_OFF: Final = frozenset({_P.STALLED, _P.FAILED_BY_SILENCE, _P.FAILED_BY_REPORT, _P.ABANDONED})
"""Phases of a session whose work broke off, so that somebody may recover it."""

TERMINAL: Final = frozenset({_P.FAILED_BY_SILENCE, _P.FAILED_BY_REPORT, _P.ABANDONED, _P.ENDED})

_PHRASE: Final = {
    Verb.BEAT: "beat",
    Verb.PAUSE: "be paused",
    Verb.RESUME: "be resumed",
    Verb.PARK: "be parked",
    Verb.END: "be ended",
    Verb.FAIL: "be failed",
    Verb.STALL: "be stalled",
    Verb.STOP: "be asked to stop",
    Verb.TAKE_OVER: "be taken over",
    Verb.RECOVER: "be recovered",
    Verb.ACQUIRE: "be started again",
    Verb.ARCHIVE: "be archived",
    Verb.DELETE: "be deleted",
}
"""What somebody wanted a session to do, for the sentence that says that it cannot."""

HISTORY_VERBS: Final = frozenset({Verb.ARCHIVE, Verb.DELETE})
"""Verbs about the record rather than the work; they are allowed whoever took the session over."""


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Changed(NamedTuple):
    """A session after a verb, and what happened on the way, in order.

    is_late: it was ended or failed after silence had been taken for an end.
    is_reactivated: it had been given up for silent, and came back.
    """

    session: Session
    happenings: tuple[Happening, ...] = ()
    is_late: bool = False
    is_reactivated: bool = False


def phase(session: Session) -> Phase:
    """The phase of a session as stored; `settle` it first where time matters."""
    if session.status == Status.FAILED:
        return Phase.FAILED_BY_SILENCE if session.failed_by == FailedBy.SILENCE else Phase.FAILED_BY_REPORT
    return _PHASE_OF_STATUS[session.status]


_PHASE_OF_STATUS: Final = {status: Phase(status.value) for status in Status if status != Status.FAILED}


def begin(
    identity: Identity,
    *,
    session_id: SessionId,
    account_id: AccountId,
    policy: Policy,
    is_exclusive: bool,
    fencing_token: int,
    now: Moment,
) -> Session:
    """A session that begins now, with a full lease."""
    due_ms = now.service_ms + policy.lease_ms
    return Session(
        id=session_id,
        account_id=account_id,
        scope=identity.scope,
        held_scope=identity.scope,
        exclusive=is_exclusive,
        fencing_token=fencing_token,
        revision=1,
        status=Status.ACTIVE,
        failed_by=None,
        end_reason=None,
        status_reason=None,
        agent=identity.agent,
        holder_id=identity.holder_id,
        on_lapse=policy.on_lapse,
        lease_ms=policy.lease_ms,
        heartbeat_interval_ms=policy.heartbeat_interval_ms,
        heartbeat_jitter_ms=policy.heartbeat_jitter_ms,
        grace_ms=policy.grace_ms,
        fail_after_ms=policy.fail_after_ms,
        due_ms=due_ms,
        check_due_ms=due_ms,
        status_at_ms=now.wall_ms,
        last_heartbeat_at_ms=now.wall_ms,
        wake_pending_at_ms=None,
        progress=None,
        activity=None,
        status_note=None,
        stop_reason=None,
        checkpoint_count=0,
        taken_over_by=None,
        archived_at_ms=None,
        task_count=0,
        recoveries_left=None,
    )


def report(
    identity: Identity, *, session_id: SessionId, account_id: AccountId, end_reason: EndReason, ended_at_ms: int
) -> Session:
    """A session that ran while nobody listened: over, never a holder, without a lease or a token."""
    begun = begin(
        identity,
        session_id=session_id,
        account_id=account_id,
        policy=INTERACTIVE,
        is_exclusive=False,
        fencing_token=0,
        now=Moment(service_ms=0, wall_ms=ended_at_ms),
    )
    ended = _entered(begun, Phase.ENDED, since_due_ms=0, at_ms=ended_at_ms)
    return ended._replace(revision=1, fencing_token=None, end_reason=end_reason)


def settle(session: Session, *, now: Moment) -> Changed:
    """The session as time has left it: woken, lapsed, failed or given up at the moments when each was due.

    The result depends on the deadlines alone, not on when somebody looked, so a late sweep changes nothing but the
    time at which it was noticed. Held while now < due; lapsed at equality.
    """
    session, woken = _woken(session, now=now)
    happenings = list(woken)
    while session.due_ms is not None and now.service_ms >= session.due_ms:
        before = session
        session, happening = _overdue(session, due_ms=session.due_ms, now=now)
        happenings += _quarantined(before, session, at_ms=happening.at_ms)
        happenings.append(happening)
    return Changed(session, tuple(happenings))


def _woken(session: Session, *, now: Moment) -> tuple[Session, tuple[Happening, ...]]:
    """The one event of a parked session whose time to wake has come; it stays parked."""
    wake_at_ms = session.wake_pending_at_ms
    if wake_at_ms is None or phase(session) != Phase.PARKED or now.wall_ms < wake_at_ms:
        return session, ()
    woken = session._replace(wake_pending_at_ms=None, revision=session.revision + 1)
    return woken, (Happening(EventType.WAKE, Rule.WAKE_TIME_REACHED, wake_at_ms, {}),)


def _quarantined(before: Session, after: Session, *, at_ms: int) -> tuple[Happening, ...]:
    """The event of a session that breaks off once more after its last recovery."""
    if after.recoveries_left != 0 or phase(before) not in LIVE or phase(after) not in BROKEN_OFF:
        return ()
    return (Happening(EventType.QUARANTINED, Rule.RECOVERIES_SPENT, at_ms, {"was": phase(before).value}),)


def _overdue(session: Session, *, due_ms: int, now: Moment) -> tuple[Session, Happening]:
    """One step of what time decides, at the service time at which it was due."""
    at_ms = now.wall(due_ms)
    if phase(session) in (Phase.ACTIVE, Phase.PAUSED):
        move, event_type, rule = _move(session, Verb.LAPSE), EventType.STALLED, Rule.LEASE_LAPSED
        data: Data = {"lease_ms": session.lease_ms, "last_heartbeat_at_ms": session.last_heartbeat_at_ms}
    elif phase(session) == Phase.STALLED and session.fail_after_ms is not None:
        move, event_type, rule = _move(session, Verb.FAIL_SILENT), EventType.FAILED, Rule.FAIL_AFTER_PASSED
        data = {"fail_after_ms": session.fail_after_ms, "last_heartbeat_at_ms": session.last_heartbeat_at_ms}
    else:
        move, event_type, rule = _move(session, Verb.GIVE_UP), EventType.ABANDONED, Rule.GIVEN_UP
        data = {"abandon_after_ms": ABANDON_AFTER_MS, "was": phase(session).value}
    assert move is not None, "the table has a move for each of time's verbs where it can be due"
    changed = _entered(session, move.to, since_due_ms=due_ms, at_ms=at_ms)
    return changed, Happening(event_type, rule, at_ms, data)


def beat(session: Session, *, scope: Scope | None, now: Moment, told: Mapping[str, Any] = _NOTHING) -> Changed:
    """Renew the lease; bring a lapsed session back where its policy allows it and nobody took its place.

    scope: the guard row; may be None where `needs_scope` says so. told: columns that the holder sets on the way.
    Raises: lease_expired, lease_held, session_failed, session_abandoned, session_ended, session_taken_over.
    """
    changed = _told(session, Verb.BEAT, scope=scope, now=now)
    return changed._replace(session=changed.session._replace(**told)) if told else changed


def pause(session: Session, *, scope: Scope | None, now: Moment) -> Changed:
    """The holder rests but keeps beating. Raises: as `beat`, and session_stalled."""
    return _told(session, Verb.PAUSE, scope=scope, now=now)


def resume(session: Session, *, scope: Scope | None, now: Moment) -> Changed:
    """The holder works on, with a full lease. Raises: as `beat`."""
    return _told(session, Verb.RESUME, scope=scope, now=now)


def park(session: Session, *, wake_at_ms: int | None, reason: str | None, scope: Scope | None, now: Moment) -> Changed:
    """Set the session aside: no lease runs, and it keeps its scope.

    wake_at_ms: wall-clock time of one `session.wake` event; None: nobody wakes it.
    Raises: as `pause`.
    """
    data: Data = {"wake_at_ms": wake_at_ms, "reason": reason}
    changed = _told(session, Verb.PARK, scope=scope, now=now, reason=reason, data=data)
    return changed._replace(session=changed.session._replace(wake_pending_at_ms=wake_at_ms))


def stall(session: Session, *, reason: str | None, scope: Scope | None, now: Moment) -> Changed:
    """Somebody says that the holder hangs. Raises: as `beat`, and session_parked."""
    return _told(session, Verb.STALL, scope=scope, now=now, reason=reason, data={"reason": reason})


def end(
    session: Session, *, end_reason: EndReason, scope: Scope | None, now: Moment, says_more: bool = False
) -> Changed:
    """The work is over. The same end said again changes nothing and is not refused.

    says_more: this time something comes with it that did not before, so it is not the same.

    Raises: session_ended, session_failed, session_abandoned, session_taken_over.
    """
    settled = settle(session, now=now)
    if is_repeated_end(settled.session, end_reason=end_reason) and not says_more:
        return settled
    return _told(session, Verb.END, scope=scope, now=now, end_reason=end_reason, data={"end_reason": end_reason.value})


def is_repeated_end(session: Session, *, end_reason: EndReason) -> bool:
    """Whether this end was said before, with the same reason."""
    return phase(session) == Phase.ENDED and session.end_reason == end_reason and session.taken_over_by is None


def fail(session: Session, *, reason: str, scope: Scope | None, now: Moment) -> Changed:
    """The work went wrong. The same failure said again changes nothing and is not refused. Raises: as `end`."""
    settled = settle(session, now=now)
    if is_repeated_failure(settled.session, reason=reason):
        return settled
    return _told(session, Verb.FAIL, scope=scope, now=now, reason=reason, data={"reason": reason})


def is_repeated_failure(session: Session, *, reason: str) -> bool:
    """Whether this failure was said before, with the same reason."""
    is_same = phase(session) == Phase.FAILED_BY_REPORT and session.status_reason == reason
    return is_same and session.taken_over_by is None


def supersede(session: Session, *, now: Moment) -> Changed:
    """End a session because its own holder starts anew, or an operator forces another start."""
    settled = settle(session, now=now)
    moved = _entered(settled.session, Phase.ENDED, since_due_ms=now.service_ms, at_ms=now.wall_ms)
    moved = moved._replace(end_reason=EndReason.SUPERSEDED)
    happening = Happening(EventType.ENDED, Rule.SUPERSEDED, now.wall_ms, {"end_reason": EndReason.SUPERSEDED.value})
    return Changed(moved, (*settled.happenings, happening))


def give_up(session: Session, *, now: Moment) -> Changed:
    """Abandon a lapsed session because its own holder starts anew, rather than wait until time does.

    To be called only in a phase in which time would give it up sooner or later.
    Source: crane, "/sod resume".
    """
    settled = settle(session, now=now)
    move = _move(settled.session, Verb.GIVE_UP)
    assert move is not None, f"a session that {phase(settled.session).value} is not given up"
    given_up = _entered(settled.session, move.to, since_due_ms=now.service_ms, at_ms=now.wall_ms)
    data: Data = {"was": phase(settled.session).value, "end_reason": EndReason.STALE.value}
    happening = Happening(EventType.ABANDONED, Rule.SUPERSEDED, now.wall_ms, data)
    return Changed(given_up._replace(end_reason=EndReason.STALE), (*settled.happenings, happening))


def acquire(session: Session, *, fencing_token: int, now: Moment) -> Changed:
    """The same identity starts again: it works on under a new token, whatever its policy.

    Raises: session_failed, session_abandoned, session_ended, session_taken_over.
    """
    return _told(session, Verb.ACQUIRE, scope=None, now=now, fencing_token=fencing_token)


def can_acquire(session: Session) -> bool:
    """Whether a start of the same identity resumes this settled session rather than beginning another."""
    return Verb.ACQUIRE in TABLE[phase(session)] and session.taken_over_by is None


def give_way(session: Session, *, successor_id: SessionId, is_forced: bool, now: Moment) -> Changed:
    """Mark a session as taken over; one that was not over yet ends.

    is_forced: an operator insists; whether the actor may was decided by the caller.
    Raises: lease_held while the lease is live; session_ended once it ended; session_taken_over.
    Source: native-v1, "Takeover creates a new session".
    """
    settled = settle(session, now=now)
    session = settled.session
    move = _allowed(session, Verb.TAKE_OVER, scope=None, is_forced=is_forced, now=now)
    moved = session._replace(revision=session.revision + 1, held_scope=None, due_ms=None, check_due_ms=None)
    if move.to == Phase.ENDED:
        moved = _entered(session, Phase.ENDED, since_due_ms=now.service_ms, at_ms=now.wall_ms)
        moved = moved._replace(end_reason=EndReason.TAKEN_OVER)
    data: Data = {"taken_over_by": successor_id, "was": phase(session).value, "is_forced": is_forced}
    happening = Happening(EventType.TAKEN_OVER, Rule.TAKEN_OVER, now.wall_ms, data)
    return Changed(moved._replace(taken_over_by=successor_id), (*settled.happenings, happening))


def recover(
    session: Session, *, successor_id: SessionId, is_forced: bool, reason: str | None, scope: Scope, now: Moment
) -> Changed:
    """End a session whose work broke off, in favour of one that goes on from there.

    is_forced, reason: as for `give_way`.
    Raises: lease_held while the lease is live; session_quarantined; session_stop_requested; session_ended once it
    ended; session_taken_over; session_recovered.
    Source: native-v1, "On recover the old session becomes ended `recovered`".
    """
    settled = settle(session, now=now)
    session = settled.session
    move = _allowed(session, Verb.RECOVER, scope=scope, is_forced=is_forced, now=now)
    moved = _entered(session, move.to, since_due_ms=now.service_ms, at_ms=now.wall_ms)
    moved = moved._replace(end_reason=EndReason.RECOVERED, status_reason=reason, taken_over_by=successor_id)
    data: Data = {"recovered_by": successor_id, "was": phase(session).value, "is_forced": is_forced}
    happening = Happening(EventType.RECOVERED, Rule.RECOVERED, now.wall_ms, data)
    return Changed(moved, (*settled.happenings, happening))


def require_recoverable(session: Session, *, scope: Scope, now: Moment) -> None:
    """Refuse where `recover` would, unless it were forced. Raises: as `recover`."""
    _allowed(settle(session, now=now).session, Verb.RECOVER, scope=scope, is_forced=False, now=now)


def is_to_be_followed(session: Session) -> bool:
    """Whether a settled session broke off, and nobody has gone on with its work or put it away."""
    return phase(session) in BROKEN_OFF and session.taken_over_by is None and session.archived_at_ms is None


def can_recover(session: Session) -> bool:
    """Whether a settled session broke off, and nobody but an operator has to decide about it."""
    return phase(session) in BROKEN_OFF and session.taken_over_by is None and _is_free(session)


def recoveries_left_after(session: Session, *, attempts_max: int) -> int:
    """How often the successor of a session that is recovered now may be recovered itself.

    attempts_max: how often the work of a session that nobody had to recover may be. A quarantined one is only ever
    recovered by an operator's force, and begins anew.
    """
    return (session.recoveries_left or attempts_max) - 1


def was_recovered(session: Session) -> bool:
    """Whether `taken_over_by` names the session that recovered this one, rather than one that took it over."""
    return session.taken_over_by is not None and session.end_reason == EndReason.RECOVERED


def is_quarantined(session: Session) -> bool:
    """Whether a settled session broke off after its last recovery, so that a person has to look at it."""
    return session.recoveries_left == 0 and phase(session) in BROKEN_OFF and session.taken_over_by is None


def request_stop(session: Session, *, reason: str, now: Moment) -> Changed:
    """Ask the holder to stop; it hears it with its next beat. Raises: as `end`, and session_taken_over."""
    settled = settle(session, now=now)
    _allowed(settled.session, Verb.STOP, scope=None, is_forced=False, now=now)
    asked = settled.session._replace(stop_reason=reason, revision=settled.session.revision + 1)
    happening = Happening(EventType.STOP_REQUESTED, Rule.REQUESTED, now.wall_ms, {"reason": reason})
    return Changed(asked, (*settled.happenings, happening))


def archive(session: Session, *, now: Moment, rule: Rule = Rule.REQUESTED) -> Changed:
    """Put the record of a finished session away; its status stays. Raises: session_not_terminal."""
    settled = settle(session, now=now)
    _allowed(settled.session, Verb.ARCHIVE, scope=None, is_forced=False, now=now)
    if settled.session.archived_at_ms is not None:
        return settled
    put_away = settled.session._replace(archived_at_ms=now.wall_ms, revision=settled.session.revision + 1)
    happening = Happening(EventType.ARCHIVED, rule, now.wall_ms, {})
    return Changed(put_away, (*settled.happenings, happening))


def require_deletable(session: Session, *, now: Moment) -> Changed:
    """The session as time has left it, if it may be deleted. Raises: session_not_terminal, session_not_archived."""
    settled = settle(session, now=now)
    _allowed(settled.session, Verb.DELETE, scope=None, is_forced=False, now=now)
    return settled


def is_live(session: Session) -> bool:
    """Whether a settled session is a holder that has not lapsed."""
    return phase(session) in LIVE


def is_finished(session: Session) -> bool:
    """Whether a settled session is over and holds nothing, so that its record is all that is left of it."""
    return phase(session) in TERMINAL and session.held_scope is None


def is_unread(session: Session, scope: Scope) -> bool:
    """Whether a finished session left a checkpoint that was handed to nobody.

    It broke off, by silence or failure, rather than being ended; nobody has taken it over, and nobody has started on
    its scope since, who would have been given its last checkpoint.
    """
    broke_off = phase(session) in TERMINAL and phase(session) != Phase.ENDED
    is_left_alone = session.taken_over_by is None and not _has_successor(session, scope)
    return broke_off and session.checkpoint_count > 0 and is_left_alone


def require_writable(session: Session, *, scope: Scope | None, now: Moment) -> Changed:
    """Let a holder write what is no verb (a checkpoint, a patch); it counts as a beat. Raises: as `beat`."""
    return beat(session, scope=scope, now=now)


def needs_scope(session: Session, *, now: Moment) -> bool:
    """Whether deciding a holder's verb takes the scope's guard row: always, unless the lease is running."""
    is_running = session.status in LEASED
    return not is_running or session.due_ms is None or now.service_ms >= session.due_ms


def beat_in_time(session: Session, *, now: Moment, told: Mapping[str, Any]) -> Session | None:
    """The session after a beat that found its lease running, as nearly every beat does; None where it did not.

    What `beat` would say too, at a fraction of its cost. A beat that comes so soon after the last recorded one that it
    is answered and not written leaves the very same session.
    """
    due_ms = session.due_ms
    if due_ms is None or now.service_ms >= due_ms or session.status not in LEASED:
        return None
    since_last_ms = now.service_ms + session.lease_ms - due_ms
    interval_ms = session.heartbeat_interval_ms
    spacing_ms = BEAT_SPACING_MS if interval_ms is None else min(BEAT_SPACING_MS, interval_ms // 3)
    # Less than none where service time stepped back: how long it really was is not known, so the beat is written.
    if 0 <= since_last_ms < spacing_ms:
        return session
    return _renewed(session, now=now, told=told)


LEASED: Final = frozenset({Status.ACTIVE, Status.PAUSED})
"""Statuses in which a lease runs until a deadline, and a beat gives a new one."""


def rescheduled(session: Session) -> Session:
    """The session with its next check moved to its deadline: what the sweeper leaves behind."""
    return session._replace(check_due_ms=session.due_ms)


def _told(
    session: Session,
    verb: Verb,
    *,
    scope: Scope | None,
    now: Moment,
    data: Data | None = None,
    reason: str | None = None,
    end_reason: EndReason | None = None,
    fencing_token: int | None = None,
) -> Changed:
    """Carry out what somebody says, after what time says."""
    settled = settle(session, now=now)
    before = phase(settled.session)
    move = _allowed(settled.session, verb, scope=scope, is_forced=False, now=now)
    if move.to == before and before in (Phase.ACTIVE, Phase.PAUSED) and verb != Verb.ACQUIRE:
        return Changed(_renewed(settled.session, now=now))
    if move.to == before and verb == Verb.BEAT:
        last_heartbeat_at_ms = max(now.wall_ms, settled.session.last_heartbeat_at_ms)
        return settled._replace(session=settled.session._replace(last_heartbeat_at_ms=last_heartbeat_at_ms))
    if move.to == before and verb == Verb.STALL:
        return settled
    moved = _entered(settled.session, move.to, since_due_ms=now.service_ms, at_ms=now.wall_ms)
    is_reactivated = move.to == Phase.ACTIVE and before not in LIVE
    moved = moved._replace(
        end_reason=end_reason,
        status_reason=reason,
        fencing_token=session.fencing_token if fencing_token is None else fencing_token,
        last_heartbeat_at_ms=max(now.wall_ms, moved.last_heartbeat_at_ms)
        if move.to in LIVE
        else moved.last_heartbeat_at_ms,
        archived_at_ms=None if move.to in LIVE else moved.archived_at_ms,
    )
    rule = Rule.BEAT_AFTER_LAPSE if is_reactivated and verb == Verb.BEAT else Rule.REQUESTED
    event_type = EventType.REACTIVATED if is_reactivated else _EVENT_ON_ENTRY[move.to]
    happening = Happening(event_type, rule, now.wall_ms, {"was": before.value, **(data or {})})
    happenings = (*settled.happenings, *_quarantined(settled.session, moved, at_ms=now.wall_ms), happening)
    return Changed(moved, happenings, is_late=move.is_late, is_reactivated=is_reactivated)


_EVENT_ON_ENTRY: Final = {
    Phase.ACTIVE: EventType.RESUMED,
    Phase.PAUSED: EventType.PAUSED,
    Phase.PARKED: EventType.PARKED,
    Phase.STALLED: EventType.STALLED,
    Phase.FAILED_BY_SILENCE: EventType.FAILED,
    Phase.FAILED_BY_REPORT: EventType.FAILED,
    Phase.ABANDONED: EventType.ABANDONED,
    Phase.ENDED: EventType.ENDED,
}


def _renewed(session: Session, *, now: Moment, told: Mapping[str, Any] = _NOTHING) -> Session:
    """A full lease from now; an acknowledged beat is never moved back, even where service time seems to step back."""
    due_ms = now.service_ms + session.lease_ms
    if session.due_ms is not None and session.due_ms > due_ms:
        due_ms = session.due_ms
    at_ms = session.last_heartbeat_at_ms if session.last_heartbeat_at_ms > now.wall_ms else now.wall_ms
    # `_replace` asks for each column by name, which for a beat costs more than all the rest of it.
    columns: list[Any] = list(session)
    columns[_DUE_MS] = due_ms
    columns[_LAST_HEARTBEAT_AT_MS] = at_ms
    check_due_ms = session.check_due_ms
    if check_due_ms is not None and 2 * (check_due_ms - now.service_ms) <= session.lease_ms:
        # Whoever beats twice a lease is thus never looked at. At every beat it would cost an index's upkeep each time.
        columns[_CHECK_DUE_MS] = due_ms
    for name, value in told.items():
        columns[_POSITIONS[name]] = value
    return Session._make(columns)


_POSITIONS: Final = {name: position for position, name in enumerate(Session._fields)}
_DUE_MS: Final = _POSITIONS["due_ms"]
_CHECK_DUE_MS: Final = _POSITIONS["check_due_ms"]
_LAST_HEARTBEAT_AT_MS: Final = _POSITIONS["last_heartbeat_at_ms"]


def _entered(session: Session, to: Phase, *, since_due_ms: int, at_ms: int) -> Session:
    """The session in another phase (or in the same one anew), with the deadline that this phase has.

    since_due_ms: the service time from which the phase counts.
    """
    due_ms: int | None
    match to:
        case Phase.ACTIVE | Phase.PAUSED:
            status, due_ms = Status(to.value), since_due_ms + session.lease_ms
        case Phase.STALLED:
            status, due_ms = Status.STALLED, _silence_due_ms(session, since_due_ms=since_due_ms)
        case Phase.FAILED_BY_SILENCE | Phase.FAILED_BY_REPORT:
            status, due_ms = Status.FAILED, since_due_ms + ABANDON_AFTER_MS
        case Phase.PARKED | Phase.ABANDONED | Phase.ENDED:
            status, due_ms = Status(to.value), None
        case _:
            assert_never(to)
    failed_by = {Phase.FAILED_BY_SILENCE: FailedBy.SILENCE, Phase.FAILED_BY_REPORT: FailedBy.REPORT}.get(to)
    return session._replace(
        status=status,
        failed_by=failed_by,
        held_scope=session.scope if to in HOLDING and session.taken_over_by is None else None,
        revision=session.revision + 1,
        due_ms=due_ms,
        check_due_ms=due_ms,
        status_at_ms=session.status_at_ms if to == phase(session) else at_ms,
        status_reason=None,
        wake_pending_at_ms=None,
        task_count=session.task_count if to in LIVE else 0,
    )


def _silence_due_ms(session: Session, *, since_due_ms: int) -> int:
    """When a session that stalls at this moment fails or is given up, if it stays silent."""
    if session.fail_after_ms is None:
        return since_due_ms + ABANDON_AFTER_MS
    last_beat_due_ms = (session.due_ms or since_due_ms) - session.lease_ms
    return max(since_due_ms, last_beat_due_ms + session.fail_after_ms)


def _move(session: Session, verb: Verb) -> Move | None:
    return TABLE[phase(session)].get(verb)


def _allowed(session: Session, verb: Verb, *, scope: Scope | None, is_forced: bool, now: Moment) -> Move:
    """The move that the table has for a settled session, its condition met; else the refusal of its phase."""
    if session.taken_over_by is not None and verb not in HISTORY_VERBS:
        raise Refusal(
            Code.SESSION_RECOVERED if was_recovered(session) else Code.SESSION_TAKEN_OVER,
            session_id=session.id,
            successor_id=session.taken_over_by,
            ways_out=(WayOut(Action.EXPLAIN, session.id),),
        )
    move = _move(session, verb)
    if move is None:
        raise _refused_by_phase(session, verb, scope=scope)
    match move.when:
        case When.ALWAYS:
            return move
        case When.FORCED:
            if not is_forced:
                raise lease_held(session, now=now, verb=verb)
        case When.FREE:
            _require_free(session, scope=scope, is_forced=is_forced)
        case When.ARCHIVED:
            _require_archived(session)
        case When.REVIVABLE:
            _require_revivable(session, scope=scope)
        case When.NOT_REPLACED:
            assert scope is not None
            if _has_successor(session, scope):
                raise _refused_by_phase(session, verb, scope=scope)
        case _:
            assert_never(move.when)
    return move


def _require_archived(session: Session) -> None:
    if session.archived_at_ms is None:
        ways_out = (WayOut(Action.ARCHIVE, session.id),)
        raise Refusal(Code.SESSION_NOT_ARCHIVED, session_id=session.id, ways_out=ways_out)


def _require_revivable(session: Session, *, scope: Scope | None) -> None:
    assert scope is not None
    token = session.fencing_token or 0
    if has_later_rival(scope, fencing_token=token, is_exclusive=session.exclusive):
        held = (WayOut(Action.EXPLAIN, session.id), WayOut(Action.END, session.id))
        raise Refusal(Code.LEASE_HELD, scope=session.scope, holder="a session that acquired it later", ways_out=held)
    if session.on_lapse == OnLapse.STRICT:
        ways_out = (
            WayOut(Action.START, session.id, identity(session)),
            WayOut(Action.TAKE_OVER, session.id),
            *_recovery(session),
            WayOut(Action.END, session.id),
        )
        is_stalled = session.status == Status.STALLED
        expired_at_ms = session.status_at_ms if is_stalled else session.last_heartbeat_at_ms + session.lease_ms
        raise Refusal(Code.LEASE_EXPIRED, session_id=session.id, lease_expired_at_ms=expired_at_ms, ways_out=ways_out)


def _require_free(session: Session, *, scope: Scope | None, is_forced: bool) -> None:
    """Refuse to recover what only an operator may. Raises: session_stop_requested, session_quarantined."""
    if is_forced:
        return
    ways_out = [WayOut(Action.EXPLAIN, session.id)]
    if not _is_overtaken(session, scope):
        ways_out.append(WayOut(Action.FORCE_RECOVER, session.id))
        if Verb.END in TABLE[phase(session)]:
            ways_out.append(WayOut(Action.END, session.id))
    if session.stop_reason is not None:
        raise Refusal(
            Code.SESSION_STOP_REQUESTED, session_id=session.id, reason=session.stop_reason, ways_out=tuple(ways_out)
        )
    if session.recoveries_left == 0:
        raise Refusal(Code.SESSION_QUARANTINED, session_id=session.id, ways_out=tuple(ways_out))


def _is_overtaken(session: Session, scope: Scope | None) -> bool:
    """Whether somebody else has acquired the scope in place of a session that broke off."""
    if scope is None:
        return True
    if phase(session) in HOLDING:
        return has_later_rival(scope, fencing_token=session.fencing_token or 0, is_exclusive=session.exclusive)
    return _has_successor(session, scope)


def _recovery(session: Session) -> tuple[WayOut, ...]:
    """The suggestion to recover a session, where it broke off and nobody else has to decide about it."""
    return (WayOut(Action.RECOVER, session.id),) if _is_free(session) else ()


def _is_free(session: Session) -> bool:
    return session.stop_reason is None and session.recoveries_left != 0


def _has_successor(session: Session, scope: Scope) -> bool:
    return scope.last_token > (session.fencing_token or 0)


def lease_held(holder: Session, *, now: Moment, verb: Verb = Verb.TAKE_OVER) -> Refusal:
    """The refusal that names the live holder of a scope, and the ways round it by the verb that was wanted."""
    is_recovery = verb == Verb.RECOVER
    runs = "it is parked" if holder.due_ms is None else "its lease is running"
    forced = Action.FORCE_RECOVER if is_recovery else Action.FORCE_TAKE_OVER
    ways_out = [WayOut(Action.EXPLAIN, holder.id), WayOut(forced, holder.id)]
    expires_at_ms = None
    if holder.due_ms is not None:
        expires_at_ms = now.wall(holder.due_ms)
        later = _recovery(holder) if is_recovery else (WayOut(Action.TAKE_OVER, holder.id),)
        ways_out += [way._replace(after_at_ms=expires_at_ms) for way in later]
    return Refusal(
        Code.LEASE_HELD,
        scope=holder.scope,
        holder=f"session {holder.id} of {holder.agent}, and {runs}",
        session_id=holder.id,
        lease_expires_at_ms=expires_at_ms,
        ways_out=tuple(ways_out),
    )


def scope_lapsed(holder: Session, *, to_start: bool) -> Refusal:
    """The refusal that names the lapsed holder of a scope, and how to take it over.

    to_start: it refuses a start, which can be sent again as one that takes over.
    """
    return Refusal(
        Code.SCOPE_LAPSED,
        session_id=holder.id,
        agent=holder.agent,
        scope=holder.scope,
        ways_out=(
            *((WayOut(Action.START_TAKING_OVER, holder.id),) if to_start else ()),
            WayOut(Action.TAKE_OVER, holder.id),
            *_recovery(holder),
        ),
    )


def _refused_by_phase(session: Session, verb: Verb, *, scope: Scope | None) -> Refusal:
    """Why this phase does not know this verb, and what it does know instead."""
    before = phase(session)
    said = _PHRASE[verb]
    explain = WayOut(Action.EXPLAIN, session.id)
    end_it = WayOut(Action.END, session.id)
    if verb in HISTORY_VERBS:
        return Refusal(
            Code.SESSION_NOT_TERMINAL,
            session_id=session.id,
            status=str(session.status),
            verb=said,
            ways_out=(end_it,),
        )
    ways_out: tuple[WayOut, ...]
    start = WayOut(Action.START, session.id, identity(session))
    take_over = (WayOut(Action.TAKE_OVER, session.id), *_recovery(session))
    is_replaced = scope is None or _has_successor(session, scope)
    match before:
        case Phase.ACTIVE | Phase.PAUSED:
            raise AssertionError(f"a {before.value} session knows {said}")
        case Phase.PARKED:
            ways_out = (WayOut(Action.RESUME, session.id), end_it)
            return Refusal(Code.SESSION_PARKED, session_id=session.id, verb=said, ways_out=ways_out)
        case Phase.STALLED:
            return Refusal(
                Code.SESSION_STALLED, session_id=session.id, verb=said, ways_out=(*_back(session, scope), end_it)
            )
        case Phase.FAILED_BY_SILENCE:
            return Refusal(
                Code.SESSION_FAILED,
                session_id=session.id,
                reason="it fell silent",
                verb=said,
                ways_out=(*_back(session, scope), end_it),
            )
        case Phase.FAILED_BY_REPORT:
            ways_out = (explain,) if is_replaced else (explain, start, *take_over)
            reason = session.status_reason
            return Refusal(Code.SESSION_FAILED, session_id=session.id, reason=reason, verb=said, ways_out=ways_out)
        case Phase.ABANDONED:
            ways_out = (explain,) if is_replaced else (explain, start, *take_over, end_it)
            end_reason = session.end_reason
            return Refusal(
                Code.SESSION_ABANDONED, session_id=session.id, end_reason=end_reason, verb=said, ways_out=ways_out
            )
        case Phase.ENDED:
            return Refusal(
                Code.SESSION_ENDED,
                session_id=session.id,
                end_reason=session.end_reason,
                verb=said,
                ways_out=(explain,) if is_replaced else (explain, start),
            )
        case _:
            assert_never(before)


def _back(session: Session, scope: Scope | None) -> tuple[WayOut, ...]:
    """How the holder of a lapsed session gets it back, if nobody took its place."""
    token = session.fencing_token or 0
    if scope is None or has_later_rival(scope, fencing_token=token, is_exclusive=session.exclusive):
        return (WayOut(Action.EXPLAIN, session.id),)
    return (WayOut(Action.START, session.id, identity(session)), *_recovery(session))
