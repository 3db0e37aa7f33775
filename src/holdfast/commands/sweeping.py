"""What time has decided, recorded: a session found by the sweeper, decided anew under its lock."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.holding import record
from holdfast.commands.leaving import needs_of_draft
from holdfast.commands.releasing import require_held
from holdfast.commands.rows import Need, profile_key, session_key
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
        found = [view.get(Session, session_id) for session_id in self.session_ids]
        settled = [(each, lifecycle.settle(each, now=view.now)) for each in found if each is not None]
        changed = [session for session, after in settled if after.happenings]
        # What is recorded of them takes their profiles, and of those that broke off their last checkpoints, asked for
        # at once: each asking may cost a round.
        broken_off = [after.session for _, after in settled if after.happenings and _is_over(after.session)]
        last_checkpoints = [need for session in broken_off for need in needs_of_draft(session)]
        view.require(*[profile_key(session.id) for session in changed], *last_checkpoints)
        require_held(view, changed)
        for session, after in settled:
            swept = lifecycle.rescheduled(after.session)
            if swept != session:
                record(view, after._replace(session=swept))
        return Reply({"changed": len(changed), "examined": len(self.session_ids)})


def _is_over(session: Session) -> bool:
    return lifecycle.phase(session) in lifecycle.TERMINAL
