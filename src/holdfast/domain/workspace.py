"""A workspace's session: what may be started, renewed, taken over and cleared in one checkout, and by whom.

A workspace is one scope, whose sessions, leases and tokens are the core's. Kept beside them is only what the core has
no place for. Everything that depends on whose session it is and whether it is stale is decided here.

Source: seed 004.
"""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Code, Refusal
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.limits import HOUR_MS, SECOND_MS

ACTIVITY_CHARS_MAX = 280
"""Of an activity after trimming, counted as Unicode code points."""

IDLE_SECONDS = 24 * HOUR_MS // SECOND_MS
"""For how long a machine counts as present after its workspace's session was cleared."""

ENTRIES_MAX = 200
"""Open escalations of a workspace, and its gates: more than a person reads."""

BASELINES_MAX = 32
"""Baselines that are kept of a workspace; the oldest goes first."""

COSTS_MAX = 200
"""Records of ended sessions that are kept of a workspace; the oldest goes first."""

INTERACTIVE_ACTOR = "interactive"


class Mode(StrEnum):
    """What a session is for."""

    GENERAL = "general"
    RESEARCH = "research"
    IMPLEMENT = "implement"


class Lifecycle(StrEnum):
    """Whether a person works here, or an agent under a lease."""

    INTERACTIVE = "interactive"
    AUTONOMOUS = "autonomous"


class OwnerKind(StrEnum):
    """Who holds a workspace's session; kept as the session's agent."""

    INTERACTIVE = "interactive"
    RUNTIME_SUPERVISOR = "runtime_supervisor"
    RUNTIME_WORKER = "runtime_worker"


class EntryKind(StrEnum):
    """What an entry is."""

    ESCALATION = "escalation"
    GATE = "gate"
    COST = "cost"
    BASELINE = "baseline"


class Workspace(NamedTuple):
    """The row of a workspace, which guards its entries; it outlives its sessions.

    revision: grows with every start, heartbeat, takeover and clear, and never restarts.
    session_id: the session that the last start or takeover made; None: there is none.
    start_count, beat_count: of that session. supervisor_id: who else may clear it.
    legacy_json: a row of an older kind that lacks what a session of the core has; it is stale by that.
    """

    account_id: AccountId
    scope: str
    project_id: str | None
    revision: int
    session_id: SessionId | None
    start_count: int
    beat_count: int
    last_started_at_ms: int
    supervisor_id: str | None
    activity_at_ms: int | None
    legacy_json: str | None


class Entry(NamedTuple):
    """Something that hangs on a workspace.

    An escalation: `flag` whether it blocks, `text` why. A gate: `position` its place, `flag` whether it is met, `text`
    what it asks. A cost record: `text` how the session ended. A baseline: `body_json` the digests of what was shown.
    """

    account_id: AccountId
    scope: str
    id: str
    kind: EntryKind
    session_id: str | None
    position: int
    flag: bool
    text: str
    body_json: str | None
    at_ms: int


class State(NamedTuple):
    """A workspace's session as this page's rules see it. lease_seconds, last_heartbeat_at_ms: of autonomous ones only.

    session_id, owner_id, lease_seconds: None only in a row of an older kind.
    """

    session_id: str | None
    mode: Mode
    owner_kind: OwnerKind
    owner_id: str | None
    supervisor_id: str | None
    lease_seconds: int | None
    last_heartbeat_at_ms: int | None
    started_at_ms: int
    last_started_at_ms: int
    start_count: int
    revision: int
    is_stale: bool
    activity: str | None = None
    activity_at_ms: int | None = None

    @property
    def lifecycle(self) -> Lifecycle:
        """Follows from who holds it."""
        return lifecycle_of(self.owner_kind)

    @property
    def owner(self) -> str:
        """Who holds it, for a sentence."""
        return self.owner_id or "unknown"


class Step(StrEnum):
    """What a start does."""

    FRESH = "fresh"
    REFRESH = "refresh"
    RESET = "reset"


def lifecycle_of(owner_kind: OwnerKind) -> Lifecycle:
    """Whether holders of this kind are people or agents."""
    return Lifecycle.INTERACTIVE if owner_kind == OwnerKind.INTERACTIVE else Lifecycle.AUTONOMOUS


def start_step(state: State | None, *, lifecycle: Lifecycle, actor_id: str) -> Step:
    """What a start of this actor does to what there is.

    Raises: workspace_owned, workspace_owned_autonomous, workspace_owned_interactive, workspace_stale_owned,
    workspace_stale_autonomous.
    """
    if state is None:
        return Step.FRESH
    is_autonomous = state.lifecycle == Lifecycle.AUTONOMOUS
    if lifecycle == Lifecycle.INTERACTIVE and is_autonomous:
        raise Refusal(
            Code.WORKSPACE_STALE_AUTONOMOUS if state.is_stale else Code.WORKSPACE_OWNED_AUTONOMOUS, owner=state.owner
        )
    if lifecycle == Lifecycle.AUTONOMOUS and is_autonomous and state.owner_id != actor_id:
        raise Refusal(Code.WORKSPACE_STALE_OWNED if state.is_stale else Code.WORKSPACE_OWNED, owner=state.owner)
    if lifecycle == Lifecycle.AUTONOMOUS and not is_autonomous and not state.is_stale:
        raise Refusal(Code.WORKSPACE_OWNED_INTERACTIVE)
    return Step.RESET if state.is_stale else Step.REFRESH


