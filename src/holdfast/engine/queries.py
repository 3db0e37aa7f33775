"""Questions about what is: answered from committed rows, without passing through the engine.

Every function takes the store, and the actor for whose account and project alone there is anything to see; a foreign id
is answered as an unknown one. A list takes that from its request.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from holdfast.commands.alerts import SCHEDULE as WATCH
from holdfast.commands.bodies import Body, checkpoint_body, handoff_body, session_body, summary_body
from holdfast.commands.cleanup import CLEANUP_LIST
from holdfast.commands.documents import DOCUMENTS_OF_VENTURE, document_body, document_keys, document_not_found
from holdfast.commands.handoffs import handoff_not_found, is_there_for, schema_body, schema_key
from holdfast.commands.holding import NEWEST_HOLDERS
from holdfast.commands.jobs import job_body
from holdfast.commands.keys import key_body
from holdfast.commands.lists import Filter, ListRequest, ListSpec, Operator
from holdfast.commands.machines import machine_body, machine_not_found
from holdfast.commands.request_log import COUNTS_OF_ACCOUNT, request_body
from holdfast.commands.retention import KINDS
from holdfast.commands.rows import (
    Key,
    Members,
    SetSpec,
    Value,
    handoff_body_key,
    handoff_key,
    profile_key,
    session_key,
)
from holdfast.commands.slots import machine_key, slots_of
from holdfast.domain.actor import Actor
from holdfast.domain.alerts import ALERT_EVENTS
from holdfast.domain.audit import AuditRecord
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.document import START_DOCUMENTS_BYTES_MAX, Document, DocumentContent
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Event, EventCursor, EventFilter, EventType, require_kept
from holdfast.domain.handoff import Handoff, HandoffBody, HandoffSchema
from holdfast.domain.ids import AccountId, HandoffId, MachineId, SessionId
from holdfast.domain.jobs import Job
from holdfast.domain.lifecycle import LIVE, phase, settle
from holdfast.domain.limits import LIST_LIMIT_MAX, LIVENESS_SCAN_ROWS_MAX
from holdfast.domain.liveness import Liveness, liveness
from holdfast.domain.machine import Machine, Slot
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

HANDOFFS_BYTES_MAX = 4 * 1024 * 1024
"""Payloads in one page of handoffs: five of the longest, and any usual page whole."""

HOLDERS_BY_TOKEN = SetSpec(
    "holders_by_token", Session, ("account_id", "held_scope", "exclusive", "fencing_token"), order="id", limit=1
)
"""Whoever holds a scope under a token."""

EVENTS_OF_SESSION = SetSpec("events_of_session", Event, ("session_id",), order="number", limit=50)
"""The latest events of one session: what `explain` tells from."""

LAST_OF_TYPE = SetSpec("last_of_type", Event, ("session_id", "type"), order="number", limit=1)
"""The latest event of one type of a session whose latest events are all about its tasks, or alerts about it."""

_CHANGES = tuple(
    each
    for each in EventType
    if each.startswith("session.") and each not in ALERT_EVENTS and each != EventType.QUARANTINED
)
"""What happens to a session that tells its state; a quarantine comes with the event that does."""


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


def is_seen(store: Reader, actor: Actor, session: Session) -> bool:
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


def sessions_at_work(store: Reader, request: ListRequest, *, with_stale: bool) -> Page:
    """A page of sessions whose holders are at work, newest first. with_stale: and of those that only fell silent.

    The rows of each status come in the order of an index, so what has ended costs nothing.
    """
    now = present(store)
    statuses = [Status.ACTIVE, Status.PAUSED, Status.PARKED, *([Status.STALLED] if with_stale else [])]
    found = heapq.merge(
        *[_of_status(store, request, status) for status in statuses], key=lambda each: each[0].id, reverse=True
    )
    wanted = ((row, profile) for row, profile in found if with_stale or phase(settle(row, now=now).session) in LIVE)
    rows = list(islice(wanted, request.limit + 1))
    items = [session_body(row, profile, now=now) for row, profile in rows[: request.limit]]
    return Page(items, items[-1]["id"] if len(rows) > request.limit else None, None)


def _of_status(store: Reader, request: ListRequest, status: Status) -> Iterator[tuple[Session, SessionProfile]]:
    after = request.after
    while True:
        page = store.page(request._replace(filters=(*request.filters, ("status", status.value)), after=after))
        for row, profile in page.rows:
            assert isinstance(row, Session)
            assert isinstance(profile, SessionProfile)
            yield row, profile
            after = row.id
        if page.is_last:
            return


def checkpoints(store: Reader, actor: Actor, request: ListRequest, *, session_id: SessionId) -> Page:
    """A page of a session's checkpoints, newest first. Raises: not_found."""
    find_session(store, actor, session_id)
    page = store.page(request)
    items = [checkpoint_body(row) for (row,) in page.rows]  # type: ignore[arg-type]
    return Page(items, None if page.is_last else items[-1]["number"], page.total)


