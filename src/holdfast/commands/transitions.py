"""What a holder or an operator says of a session: it rests, goes on, is set aside, is over, should stop."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.bodies import Body, session_body
from holdfast.commands.heartbeats import next_beat
from holdfast.commands.holding import Verb, audit, change, find_profile, find_session, record, remove_session
from holdfast.commands.leaving import HANDOFFS_OF_SESSION, SAID_BEFORE, keep_orphan, leave, said_before
from holdfast.commands.rows import Count, Members, Need, both_keys
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Rule
from holdfast.domain.fencing import check_token
from holdfast.domain.handoff import Draft, Handoff, HandoffBody
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import Changed, Phase
from holdfast.domain.session import EndReason, Session


def _answer(view: View, changed: Changed, **facts: Any) -> Reply:
    """The session as it is now, and what only this answer tells."""
    profile = find_profile(view, changed.session)
    body = session_body(changed.session, profile, now=view.now)
    return Reply({**body, **facts})


def _told(view: View, session_id: SessionId, fencing_token: int | None, verb: Verb) -> Reply:
    """A verb of a session that goes on: the answer tells when to beat next."""
    changed = change(view, find_session(view, session_id), fencing_token=fencing_token, verb=verb)
    return _answer(view, changed, **next_beat(changed.session, view), reactivated=changed.is_reactivated)


class PauseSession(NamedTuple):
    """The holder rests but keeps beating."""

    session_id: SessionId
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The paused session."""
        return _told(
            view,
            self.session_id,
            self.fencing_token,
            lambda session, scope, now: lifecycle.pause(session, scope=scope, now=now),
        )


class ResumeSession(NamedTuple):
    """The holder goes on."""

    session_id: SessionId
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The active session, with a full lease."""
        return _told(
            view,
            self.session_id,
            self.fencing_token,
            lambda session, scope, now: lifecycle.resume(session, scope=scope, now=now),
        )


class ParkSession(NamedTuple):
    """The holder sets the work aside, perhaps until a time; no lease runs meanwhile."""

    session_id: SessionId
    fencing_token: int | None
    wake_at_ms: int | None
    reason: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The parked session."""
        changed = change(
            view,
            find_session(view, self.session_id),
            fencing_token=self.fencing_token,
            verb=lambda session, scope, now: lifecycle.park(
                session, wake_at_ms=self.wake_at_ms, reason=self.reason, scope=scope, now=now
            ),
        )
        view.put(find_profile(view, changed.session)._replace(wake_at_ms=self.wake_at_ms))
        return _answer(view, changed)


class StallSession(NamedTuple):
    """Somebody who watches says that the session hangs."""

    session_id: SessionId
    fencing_token: int | None
    reason: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The stalled session."""
        changed = change(
            view,
            find_session(view, self.session_id),
            fencing_token=self.fencing_token,
            verb=lambda session, scope, now: lifecycle.stall(session, reason=self.reason, scope=scope, now=now),
        )
        return _answer(view, changed)


class EndSession(NamedTuple):
    """The work is over. Said again with the same reason, or the same handoff, it is answered as it was the first time.

    handoff: what is left for whoever goes on, in the same transaction; None: nothing. Of a session that is over by
    then, it is kept as an orphan, and the reply holds the refusal.
    """

    session_id: SessionId
    fencing_token: int | None
    end_reason: EndReason
    exit_code: int | None = None
    handoff: Draft | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session, and its handoff that says the same."""
        said = () if self.handoff is None else (Members(SAID_BEFORE, (self.session_id, self.handoff.digest)),)
        return *both_keys(self.session_id), *said

    def decide(self, view: View) -> Reply:
        """The ended session, and the handoff's id where there is one."""
        before = find_session(view, self.session_id)
        if self.handoff is None:
            return _answer(view, self._ended(view, before))
        known = said_before(view, before, self.handoff)
        is_known = known is not None and known.orphan_reason is None
        if known is not None and is_known and self._is_repeated(before, view):
            check_token(before, given=self.fencing_token, now=view.now)
            return _answer(view, lifecycle.settle(before, now=view.now), **_left(known))
        try:
            changed = self._ended(view, before)
        except Refusal as refusal:
            return keep_orphan(view, before, find_profile(view, before), self.handoff, refusal=refusal)
        if known is None or not is_known:
            known = leave(view, changed.session, find_profile(view, changed.session), self.handoff)
        return _answer(view, changed, **_left(known))

    def _is_repeated(self, session: Session, view: View) -> bool:
        """Whether the session has ended by its own words already."""
        ended = lifecycle.settle(session, now=view.now).session
        is_its_own = ended.end_reason not in (EndReason.SUPERSEDED, EndReason.TAKEN_OVER, EndReason.RECOVERED)
        return lifecycle.is_repeated_end(ended, end_reason=ended.end_reason or self.end_reason) and (
            is_its_own or ended.end_reason == self.end_reason
        )

    def _ended(self, view: View, before: Session) -> Changed:
        changed = change(
            view,
            before,
            fencing_token=self.fencing_token,
            verb=lambda session, scope, now: lifecycle.end(
                session, end_reason=self.end_reason, scope=scope, now=now, says_more=self.handoff is not None
            ),
            is_spoken_for=self.handoff is not None,
        )
        if lifecycle.phase(before) != Phase.ENDED:
            profile = find_profile(view, changed.session)
            view.put(profile._replace(ended_at_ms=view.now.wall_ms, late=changed.is_late, exit_code=self.exit_code))
        return changed


