"""The end of a day, and what was handed on: read it, list it, take it up."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from holdfast.commands.bodies import refusal_from_body
from holdfast.commands.days import EndDay
from holdfast.commands.handoffs import HANDOFF_LIST, SetHandoffStatus
from holdfast.commands.rows import Value
from holdfast.domain import payload_schema
from holdfast.domain.actor import KeyScope
from holdfast.domain.drafting import drafted, faults
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.handoff import Draft, HandoffStatus, Topic, addressed_as
from holdfast.domain.ids import HandoffId, SessionId
from holdfast.domain.session import EndReason
from holdfast.domain.times import rfc3339
from holdfast.doors.http.bodies import InvalidBody
from holdfast.doors.http.call import Answer, Call, Document
from holdfast.doors.http.crane import bodies
from holdfast.doors.http.crane.dialect import CRANE
from holdfast.doors.http.crane.fields import CraneRecord, FreeJson, OfSession, Repo, Venture
from holdfast.doors.http.crane.sessions import crane_route
from holdfast.doors.http.limits import BODY_BYTES_LARGE_MAX
from holdfast.doors.http.native.fields import Id, Name, Note, Positive, Time, times_ms
from holdfast.doors.http.native.handoffs import Fields, SchemaId, SettableStatus
from holdfast.doors.http.native.paging import Cursor, ListQuery, list_request, page_body
from holdfast.doors.http.problems import refusal_document
from holdfast.doors.http.rendering import encode
from holdfast.engine import queries
from holdfast.engine.core import Core

LISTS = ("work_completed", "blockers", "next_actions")


class EndDayBody(OfSession, kw_only=True):
    """`POST /eod`: the handoff as an object, or its fields beside a payload of any form."""

    handoff: FreeJson | None = None
    summary: str | None = None
    payload: FreeJson | None = None
    status_label: str | None = None
    to_agent: str | None = None
    end_reason: EndReason = EndReason.COMPLETED
    keep_session_open: Annotated[bool, msgspec.Meta(description="Leave the handoff, and go on.")] = False
    venture: Annotated[Venture | None, msgspec.Meta(description="What it is about, if not what the session is.")] = None
    repo: Repo | None = None
    track: Positive | None = None
    issue_number: Positive | None = None
    schema: SchemaId | None = None


class LatestHandoffQuery(msgspec.Struct, kw_only=True):
    """`GET /handoffs/latest`: venture or session_id at least; the others narrow it."""

    venture: Name | None = None
    session_id: Id | None = None
    repo: Name | None = None
    track: Positive | None = None
    issue_number: Positive | None = None
    status_label: Name | None = None
    to_agent: Name | None = None


class HandoffHistoryQuery(LatestHandoffQuery, kw_only=True):
    """`GET /handoffs`."""

    from_agent: Name | None = None
    created_after: Time | None = None
    created_before: Time | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    cursor: Cursor | None = None
    include_total: bool = False
    fields: Annotated[Fields | None, msgspec.Meta(description="`summary` leaves out the lists and the payloads.")] = (
        None
    )


class HandoffStatusBody(CraneRecord, kw_only=True):
    """`POST /handoffs/{id}/status`."""

    status: SettableStatus
    note: Note | None = None


def end_faults(value: Any, _core: Core) -> list[FieldError]:
    """What is wrong with the handoff that a body holds, in either form."""
    if not isinstance(value, dict):
        return []
    handoff, is_flat = value.get("handoff"), value.get("handoff") is None
    if is_flat and value.get("summary") is None:
        return [FieldError("handoff", "is required, or else summary and payload")]
    if not is_flat and not isinstance(handoff, dict):
        return []
    prefix = "" if is_flat else "handoff."
    found = faults(**_written(value))
    return [FieldError(prefix + each.field, each.message) for each in found]


def _written(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the handoff that a body holds, in either form, as they were sent.

    In the flat form a payload is free: what stands there under the name of a list is taken for it only where it is one.
    """
    handoff = value.get("handoff")
    if handoff is not None:
        lists = {name: [] if handoff.get(name) is None else handoff[name] for name in LISTS}
        return {name: handoff.get(name) for name in ("summary", "status_label", "to_agent")} | lists
    payload = value.get("payload")
    inner = payload if isinstance(payload, dict) else {}
    written = {name: value.get(name) for name in ("summary", "status_label", "to_agent")}
    return written | {name: inner[name] if _is_list_of(inner.get(name), name) else [] for name in LISTS}


def _is_list_of(items: Any, name: str) -> bool:
    fields: dict[str, Any] = {each: [] for each in LISTS} | {name: items}
    return items is not None and not faults(summary="-", status_label=None, to_agent=None, **fields)


