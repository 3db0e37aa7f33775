"""Routes of handoffs: what sessions leave for whoever goes on, and the schemas of their payloads."""

import json
import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast.commands.handoffs import HANDOFF_LIST, SCHEMA_LIST, CreateHandoff, RegisterSchema, SetHandoffStatus
from holdfast.commands.lists import ListRequest
from holdfast.commands.rows import Value
from holdfast.domain import payload_schema
from holdfast.domain.actor import KeyScope
from holdfast.domain.drafting import AGENT_PATTERN, drafted
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.handoff import SETTABLE, Draft, EvidenceKind, HandoffStatus, Topic, addressed_as
from holdfast.domain.ids import HandoffId, SessionId
from holdfast.domain.limits import INTEGER_MAX, LABEL_CHARS_MAX, LIST_ITEMS_MAX, NAME_CHARS_MAX
from holdfast.doors.http.bodies import OF_NAMES, WholeBody
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.limits import BODY_BYTES_LARGE_MAX
from holdfast.doors.http.native.fields import (
    Id,
    Name,
    Note,
    Positive,
    Record,
    Summary,
    Time,
    Token,
    times_ms,
)
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import queries

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=LABEL_CHARS_MAX, pattern=OF_NAMES)]
Addressee = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        pattern=AGENT_PATTERN,
        description="An agent, or the beginning of a name and `*`.",
    ),
]
SchemaId = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^{payload_schema.SCHEMA_NAME}/{payload_schema.SCHEMA_VERSION}$",
        description="A registered schema that the payload has to fit, as `name/version`.",
    ),
]
_EVIDENCE = {
    "type": "object",
    "required": ["claim", "kind", "value"],
    "properties": {
        "claim": {"type": "string", "minLength": 1},
        "kind": {"enum": list(EvidenceKind)},
        "value": {"type": "string", "minLength": 1},
        "sha256": {"type": ["string", "null"], "pattern": "^[0-9a-fA-F]{64}$"},
        "exit_code": {"type": ["integer", "null"], "minimum": -INTEGER_MAX, "maximum": INTEGER_MAX},
        "verified": {"type": ["boolean", "null"], "description": "Whether the sender has run the check."},
    },
}
Entry = Annotated[Any, msgspec.Meta(extra_json_schema={"anyOf": [{"type": "string"}, _EVIDENCE]})]
Entries = Annotated[
    list[Entry],
    msgspec.Meta(max_length=LIST_ITEMS_MAX, description="Each is text, or a claim with its evidence."),
]


class HandoffFields(Record, kw_only=True):
    """A handoff, as it is written."""

    summary: Summary
    status_label: Label | Unset | None = UNSET
    work_completed: Entries | Unset = UNSET
    blockers: Entries | Unset = UNSET
    next_actions: Entries | Unset = UNSET
    to_agent: Addressee | Unset | None = UNSET
    payload: Annotated[
        dict[str, Any] | Unset,
        msgspec.Meta(description="Anything else. Where it is left out, the fields above are the payload, as sent."),
    ] = UNSET
    schema: SchemaId | None = None
    venture: Name | None = None
    repo: Name | None = None
    track: Name | None = None
    issue_number: Positive | None = None


class CreateHandoffBody(HandoffFields, kw_only=True):
    """`POST /v1/handoffs`."""

    session_id: Id
    fencing_token: Token | None = None


class SettableStatus(StrEnum):
    """What somebody may make of a handoff."""

    ACKNOWLEDGED = "acknowledged"
    DONE = "done"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"


assert {each.value for each in SettableStatus} == {each.value for each in SETTABLE}


class StatusBody(Record, kw_only=True):
    """`POST /v1/handoffs/{id}/status`."""

    status: SettableStatus
    note: Note | None = None


class Fields(StrEnum):
    """How much of each handoff a list shows; a summary leaves out its lists and its payload, which may be long."""

    ALL = "all"
    SUMMARY = "summary"


