"""A workspace's session, as one that works in it asks for it: found, renewed, and shown.

Kept apart from starting one, because a heartbeat is a process of its own, which imports no more than this.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.holding import NEWEST_HOLDERS, change, find_holders, find_profile, seen
from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.ids import AccountId
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.policy import INTERACTIVE
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import GAP_MS, Moment
from holdfast.domain.session import Session, SessionProfile
from holdfast.domain.workspace import (
    INTERACTIVE_ACTOR,
    Lifecycle,
    Mode,
    OwnerKind,
    State,
    Workspace,
    activity_of,
    lifecycle_of,
    require_beat,
)


class Found(NamedTuple):
    """A workspace as it stands. session: as time has left it; None where the state comes from an older kind of row."""

    workspace: Workspace
    session: Session | None
    state: State | None


class BeatWorkspace(NamedTuple):
    """Whoever works in a workspace says that it is alive, and perhaps what it does.

    actor_id: `interactive` for a person.
    """

    scope: str
    actor_id: str = INTERACTIVE_ACTOR
    activity: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace's row, which names its session."""
        return (workspace_key(actor.account_id, self.scope),)

    def decide(self, view: View) -> Reply:
        """When the lease ends, and what is being done. Raises: what `require_beat` raises; activity_too_long."""
        found = find_workspace(view, self.scope)
        require_beat(found.state, actor_id=self.actor_id)
        activity = activity_of(self.activity)
        session = found.session
        assert session is not None, "what can be renewed is a session of the core"
        told = {} if activity is None else {"activity": activity}

        def beat(session: Session, scope: Scope | None, now: Moment) -> lifecycle.Changed:
            return lifecycle.beat(session, scope=scope, now=now, told=told)

        # Whose session it is was decided by the actor's name.
        changed = change(view, of_present(session, now=view.now), fencing_token=session.fencing_token, verb=beat)
        workspace = found.workspace
        workspace = workspace._replace(
            revision=workspace.revision + 1,
            beat_count=workspace.beat_count + 1,
            activity_at_ms=workspace.activity_at_ms if activity is None else view.now.wall_ms,
        )
        view.put(workspace)
        has_lease = found.state is not None and found.state.lifecycle == Lifecycle.AUTONOMOUS
        beaten_at_s = changed.session.last_heartbeat_at_ms // SECOND_MS
        return Reply(
            {
                "session_id": shown_id(session.id),
                "actor_id": self.actor_id,
                "activity": changed.session.activity,
                "current_activity": changed.session.activity,
                "last_heartbeat_at_epoch_s": beaten_at_s,
                "lease_expires_at_epoch_s": beaten_at_s + session.lease_ms // SECOND_MS if has_lease else None,
                "lease_ttl_secs": session.lease_ms // SECOND_MS if has_lease else None,
                "revision": workspace.revision,
                "activity_updated_at_epoch_s": _seconds(workspace.activity_at_ms),
            }
        )


def find_workspace(view: View, scope: str) -> Found:
    """A workspace and its session; one that nobody has started in yet is at revision 0.

    Raises: not_found where it is another project's.
    """
    account_id, project_id = view.actor.account_id, view.actor.project_id
    workspace = view.get(Workspace, account_id, scope) or _untouched(account_id, scope, project_id)
    if project_id is not None and workspace.project_id != project_id:
        raise Refusal(Code.NOT_FOUND, what="workspace")
    if workspace.legacy_json is not None:
        import json

        state = row_state(json.loads(workspace.legacy_json), now_ms=view.now.wall_ms)
        return Found(workspace, None, state._replace(is_stale=True))
    session = _session(view, workspace)
    if session is None:
        return Found(workspace._replace(session_id=None), None, None)
    if session.id != workspace.session_id:
        # Somebody began it by another door.
        profile = find_profile(view, session)
        workspace = workspace._replace(
            session_id=session.id,
            start_count=1,
            beat_count=0,
            activity_at_ms=None,
            last_started_at_ms=profile.started_at_ms,
            supervisor_id=None if profile.took_over_from is None else workspace.supervisor_id,
        )
    return Found(workspace, session, _state(view, workspace, lifecycle.settle(session, now=view.now).session))


def _session(view: View, workspace: Workspace) -> Session | None:
    """Whose session it is: the one that the row names, unless that lost its place and another door knows a holder."""
    session = None if workspace.session_id is None else view.get(Session, workspace.session_id)
    settled = None if session is None else lifecycle.settle(session, now=view.now).session
    if settled is not None and settled.held_scope is not None:
        return session
    holder = _holder(view, workspace)
    is_over = settled is None or settled.taken_over_by is not None or lifecycle.phase(settled) == lifecycle.Phase.ENDED
    return session if holder is None and not is_over else holder


def _holder(view: View, workspace: Workspace) -> Session | None:
    """Who holds the workspace's scope by another door, a live session before a lapsed one; None: nobody.

    Asked of the scope, which is one question, rather than from one takeover to the next.
    """
    holders = find_holders(view, NEWEST_HOLDERS, workspace.account_id, workspace.scope)
    found = [(lifecycle.phase(lifecycle.settle(each, now=view.now).session), each) for each in seen(view, holders)]
    live = [each for phase, each in found if phase in lifecycle.LIVE]
    return next(iter(live + [each for phase, each in found if phase in lifecycle.HOLDING]), None)


