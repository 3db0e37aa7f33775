"""Questions about what is: answered from committed rows, without passing through the engine.

Every function takes the store, and the actor for whose account and project alone there is anything to see; a foreign id
is answered as an unknown one. A list takes that from its request.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.commands.bodies import Body, checkpoint_body, session_body, summary_body
from holdfast.commands.cleanup import CLEANUP_LIST
from holdfast.commands.holding import NEWEST_HOLDERS
from holdfast.commands.jobs import job_body
from holdfast.commands.keys import key_body
from holdfast.commands.lists import Filter, ListRequest, ListSpec, Operator
from holdfast.commands.request_log import COUNTS_OF_ACCOUNT, request_body
from holdfast.commands.retention import KINDS
from holdfast.commands.rows import Key, Members, SetSpec, Value, profile_key, session_key
from holdfast.domain.actor import Actor
from holdfast.domain.alerts import ALERT_EVENTS
from holdfast.domain.audit import AuditRecord
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Event, EventCursor, EventFilter, EventType, require_kept
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.jobs import Job
from holdfast.domain.lifecycle import LIVE, phase, settle
from holdfast.domain.limits import LIST_LIMIT_MAX, LIVENESS_SCAN_ROWS_MAX
from holdfast.domain.liveness import Liveness, liveness
from holdfast.domain.requests import RequestCount, RequestRecord
from holdfast.domain.service_time import Moment, moment
from holdfast.domain.session import Session, SessionProfile, Status, identity
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


LAST_OF_TYPE = SetSpec("last_event_of_type", Event, ("session_id", "type"), order="number", limit=1)
"""The latest event of one type of one session."""


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


def sessions(store: Reader, request: ListRequest, *, alive: Liveness | None, is_summary: bool) -> Page:
    """A page of sessions, newest first.

    alive: only those of this liveness, which is computed: so at most a bounded number of rows is examined for a page,
    and a page may be short although more follow. is_summary: without free JSON, which may be long.
    """
    now = present(store)
    body = summary_body if is_summary else session_body
    if alive is None:
        page = store.page(request)
        items = [body(row, profile, now=now) for row, profile in page.rows]  # type: ignore[arg-type]
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
                items.append(body(row, profile, now=now))
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


def requests(store: Reader, request: ListRequest) -> Page:
    """A page of the request log, newest first."""
    page = store.page(request)
    items = [request_body(row) for (row,) in page.rows if isinstance(row, RequestRecord)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def request_counts(store: Reader, account_id: AccountId, *, key_id: str | None, since_at_ms: int | None) -> list[Body]:
    """Requests that are counted rather than logged, by minute, key and route, newest first; of all nodes together."""
    counts: dict[tuple[int, str, str], Body] = {}
    for row in store.find(Members(COUNTS_OF_ACCOUNT, (account_id,))):
        assert isinstance(row, RequestCount)
        if (key_id is not None and row.key_id != key_id) or row.minute_at_ms < (since_at_ms or 0):
            continue
        body = counts.setdefault(
            (row.minute_at_ms, row.key_id, row.route),
            {
                "minute_at_ms": row.minute_at_ms,
                "key_id": row.key_id,
                "route": row.route,
                "requests": 0,
                "heartbeats": 0,
            },
        )
        body["requests"] += row.requests
        body["heartbeats"] += row.items
    return list(counts.values())


def explain(store: Reader, actor: Actor, session_id: SessionId) -> Body:
    """Why a session is in its state: the rule that brought it there, its inputs, who and when. Raises: not_found.

    Where time has decided what no sweep has recorded yet, that is told as `pending`.
    """
    row, profile = find_session(store, actor, session_id)
    now = present(store)
    events = [each for each in store.find(Members(EVENTS_OF_SESSION, (session_id,))) if isinstance(each, Event)]
    told = [event_body(each) for each in events]
    changes = [event for event in events if event.type not in ALERT_EVENTS] or _last_changes(store, session_id)
    pending = settle(row, now=now).happenings
    return {
        "session": session_body(row, profile, now=now),
        "because": event_body(changes[0]) if changes else None,
        "pending": [
            {"type": str(each.type), "rule": str(each.rule), "at_ms": each.at_ms, **each.data} for each in pending
        ],
        "silent_ms": max(0, now.wall_ms - row.last_heartbeat_at_ms),
        "now_at_ms": now.wall_ms,
        "history": told,
    }


def _last_changes(store: Reader, session_id: SessionId) -> list[Event]:
    """The last event that changed a session, where many alerts have been told of it since."""
    found = [
        event
        for event_type in EventType
        if event_type not in ALERT_EVENTS
        for event in store.find(Members(LAST_OF_TYPE, (session_id, event_type.value)))
        if isinstance(event, Event)
    ]
    return sorted(found, key=lambda event: -event.number)


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


def cleanup_candidates(
    store: Reader,
    account_id: AccountId,
    *,
    statuses: Sequence[Status],
    older_than_ms: int,
    after: tuple[Status, str] | None,
    limit: int,
) -> tuple[list[SessionId], tuple[Status, str] | None]:
    """Sessions that a cleanup has to look at, by status and id, and after which the next ones come; None: no more."""
    before_ms = present(store).wall_ms - older_than_ms + 1
    found: list[SessionId] = []
    for status in statuses[0 if after is None else statuses.index(after[0]) :]:
        filters = (("changed_before", before_ms), ("status", status.value))
        after_id = after[1] if after is not None and after[0] == status else None
        if len(found) == limit:
            return found, (status, "")
        page = store.page(ListRequest(CLEANUP_LIST, account_id, filters, after_id, limit - len(found)))
        found += [row.id for (row,) in page.rows if isinstance(row, Session)]
        if not page.is_last:
            return found, (status, found[-1])
    return found, None


def jobs(store: Reader, *, keeps: Mapping[str, int | None]) -> list[Body]:
    """Every recurring job, as it stands. keeps: how long each kind of row is kept, by its name."""
    found = []
    for kind in KINDS.values():
        job = store.get(Key(Job, (kind.name,)))
        found.append(job_body(kind.schedule, job if isinstance(job, Job) else None, keep_ms=keeps.get(kind.name)))
    return found


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