class HandoffsQuery(ListQuery):
    """`GET /v1/handoffs`."""

    venture: Name | None = None
    repo: Name | None = None
    track: Name | None = None
    scope: str | None = None
    project_id: Id | None = None
    issue_number: Positive | None = None
    status: HandoffStatus | None = None
    status_label: Label | None = None
    to_agent: Addressee | None = None
    from_agent: Name | None = None
    session_id: Id | None = None
    created_after: Time | None = None
    created_before: Time | None = None
    fields: Fields | None = None


LatestQuery = msgspec.defstruct(
    "LatestQuery",
    [
        (each.name, each.type, each.default)
        for each in msgspec.structs.fields(HandoffsQuery)
        if each.name not in ListQuery.__struct_fields__
    ],
    bases=(Record,),
    namespace={"__doc__": "`GET /v1/handoffs/latest`: the filters of the list."},
)


class SessionHandoffsQuery(ListQuery):
    """`GET /v1/sessions/{id}/handoffs`."""

    fields: Fields | None = None


_TYPED = ("status_label", "work_completed", "blockers", "next_actions", "to_agent")
_PLAIN = ("venture", "repo", "track", "scope", "project_id", "issue_number", "status_label", "from_agent", "session_id")


async def draft_of(call: Call, fields: HandoffFields, *, within: str = "") -> Draft:
    """A handoff as it will be stored. within: where it stands in the body, such as `handoff.`.

    Raises: validation_failed, payload_too_large.
    """
    try:
        if fields.schema is not None:
            schema = await call.core.read(queries.handoff_schema, call.actor, fields.schema)
            return await call.core.compute(lambda: _drafted(fields, schema_json=schema["schema_json"]))
        return await call.compute(lambda: _drafted(fields, schema_json=None))
    except Refusal as refusal:
        refusal.errors = tuple(each._replace(field=f"{within}{each.field}") for each in refusal.errors)
        raise


def _drafted(fields: HandoffFields, *, schema_json: str | None) -> Draft:
    sent = {name: getattr(fields, name) for name in _TYPED if getattr(fields, name) is not UNSET}
    payload = {"summary": fields.summary, **sent} if fields.payload is UNSET else fields.payload
    if schema_json is not None:
        errors = payload_schema.faults(schema_json, payload)
        if errors:
            raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    topic = Topic(fields.venture, fields.repo, fields.track, fields.issue_number)
    return drafted(summary=fields.summary, payload=payload, topic=topic, payload_schema=fields.schema, **sent)


async def create(call: Call) -> Answer:
    """Leave a handoff and go on."""
    body: CreateHandoffBody = call.body
    draft = await draft_of(call, body)
    return answered(await call.execute(CreateHandoff(SessionId(body.session_id), body.fencing_token, draft)))


async def set_status(call: Call) -> Answer:
    """Take a handoff up, finish it, give it back, or withdraw it."""
    body: StatusBody = call.body
    command = SetHandoffStatus(HandoffId(call.ids[0]), HandoffStatus(body.status.value), body.note)
    return answered(await call.execute(command))


async def read(call: Call) -> Answer:
    """One handoff, whole."""
    return Answer(200, await call.core.read(queries.handoff, call.actor, HandoffId(call.ids[0])))


async def latest(call: Call) -> Answer:
    """The newest handoff that the filters let through; null where there is none."""
    query = call.query
    request = ListRequest(HANDOFF_LIST, call.actor.account_id, _given(_filters(call, query)), None, 1)
    page = await call.core.read(queries.handoffs, request, is_summary=query.fields == Fields.SUMMARY)
    return Answer(200, {"handoff": page.items[0] if page.items else None})


async def list_handoffs(call: Call) -> Answer:
    """Handoffs, newest first; `fields=summary` leaves out their lists and payloads."""
    query: HandoffsQuery = call.query
    request = list_request(HANDOFF_LIST, call.actor.account_id, query, _filters(call, query))
    page = await call.core.read(queries.handoffs, request, is_summary=query.fields == Fields.SUMMARY)
    return Answer(200, page_body(page, request))


