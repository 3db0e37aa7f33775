"""A day's work: start it, say how far it is, stay alive, and see who else is at work."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from holdfast.commands.beginning import About
from holdfast.commands.days import StartDay
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.lists import ListRequest
from holdfast.commands.notes import UpdateSession
from holdfast.commands.rows import Value
from holdfast.commands.starts import RESUMED, StartSession
from holdfast.domain.actor import KeyScope
from holdfast.domain.crane import ACTIVE_SESSIONS_SHOWN_MAX
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import HandoffId, SessionId
from holdfast.domain.limits import META_BYTES_MAX
from holdfast.domain.rate_limits import Budget
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.times import rfc3339
from holdfast.doors.http.bodies import InvalidBody
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.crane import bodies
from holdfast.doors.http.crane.bundle import within_budget
from holdfast.doors.http.crane.dialect import CRANE
from holdfast.doors.http.crane.fields import Agent, CraneRecord, FreeJson, OfSession, Repo, Venture, agent_fault
from holdfast.doors.http.native.fields import Id, Items, Name, Positive, Summary, free_json
from holdfast.doors.http.native.lifecycle import CheckpointBody, checkpoint_of
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.problems import HttpProblem
from holdfast.doors.http.rendering import encode, shown
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine import queries
from holdfast.engine.core import Core


class StartDayBody(CraneRecord, kw_only=True):
    """`POST /sod`."""

    agent: Agent
    venture: Venture
    repo: Repo
    client: Name | None = None
    client_version: Name | None = None
    host: Name | None = None
    track: Positive | None = None
    issue_number: Positive | None = None
    branch: Name | None = None
    commit_sha: Name | None = None
    meta: FreeJson | None = None
    session_group_id: Id | None = None
    client_session_id: Id | None = None
    include_docs: Annotated[bool, msgspec.Meta(description="Send the venture's documents too.")] = False


class StartDayQuery(msgspec.Struct):
    """`POST /sod`."""

    full: Annotated[bool, msgspec.Meta(description="All of it, however long.")] = False


class HeartbeatOfDayBody(OfSession, kw_only=True):
    """`POST /heartbeat`."""


class UpdateDayBody(OfSession, kw_only=True):
    """`POST /update` and `POST /checkpoint`: what is not named, or null, stays."""

    branch: Name | None = None
    commit_sha: Name | None = None
    issue_number: Positive | None = None
    meta: FreeJson | None = None
    summary: Summary | None = None
    work_completed: Items = msgspec.field(default_factory=list)
    blockers: Items = msgspec.field(default_factory=list)
    next_actions: Items = msgspec.field(default_factory=list)
    state: Any = None
    update_id: Annotated[str | None, msgspec.Meta(description="Stands for the header Idempotency-Key.")] = None


class ActiveQuery(msgspec.Struct, kw_only=True):
    """`GET /active`: one of venture, repo and agent at least."""

    venture: Venture | None = None
    repo: Repo | None = None
    agent: Name | None = None
    track: Positive | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 100
    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)] | None = None
    include_stale: bool = False


def start_faults(value: Any, core: Core) -> list[FieldError]:
    """What is wrong with a start beyond the form of its fields."""
    faults = agent_fault(value)
    venture = value.get("venture") if isinstance(value, dict) else None
    ventures = core.day.ventures
    if ventures and isinstance(venture, str) and venture not in ventures:
        faults.append(FieldError("venture", f"must be one of {', '.join(ventures)}"))
    return faults


async def start(call: Call) -> Answer:
    """Start the day: begin a session or resume it, and be told where the work stands."""
    body: StartDayBody = call.body
    parts = ScopeParts(venture=body.venture, repo=body.repo, track=None if body.track is None else str(body.track))
    about = About(
        parts=parts,
        group_id=body.session_group_id,
        meta_json=None if body.meta is None else free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX),
        branch=body.branch,
        commit_sha=body.commit_sha,
        issue_number=body.issue_number,
        client=body.client,
        client_version=body.client_version,
        host=body.host,
    )
    started = StartSession(
        scope=canonical(parts),
        agent=body.agent,
        holder_id=body.agent,
        policy=call.core.day.policy,
        client_session_id=body.client_session_id,
        about=about,
        gives_up_lapsed=True,
        looks_wider=True,
    )
    around = await _around(call, venture=body.venture, repo=body.repo)
    reply = await call.execute(StartDay(started, encode(around).decode()))
    around = msgspec.json.decode(reply.body["around_json"])
    bundle, left_out = _bundle(reply.body, around), _left_out(reply.body)
    if not call.query.full:
        bundle = within_budget(bundle, left_out=left_out)
    elif left_out:
        bundle["last_handoff"] = bodies.handoff(await _whole_handoff(call, reply.body["last_handoff"]))
    # Who asks for texts knows how long they are.
    texts = {"docs": around["docs"]} if "docs" in around else {}
    return bodies.answer(bundle | texts, is_replay=reply.is_replay)


def _left_out(body: dict[str, Any]) -> dict[str, int]:
    """What the core has not repeated in a start's reply, for its length: bytes by field."""
    handoff = body["last_handoff"]
    is_left_out = handoff is not None and handoff["payload_omitted"]
    return {"last_handoff.payload": handoff["payload_size_bytes"]} if is_left_out else {}


