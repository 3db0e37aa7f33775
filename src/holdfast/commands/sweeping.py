"""What time has decided, recorded: a session found by the sweeper, decided anew under its lock."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.holding import record
from holdfast.commands.rows import Need, session_key
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.ids import SessionId
from holdfast.domain.session import Session


class SweepSessions(NamedTuple):
    """Look at sessions whose check is due, whatever their account.

    A lease renewed in between is seen here, so nobody is swept who beat in time; a second sweeper finds nothing left.
    """

    session_ids: tuple[SessionId, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of the sessions."""
        return (session_key(session_id) for session_id in self.session_ids)

    def decide(self, view: View) -> Reply:
        """How many sessions changed, and how many were only looked at."""
        changed_count = 0
        for session_id in self.session_ids:
            session = view.get(Session, session_id)
            if session is not None:
                changed_count += _swept(session, view)
        return Reply({"changed": changed_count, "examined": len(self.session_ids)})


def _swept(session: Session, view: View) -> bool:
    settled = lifecycle.settle(session, now=view.now)
    swept = lifecycle.rescheduled(settled.session)
    if swept != session:
        record(view, settled._replace(session=swept))
    return bool(settled.happenings)
