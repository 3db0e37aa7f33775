"""Heartbeats: one session at a time, or as many as a supervisor looks after at once."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.bodies import Body, refusal_body
from holdfast.commands.holding import change, find_session
from holdfast.commands.rows import Need, session_key
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Refusal
from holdfast.domain.fencing import check_token, require_token
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import Changed, beat, is_beat_too_soon
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, Status


class Heartbeat(NamedTuple):
    """A holder says that it is alive. Writes one row, and no event unless the session comes back by it."""

    session_id: SessionId
    fencing_token: int | None = None
    activity: str | None = None
    progress: int | None = None
    status_note: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The session's row alone."""
        return (session_key(self.session_id),)

    def decide(self, view: View) -> Reply:
        """When to beat next, and whether somebody wants the holder to stop."""
        return Reply(_beaten(self, view))


class HeartbeatBatch(NamedTuple):
    """Many beats in one transaction. A refused one changes nothing and does not keep the others from counting."""

    beats: tuple[Heartbeat, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of all the sessions."""
        return (session_key(each.session_id) for each in self.beats)

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
        return Reply({"results": results, "accepted": accepted, "refused": len(results) - accepted})


def _beaten(command: Heartbeat, view: View) -> Body:
    session = find_session(view, command.session_id)
    if is_beat_too_soon(session, now=view.now):
        check_token(session, given=command.fencing_token, now=view.now)
        require_token(session, given=command.fencing_token, now=view.now)
        return beat_body(Changed(session), view)

    told: dict[str, str | int] = {}
    if command.progress is not None:
        told["progress"] = command.progress
    if command.activity is not None:
        told["activity"] = command.activity
    if command.status_note is not None:
        told["status_note"] = command.status_note

    def renew(session: Session, scope: Scope | None, now: Moment) -> Changed:
        return beat(session, scope=scope, now=now, told=told)

    return beat_body(change(view, session, fencing_token=command.fencing_token, verb=renew), view)


def beat_body(changed: Changed, view: View) -> Body:
    """What a beat is answered with; the next one is put off by the server's own jitter, so that they spread."""
    session = changed.session
    body: Body = {
        "status": str(session.status),
        "last_heartbeat_at_ms": session.last_heartbeat_at_ms,
        **next_beat(session, view),
        "stop_requested": session.stop_reason is not None,
        "reactivated": changed.is_reactivated,
    }
    if session.stop_reason is not None:
        body["stop_reason"] = session.stop_reason
    return body


def next_beat(session: Session, view: View) -> Body:
    """When the next beat is expected and when the lease expires; both None where that does not apply."""
    has_lease = session.due_ms is not None and session.status in (Status.ACTIVE, Status.PAUSED)
    next_heartbeat_at_ms = None
    if has_lease and session.heartbeat_interval_ms is not None:
        wait_ms = session.heartbeat_interval_ms + view.jitter_ms(session.heartbeat_jitter_ms)
        next_heartbeat_at_ms = view.now.wall_ms + wait_ms
    return {
        "next_heartbeat_at_ms": next_heartbeat_at_ms,
        "heartbeat_interval_ms": session.heartbeat_interval_ms,
        "lease_expires_at_ms": view.now.wall(session.due_ms) if has_lease and session.due_ms is not None else None,
    }