def document(store: Reader, actor: Actor, venture: str, name: str) -> Body:
    """One document, with its text. Raises: not_found."""
    row_key, content_key = document_keys(actor, venture, name)
    row, content = store.get(row_key), store.get(content_key)
    if not isinstance(row, Document) or not isinstance(content, DocumentContent):
        raise document_not_found()
    return {**document_body(row), "content": content.content}


def documents(store: Reader, request: ListRequest) -> Page:
    """A page of the documents of a venture without their texts, by name."""
    page = store.page(request)
    items = [document_body(row) for (row,) in page.rows if isinstance(row, Document)]
    return Page(items, None if page.is_last else items[-1]["name"], page.total)


def document_index(store: Reader, actor: Actor, venture: str) -> list[Body]:
    """The documents of a venture without their texts, by name."""
    found = store.find(Members(DOCUMENTS_OF_VENTURE, (actor.account_id, actor.project_id or "", venture)))
    return [document_body(row) for row in reversed(found) if isinstance(row, Document)]


def surroundings(
    store: Reader, actor: Actor, others: ListRequest, *, venture: str, with_contents: bool
) -> dict[str, list[Body]]:
    """Who else is at work, and the documents of a venture; where asked for, their texts up to a number of bytes."""
    found = document_index(store, actor, venture)
    told = ("name", "version", "sha256", "size_bytes", "updated_at_ms")
    around = {
        "active_sessions": sessions_at_work(store, others, with_stale=False).items,
        "doc_index": [{name: each[name] for name in told} for each in found],
    }
    if with_contents:
        around["docs"], left_bytes = [], START_DOCUMENTS_BYTES_MAX
        for each in found:
            content = store.get(document_keys(actor, venture, each["name"])[1])
            left_bytes -= each["size_bytes"]
            if isinstance(content, DocumentContent) and left_bytes >= 0:
                around["docs"].append({"name": each["name"], "sha256": each["sha256"], "content": content.content})
    return around


def handoff(store: Reader, actor: Actor, handoff_id: HandoffId) -> Body:
    """One handoff, whole. Raises: not_found."""
    row = store.get(handoff_key(handoff_id))
    if not isinstance(row, Handoff) or not is_there_for(row, actor):
        raise handoff_not_found()
    return _whole(store, row)


def handoffs(store: Reader, request: ListRequest, *, is_summary: bool) -> Page:
    """A page of handoffs, newest first. is_summary: without their lists and payloads.

    Those of a page have HANDOFFS_BYTES_MAX together, or one is alone in it; so a page may be short.
    """
    page = store.page(request)
    items: list[Body] = []
    size_bytes = 0
    for (row,) in page.rows:
        assert isinstance(row, Handoff)
        size_bytes += 0 if is_summary else row.payload_size_bytes
        if items and size_bytes > HANDOFFS_BYTES_MAX:
            return Page(items, items[-1]["id"], page.total)
        items.append(handoff_body(row, None) if is_summary else _whole(store, row))
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def _whole(store: Reader, row: Handoff) -> Body:
    body = store.get(handoff_body_key(row.id))
    if not isinstance(body, HandoffBody):
        # It was deleted between the two readings.
        raise handoff_not_found()
    return handoff_body(row, body)


def handoff_schema(store: Reader, actor: Actor, schema_id: str) -> Body:
    """One version of a schema. Raises: not_found."""
    row = store.get(schema_key(actor, schema_id))
    if not isinstance(row, HandoffSchema):
        raise Refusal(Code.NOT_FOUND, what="handoff schema")
    return schema_body(row)