async def _whole_handoff(call: Call, handoff: dict[str, Any]) -> dict[str, Any]:
    try:
        return await call.core.read(queries.handoff, call.actor, HandoffId(handoff["id"]))
    except Refusal as refusal:
        if refusal.code != Code.NOT_FOUND:
            raise
        # An answer that is given again may tell of one that was deleted since.
        return handoff


async def _around(call: Call, *, venture: str, repo: str) -> dict[str, Any]:
    """What goes on in the same repository: read before the start, which may be one of those that it sees."""
    filters = {"venture": venture, "repo": repo}
    others = _at_work(call, filters, limit=ACTIVE_SESSIONS_SHOWN_MAX + 1)
    return await call.core.read(
        queries.surroundings, call.actor, others, venture=venture, with_contents=call.body.include_docs
    )


def _bundle(body: dict[str, Any], around: dict[str, Any]) -> dict[str, Any]:
    """A start's reply in the order in which it is worth reading."""
    others = [each for each in around["active_sessions"] if each["id"] != body["id"]][:ACTIVE_SESSIONS_SHOWN_MAX]
    last_checkpoint, last_handoff = body["last_checkpoint"], body["last_handoff"]
    return {
        "status": "resumed" if body["outcome"] == RESUMED else "created",
        "session_id": body["id"],
        "session": bodies.session(body),
        "last_handoff": None if last_handoff is None else bodies.handoff(last_handoff),
        "last_checkpoint": None if last_checkpoint is None else bodies.checkpoint(last_checkpoint),
        "active_sessions": [_without(bodies.session(each), "meta") for each in others],
        "doc_index": [shown(each) for each in around["doc_index"]],
        **_without(bodies.next_beat(body), "last_heartbeat_at"),
        "correlation_id": body["request_correlation_id"],
    }


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in body.items() if each != name}


async def heartbeat(call: Call) -> Answer:
    """Say that the agent is alive."""
    body: HeartbeatOfDayBody = call.body
    reply = await call.execute(Heartbeat(SessionId(body.session_id)), is_beat=True)
    told = {"session_id": body.session_id, **bodies.next_beat(reply.body)}
    if reply.body["stop_requested"]:
        told |= {"stop_requested": True, "stop_reason": reply.body["stop_reason"]}
    answer = bodies.answer(told, is_replay=reply.is_replay)
    return msgspec.structs.replace(answer, note="reactivated" if reply.body["reactivated"] else None)