async def list_of_session(call: Call) -> Answer:
    """What a session left, newest first."""
    query: SessionHandoffsQuery = call.query
    session_id = SessionId(call.ids[0])
    await call.core.read(queries.find_session, call.actor, session_id)
    request = list_request(HANDOFF_LIST, call.actor.account_id, query, {"session_id": session_id})
    page = await call.core.read(queries.handoffs, request, is_summary=query.fields == Fields.SUMMARY)
    return Answer(200, page_body(page, request))


def _filters(call: Call, query: Any) -> dict[str, Value]:
    filters: dict[str, Value] = {name: getattr(query, name) for name in _PLAIN}
    filters |= times_ms(created_after=query.created_after, created_before=query.created_before)
    filters["status"] = None if query.status is None else query.status.value
    filters["to_agent"] = None if query.to_agent is None else json.dumps(addressed_as(query.to_agent))
    filters["bound_project_id"] = call.actor.project_id
    return filters


def _given(filters: dict[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple((name, value) for name, value in sorted(filters.items()) if value is not None)


async def register_schema(call: Call) -> Answer:
    """Register a version of a schema for payloads; it never changes."""
    body: WholeBody = call.body
    schema_id = _schema_id(call)
    value = body.value
    # A schema knows no `schema`: whoever sends that alone means what is in it.
    schema = value["schema"] if list(value) == ["schema"] else value
    checked = await call.core.compute(lambda: payload_schema.checked(schema))
    return answered(await call.execute(RegisterSchema(schema_id, checked.json, checked.sha256)))


async def read_schema(call: Call) -> Answer:
    """One version of a schema."""
    return Answer(200, await call.core.read(queries.handoff_schema, call.actor, _schema_id(call)))


async def list_schemas(call: Call) -> Answer:
    """Schemas of the account, by name and version."""
    request = list_request(SCHEMA_LIST, call.actor.account_id, call.query, {})
    return Answer(200, page_body(await call.core.read(queries.handoff_schemas, request), request))


def _schema_id(call: Call) -> str:
    """The `name/version` of the path. Raises: validation_failed."""
    patterns = {"name": payload_schema.SCHEMA_NAME, "version": payload_schema.SCHEMA_VERSION}
    wrong = [
        FieldError(field, f"must match {pattern}")
        for (field, pattern), given in zip(patterns.items(), call.ids, strict=True)
        if re.fullmatch(pattern, given) is None
    ]
    if wrong:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(wrong))
    return "/".join(call.ids)


ROUTES = [
    Route(
        "POST",
        "/v1/handoffs",
        create,
        KeyScope.AGENT,
        body=CreateHandoffBody,
        is_mutating=True,
        body_bytes_max=BODY_BYTES_LARGE_MAX,
    ),
    Route("GET", "/v1/handoffs", list_handoffs, KeyScope.READ, query=HandoffsQuery),
    Route("GET", "/v1/handoffs/latest", latest, KeyScope.READ, query=LatestQuery),
    Route("GET", "/v1/handoffs/{id}", read, KeyScope.READ),
    Route("POST", "/v1/handoffs/{id}/status", set_status, KeyScope.AGENT, body=StatusBody, is_mutating=True),
    Route("GET", "/v1/sessions/{id}/handoffs", list_of_session, KeyScope.READ, query=SessionHandoffsQuery),
    Route("GET", "/v1/handoff-schemas", list_schemas, KeyScope.READ, query=ListQuery),
    Route("GET", "/v1/handoff-schemas/{name}/{version}", read_schema, KeyScope.READ),
    Route(
        "PUT",
        "/v1/handoff-schemas/{name}/{version}",
        register_schema,
        KeyScope.AGENT,
        body=WholeBody,
        is_mutating=True,
    ),
]