def of_present(session: Session, *, now: Moment) -> Session:
    """A session without a last beat from what is the future now, which a clock wrote that was set back since.

    Whoever speaks now would else keep that lease, which nobody could wait for. Service time steps back by less.
    """
    if session.due_ms is None or session.due_ms - session.lease_ms <= now.service_ms + GAP_MS:
        return session
    due_ms = now.service_ms + session.lease_ms
    return session._replace(due_ms=due_ms, check_due_ms=due_ms, last_heartbeat_at_ms=now.wall_ms)


def _untouched(account_id: AccountId, scope: str, project_id: str | None) -> Workspace:
    return Workspace(account_id, scope, project_id, 0, None, 0, 0, 0, None, None, None)


def _state(view: View, workspace: Workspace, settled: Session) -> State:
    kind = OwnerKind(settled.agent) if settled.agent in OwnerKind.__members__.values() else OwnerKind.RUNTIME_WORKER
    is_autonomous = lifecycle_of(kind) == Lifecycle.AUTONOMOUS
    profile = view.get(SessionProfile, settled.id)
    assert profile is not None, "a session and its profile are written together"
    return State(
        session_id=settled.id,
        mode=mode_of(profile.mode),
        owner_kind=kind,
        owner_id=settled.holder_id,
        supervisor_id=workspace.supervisor_id,
        lease_seconds=settled.lease_ms // SECOND_MS if is_autonomous else None,
        last_heartbeat_at_ms=settled.last_heartbeat_at_ms if is_autonomous else None,
        started_at_ms=profile.started_at_ms,
        last_started_at_ms=workspace.last_started_at_ms,
        start_count=workspace.start_count,
        revision=workspace.revision,
        is_stale=lifecycle.phase(settled) not in lifecycle.LIVE,
        activity=settled.activity,
        activity_at_ms=workspace.activity_at_ms,
    )


def mode_of(text: str | None) -> Mode:
    """A session's mode; one that another door set to something else is a general one here."""
    return Mode(text) if text is not None and text in Mode.__members__.values() else Mode.GENERAL


def row_state(row: dict[str, Any], *, now_ms: int) -> State:
    """What a row of an older kind says by itself; one that lacks its lease or its id is stale."""
    owner_kind, beaten_at_s = OwnerKind(row["owner_kind"]), row.get("last_heartbeat_at_epoch_s")
    lease_s = row.get("lease_ttl_secs")
    if owner_kind == OwnerKind.INTERACTIVE:
        ends_at_s = row["last_started_at_epoch_s"] + INTERACTIVE.lease_ms // SECOND_MS
    else:
        ends_at_s = 0 if lease_s is None or beaten_at_s is None else beaten_at_s + lease_s
    return State(
        session_id=row.get("session_id"),
        mode=Mode(row["mode"]),
        owner_kind=owner_kind,
        owner_id=row.get("owner_id"),
        supervisor_id=row.get("supervisor_id"),
        lease_seconds=lease_s,
        last_heartbeat_at_ms=None if beaten_at_s is None else beaten_at_s * SECOND_MS,
        started_at_ms=row["started_at_epoch_s"] * SECOND_MS,
        last_started_at_ms=row["last_started_at_epoch_s"] * SECOND_MS,
        start_count=row["start_count"],
        revision=row.get("revision", 0),
        is_stale=row.get("session_id") is None or ends_at_s * SECOND_MS <= now_ms,
    )


def projection(state: State) -> dict[str, Any]:
    """A session as a report shows it, under the names of the seed; what it lacks is None."""
    lease_s, beaten_at_ms = state.lease_seconds, state.last_heartbeat_at_ms
    beaten_at_s = _seconds(beaten_at_ms)
    has_expiry = lease_s is not None and beaten_at_s is not None
    return {
        "lifecycle": state.lifecycle.value,
        "owner_kind": state.owner_kind.value,
        "actor_id": state.owner_id,
        "supervisor_id": state.supervisor_id,
        "lease_ttl_secs": lease_s,
        "last_heartbeat_at_epoch_s": beaten_at_s,
        "lease_expires_at_epoch_s": beaten_at_s + lease_s if has_expiry else None,  # type: ignore[operator]
        "revision": state.revision,
        "current_activity": state.activity,
        "activity_updated_at_epoch_s": None if state.activity is None else _seconds(state.activity_at_ms),
    }


def shown_id(session_id: str) -> str:
    """A session's id as this door shows it: `ses_` for the core's `sess_`."""
    return "ses_" + session_id.removeprefix("sess_") if session_id.startswith("sess_") else session_id


def _seconds(at_ms: int | None) -> int | None:
    return None if at_ms is None else at_ms // SECOND_MS


def workspace_key(account_id: AccountId, scope: str) -> Key:
    """The row of a workspace."""
    return Key(Workspace, (account_id, scope))