async def update(call: Call) -> Answer:
    """Write down how far the work is; a repetition is recognised by its key."""
    if call.idempotency is None:
        detail = "This needs an Idempotency-Key, or an update_id in the body: a repetition is recognised by it."
        raise HttpProblem(400, "idempotency_key_required", detail)
    return await checkpoint(call)


async def checkpoint(call: Call) -> Answer:
    """Write down how far the work is."""
    body: UpdateDayBody = call.body
    sent = CheckpointBody(
        summary=body.summary or "",
        work_completed=body.work_completed,
        blockers=body.blockers,
        next_actions=body.next_actions,
        state=body.state,
        branch=body.branch,
        commit_sha=body.commit_sha,
    )
    note = await call.compute(lambda: checkpoint_of(SessionId(body.session_id), sent))
    fields: dict[str, str | int | None] = {
        "branch": body.branch,
        "commit_sha": body.commit_sha,
        "issue_number": body.issue_number,
        "meta_json": None if body.meta is None else free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX),
    }
    given = tuple((name, value) for name, value in fields.items() if value is not None)
    reply = await call.execute(UpdateSession(note, given))
    written = reply.body
    return bodies.answer(
        {
            "session_id": written["session_id"],
            "updated_at": rfc3339(written["created_at_ms"]),
            "checkpoint_number": written["number"],
            **bodies.next_beat(written),
            **({"redactions": written["redactions"]} if written["redactions"] else {}),
            "correlation_id": written["correlation_id"],
        },
        is_replay=reply.is_replay,
    )


async def active(call: Call) -> Answer:
    """See who is at work."""
    query: ActiveQuery = call.query
    names = {"venture": query.venture, "repo": query.repo, "agent": query.agent}
    if all(value is None for value in names.values()):
        raise InvalidBody([FieldError("venture", "is required, or else repo or agent")])
    filters = {**names, "track": None if query.track is None else str(query.track)}
    bound_to = f"include_stale={query.include_stale}"
    request = _at_work(call, filters, limit=query.limit, cursor=query.cursor, bound_to=bound_to)
    page = await call.core.read(queries.sessions_at_work, request, with_stale=query.include_stale)
    found = [bodies.session(each) for each in page.items]
    pagination = {"next_cursor": page_body(page, request, bound_to=bound_to)["next_cursor"]}
    return bodies.answer({"sessions": found, "count": len(found), "pagination": pagination})


def _at_work(
    call: Call, filters: Mapping[str, str | None], *, limit: int, cursor: str | None = None, bound_to: str = ""
) -> ListRequest:
    given: dict[str, Value] = {**filters, "bound_project_id": call.actor.project_id}
    listing = ListQuery(limit=limit, cursor=cursor)
    return list_request(queries.SESSION_LIST, call.actor.account_id, listing, given, bound_to=bound_to)


def crane_route(method: str, path: str, handler: Any, scope: KeyScope, **more: Any) -> Route:
    """A route in the dialect of these paths."""
    return Route(method, path, handler, scope, dialect=CRANE, is_mutating=method == "POST", **more)


_START: dict[str, Any] = {"body": StartDayBody, "query": StartDayQuery, "faults": start_faults}

ROUTES = [
    crane_route("POST", "/sod", start, KeyScope.AGENT, **_START),
    crane_route("POST", "/sos", start, KeyScope.AGENT, **_START),
    crane_route("POST", "/update", update, KeyScope.AGENT, body=UpdateDayBody),
    crane_route("POST", "/checkpoint", checkpoint, KeyScope.AGENT, body=UpdateDayBody),
    crane_route(
        "POST",
        "/heartbeat",
        heartbeat,
        KeyScope.AGENT,
        body=HeartbeatOfDayBody,
        budget=Budget.HEARTBEATS,
        routine=Routine.HEARTBEAT,
    ),
    crane_route("GET", "/active", active, KeyScope.READ, query=ActiveQuery),
]
