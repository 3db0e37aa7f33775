"""What there is to recover, and what is known of a session whose work somebody may have to go on with."""

from holdfast.commands.beginning import held_elsewhere, in_the_way
from holdfast.commands.bodies import Body, checkpoint_body, refusal_body, session_body, summary_body
from holdfast.commands.holding import NEWEST_HOLDERS
from holdfast.commands.leaving import LAST_OF_SESSION
from holdfast.commands.lists import Filter, ListRequest, ListSpec, Operator
from holdfast.commands.rows import Key, Members, scope_key, session_key
from holdfast.commands.tasks import TASKS_GIVEN, task_body
from holdfast.domain.actor import Actor
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Refusal
from holdfast.domain.handoff import Handoff, HandoffStatus
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import HOLDING, phase, require_recoverable, settle
from holdfast.domain.recovery import advise
from holdfast.domain.scope import Scope, unused
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, SessionProfile, Status
from holdfast.domain.task import Task, TaskStatus
from holdfast.engine.queries import SESSION_LIST, Page, find_session, handoff, is_seen, present
from holdfast.store.port import Reader

RECOVERABLE_LIST = ListSpec(
    "recoverable",
    (Session, SessionProfile),
    {
        **SESSION_LIST.filters,
        "broke_off": (
            Filter("session", "status", Operator.AMONG_FIXED, (Status.STALLED, Status.FAILED, Status.ABANDONED)),
        ),
        "not_taken_over": (Filter("session", "taken_over_by", Operator.ABSENT),),
        "not_archived": (Filter("session", "archived_at_ms", Operator.ABSENT),),
    },
    order="id",
    descending=False,
)
"""Sessions that broke off and that nobody has followed, oldest first."""

BROKE_OFF = dict.fromkeys(("broke_off", "not_taken_over", "not_archived"), True)
"""The filters that make that list what it is."""


def recoverable(store: Reader, actor: Actor, request: ListRequest, *, is_summary: bool) -> Page:
    """A page of sessions that broke off, oldest first, and of each what keeps it from being recovered."""
    now = present(store)
    body = summary_body if is_summary else session_body
    page = store.page(request)
    items = []
    for row, profile in page.rows:
        assert isinstance(row, Session)
        assert isinstance(profile, SessionProfile)
        settled = settle(row, now=now).session
        items.append({**body(settled, profile, now=now), **_prospects(store, actor, settled, now=now)})
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def recovery(store: Reader, actor: Actor, session_id: SessionId, *, attempts_max: int) -> Body:
    """The last known state of a session, and what to do about it. Raises: not_found.

    attempts_max: how often work is recovered of which no session was recovered yet.
    """
    row, profile = find_session(store, actor, session_id)
    now = present(store)
    session = settle(row, now=now).session
    blocked = _blocked(store, actor, session, now=now)
    checkpoint = _last_checkpoint(store, row, profile)
    tasks = _Tasks(store, actor, row, profile)
    return {
        "session": session_body(session, profile, now=now),
        "recoverable": blocked is None,
        "blocked": None if blocked is None else {"refusal": refusal_body(blocked)},
        "attempts": profile.recovery_attempts,
        "attempts_left": attempts_max if session.recoveries_left is None else session.recoveries_left,
        "last_checkpoint": None if checkpoint is None else checkpoint_body(checkpoint),
        "last_handoff": _last_handoff(store, actor, row),
        "conversation_id": None,
        "current_task": None if tasks.current is None else task_body(tasks.current),
        "current_task_id": profile.current_task_id if tasks.current is None else tasks.current.id,
        "last_completed_task": None if tasks.last_completed is None else task_body(tasks.last_completed),
        "branch": profile.branch or (checkpoint and checkpoint.branch),
        "commit_sha": profile.commit_sha or (checkpoint and checkpoint.commit_sha),
        "machine_id": profile.machine_id,
        "slot": profile.slot,
        "analysis": {
            "silent_ms": max(0, now.wall_ms - session.last_heartbeat_at_ms),
            "status_for_ms": max(0, now.wall_ms - session.status_at_ms),
            "stuck_tasks": [task_body(each) for each in tasks.stuck],
            "recommended": advise(session, blocked)._asdict(),
        },
        "now_at_ms": now.wall_ms,
    }


def _last_handoff(store: Reader, actor: Actor, session: Session) -> Body | None:
    """What the session left last, whole."""
    left = [each for each in store.find(Members(LAST_OF_SESSION, (session.id,))) if isinstance(each, Handoff)]
    newest = next((each for each in left if each.status != HandoffStatus.WITHDRAWN), None)
    return None if newest is None else handoff(store, actor, newest.id)


class _Tasks:
    """The tasks of a session: the one it worked on, the last one it completed, and those that it left unfinished.

    stuck: begun and not finished by it, nor given to anybody since; those that failed are among them.
    """

    def __init__(self, store: Reader, actor: Actor, session: Session, profile: SessionProfile) -> None:
        found = [each for each in store.find(Members(TASKS_GIVEN, (session.id,))) if isinstance(each, Task)]
        given = [each for each in found if actor.project_id in (None, each.project_id)]
        unfinished = [each for each in given if each.attempts and each.status != TaskStatus.COMPLETED]
        named = [each for each in given if each.id == profile.current_task_id]
        completed = [each for each in given if each.status == TaskStatus.COMPLETED]
        self.current = next(iter(named), None) or max(unfinished, key=_started, default=None)
        self.last_completed = max(completed, key=lambda each: (each.finished_at_ms or 0, each.id), default=None)
        self.stuck = unfinished


def _started(row: Task) -> tuple[int, str]:
    return row.started_at_ms or 0, row.id


def _prospects(store: Reader, actor: Actor, session: Session, *, now: Moment) -> Body:
    blocked = _blocked(store, actor, session, now=now)
    return {
        "silent_ms": max(0, now.wall_ms - session.last_heartbeat_at_ms),
        "blocked": None if blocked is None else {"refusal": refusal_body(blocked)},
    }


def _blocked(store: Reader, actor: Actor, session: Session, *, now: Moment) -> Refusal | None:
    """Why a recovery of a settled session would be refused; None: it would not be."""
    held = (session.account_id, session.scope)
    scope = store.get(scope_key(*held))
    try:
        require_recoverable(session, scope=scope if isinstance(scope, Scope) else unused(*held), now=now)
    except Refusal as refusal:
        return refusal
    # One that still holds its scope has no rival: whoever wanted the scope alone had to get past it.
    for is_exclusive in (True, False) if phase(session) not in HOLDING else ():
        for rival in store.find(Members(NEWEST_HOLDERS, (*held, is_exclusive))):
            assert isinstance(rival, Session)
            is_rival = is_exclusive or session.exclusive
            if is_rival and phase(settle(rival, now=now).session) in HOLDING:
                if not is_seen(store, actor, rival):
                    return held_elsewhere(session.scope)
                return in_the_way(rival, to_start=False, now=now)
    return None


def _last_checkpoint(store: Reader, session: Session, profile: SessionProfile) -> Checkpoint | None:
    """The last one of the session, or of those that were recovered before it."""
    source: object = session
    if not session.checkpoint_count and profile.checkpoint_source_id is not None:
        source = store.get(session_key(profile.checkpoint_source_id))
    if not isinstance(source, Session) or not source.checkpoint_count:
        return None
    checkpoint = store.get(Key(Checkpoint, (source.id, source.checkpoint_count)))
    return checkpoint if isinstance(checkpoint, Checkpoint) else None
