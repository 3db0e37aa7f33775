"""Retention: what becomes of rows that were kept long enough. `KINDS` is the one table; a new kind is a line in it.

A job finds rows by their age, some hundreds at a time, and has each decided anew under its lock, so what was revived,
changed or deleted meanwhile is seen here. How long rows are kept comes from the settings, by the kind's name.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from holdfast.commands.auditing import cut_audit
from holdfast.commands.holding import find_profile, record, remove_session
from holdfast.commands.jobs import Claim, held_job
from holdfast.commands.leaving import tell
from holdfast.commands.lists import AgeSearch
from holdfast.commands.machines import find_slots, remove_machine
from holdfast.commands.rows import IdempotencyRecord, Key, Members, Need, client_session_key, profile_key, scope_key
from holdfast.commands.slots import slots_of
from holdfast.commands.tasks import DEPENDENTS, remove_task, wait_keys
from holdfast.commands.view import Reply, View
from holdfast.domain import jobs, lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditRecord
from holdfast.domain.events import Event, EventType, Rule
from holdfast.domain.handoff import Handoff, HandoffBody, expired
from holdfast.domain.jobs import Job, Schedule
from holdfast.domain.lifecycle import Changed
from holdfast.domain.limits import DAY_MS, HOUR_MS, SECOND_MS
from holdfast.domain.machine import Machine
from holdfast.domain.requests import RequestCount, RequestRecord
from holdfast.domain.retention import is_past
from holdfast.domain.scope import Scope, unused
from holdfast.domain.session import Session
from holdfast.domain.task import Task
from holdfast.domain.webhooks import WebhookDelivery

ROWS_PER_STEP = 500
"""The most plain rows in one transaction, where they are in memory: some milliseconds of the writer."""

SESSIONS_PER_STEP = 100
"""The most sessions in one transaction: each is several rows and an event."""

MACHINES_PER_STEP = 20
"""The most machines in one transaction: each has some hundreds of slots at most."""

Treat = Callable[[View, AgeSearch, Sequence[Key], int], int]
"""What becomes of rows found by an age search and kept for so many milliseconds; how many of them it changed."""


class Kind(NamedTuple):
    """One kind of row that is not kept for ever, and the job that sees to it.

    search: how rows are found that may have been kept long enough.
    setting: the setting that says for how many units they are kept, 0 for ever; None: they say themselves until when.
    """

    name: str
    search: AgeSearch
    setting: str | None
    unit_ms: int
    every_ms: int
    treat: Treat
    step: int = ROWS_PER_STEP

    @property
    def schedule(self) -> Schedule:
        """When its job runs: daily ones up to an hour early or late, the others by as large a part."""
        return Schedule(self.name, self.every_ms, self.every_ms // 24)


class RetireRows(NamedTuple):
    """One step of a kind's job: see to these rows, whatever their account. keep_ms: how long they are kept."""

    kind: str
    keys: tuple[Key, ...]
    keep_ms: int
    claim: Claim

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The job's row, which guards the work, and the rows."""
        return (Key(Job, (self.claim.job,)), *self.keys)

    def decide(self, view: View) -> Reply:
        """How many rows changed; nothing changes once another node has claimed the job."""
        job = held_job(view, self.claim)
        if job is None:
            return Reply({"is_held": False, "count": 0})
        kind = KINDS[self.kind]
        count = kind.treat(view, kind.search, self.keys, self.keep_ms)
        view.put(jobs.advanced(job, count=count, now=view.now))
        return Reply({"is_held": True, "count": count})


