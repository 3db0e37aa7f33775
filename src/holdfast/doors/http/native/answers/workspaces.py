"""What workspaces answer."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.workspace import Lifecycle, Mode, OwnerKind
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.refusals import STARTING
from holdfast.doors.http.native.answers.words import Token


class WorkspaceSession(msgspec.Struct, kw_only=True):
    """The session of a workspace, under the names of `holdfast session-state`."""

    session_id: Annotated[str, Meta(examples=["ses_01KF5V3Z5RW8Q0M2X7N4T9C6BD"])]
    actor_id: str
    supervisor_id: str | None
    lease_ttl_secs: int | None
    last_heartbeat_at_epoch_s: int | None
    lease_expires_at_epoch_s: int | None
    revision: int
    current_activity: str | None
    activity_updated_at_epoch_s: int | None
    fencing_token: Token


class StartedWorkspace(WorkspaceSession, kw_only=True):
    """A start in a workspace."""

    started_at_epoch_s: int
    last_started_at_epoch_s: int
    start_count: int
    mode: Mode
    lifecycle: Lifecycle
    owner_kind: OwnerKind
    reset: bool
    refreshed: bool


class TakenOverWorkspace(WorkspaceSession, kw_only=True):
    """A takeover in a workspace."""

    prior_session_id: str | None
    prior_actor_id: str
    reason: str


class WorkspaceBeat(msgspec.Struct, kw_only=True):
    """A heartbeat in a workspace."""

    session_id: str
    actor_id: str
    activity: str | None
    current_activity: str | None
    last_heartbeat_at_epoch_s: int
    lease_expires_at_epoch_s: int | None
    lease_ttl_secs: int | None
    revision: int
    activity_updated_at_epoch_s: int | None


class ClearedWorkspace(msgspec.Struct, kw_only=True):
    """What was cleared, if anything was there."""

    cleared: bool
    reason: str | None
    lifecycle: Lifecycle | UnsetType = UNSET
    owner_kind: OwnerKind | UnsetType = UNSET
    actor_id: str | UnsetType | None = UNSET
    supervisor_id: str | UnsetType | None = UNSET
    cleared_revision: int | UnsetType = UNSET


class Escalation(msgspec.Struct, kw_only=True):
    """Something that a session asks of people."""

    id: str
    kind: Literal["blocking", "non_blocking"]
    reason: str
    created_at_epoch_s: int
    session_id: str | None


class OneEscalation(msgspec.Struct):
    """An escalation that was added or resolved."""

    escalation: Escalation


class Gate(msgspec.Struct):
    """Something that a session has to meet."""

    position: int
    text: str
    met: bool


class Gates(msgspec.Struct):
    """A workspace's gates in order, and the first that is not met."""

    gates: list[Gate]
    attention_anchor: str | None


class KeptBaseline(msgspec.Struct):
    """The digests were kept."""

    kept: bool


class WorkspaceView(msgspec.Struct):
    """A workspace as `holdfast session-state show` reports it."""

    scope: str
    session: dict[str, Any]
    sections: dict[str, Any]
    baseline: dict[str, str] | None


DESCRIBED: Mapping[str, Described] = {
    "GET /v1/workspaces": Described("show_workspace", {200: WorkspaceView}, (Code.NOT_FOUND,)),
    "POST /v1/workspaces/start": Described(
        "start_workspace",
        {200: StartedWorkspace, 201: StartedWorkspace},
        (
            *STARTING,
            Code.WORKSPACE_OWNED,
            Code.WORKSPACE_OWNED_AUTONOMOUS,
            Code.WORKSPACE_OWNED_INTERACTIVE,
            Code.WORKSPACE_STALE_OWNED,
            Code.WORKSPACE_STALE_AUTONOMOUS,
        ),
        {"scope": "workspace=main", "owner_kind": "runtime_worker", "actor_id": "worker-1", "lease_seconds": 60},
    ),
    "POST /v1/workspaces/heartbeat": Described(
        "beat_workspace",
        {200: WorkspaceBeat},
        (
            Code.NOT_FOUND,
            Code.WORKSPACE_EMPTY,
            Code.HEARTBEAT_NOT_AUTONOMOUS,
            Code.HEARTBEAT_NOT_OWNER,
            Code.HEARTBEAT_WITHOUT_SESSION,
            Code.WORKSPACE_STALE,
            Code.WORKSPACE_STALE_INTERACTIVE,
            Code.ACTIVITY_TOO_LONG,
        ),
        {"scope": "workspace=main", "actor_id": "worker-1", "activity": "running the tests"},
    ),
    "POST /v1/workspaces/takeover": Described(
        "take_over_workspace",
        {201: TakenOverWorkspace},
        (
            *STARTING,
            Code.WORKSPACE_CHANGED,
            Code.TAKEOVER_OF_NOTHING,
            Code.TAKEOVER_OF_INTERACTIVE,
            Code.TAKEOVER_TOO_EARLY,
            Code.TAKEOVER_OF_OWN,
            Code.TAKEOVER_WITHOUT_LEASE,
        ),
        {"scope": "workspace=main", "actor_id": "worker-2", "reason": "it fell silent"},
    ),
    "POST /v1/workspaces/clear": Described(
        "clear_workspace",
        {200: ClearedWorkspace},
        (
            Code.NOT_FOUND,
            Code.WORKSPACE_CHANGED,
            Code.CLEAR_WITHOUT_ACTOR,
            Code.CLEAR_STALE_WITHOUT_ACTOR,
            Code.CLEAR_OF_AHEAD,
            Code.CLEAR_OF_STALE,
            Code.CLEAR_OF_STALE_WITHOUT_LEASE,
            Code.CLEAR_OF_ACTIVE,
        ),
        {"scope": "workspace=main", "actor_id": "worker-1"},
    ),
    "POST /v1/workspaces/escalations": Described(
        "add_escalation",
        {201: OneEscalation},
        (Code.NOT_FOUND, Code.WORKSPACE_FULL),
        {"scope": "workspace=main", "reason": "which of the two schemas?", "blocking": True},
    ),
    "POST /v1/workspaces/escalations/resolve": Described(
        "resolve_escalation",
        {200: OneEscalation},
        (Code.NOT_FOUND,),
        {"scope": "workspace=main", "id": "esc_01KF5V3Z5RW8Q0M2X7N4T9C6BD"},
    ),
    "POST /v1/workspaces/gates": Described(
        "set_gates",
        {200: Gates},
        (Code.NOT_FOUND, Code.WORKSPACE_FULL),
        {"scope": "workspace=main", "gates": [{"text": "the tests pass", "met": True}, {"text": "it is reviewed"}]},
    ),
    "POST /v1/workspaces/baseline": Described(
        "keep_baseline",
        {200: KeptBaseline},
        (Code.NOT_FOUND, Code.WORKSPACE_EMPTY),
        {"scope": "workspace=main", "session_id": "ses_01KF5V3Z5RW8Q0M2X7N4T9C6BD", "digests": {"gates": "0a1b"}},
    ),
}
