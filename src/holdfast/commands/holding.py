"""What commands on sessions have in common: finding one, checking its token, recording what became of it."""

from collections.abc import Callable

from holdfast.commands.leaving import draft_where_broken_off
from holdfast.commands.releasing import forget_let_go, let_go
from holdfast.commands.rows import (
    TABLES,
    Key,
    Members,
    SetSpec,
    both_keys,
    client_session_key,
    profile_key,
    session_key,
)
from holdfast.commands.slots import follow
from holdfast.commands.view import View
from holdfast.domain.actor import Actor
from holdfast.domain.alerts import Alert, ProgressMark
from holdfast.domain.audit import AuditAction, AuditRecord
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import EventType, Happening, Rule
from holdfast.domain.fencing import check_token, require_token
from holdfast.domain.ids import AccountId, AuditId, SessionId
from holdfast.domain.lifecycle import Changed, needs_scope
from holdfast.domain.limits import SCOPE_SESSIONS_MAX
from holdfast.domain.scope import Scope, unused
from holdfast.domain.service_time import Moment
from holdfast.domain.session import ClientSession, Session, SessionProfile

HOLDERS_BY_IDENTITY = SetSpec(
    "holders_by_identity", Session, ("account_id", "held_scope", "agent", "holder_id"), order="id", limit=8
)
"""Sessions of a scope that one identity holds; there is one at most, unless it was superseded in a race of old."""

NEWEST_HOLDERS = SetSpec("newest_holders", Session, ("account_id", "held_scope", "exclusive"), order="id", limit=8)
"""The newest holders of a scope, exclusive or shared: enough to find the exclusive one, and to offer the lapsed."""

ALL_HOLDERS = SetSpec(
    "all_holders", Session, ("account_id", "held_scope", "exclusive"), order="id", limit=SCOPE_SESSIONS_MAX + 1
)
"""All holders of a scope, as far as an exclusive start is willing to look."""

NEWEST_OF_SCOPE = SetSpec("newest_of_scope", Session, ("account_id", "scope"), order="id", limit=8)
"""The newest sessions of a scope, those too that hold it no longer: enough to offer what broke off. Time ends sessions
without the scope's row, so nothing is decided by it."""

LAST_CHECKPOINTS = SetSpec("last_checkpoints", Checkpoint, ("account_id", "scope"), order="id", limit=1)
"""The newest checkpoint of a scope. Its writers lock their session rather than the scope: a start may miss one that a
session which goes on is writing this instant, but none of a session that it takes over, whose row it locks."""


def find_session(view: View, session_id: SessionId) -> Session:
    """A session that there is for the actor. Raises: not_found, the same for a foreign one as for none."""
    session = view.get(Session, session_id)
    if session is None or session.account_id != view.actor.account_id or not is_seen(view, session):
        raise Refusal(Code.NOT_FOUND, what="session", ways_out=(WayOut(Action.START),))
    return session


def is_seen(view: View, session: Session) -> bool:
    """Whether a session of the actor's account is there for an actor that may be bound to a project."""
    project_id = view.actor.project_id
    return project_id is None or find_profile(view, session).project_id == project_id


def seen(view: View, sessions: list[Session]) -> list[Session]:
    """Those sessions of the actor's account that are there for it."""
    if view.actor.project_id is None:
        return sessions
    view.require(*[profile_key(session.id) for session in sessions])
    return [session for session in sessions if is_seen(view, session)]


def needed(actor: Actor, session_id: SessionId) -> tuple[Key, ...]:
    """What finding a session takes: its own row, and what tells its project where the actor is bound to one."""
    return (session_key(session_id),) if actor.project_id is None else both_keys(session_id)


def find_profile(view: View, session: Session) -> SessionProfile:
    """The profile of a session, which is made and deleted with it."""
    profile = view.get(SessionProfile, session.id)
    assert profile is not None, "a session and its profile are written together"
    return profile


def find_scope(view: View, account_id: AccountId, scope: str) -> Scope:
    """The guard row of a scope; one that was never acquired starts at token 0."""
    return view.get(Scope, account_id, scope) or unused(account_id, scope)