def _left(handoff: Handoff) -> Body:
    """What an end tells of its handoff: nothing that changes later, so that it can be told again."""
    return {
        "handoff_id": handoff.id,
        "payload_hash": handoff.payload_sha256,
        "payload_size_bytes": handoff.payload_size_bytes,
        "redactions": handoff.redactions,
    }


class FailSession(NamedTuple):
    """The work went wrong. Said again with the same reason, it is answered as it was the first time."""

    session_id: SessionId
    fencing_token: int | None
    reason: str
    error_details_json: str | None = None
    exit_code: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The failed session."""
        before = find_session(view, self.session_id)
        changed = change(
            view,
            before,
            fencing_token=self.fencing_token,
            verb=lambda session, scope, now: lifecycle.fail(session, reason=self.reason, scope=scope, now=now),
        )
        if lifecycle.phase(lifecycle.settle(before, now=view.now).session) != Phase.FAILED_BY_REPORT:
            view.put(
                find_profile(view, changed.session)._replace(
                    ended_at_ms=view.now.wall_ms,
                    late=changed.is_late,
                    error_details_json=self.error_details_json,
                    exit_code=self.exit_code,
                )
            )
        return _answer(view, changed)


class StopSession(NamedTuple):
    """Somebody asks the holder to stop; the reply to its next beat says so. Needs no token: it is not the holder's."""

    session_id: SessionId
    reason: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The session, marked."""
        session = find_session(view, self.session_id)
        changed = lifecycle.request_stop(session, reason=self.reason, now=view.now)
        record(view, changed)
        audit(view, AuditAction.SESSION_STOP_REQUESTED, target=session.id, reason=self.reason)
        return _answer(view, changed)


class ArchiveSession(NamedTuple):
    """Put the record of a finished session away."""

    session_id: SessionId
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The archived session."""
        session = find_session(view, self.session_id)
        check_token(session, given=self.fencing_token, now=view.now)
        changed = lifecycle.archive(session, now=view.now)
        record(view, changed)
        if session.archived_at_ms is None:
            audit(view, AuditAction.SESSION_ARCHIVED, target=session.id)
        return _answer(view, changed)


class DeleteSession(NamedTuple):
    """Delete an archived session and everything that hangs on it; events and the scope's tokens stay.

    So do its handoffs where a session is deleted for its age: they are there for those who come later.
    """

    session_id: SessionId
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session, and how many handoffs it left."""
        return *both_keys(self.session_id), Count(HANDOFFS_OF_SESSION, (self.session_id,))

    def decide(self, view: View) -> Reply:
        """What was deleted, counted."""
        session = find_session(view, self.session_id)
        check_token(session, given=self.fencing_token, now=view.now)
        settled = lifecycle.require_deletable(session, now=view.now)
        checkpoint_count = remove_session(view, settled, rule=Rule.REQUESTED)
        handoff_count = view.count(Count(HANDOFFS_OF_SESSION, (session.id,)))
        if handoff_count:
            view.purge(HandoffBody, column="session_id", value=session.id)
            view.purge(Handoff, column="session_id", value=session.id)
        audit(view, AuditAction.SESSION_DELETED, target=session.id)
        deleted = {"sessions": 1, "checkpoints": checkpoint_count, "handoffs": handoff_count}
        return Reply({"id": session.id, "deleted": deleted})


def require_revision(session: Session, *, given: int | None) -> None:
    """Refuse a change of a session that somebody else has changed meanwhile. Raises: revision_conflict."""
    if given is not None and given != session.revision:
        ways_out = (WayOut(Action.READ, session.id), WayOut(Action.REPEAT_WITH_REVISION, session.id))
        raise Refusal(
            Code.REVISION_CONFLICT,
            subject=f"Session {session.id}",
            session_id=session.id,
            revision=session.revision,
            given=given,
            ways_out=ways_out,
        )
