"""Questions about what is: answered from committed rows, without passing through the engine.

Every function takes the store, and the actor for whose account and project alone there is anything to see; a foreign id
is answered as an unknown one. A list takes that from its request.
"""

import json
from typing import NamedTuple

from holdfast.commands.bodies import Body, checkpoint_body, session_body
from holdfast.commands.holding import NEWEST_HOLDERS
from holdfast.commands.keys import key_body
from holdfast.commands.lists import Filter, ListRequest, ListSpec, Operator
from holdfast.commands.rows import Members, SetSpec, Value, profile_key, session_key
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditRecord
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Event, EventCursor, EventFilter, require_kept
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.lifecycle import LIVE, phase, settle
from holdfast.domain.limits import LIST_LIMIT_MAX, LIVENESS_SCAN_ROWS_MAX
from holdfast.domain.liveness import Liveness, liveness
from holdfast.domain.service_time import Moment, moment
from holdfast.domain.session import Session, SessionProfile, identity
from holdfast.store.port import EventPage, Reader

_SESSION_COLUMNS = ("status", "agent", "scope")
_PROFILE_COLUMNS = ("venture", "repo", "track", "project_id", "machine_id", "group_id", "parent_id")

SESSION_LIST = ListSpec(
    "sessions",
    (Session, SessionProfile),
    {
        **{name: (Filter("session", name),) for name in _SESSION_COLUMNS},
        **{name: (Filter("session_profile", name),) for name in _PROFILE_COLUMNS},
        "bound_project_id": (Filter("session_profile", "project_id"),),
        "heartbeat_before": (Filter("session", "last_heartbeat_at_ms", Operator.BEFORE),),
        "heartbeat_after": (Filter("session", "last_heartbeat_at_ms", Operator.FROM),),
        "started_before": (Filter("session_profile", "started_at_ms", Operator.BEFORE),),
        "started_after": (Filter("session_profile", "started_at_ms", Operator.FROM),),
        "q": tuple(
            Filter("session", name, Operator.CONTAINS) for name in ("id", "agent", "scope", "activity", "status_note")
        ),
    },
    order="id",
)

CHECKPOINT_LIST = ListSpec(
    "checkpoints", (Checkpoint,), {"session_id": (Filter("checkpoint", "session_id"),)}, order="number"
)

HOLDERS_BY_TOKEN = SetSpec(
    "holders_by_token", Session, ("account_id", "held_scope", "exclusive", "fencing_token"), order="id", limit=1
)
"""Whoever holds a scope under a token."""

EVENTS_OF_SESSION = SetSpec("events_of_session", Event, ("session_id",), order="number", limit=50)
"""The latest events of one session: what `explain` tells from."""


class Page(NamedTuple):
    """One page of a list. next_after: the order's value to go on from; None on the last page."""

    items: list[Body]
    next_after: Value
    total: int | None


def present(store: Reader) -> Moment:
    """The present as a reader sees it."""
    state, now_at_ms = store.service_clock()
    return moment(state, now_at_ms=now_at_ms)


def find_session(store: Reader, actor: Actor, session_id: SessionId) -> tuple[Session, SessionProfile]:
    """Both rows of a session. Raises: not_found."""
    session = store.get(session_key(session_id))
    profile = store.get(profile_key(session_id))
    if not isinstance(session, Session) or session.account_id != actor.account_id:
        raise _not_found()
    if not isinstance(profile, SessionProfile) or actor.project_id not in (None, profile.project_id):
        raise _not_found()
    return session, profile


def _not_found() -> Refusal:
    return Refusal(Code.NOT_FOUND, what="session", ways_out=(WayOut(Action.START),))


def _is_seen(store: Reader, actor: Actor, session: Session) -> bool:
    """Whether a session of the actor's account is there for it."""
    if actor.project_id is None:
        return True
    profile = store.get(profile_key(session.id))
    return isinstance(profile, SessionProfile) and profile.project_id == actor.project_id


def session(store: Reader, actor: Actor, session_id: SessionId) -> Body:
    """One session, as it is. Raises: not_found."""
    row, profile = find_session(store, actor, session_id)
    return session_body(row, profile, now=present(store))


