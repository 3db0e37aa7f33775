"""Reporting a session that ran while nobody listened."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.beginning import About, name_by_client, named_by_client, new_profile, within_project
from holdfast.commands.bodies import session_body
from holdfast.commands.holding import (
    find_profile,
    find_scope,
    is_seen,
    record,
)
from holdfast.commands.projects import ensure_project
from holdfast.commands.rows import Need, client_session_key
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Code, FieldError, Identity, Refusal
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.fencing import check_token, require_token
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import settle
from holdfast.domain.policy import INTERACTIVE
from holdfast.domain.scope import own_scope
from holdfast.domain.session import (
    EndReason,
    Session,
)


class ReportSession(NamedTuple):
    """Record a session that ran while the server was away; its times are the client's claims.

    Reported again, or already known, it is answered as it stands; one that still holds its scope is ended.
    """

    client_session_id: str
    scope: str | None
    agent: str
    holder_id: str
    started_at_ms: int
    ended_at_ms: int
    end_reason: EndReason
    exit_code: int | None = None
    fencing_token: int | None = None
    about: About = About()

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, and the session that the client's own id names."""
        return account_key(actor.account_id), client_session_key(actor.account_id, self.client_session_id)

    def decide(self, view: View) -> Reply:
        """The session, ended. Raises: validation_failed, fencing_token_stale, not_found as a start."""
        require_account(view)
        about = within_project(self.about, view.actor)
        if self.ended_at_ms < self.started_at_ms:
            raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("ended_at", "must not be before started_at"),))
        known = named_by_client(view, self.client_session_id)
        if known is not None and is_seen(view, known):
            return self._known(view, known)
        session_id = SessionId(view.mint("sess"))
        session = lifecycle.report(
            Identity(self.scope or own_scope(session_id), self.agent, self.holder_id),
            session_id=session_id,
            account_id=view.actor.account_id,
            end_reason=self.end_reason,
            ended_at_ms=self.ended_at_ms,
        )
        profile = new_profile(view, session_id, preset=INTERACTIVE.preset, about=about)._replace(
            client_session_id=self.client_session_id,
            started_at_ms=self.started_at_ms,
            ended_at_ms=self.ended_at_ms,
            exit_code=self.exit_code,
            reported_late=True,
        )
        view.put(session)
        view.put(profile)
        name_by_client(view, self.client_session_id, session_id)
        data: Data = {"end_reason": self.end_reason.value, "reported_late": True}
        ended = Happening(EventType.ENDED, Rule.REQUESTED, self.ended_at_ms, data)
        ensure_project(view, profile.project_id)
        view.emit((ended,), session_id=session_id, account_id=session.account_id, project_id=profile.project_id)
        return Reply(session_body(session, profile, now=view.now), created=True)

    def _known(self, view: View, known: Session) -> Reply:
        """A session that was started after all: ended if it still holds its scope, else left as it is."""
        check_token(known, given=self.fencing_token, now=view.now)
        profile = find_profile(view, known)
        settled = settle(known, now=view.now).session
        answered = settled
        if lifecycle.can_acquire(settled):
            scope = find_scope(view, known.account_id, known.scope)
            changed = lifecycle.end(known, end_reason=self.end_reason, scope=scope, now=view.now)
            require_token(settled, given=self.fencing_token, now=view.now)
            record(view, changed)
            profile = find_profile(view, known)._replace(
                ended_at_ms=view.now.wall_ms, exit_code=self.exit_code, late=changed.is_late, reported_late=True
            )
            view.put(profile)
            answered = changed.session
        return Reply(session_body(answered, profile, now=view.now))
