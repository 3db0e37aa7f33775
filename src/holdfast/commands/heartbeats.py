"""Heartbeats: one session at a time, or as many as a supervisor looks after at once."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.bodies import Body, refusal_body
from holdfast.commands.holding import change, find_session, needed
from holdfast.commands.leaving import needs_of_draft
from holdfast.commands.releasing import require_held
from holdfast.commands.rows import Need, profile_key, scope_key
from holdfast.commands.view import Reply, Unloaded, View
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Refusal
from holdfast.domain.fencing import check_token, require_token
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import LEASED, Changed, beat, beat_in_time, needs_scope
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session


class Heartbeat(NamedTuple):
    """A holder says that it is alive. Writes one row, and no event unless the session comes back by it."""

    session_id: SessionId
    fencing_token: int | None = None
    activity: str | None = None
    progress: int | None = None
    status_note: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The session's row alone."""
        return needed(actor, self.session_id)

    def decide(self, view: View) -> Reply:
        """When to beat next, and whether somebody wants the holder to stop."""
        return Reply(_beaten(self, view))


class HeartbeatBatch(NamedTuple):
    """Many beats in one transaction. A refused one changes nothing and does not keep the others from counting."""

    beats: tuple[Heartbeat, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of all the sessions."""
        return (key for each in self.beats for key in needed(actor, each.session_id))

    def decide(self, view: View) -> Reply:
        """One result a beat, in order: a beat's body, or the refusal as the body's `refusal`."""
        results: list[Body] = []
        accepted = 0
        for each in self.beats:
            try:
                results.append({"session_id": each.session_id, "ok": True, **_beaten(each, view)})
                accepted += 1
            except Refusal as refusal:
                results.append({"session_id": each.session_id, "ok": False, "refusal": refusal_body(refusal)})
            except Unloaded:
                # One round for all whose lease has lapsed, rather than one for each.
                self._require_of_lapsed(view)
                raise
        return Reply({"results": results, "accepted": accepted, "refused": len(results) - accepted})

    def _require_of_lapsed(self, view: View) -> None:
        sessions = [view.get(Session, each.session_id) for each in self.beats]
        own = [each for each in sessions if each is not None and each.account_id == view.actor.account_id]
        lapsed = [session for session in own if needs_scope(session, now=view.now)]
        scopes = [scope_key(session.account_id, session.scope) for session in lapsed]
        drafts = [need for session in lapsed for need in needs_of_draft(session)]
        view.require(*scopes, *[profile_key(session.id) for session in lapsed], *drafts)
        require_held(view, lapsed)


def _beaten(command: Heartbeat, view: View) -> Body:
    session = find_session(view, command.session_id)
    told: dict[str, str | int] = {}
    if command.progress is not None:
        told["progress"] = command.progress
    if command.activity is not None:
        told["activity"] = command.activity
    if command.status_note is not None:
        told["status_note"] = command.status_note
    renewed = beat_in_time(session, now=view.now, told=told)
    if renewed is None:

        def revive(session: Session, scope: Scope | None, now: Moment) -> Changed:
            return beat(session, scope=scope, now=now, told=told)

        changed = change(view, session, fencing_token=command.fencing_token, verb=revive)
        return beat_body(changed.session, view, is_reactivated=changed.is_reactivated)
    check_token(session, given=command.fencing_token, now=view.now)
    require_token(session, given=command.fencing_token, now=view.now)
    if renewed is not session:
        view.put(renewed)
    return beat_body(renewed, view, is_reactivated=False)


def beat_body(session: Session, view: View, *, is_reactivated: bool) -> Body:
    """What a beat is answered with; the next one is put off by the server's own jitter, so that they spread."""
    body = {
        "status": str(session.status),
        "last_heartbeat_at_ms": session.last_heartbeat_at_ms,
        **next_beat(session, view),
        "stop_requested": session.stop_reason is not None,
        "reactivated": is_reactivated,
    }
    if session.stop_reason is not None:
        body["stop_reason"] = session.stop_reason
    return body


def next_beat(session: Session, view: View) -> Body:
    """When the next beat is expected and when the lease expires; both None where that does not apply."""
    now, due_ms, interval_ms = view.now, session.due_ms, session.heartbeat_interval_ms
    if due_ms is None or session.status not in LEASED:
        return {"next_heartbeat_at_ms": None, "heartbeat_interval_ms": interval_ms, "lease_expires_at_ms": None}
    next_at_ms = None
    if interval_ms is not None:
        next_at_ms = now.wall_ms + interval_ms + view.jitter_ms(session.heartbeat_jitter_ms)
    return {
        "next_heartbeat_at_ms": next_at_ms,
        "heartbeat_interval_ms": interval_ms,
        "lease_expires_at_ms": now.wall(due_ms),
    }