def require_beat(state: State | None, *, actor_id: str) -> State:
    """The session that this actor may renew.

    Raises: workspace_empty, heartbeat_not_autonomous, heartbeat_not_owner, heartbeat_without_session, workspace_stale.
    """
    if state is None:
        raise Refusal(Code.WORKSPACE_EMPTY)
    if state.lifecycle == Lifecycle.INTERACTIVE:
        if actor_id != INTERACTIVE_ACTOR:
            raise Refusal(Code.HEARTBEAT_NOT_AUTONOMOUS)
        if state.is_stale:
            raise Refusal(Code.WORKSPACE_STALE_INTERACTIVE)
        return state
    if state.owner_id != actor_id:
        raise Refusal(Code.HEARTBEAT_NOT_OWNER, actor=actor_id, owner=state.owner)
    if state.session_id is None:
        raise Refusal(Code.HEARTBEAT_WITHOUT_SESSION)
    if state.is_stale:
        raise Refusal(Code.WORKSPACE_STALE, actor=actor_id)
    return state


def require_takeover(state: State | None, *, actor_id: str, lease_seconds: int | None) -> tuple[State, int]:
    """The session that this actor may take over, and the lease it gets.

    Raises: takeover_of_nothing, takeover_of_interactive, takeover_too_early, takeover_of_own, takeover_without_lease.
    """
    if state is None:
        raise Refusal(Code.TAKEOVER_OF_NOTHING)
    if state.lifecycle != Lifecycle.AUTONOMOUS:
        raise Refusal(Code.TAKEOVER_OF_INTERACTIVE)
    if not state.is_stale:
        raise Refusal(Code.TAKEOVER_TOO_EARLY, owner=state.owner, session_id=state.session_id)
    if state.owner_id == actor_id:
        raise Refusal(Code.TAKEOVER_OF_OWN)
    lease = lease_seconds if lease_seconds is not None else state.lease_seconds
    if lease is None:
        raise Refusal(Code.TAKEOVER_WITHOUT_LEASE)
    return state, lease


def require_clearable(state: State, *, actor_id: str | None, is_forced: bool, now_ms: int) -> None:
    """Make sure that this actor may clear the session.

    is_forced: somebody insists, and nobody knows who it is; it works wherever no lease is running that can be waited
    for, which one is not that was last renewed in what is the future now.
    Raises: clear_without_actor, clear_stale_without_actor, clear_of_stale, clear_of_stale_without_lease,
    clear_of_active, clear_of_ahead.
    """
    if state.lifecycle == Lifecycle.INTERACTIVE:
        return
    if actor_id is not None and actor_id in (state.owner_id, state.supervisor_id):
        return
    is_ahead = state.last_heartbeat_at_ms is not None and state.last_heartbeat_at_ms > now_ms
    if is_forced and (state.is_stale or is_ahead):
        return
    if actor_id is None and not is_forced:
        may_force = state.is_stale or is_ahead
        raise Refusal(Code.CLEAR_STALE_WITHOUT_ACTOR if may_force else Code.CLEAR_WITHOUT_ACTOR)
    actor = actor_id or "unknown"
    if state.is_stale and state.lease_seconds is None:
        raise Refusal(Code.CLEAR_OF_STALE_WITHOUT_LEASE, actor=actor, owner=state.owner)
    if state.is_stale:
        raise Refusal(Code.CLEAR_OF_STALE, actor=actor, owner=state.owner)
    raise Refusal(Code.CLEAR_OF_AHEAD if is_ahead else Code.CLEAR_OF_ACTIVE, actor=actor, owner=state.owner)


def activity_of(text: str | None) -> str | None:
    """An activity as it is kept; None: the old one stays. Raises: activity_too_long."""
    trimmed = "" if text is None else text.strip()
    if len(trimmed) > ACTIVITY_CHARS_MAX:
        raise Refusal(Code.ACTIVITY_TOO_LONG, limit=ACTIVITY_CHARS_MAX)
    return trimmed or None


def require_expected(state: State | None, *, revision: int, expected_revision: int | None, command: str) -> None:
    """Refuse what was decided on a state that is gone. Raises: workspace_changed, which names who holds it now."""
    if expected_revision is None or expected_revision == revision:
        return
    owner = "nobody" if state is None else state.owner
    raise Refusal(
        Code.WORKSPACE_CHANGED,
        command=command,
        expected=expected_revision,
        revision=revision,
        owner=owner,
        session_id=None if state is None else state.session_id,
    )
