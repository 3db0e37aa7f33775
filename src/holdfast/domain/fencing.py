"""Fencing tokens on writes: the check that keeps whoever lost a session from writing to it."""

from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.lifecycle import HOLDING, can_acquire, phase, settle
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, identity


def check_token(session: Session, *, given: int | None, now: Moment) -> None:
    """Refuse any token but the session's current one, lower or higher.

    Raises: fencing_token_stale, which never tells the current token.
    """
    if given is not None and given != session.fencing_token:
        raise Refusal(
            Code.FENCING_TOKEN_STALE,
            subject=f"session {session.id}",
            session_id=session.id,
            ways_out=_ways_out(session, now=now),
        )


def require_token(session: Session, *, given: int | None, now: Moment) -> None:
    """Refuse a write without a token to an exclusive session that is not over.

    Asked after the verb itself was allowed, so that a session that is over says so, with or without a token.
    Raises: fencing_token_required.
    """
    if given is None and session.exclusive and phase(settle(session, now=now).session) in HOLDING:
        ways_out = (WayOut(Action.REPEAT_WITH_TOKEN, session.id), *_ways_out(session, now=now))
        raise Refusal(Code.FENCING_TOKEN_REQUIRED, session_id=session.id, ways_out=ways_out)


def _ways_out(session: Session, *, now: Moment) -> tuple[WayOut, ...]:
    explain = WayOut(Action.EXPLAIN, session.id)
    if not can_acquire(settle(session, now=now).session):
        return (explain,)
    return (explain, WayOut(Action.START, session.id, identity(session)))
