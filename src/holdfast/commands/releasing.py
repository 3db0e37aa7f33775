"""What hangs on a session, and is let go of as the session lapses or is over, whoever or whatever brought that about.

`holding.record` calls `let_go` for every change of a session, so it happens in the transaction of that change. What a
session may hold is counted on its own row; one that holds nothing costs nothing here. Its slot follows it in `slots`.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.commands.rows import Key, Members, SetSpec
from holdfast.commands.slots import slot_keys
from holdfast.commands.view import View
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.lifecycle import LIVE, Changed, phase
from holdfast.domain.limits import TASKS_HELD_MAX
from holdfast.domain.project import Project
from holdfast.domain.session import Session, SessionProfile
from holdfast.domain.task import Task, requeued

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
    """Have at hand what letting go takes, for all of these sessions at once: each asking may cost a round."""
    holders = [session.id for session in sessions if session.task_count]
    sets = [Members(TASKS_HELD, (session_id,)) for session_id in holders]
    view.require(*sets, *slot_keys(view, sessions))
    tasks: list[Task] = [task for members in sets for task in view.members(members)]
    # A task that becomes ready joins its project's queue, whose guard the project is.
    view.require(*{project_key(task.account_id, task.project_id): None for task in tasks})


def project_key(account_id: AccountId, project_id: str) -> Key:
    """The row of a project, which guards the queue of its tasks."""
    return Key(Project, (account_id, project_id))


def held_tasks(view: View, session_id: SessionId) -> list[Task]:
    """The unfinished tasks of a session."""
    return view.members(Members(TASKS_HELD, (session_id,)))


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
    if profile.current_task_id in [task.id for task in tasks]:
        view.put(profile._replace(current_task_id=None))