def delete_rows(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Delete the rows that were kept long enough."""
    past = list(_past(view, search, keys, keep_ms))
    for key in past:
        view.delete(key)
    return len(past)


def delete_events(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Delete events, of each account from its oldest on: what is kept begins at one number and has no gap.

    A cursor is refused where it stands before that number, so an event behind one that is kept has to stay, whatever a
    clock that was set had said of the two.
    """
    count = 0
    past = sorted(_past(view, search, keys, keep_ms), key=_account_and_number)
    view.require(*[_before(key) for key in past])
    for key in past:
        if view.get(Event, *_before(key).values) is None:
            view.delete(key)
            count += 1
    return count


def delete_audit(view: View, _search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Delete audit records, of each account from its oldest on, and leave the anchor of what is kept."""
    return cut_audit(view, keys, before_at_ms=view.now.wall_ms - keep_ms)


def archive_sessions(view: View, _search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Put the records of sessions away that have been over for long enough."""
    past = [
        settled
        for settled in finished_sessions(view, keys)
        if settled.session.archived_at_ms is None
        and is_past(settled.session.status_at_ms, keep_ms=keep_ms, now=view.now)
    ]
    view.require(*[profile_key(settled.session.id) for settled in past])
    for settled in past:
        archived = lifecycle.archive(settled.session, now=view.now, rule=Rule.RETENTION_PASSED)
        record(view, archived._replace(happenings=(*settled.happenings, *archived.happenings)))
    return len(past)


def delete_sessions(view: View, _search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Delete sessions that have been archived for long enough, with all that hangs on them."""
    past = [
        settled
        for settled in finished_sessions(view, keys)
        if settled.session.archived_at_ms is not None
        and is_past(settled.session.archived_at_ms, keep_ms=keep_ms, now=view.now)
    ]
    remove_sessions(view, past, rule=Rule.RETENTION_PASSED)
    return len(past)


def expire_handoffs(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Close handoffs that have been open for long enough."""
    past = list(_past(view, search, keys, keep_ms))
    for key in past:
        handoff = view.get(Handoff, *key.values)
        assert handoff is not None, "what is past is there"
        handoff = expired(handoff, now_ms=view.now.wall_ms)
        view.put(handoff)
        tell(view, handoff, EventType.HANDOFF_EXPIRED, Rule.RETENTION_PASSED)
    return len(past)


def delete_handoffs(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Delete handoffs, whole, that have been closed for long enough."""
    past = list(_past(view, search, keys, keep_ms))
    view.require(*[Key(HandoffBody, key.values) for key in past])
    for key in past:
        view.delete(key)
        view.delete(Key(HandoffBody, key.values))
    return len(past)


def delete_machines(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Forget machines that have been offline for long enough and in none of whose slots a session runs."""
    past = [row for key in _past(view, search, keys, keep_ms) if (row := view.get(Machine, *key.values)) is not None]
    view.require(*[slots_of(row.account_id, row.id) for row in past])
    gone = [row for row in past if all(slot.session_id is None for slot in find_slots(view, row))]
    for row in gone:
        remove_machine(view, row, rule=Rule.RETENTION_PASSED)
    return len(gone)


def delete_tasks(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> int:
    """Delete tasks that were finished long enough ago, but no failed one for which others wait."""
    past = [row for key in _past(view, search, keys, keep_ms) if (row := view.get(Task, *key.values)) is not None]
    view.require(*[Members(DEPENDENTS, (row.id,)) for row in past])
    gone = [row for row in past if not view.members(Members(DEPENDENTS, (row.id,)))]
    view.require(*[key for row in gone for key in wait_keys(row)])
    for row in gone:
        remove_task(view, row, rule=Rule.RETENTION_PASSED)
    return len(gone)


def finished_sessions(view: View, keys: Sequence[Key], *, with_unread: bool = False) -> list[Changed]:
    """Of these sessions those that are over, hold nothing, and left nothing unread, as time has left them."""
    sessions = [view.get(Session, *key.values) for key in keys]
    settled = [lifecycle.settle(session, now=view.now) for session in sessions if session is not None]
    finished = [each for each in settled if lifecycle.is_finished(each.session)]
    if with_unread:
        return finished
    view.require(*[scope_key(each.session.account_id, each.session.scope) for each in finished])
    return [each for each in finished if not is_unread(view, each.session)]


def is_unread(view: View, session: Session) -> bool:
    """Whether a finished session left a checkpoint that was handed to nobody."""
    scope = view.get(Scope, session.account_id, session.scope) or unused(session.account_id, session.scope)
    return lifecycle.is_unread(session, scope)


def remove_sessions(view: View, removed: Sequence[Changed], *, rule: Rule) -> int:
    """Delete sessions and all that hangs on them; the number of their checkpoints. Rows are asked for all at once."""
    view.require(*[profile_key(each.session.id) for each in removed])
    profiles = [find_profile(view, each.session) for each in removed]
    named = [(each.account_id, each.client_session_id) for each in profiles if each.client_session_id is not None]
    view.require(*[client_session_key(*name) for name in named])
    return sum(remove_session(view, settled, rule=rule) for settled in removed)


def _account_and_number(event: Key) -> tuple[str, int]:
    account_id, number = event.values
    assert isinstance(account_id, str)
    assert isinstance(number, int)
    return account_id, number


def _before(event: Key) -> Key:
    account_id, number = _account_and_number(event)
    return Key(Event, (account_id, number - 1))


def _past(view: View, search: AgeSearch, keys: Sequence[Key], keep_ms: int) -> Iterator[Key]:
    """The keys of rows that are still there and were kept long enough."""
    for key in keys:
        row = view.get(search.row_type, *key.values)
        at_ms = None if row is None else getattr(row, search.at)
        if at_ms is not None and is_past(at_ms, keep_ms=keep_ms, now=view.now):
            yield key


FINISHED = AgeSearch(Session, "status_at_ms", absent=("held_scope", "archived_at_ms"))
ARCHIVED = AgeSearch(Session, "archived_at_ms")
TASKS = AgeSearch(Task, "finished_at_ms")
REQUESTS = AgeSearch(RequestRecord, "at_ms")
OPEN_HANDOFFS = AgeSearch(Handoff, "open_at_ms")
CLOSED_HANDOFFS = AgeSearch(Handoff, "closed_at_ms")
DELIVERIES = AgeSearch(WebhookDelivery, "created_at_ms")
COUNTS = AgeSearch(RequestCount, "minute_at_ms")
SILENT = AgeSearch(Machine, "offline_at_ms")
EXPIRING = AgeSearch(IdempotencyRecord, "expires_at_ms")

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("idempotency", EXPIRING, None, SECOND_MS, HOUR_MS, delete_rows),
        Kind("session_archive", FINISHED, "session_archive_days", DAY_MS, DAY_MS, archive_sessions, SESSIONS_PER_STEP),
        Kind("session_delete", ARCHIVED, "session_delete_days", DAY_MS, DAY_MS, delete_sessions, SESSIONS_PER_STEP),
        Kind(
            "handoff_expiry", OPEN_HANDOFFS, "handoff_expiry_days", DAY_MS, DAY_MS, expire_handoffs, SESSIONS_PER_STEP
        ),
        Kind("handoff", CLOSED_HANDOFFS, "handoff_retention_days", DAY_MS, DAY_MS, delete_handoffs, SESSIONS_PER_STEP),
        Kind("task", TASKS, "task_retention_days", DAY_MS, DAY_MS, delete_tasks),
        Kind("event", AgeSearch(Event, "recorded_at_ms"), "event_retention_days", DAY_MS, DAY_MS, delete_events),
        Kind("request_log", REQUESTS, "request_log_retention_days", DAY_MS, HOUR_MS, delete_rows),
        Kind("request_count", COUNTS, "request_log_retention_days", DAY_MS, HOUR_MS, delete_rows),
        Kind("machine", SILENT, "machine_retention_days", DAY_MS, DAY_MS, delete_machines, MACHINES_PER_STEP),
        Kind("webhook_delivery", DELIVERIES, "webhook_delivery_retention_days", DAY_MS, HOUR_MS, delete_rows),
        Kind("audit", AgeSearch(AuditRecord, "at_ms"), "audit_retention_days", DAY_MS, DAY_MS, delete_audit),
    )
}
"""Every kind of row that is not kept for ever, by the name of its job."""