async def end(call: Call) -> Answer:
    """End the day: the handoff is kept and the session ended, both or neither."""
    body: EndDayBody = call.body
    draft = await _drafted(call, body)
    command = EndDay(SessionId(body.session_id), draft, body.end_reason, body.keep_session_open)
    reply = await call.execute(command)
    told = reply.body
    if "refusal" in told:
        return _refused(call, refusal_from_body(told["refusal"]), told["request_correlation_id"], reply.is_replay)
    status = "ended" if told["status"] == "ended" else "active"
    answer = {
        "session_id": told["session_id"],
        "handoff_id": told["handoff_id"],
        "status": status,
        "ended_at": None if told["ended_at_ms"] is None else rfc3339(told["ended_at_ms"]),
    }
    if told["late"]:
        answer["late"] = True
    if told["redactions"]:
        answer["redactions"] = told["redactions"]
    return bodies.answer({**answer, "correlation_id": told["correlation_id"]}, is_replay=reply.is_replay)


async def _drafted(call: Call, body: EndDayBody) -> Draft:
    """The handoff that a body holds, ready to be stored. Raises: validation_failed, payload_too_large."""
    if body.schema is None:
        return await call.compute(lambda: _draft_of(body, schema_json=None))
    schema = await call.core.read(queries.handoff_schema, call.actor, body.schema)
    return await call.core.compute(lambda: _draft_of(body, schema_json=schema["schema_json"]))


def _draft_of(body: EndDayBody, *, schema_json: str | None) -> Draft:
    payload = body.handoff if body.handoff is not None else body.payload or {}
    errors = () if schema_json is None else payload_schema.faults(schema_json, payload)
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    return drafted(
        **_written(msgspec.structs.asdict(body)),
        payload=payload,
        payload_schema=body.schema,
        topic=Topic(body.venture, body.repo, None if body.track is None else str(body.track), body.issue_number),
    )


def _refused(call: Call, refusal: Refusal, correlation_id: str, is_replay: bool) -> Answer:
    """A refusal whose handoff was kept: an answer like any other, so that it is the same when it is asked for again."""
    problem = refusal_document(refusal, instance="", request_id=call.request_id)
    problem, shown = CRANE.told_here(problem, correlation_id)
    return Answer(problem["status"], Document(b"application/json", encode(shown)), is_replay, note=shown["code"])


async def latest(call: Call) -> Answer:
    """The newest handoff that the filters let through; null where there is none."""
    query: LatestHandoffQuery = call.query
    if query.venture is None and query.session_id is None:
        raise InvalidBody([FieldError("venture", "is required, or else session_id")])
    request = list_request(HANDOFF_LIST, call.actor.account_id, ListQuery(limit=1), _filters(call, query))
    page = await call.core.read(queries.handoffs, request, is_summary=False)
    return bodies.answer({"handoff": bodies.handoff(page.items[0]) if page.items else None})


async def history(call: Call) -> Answer:
    """Handoffs, newest first."""
    query: HandoffHistoryQuery = call.query
    filters = _filters(call, query) | {"from_agent": query.from_agent}
    filters |= times_ms(created_after=query.created_after, created_before=query.created_before)
    listing = ListQuery(limit=query.limit, cursor=query.cursor, include_total=query.include_total)
    request = list_request(HANDOFF_LIST, call.actor.account_id, listing, filters)
    page = await call.core.read(queries.handoffs, request, is_summary=query.fields == Fields.SUMMARY)
    told = page_body(page, request)
    found = [bodies.handoff(each) for each in told.pop("items")]
    more = {"count": len(found), "has_more": told["next_cursor"] is not None, **told}
    return bodies.answer({"handoffs": found, **more})


def _filters(call: Call, query: LatestHandoffQuery) -> dict[str, Value]:
    names = ("venture", "session_id", "repo", "issue_number", "status_label")
    return {
        **{name: getattr(query, name) for name in names},
        "track": None if query.track is None else str(query.track),
        "to_agent": None if query.to_agent is None else json.dumps(addressed_as(query.to_agent)),
        "bound_project_id": call.actor.project_id,
    }


async def read(call: Call) -> Answer:
    """One handoff, whole."""
    found = await call.core.read(queries.handoff, call.actor, HandoffId(call.ids[0]))
    return bodies.answer({"handoff": bodies.handoff(found)})


async def set_status(call: Call) -> Answer:
    """Take a handoff up, finish it, give it back, or withdraw it."""
    body: HandoffStatusBody = call.body
    command = SetHandoffStatus(HandoffId(call.ids[0]), HandoffStatus(body.status.value), body.note)
    reply = await call.execute(command)
    return bodies.answer({"handoff": bodies.handoff(reply.body)}, is_replay=reply.is_replay)


_END: dict[str, Any] = {"body": EndDayBody, "faults": end_faults, "body_bytes_max": BODY_BYTES_LARGE_MAX}

ROUTES = [
    crane_route("POST", "/eod", end, KeyScope.AGENT, **_END),
    crane_route("POST", "/eos", end, KeyScope.AGENT, **_END),
    crane_route("GET", "/handoffs/latest", latest, KeyScope.READ, query=LatestHandoffQuery),
    crane_route("GET", "/handoffs", history, KeyScope.READ, query=HandoffHistoryQuery),
    crane_route("GET", "/handoffs/{id}", read, KeyScope.READ),
    crane_route("POST", "/handoffs/{id}/status", set_status, KeyScope.AGENT, body=HandoffStatusBody),
]
