"""A day's work: a start that is told what goes on around it, and an end that leaves a handoff."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.handoffs import CreateHandoff
from holdfast.commands.holding import find_profile, find_session
from holdfast.commands.leaving import said_before
from holdfast.commands.rows import Need
from holdfast.commands.starts import StartSession
from holdfast.commands.transitions import EndSession
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.handoff import Draft
from holdfast.domain.ids import SessionId
from holdfast.domain.session import EndReason


class StartDay(NamedTuple):
    """Start or resume a session. around_json: what its caller read of others just before, kept with the answer."""

    start: StartSession
    around_json: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """What the start needs."""
        return self.start.needs(actor)

    def decide(self, view: View) -> Reply:
        """As a start's reply, with what is around it and the request's own correlation id."""
        reply = self.start.decide(view)
        more = {"around_json": self.around_json, "request_correlation_id": view.correlation_id}
        return reply._replace(body={**reply.body, **more})


class EndDay(NamedTuple):
    """End a session with its handoff, or leave the handoff and go on.

    A repetition is recognised by what it says, and answered as it was the first time.
    """

    session_id: SessionId
    draft: Draft
    end_reason: EndReason
    keeps_open: bool

    @property
    def _command(self) -> EndSession | CreateHandoff:
        if self.keeps_open:
            return CreateHandoff(self.session_id, None, self.draft)
        return EndSession(self.session_id, None, self.end_reason, handoff=self.draft)

    def needs(self, actor: Actor) -> Iterable[Need]:
        """What ending or leaving takes."""
        return self._command.needs(actor)

    def decide(self, view: View) -> Reply:
        """The handoff's id, and what became of the session; or the refusal, where only the handoff was kept."""
        before = find_session(view, self.session_id)
        known = said_before(view, before, self.draft)
        reply = self._command.decide(view)
        if "refusal" in reply.body:
            body = {**reply.body, "request_correlation_id": view.correlation_id}
            return Reply(body, is_replay=known is not None)
        session = find_session(view, self.session_id)
        profile = find_profile(view, session)
        handoff = said_before(view, session, self.draft)
        assert handoff is not None, "a handoff that was left is found by what it says"
        return Reply(
            {
                "session_id": session.id,
                "handoff_id": handoff.id,
                "status": str(session.status),
                "ended_at_ms": profile.ended_at_ms,
                "late": profile.late,
                "redactions": handoff.redactions,
                "correlation_id": handoff.correlation_id,
            },
            # Words that were left before may still be what ends it now.
            is_replay=known is not None and session.status == before.status,
        )
