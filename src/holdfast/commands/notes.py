"""What a holder writes down while it works: checkpoints, and changes to what the session is about."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.bodies import checkpoint_body, session_body
from holdfast.commands.heartbeats import next_beat
from holdfast.commands.holding import change, find_profile, find_session, needed
from holdfast.commands.rows import Need, both_keys
from holdfast.commands.transitions import require_revision
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import CheckpointId, SessionId
from holdfast.domain.limits import META_BYTES_MAX


class WriteCheckpoint(NamedTuple):
    """A durable note of progress, numbered without gaps; it counts as a beat.

    redactions: how many secrets the door took out of it.
    """

    session_id: SessionId
    fencing_token: int | None
    summary: str
    work_completed_json: str = "[]"
    blockers_json: str = "[]"
    next_actions_json: str = "[]"
    state_json: str | None = None
    branch: str | None = None
    commit_sha: str | None = None
    redactions: int = 0

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The session's row, which guards its checkpoints."""
        return needed(actor, self.session_id)

    def decide(self, view: View) -> Reply:
        """The checkpoint, and when to beat next."""
        changed = change(
            view,
            find_session(view, self.session_id),
            fencing_token=self.fencing_token,
            verb=lambda session, scope, now: lifecycle.require_writable(session, scope=scope, now=now),
        )
        session = changed.session._replace(checkpoint_count=changed.session.checkpoint_count + 1)
        checkpoint = Checkpoint(
            session_id=session.id,
            number=session.checkpoint_count,
            id=CheckpointId(view.mint("cp")),
            account_id=session.account_id,
            scope=session.scope,
            summary=self.summary,
            work_completed_json=self.work_completed_json,
            blockers_json=self.blockers_json,
            next_actions_json=self.next_actions_json,
            state_json=self.state_json,
            branch=self.branch,
            commit_sha=self.commit_sha,
            created_at_ms=view.now.wall_ms,
            key_id=view.actor.key_id,
            correlation_id=view.correlation_id,
        )
        view.put(session)
        view.put(checkpoint)
        told = {**checkpoint_body(checkpoint), "redactions": self.redactions}
        return Reply({**told, **next_beat(session, view)}, created=True)


class UpdateSession(NamedTuple):
    """A checkpoint, and what the session is about from now on, in one transaction.

    fields: pairs of a column in PATCHABLE, or `meta_json`, and its new value.
    """

    checkpoint: WriteCheckpoint
    fields: tuple[tuple[str, str | int | None], ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.checkpoint.session_id)

    def decide(self, view: View) -> Reply:
        """The checkpoint, and when to beat next."""
        reply = self.checkpoint.decide(view)
        session = find_session(view, self.checkpoint.session_id)
        if self.fields:
            fields: dict[str, Any] = dict(self.fields)
            session = session._replace(revision=session.revision + 1)
            view.put(session)
            view.put(find_profile(view, session)._replace(**fields))
        return reply._replace(body={**reply.body, "last_heartbeat_at_ms": session.last_heartbeat_at_ms})


PATCHABLE = ("branch", "commit_sha", "issue_number", "current_task_id")


class PatchSession(NamedTuple):
    """Change what a session is about; it counts as a beat.

    fields: pairs of a column in PATCHABLE and its new value, None to clear it.
    meta_patch_json: a JSON merge patch (RFC 7396) for the free JSON, as text; None leaves it alone.
    revision: the one that the caller knows; None: any.
    """

    session_id: SessionId
    fencing_token: int | None
    revision: int | None
    fields: tuple[tuple[str, str | int | None], ...]
    meta_patch_json: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session."""
        return both_keys(self.session_id)

    def decide(self, view: View) -> Reply:
        """The changed session, at its next revision."""
        before = find_session(view, self.session_id)
        changed = change(
            view,
            before,
            fencing_token=self.fencing_token,
            verb=lambda session, scope, now: lifecycle.require_writable(session, scope=scope, now=now),
        )
        require_revision(lifecycle.settle(before, now=view.now).session, given=self.revision)
        session = changed.session._replace(revision=changed.session.revision + 1)
        fields: dict[str, Any] = dict(self.fields)
        profile = find_profile(view, session)._replace(**fields)
        if self.meta_patch_json is not None:
            profile = profile._replace(meta_json=patched_meta(profile.meta_json, self.meta_patch_json))
        view.put(session)
        view.put(profile)
        return Reply({**session_body(session, profile, now=view.now), **next_beat(session, view)})


def patched_meta(meta_json: str | None, patch_json: str) -> str:
    """Free JSON with a merge patch applied, both as text. Raises: validation_failed where it grows too large."""
    merged = merge_patch(json.loads(meta_json or "{}"), json.loads(patch_json))
    text = json.dumps(merged, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > META_BYTES_MAX:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("meta", f"must stay within {META_BYTES_MAX} bytes"),))
    return text


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with a merge patch applied: null removes, objects merge, anything else replaces.

    Source: RFC 7396, section 2.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
