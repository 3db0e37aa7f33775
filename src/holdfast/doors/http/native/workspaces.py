"""Routes of workspaces: the commands of `holdfast session-state`, for checkouts that share a server."""

from typing import Annotated, Any

import msgspec

from holdfast.commands.command import Command
from holdfast.commands.workspace_entries import AddEscalation, ResolveEscalation, SetGates
from holdfast.commands.workspace_starts import ClearWorkspace, KeepBaseline, StartWorkspace, TakeOverWorkspace
from holdfast.commands.workspaces import BeatWorkspace
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.limits import LEASE_MS_MAX, NOTE_CHARS_MAX, SCOPE_BYTES_MAX, SECOND_MS
from holdfast.domain.rate_limits import Budget
from holdfast.domain.scope import ScopeParts
from holdfast.domain.workspace import ENTRIES_MAX, INTERACTIVE_ACTOR, Mode, OwnerKind
from holdfast.doors.http.bodies import OF_NAMES
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Name, Natural, Reason, Record, free_json
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine import workspaces

Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=SCOPE_BYTES_MAX, pattern=OF_NAMES)]
ActorName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=OF_NAMES)]
LeaseSeconds = Annotated[int, msgspec.Meta(ge=1, le=LEASE_MS_MAX // SECOND_MS)]
GateText = Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARS_MAX)]
Digest = Annotated[str, msgspec.Meta(max_length=128)]

BASELINE_BYTES_MAX = 16 * 1024
"""Some dozens of digests."""


class WorkspaceStartBody(Record, kw_only=True):
    """`POST /v1/workspaces/start`. `lease_seconds`, `actor_id`: of an agent's session; a person's takes none."""

    scope: Scope
    owner_kind: OwnerKind = OwnerKind.INTERACTIVE
    actor_id: ActorName | None = None
    mode: Mode | None = None
    supervisor_id: ActorName | None = None
    lease_seconds: LeaseSeconds | None = None
    machine_id: Id | None = None
    repo: Name | None = None
    workspace: Name | None = None


class WorkspaceBeatBody(Record, kw_only=True):
    """`POST /v1/workspaces/heartbeat`. `activity`: its length is judged last, after whose session it is."""

    scope: Scope
    actor_id: ActorName = INTERACTIVE_ACTOR
    activity: str | None = None


class WorkspaceTakeoverBody(Record, kw_only=True):
    """`POST /v1/workspaces/takeover`. `expected_revision`: the one that the caller decided on."""

    scope: Scope
    actor_id: ActorName
    reason: Reason
    supervisor_id: ActorName | None = None
    lease_seconds: LeaseSeconds | None = None
    machine_id: Id | None = None
    expected_revision: Natural | None = None


class WorkspaceClearBody(Record, kw_only=True):
    """`POST /v1/workspaces/clear`. `force` needs a reason."""

    scope: Scope
    actor_id: ActorName | None = None
    reason: Reason | None = None
    force: bool = False
    expected_session_id: Id | None = None
    expected_revision: Natural = 0


class EscalationBody(Record, kw_only=True):
    """`POST /v1/workspaces/escalations`."""

    scope: Scope
    reason: Reason
    blocking: bool = False


class ResolveBody(Record, kw_only=True):
    """`POST /v1/workspaces/escalations/resolve`."""

    scope: Scope
    id: Id


class GateBody(Record):
    """One gate."""

    text: GateText
    met: bool = False


class GatesBody(Record, kw_only=True):
    """`POST /v1/workspaces/gates`. All gates, in order; none clears them."""

    scope: Scope
    gates: Annotated[list[GateBody], msgspec.Meta(max_length=ENTRIES_MAX)]


class BaselineBody(Record, kw_only=True):
    """`POST /v1/workspaces/baseline`. `digests`: of what an agent was shown, by section."""

    scope: Scope
    session_id: Id
    digests: dict[str, Digest]


class WorkspaceQuery(Record, kw_only=True):
    """`GET /v1/workspaces`. `actor_id`: whether the session would be in this one's way."""

    scope: Scope
    actor_id: ActorName | None = None