def handoff_schemas(store: Reader, request: ListRequest) -> Page:
    """A page of schemas, by name and version."""
    page = store.page(request)
    items = [schema_body(row) for (row,) in page.rows if isinstance(row, HandoffSchema)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def machine(store: Reader, actor: Actor, machine_id: MachineId) -> Body:
    """One machine and its slots. Raises: not_found."""
    row = store.get(machine_key(actor.account_id, machine_id))
    if not isinstance(row, Machine):
        raise machine_not_found()
    return _machine_body(store, actor, row, now=present(store))


def machines(store: Reader, actor: Actor, request: ListRequest, *, only_available: bool = False) -> Page:
    """A page of machines and their slots, by id.

    only_available: those on which a session can begin. At most a bounded number is examined for a page, so a page may
    be short although more follow.
    """
    now, items, after = present(store), list[Body](), request.after
    limit = LIST_LIMIT_MAX if only_available else request.limit
    for _ in range(LIVENESS_SCAN_ROWS_MAX // LIST_LIMIT_MAX):
        page = store.page(request._replace(after=after, limit=limit))
        for (row,) in page.rows:
            assert isinstance(row, Machine)
            after = row.id
            body = _machine_body(store, actor, row, now=now)
            if body["available"] or not only_available:
                items.append(body)
            if len(items) == request.limit:
                is_end = page.is_last and row is page.rows[-1][0]
                return Page(items, None if is_end else after, None if only_available else page.total)
        if page.is_last:
            return Page(items, None, None if only_available else page.total)
    return Page(items, after, None)


def _machine_body(store: Reader, actor: Actor, row: Machine, *, now: Moment) -> Body:
    slots = [slot for slot in reversed(store.find(slots_of(row.account_id, row.id))) if isinstance(slot, Slot)]
    hidden: set[str] = set()
    if actor.project_id is not None:
        for session_id in [slot.session_id for slot in slots if slot.session_id is not None]:
            profile = store.get(profile_key(session_id))
            if not isinstance(profile, SessionProfile) or profile.project_id != actor.project_id:
                hidden.add(session_id)
    return machine_body(row, slots, now=now, hidden=hidden)


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
    told = [event_body(each) for each in _session_events(store, session_id)]
    pending = settle(row, now=now).happenings
    return {
        "session": session_body(row, profile, now=now),
        "because": next((each for each in told if each["type"] in _CHANGES), None),
        "pending": [
            {"type": str(each.type), "rule": str(each.rule), "at_ms": each.at_ms, **each.data} for each in pending
        ],
        "silent_ms": max(0, now.wall_ms - row.last_heartbeat_at_ms),
        "now_at_ms": now.wall_ms,
        "history": told,
    }


def _session_events(store: Reader, session_id: SessionId) -> list[Event]:
    """The latest events about a session itself, newest first, the last one that changed it among them."""
    latest = [each for each in store.find(Members(EVENTS_OF_SESSION, (session_id,))) if isinstance(each, Event)]
    found = [each for each in latest if each.type.startswith("session.")]
    if not any(each.type in _CHANGES for each in found):
        by_type = [store.find(Members(LAST_OF_TYPE, (session_id, each))) for each in _CHANGES]
        found = [each for events in by_type for each in events if isinstance(each, Event)]
        found.sort(key=lambda event: event.number, reverse=True)
    return found


def fence(store: Reader, actor: Actor, scope: str, *, token: int) -> Body:
    """The session that holds the scope under this token. Raises: fencing_token_stale, with the way back."""
    now = present(store)
    ways_out: tuple[WayOut, ...] = (WayOut(Action.START),)
    for is_exclusive in (True, False):
        held = (actor.account_id, scope, is_exclusive)
        for holder in store.find(Members(HOLDERS_BY_TOKEN, (*held, token))):
            assert isinstance(holder, Session)
            if not is_seen(store, actor, holder):
                continue
            if phase(settle(holder, now=now).session) in LIVE:
                return {"scope": scope, "current": True, "session_id": holder.id}
            ways_out = (WayOut(Action.EXPLAIN, holder.id), WayOut(Action.START, holder.id, identity(holder)))
    for holder in store.find(Members(NEWEST_HOLDERS, (actor.account_id, scope, True))):
        assert isinstance(holder, Session)
        if holder.fencing_token != token and is_seen(store, actor, holder):
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
    """Every recurring job, as it stands. keeps: how long each kind of row is kept, by its name.

    The watch for alerts deletes nothing, so it is on and keeps nothing.
    """
    found = []
    for kind in KINDS.values():
        job = store.get(Key(Job, (kind.name,)))
        found.append(job_body(kind.schedule, job if isinstance(job, Job) else None, keep_ms=keeps.get(kind.name)))
    watch = store.get(Key(Job, (WATCH.name,)))
    return [*found, job_body(WATCH, watch if isinstance(watch, Job) else None, keep_ms=None) | {"is_on": True}]


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
        "session_id": event.session_id or None,
        "project_id": event.project_id,
        "at_ms": event.at_ms,
        "recorded_at_ms": event.recorded_at_ms,
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "data": json.loads(event.data_json),
    }