def find_holders(view: View, spec: SetSpec, account_id: AccountId, scope: str) -> list[Session]:
    """Holders of a scope, exclusive ones first, newest first."""
    sets = [Members(spec, (account_id, scope, is_exclusive)) for is_exclusive in (True, False)]
    view.require(*sets)
    return [session for members in sets for session in view.members(members)]


Verb = Callable[[Session, Scope | None, Moment], Changed]
"""A lifecycle verb, its own arguments filled in: of the session, the scope's guard row if needed, and the present."""


def change(
    view: View, session: Session, *, fencing_token: int | None, verb: Verb, is_spoken_for: bool = False
) -> Changed:
    """Carry out a holder's verb: check the token, decide, and leave the result in the view.

    is_spoken_for: a handoff comes with it, so that none is drafted.
    Raises: fencing_token_stale, what the verb raises, fencing_token_required; in this order.
    """
    check_token(session, given=fencing_token, now=view.now)
    scope = find_scope(view, session.account_id, session.scope) if needs_scope(session, now=view.now) else None
    changed = verb(session, scope, view.now)
    require_token(session, given=fencing_token, now=view.now)
    record(view, changed, is_spoken_for=is_spoken_for)
    return changed


def record(view: View, changed: Changed, *, is_spoken_for: bool = False) -> None:
    """Leave a changed session and what happened to it in the view.

    It lets go of what it may not hold any longer, and where it broke off without one, a handoff is drafted for it.
    """
    session = changed.session
    before = (view.get(Session, session.id) or session) if changed.happenings else session
    view.put(session)
    if changed.happenings:
        # A beat and a sweep name the profile only here, where something happened, which is seldom.
        profile = find_profile(view, session)
        project_id = profile.project_id
        view.emit(changed.happenings, session_id=session.id, account_id=session.account_id, project_id=project_id)
        let_go(view, before, changed, profile)
        follow(view, before, session)
        draft_where_broken_off(view, before, session, changed.happenings, is_spoken_for=is_spoken_for)
        forget_let_go(view, session)


def remove_session(view: View, settled: Changed, *, rule: Rule) -> int:
    """Delete a session and everything that hangs on it; how many checkpoints that is.

    Its events and its scope's tokens stay; one more event says that it is gone.
    """
    session = settled.session
    profile = find_profile(view, session)
    client_session_id = profile.client_session_id
    if client_session_id is not None:
        named = view.get(ClientSession, session.account_id, client_session_id)
        if named is not None and named.session_id == session.id:
            view.delete(client_session_key(session.account_id, client_session_id))
    if session.checkpoint_count:
        view.purge(Checkpoint, column="session_id", value=session.id)
    view.purge(Alert, column="session_id", value=session.id)
    view.purge(ProgressMark, column="session_id", value=session.id)
    view.delete(profile_key(session.id))
    view.delete(session_key(session.id))
    gone = Happening(EventType.DELETED, rule, view.now.wall_ms, {"scope": session.scope})
    happenings = (*settled.happenings, gone)
    view.emit(happenings, session_id=session.id, account_id=session.account_id, project_id=profile.project_id)
    return session.checkpoint_count


def audit(view: View, action: AuditAction, *, target: str, reason: str | None = None, data_json: str = "{}") -> None:
    """Leave an audit record in the view; it gets its place in the chain as it is saved."""
    view.put(
        AuditRecord(
            id=AuditId(view.mint("aud")),
            account_id=view.actor.account_id,
            at_ms=view.now.wall_ms,
            key_id=view.actor.key_id,
            action=action,
            target=target,
            reason=reason,
            correlation_id=view.correlation_id,
            data_json=data_json,
            number=0,
            previous_sha256="",
            sha256="",
        )
    )


SETS = (HOLDERS_BY_IDENTITY, NEWEST_HOLDERS, ALL_HOLDERS, NEWEST_OF_SCOPE, LAST_CHECKPOINTS)
assert all(spec.row_type in TABLES for spec in SETS)
