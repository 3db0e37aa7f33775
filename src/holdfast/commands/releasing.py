"""What hangs on a session, and is let go of as the session lapses or is over, whoever or whatever brought that about.

`holding.record` calls `let_go` for every change of a session, so it happens in the transaction of that change. What a
session may hold is counted on its own row; one that holds nothing costs nothing here. Its slot follows it in `slots`.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.commands.rows import Key, Members, SetSpec, profile_key
from holdfast.commands.slots import slot_keys
from holdfast.commands.view import View
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.ids import AccountId, SessionId, TaskId
from holdfast.domain.lifecycle import LIVE, Changed, phase
from holdfast.domain.limits import TASKS_HELD_MAX
from holdfast.domain.project import Project
from holdfast.domain.session import Session, SessionProfile
from holdfast.domain.task import LetGo, Task, noted, requeued
from holdfast.domain.task import let_go as let_go_of

LETS_GO: Final = frozenset(
    {
        EventType.STALLED,
        EventType.FAILED,
        EventType.ABANDONED,
        EventType.TAKEN_OVER,
        EventType.RECOVERED,
        EventType.ENDED,
    }
)
"""What happens to a session that makes it let go, also where it comes back in the same breath, with empty hands."""

TASKS_HELD = SetSpec("tasks_held", Task, ("held_by",), order="id", limit=TASKS_HELD_MAX)
"""The unfinished tasks of a session. The session's row is their guard."""


def let_go(view: View, before: Session, changed: Changed, profile: SessionProfile) -> None:
    """Let go of all that a session held before this change, if it lapsed by it or is over.

    before, profile: as they stood until now.
    """
    has_lapsed = not LETS_GO.isdisjoint(happening.type for happening in changed.happenings)
    if not has_lapsed and phase(changed.session) in LIVE:
        return
    if before.task_count:
        _requeue_tasks(view, before, profile)


def require_held(view: View, sessions: Sequence[Session]) -> None:
    """Have at hand what letting go of all that these sessions hold takes: each asking may cost a round.

    So is what a draft tells of what they let go of before, as far as their profiles are at hand.
    """
    holders = [session.id for session in sessions if session.task_count]
    sets = [Members(TASKS_HELD, (session_id,)) for session_id in holders]
    view.require(*sets, *slot_keys(view, sessions))
    tasks: list[Task] = [task for members in sets for task in view.members(members)]
    # A task that becomes ready joins its project's queue, whose guard the project is.
    guards = {project_key(task.account_id, task.project_id): None for task in tasks}
    view.require(*guards, *[key for session in sessions for key in _let_go_keys(view, session.id)])


def project_key(account_id: AccountId, project_id: str) -> Key:
    """The row of a project, which guards the queue of its tasks."""
    return Key(Project, (account_id, project_id))


def held_tasks(view: View, session_id: SessionId) -> list[Task]:
    """The unfinished tasks of a session."""
    return view.members(Members(TASKS_HELD, (session_id,)))


def tasks_let_go(view: View, profile: SessionProfile) -> tuple[LetGo, dict[TaskId, Task]]:
    """The tasks that a session held when it broke off, and those of them that there still are, as they are now."""
    view.require(*_let_go_keys(view, profile.id))
    told = let_go_of(profile.let_go_json)
    found = {task_id: view.get(Task, task_id) for task_id in told.statuses}
    return told, {task_id: task for task_id, task in found.items() if task is not None}


def _let_go_keys(view: View, session_id: SessionId) -> list[Key]:
    """The tasks that a session let go of, as far as its profile is at hand."""
    profile = view.get(SessionProfile, session_id) if view.holds(profile_key(session_id)) else None
    if profile is None or profile.let_go_json is None:
        return []
    return [Key(Task, (task_id,)) for task_id in let_go_of(profile.let_go_json).statuses]


def forget_let_go(view: View, session: Session) -> None:
    """A session that came back did so with empty hands: what it held before is no longer its own to hand on."""
    profile = view.get(SessionProfile, session.id)
    if profile is not None and profile.let_go_json is not None and phase(session) in LIVE:
        view.put(profile._replace(let_go_json=None))


def _requeue_tasks(view: View, session: Session, profile: SessionProfile) -> None:
    """Every task of the session is pending again, and told once."""
    require_held(view, (session,))
    tasks = held_tasks(view, session.id)
    for task in tasks:
        again = requeued(task, now_ms=view.now.wall_ms)
        view.put(again)
        data: Data = {"task_id": task.id, "was": str(task.status), "attempts": task.attempts}
        happening = Happening(EventType.TASK_REQUEUED, Rule.SESSION_LET_GO, view.now.wall_ms, data)
        view.emit((happening,), session_id=session.id, account_id=session.account_id, project_id=task.project_id)
    current_task_id = profile.current_task_id
    is_current_gone = current_task_id in [task.id for task in tasks]
    view.put(
        profile._replace(
            let_go_json=noted(tasks, current_task_id=current_task_id),
            current_task_id=None if is_current_gone else current_task_id,
        )
    )