async def start(call: Call) -> Answer:
    """Start working in a workspace, or go on with the session that is active."""
    body: WorkspaceStartBody = call.body
    is_interactive = body.owner_kind == OwnerKind.INTERACTIVE
    for field in ("lease_seconds", "actor_id"):
        taken = (None, INTERACTIVE_ACTOR) if field == "actor_id" else (None,)
        if is_interactive and getattr(body, field) not in taken:
            raise _invalid(field, "is not taken by an interactive session")
        if not is_interactive and getattr(body, field) is None:
            raise _invalid(field, "is required by an autonomous session")
    fields = msgspec.structs.asdict(body) | {"actor_id": body.actor_id or INTERACTIVE_ACTOR}
    parts = ScopeParts(repo=fields.pop("repo"), workspace=fields.pop("workspace"))
    return await _done(call, StartWorkspace(**fields, parts=parts))


async def heartbeat(call: Call) -> Answer:
    """Renew the lease of the session that works in a workspace."""
    command = BeatWorkspace(**msgspec.structs.asdict(call.body))
    return answered(await call.execute(command, is_beat=True))


async def takeover(call: Call) -> Answer:
    """Adopt the session of an agent whose lease ran out."""
    return await _done(call, TakeOverWorkspace(**msgspec.structs.asdict(call.body)))


async def clear(call: Call) -> Answer:
    """End the session that works in a workspace, and forget what it asked for."""
    body: WorkspaceClearBody = call.body
    if body.force and body.reason is None:
        raise _invalid("reason", "is required with force")
    return await _done(call, ClearWorkspace(**msgspec.structs.asdict(body)))


async def add_escalation(call: Call) -> Answer:
    """Ask a person for something."""
    return await _done(call, AddEscalation(**msgspec.structs.asdict(call.body)))


async def resolve_escalation(call: Call) -> Answer:
    """What was asked for is done."""
    return await _done(call, ResolveEscalation(**msgspec.structs.asdict(call.body)))


async def set_gates(call: Call) -> Answer:
    """Set all gates of a workspace at once, in order."""
    body: GatesBody = call.body
    return await _done(call, SetGates(body.scope, tuple((gate.text, gate.met) for gate in body.gates)))


async def keep_baseline(call: Call) -> Answer:
    """Keep the digests of what an agent was shown when it started."""
    body: BaselineBody = call.body
    digests = free_json(body.digests, field="digests", bytes_max=BASELINE_BYTES_MAX)
    return await _done(call, KeepBaseline(body.scope, body.session_id, digests))


async def show(call: Call) -> Answer:
    """A workspace's session, what hangs on it, and the digests of what was shown when it started."""
    query: WorkspaceQuery = call.query
    asked = {"scope": query.scope}
    session = await call.core.read(workspaces.status, call.actor, **asked, actor_id=query.actor_id)
    sections = await call.core.read(workspaces.sections, call.actor, **asked)
    baseline: dict[str, Any] | None = await call.core.read(workspaces.baseline, call.actor, **asked)
    return Answer(200, {"scope": query.scope, "session": session, "sections": sections, "baseline": baseline})


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, message),))


async def _done(call: Call, command: Command) -> Answer:
    return answered(await call.execute(command))


ROUTES = [
    Route("GET", "/v1/workspaces", show, KeyScope.READ, query=WorkspaceQuery),
    Route("POST", "/v1/workspaces/start", start, KeyScope.AGENT, body=WorkspaceStartBody, is_mutating=True),
    Route(
        "POST",
        "/v1/workspaces/heartbeat",
        heartbeat,
        KeyScope.AGENT,
        body=WorkspaceBeatBody,
        is_mutating=True,
        budget=Budget.HEARTBEATS,
        routine=Routine.HEARTBEAT,
    ),
    Route("POST", "/v1/workspaces/takeover", takeover, KeyScope.AGENT, body=WorkspaceTakeoverBody, is_mutating=True),
    Route("POST", "/v1/workspaces/clear", clear, KeyScope.AGENT, body=WorkspaceClearBody, is_mutating=True),
    Route("POST", "/v1/workspaces/escalations", add_escalation, KeyScope.AGENT, body=EscalationBody, is_mutating=True),
    Route(
        "POST",
        "/v1/workspaces/escalations/resolve",
        resolve_escalation,
        KeyScope.AGENT,
        body=ResolveBody,
        is_mutating=True,
    ),
    Route("POST", "/v1/workspaces/gates", set_gates, KeyScope.AGENT, body=GatesBody, is_mutating=True),
    Route("POST", "/v1/workspaces/baseline", keep_baseline, KeyScope.AGENT, body=BaselineBody, is_mutating=True),
]
