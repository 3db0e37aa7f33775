"""Cleaning up: an operator deletes the records of finished sessions without waiting until their time has passed."""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from holdfast.commands.holding import audit
from holdfast.commands.lists import Filter, ListSpec, Operator
from holdfast.commands.retention import finished_sessions, is_unread, remove_sessions
from holdfast.commands.rows import Key, Need, scope_key, session_key
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.events import Rule
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import Changed
from holdfast.domain.retention import is_past
from holdfast.domain.session import Session, Status

TERMINAL_STATUSES: Final = (Status.ENDED, Status.FAILED, Status.ABANDONED)
"""Statuses of sessions that are over, in the order in which they are cleaned up."""

CLEANUP_LIST = ListSpec(
    "cleanup",
    (Session,),
    {"status": (Filter("session", "status"),), "changed_before": (Filter("session", "status_at_ms", Operator.BEFORE),)},
    order="id",
    descending=False,
)
"""Where a cleanup looks for sessions."""


class CleanUp(NamedTuple):
    """Archive and delete those of these sessions that have been over for long enough.

    is_dry_run: decide all of it and change nothing. with_unread: also those that left a checkpoint which was handed to
    nobody. next_cursor: where the next step goes on; told again with the answer.
    """

    session_ids: tuple[SessionId, ...]
    statuses: tuple[Status, ...]
    older_than_ms: int
    is_dry_run: bool
    with_unread: bool
    next_cursor: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of the sessions."""
        return self._keys()

    def decide(self, view: View) -> Reply:
        """How many sessions and checkpoints are deleted, and how many sessions are kept because nobody read them.

        Raises: forbidden.
        """
        require(view.actor, KeyScope.OPERATOR)
        old = [each for each in finished_sessions(view, self._keys(), with_unread=True) if self._is_meant(each, view)]
        view.require(*[scope_key(each.session.account_id, each.session.scope) for each in old])
        gone = [each for each in old if self.with_unread or not is_unread(view, each.session)]
        checkpoint_count = sum(each.session.checkpoint_count for each in gone)
        if gone and not self.is_dry_run:
            remove_sessions(view, [_archived(each, view) for each in gone], rule=Rule.REQUESTED)
            self._audit(view, session_count=len(gone), checkpoint_count=checkpoint_count)
        return Reply(
            {
                "dry_run": self.is_dry_run,
                "deleted": {"sessions": len(gone), "checkpoints": checkpoint_count},
                "kept_unread": len(old) - len(gone),
                "next_cursor": self.next_cursor,
            }
        )

    def _keys(self) -> tuple[Key, ...]:
        return tuple(session_key(session_id) for session_id in self.session_ids)

    def _is_meant(self, settled: Changed, view: View) -> bool:
        session = settled.session
        is_old = is_past(session.status_at_ms, keep_ms=self.older_than_ms, now=view.now)
        return session.account_id == view.actor.account_id and session.status in self.statuses and is_old

    def _audit(self, view: View, *, session_count: int, checkpoint_count: int) -> None:
        data = {
            "sessions": session_count,
            "checkpoints": checkpoint_count,
            "older_than_ms": self.older_than_ms,
            "statuses": [str(status) for status in self.statuses],
            "with_unread": self.with_unread,
        }
        audit(view, AuditAction.SESSIONS_CLEANED_UP, target=view.actor.account_id, data_json=json.dumps(data))


def _archived(settled: Changed, view: View) -> Changed:
    """The session, put away first, as every session is before it is deleted."""
    archived = lifecycle.archive(settled.session, now=view.now)
    return archived._replace(happenings=(*settled.happenings, *archived.happenings))