def sessions(store: Reader, request: ListRequest, *, alive: Liveness | None) -> Page:
    """A page of sessions, newest first.

    alive: only those of this liveness, which is computed: so at most a bounded number of rows is examined for a page,
    and a page may be short although more follow.
    """
    now = present(store)
    if alive is None:
        page = store.page(request)
        items = [session_body(row, profile, now=now) for row, profile in page.rows]  # type: ignore[arg-type]
        return Page(items, None if page.is_last else page.rows[-1][0][0], page.total)
    items, after, examined = [], request.after, 0
    while True:
        page = store.page(request._replace(after=after, limit=LIST_LIMIT_MAX))
        for row, profile in page.rows:
            assert isinstance(row, Session)
            assert isinstance(profile, SessionProfile)
            after = row.id
            examined += 1
            if liveness(row, now=now) == alive:
                items.append(session_body(row, profile, now=now))
            if len(items) == request.limit:
                is_end = page.is_last and row is page.rows[-1][0]
                return Page(items, None if is_end else after, None)
        if page.is_last:
            return Page(items, None, None)
        if examined >= LIVENESS_SCAN_ROWS_MAX:
            return Page(items, after, None)


def checkpoints(store: Reader, actor: Actor, request: ListRequest, *, session_id: SessionId) -> Page:
    """A page of a session's checkpoints, newest first. Raises: not_found."""
    find_session(store, actor, session_id)
    page = store.page(request)
    items = [checkpoint_body(row) for (row,) in page.rows]  # type: ignore[arg-type]
    return Page(items, None if page.is_last else items[-1]["number"], page.total)


def keys(store: Reader, request: ListRequest) -> Page:
    """A page of keys, newest first, without the keys themselves."""
    page = store.page(request)
    items = [key_body(row) for (row,) in page.rows]  # type: ignore[arg-type]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def audit(store: Reader, request: ListRequest) -> Page:
    """A page of the audit, newest first."""
    page = store.page(request)
    records = [row for (row,) in page.rows if isinstance(row, AuditRecord)]
    items = [{**record._asdict(), "action": str(record.action)} for record in records]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def explain(store: Reader, actor: Actor, session_id: SessionId) -> Body:
    """Why a session is in its state: the rule that brought it there, its inputs, who and when. Raises: not_found.

    Where time has decided what no sweep has recorded yet, that is told as `pending`.
    """
    row, profile = find_session(store, actor, session_id)
    now = present(store)
    events = [each for each in store.find(Members(EVENTS_OF_SESSION, (session_id,))) if isinstance(each, Event)]
    told = [event_body(each) for each in events]
    pending = settle(row, now=now).happenings
    return {
        "session": session_body(row, profile, now=now),
        "because": told[0] if told else None,
        "pending": [
            {"type": str(each.type), "rule": str(each.rule), "at_ms": each.at_ms, **each.data} for each in pending
        ],
        "silent_ms": max(0, now.wall_ms - row.last_heartbeat_at_ms),
        "now_at_ms": now.wall_ms,
        "history": told,
    }


def fence(store: Reader, actor: Actor, scope: str, *, token: int) -> Body:
    """The session that holds the scope under this token. Raises: fencing_token_stale, with the way back."""
    now = present(store)
    ways_out: tuple[WayOut, ...] = (WayOut(Action.START),)
    for is_exclusive in (True, False):
        held = (actor.account_id, scope, is_exclusive)
        for holder in store.find(Members(HOLDERS_BY_TOKEN, (*held, token))):
            assert isinstance(holder, Session)
            if not _is_seen(store, actor, holder):
                continue
            if phase(settle(holder, now=now).session) in LIVE:
                return {"scope": scope, "current": True, "session_id": holder.id}
            ways_out = (WayOut(Action.EXPLAIN, holder.id), WayOut(Action.START, holder.id, identity(holder)))
    for holder in store.find(Members(NEWEST_HOLDERS, (actor.account_id, scope, True))):
        assert isinstance(holder, Session)
        if holder.fencing_token != token and _is_seen(store, actor, holder):
            ways_out = (WayOut(Action.EXPLAIN, holder.id),)
    raise Refusal(Code.FENCING_TOKEN_STALE, subject=f"the scope {scope}", ways_out=ways_out)


def events(
    store: Reader, account_id: AccountId, *, after: EventCursor | None, wanted: EventFilter, limit: int
) -> EventPage:
    """Events of an account after a cursor, in the order of commits; without one, from the oldest that is kept.

    Raises: cursor_expired.
    """
    page = store.events_after(account_id, number=0 if after is None else after.number, wanted=wanted, limit=limit)
    if after is not None:
        require_kept(page.history, after)
    return page


def event_body(event: Event) -> Body:
    """An event, whole, without its number: a cursor says where it stands."""
    return {
        "id": event.id,
        "type": str(event.type),
        "rule": str(event.rule),
        "session_id": event.session_id,
        "project_id": event.project_id,
        "at_ms": event.at_ms,
        "recorded_at_ms": event.recorded_at_ms,
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "data": json.loads(event.data_json),
    }
