"""Types of fields that several bodies of the Crane paths share. Fields that a body does not name are passed over."""

from typing import Annotated, Any

import msgspec

from holdfast.domain import crane
from holdfast.domain.errors import FieldError
from holdfast.doors.http.native.fields import Id

Agent = Annotated[str, msgspec.Meta(max_length=crane.AGENT_CHARS_MAX, pattern=crane.AGENT, examples=["cc-cli-host"])]
Venture = Annotated[str, msgspec.Meta(pattern=crane.VENTURE, examples=["dfg"])]
Repo = Annotated[str, msgspec.Meta(pattern=crane.REPO, examples=["durganfieldguide/dfg-console"])]
SchemaVersion = Annotated[str, msgspec.Meta(pattern=crane.SCHEMA_VERSION, examples=[crane.SCHEMA_VERSION_SERVED])]
FreeJson = dict[str, Any]


class CraneRecord(msgspec.Struct, kw_only=True):
    """A body: `schema_version` may be left out, and is then 1.0."""

    schema_version: SchemaVersion | None = None


class OfSession(CraneRecord, kw_only=True):
    """A body about a session."""

    session_id: Id


def agent_fault(value: Any) -> list[FieldError]:
    """What is wrong with the agent's name in a body, and a name that would do."""
    name = value.get("agent") if isinstance(value, dict) else None
    if not isinstance(name, str) or _is_agent(name):
        return []
    return [FieldError("agent", f"{WORDS}; how about {crane.suggested_agent(name)}?")]


WORDS = "must be 3–63 characters: words of a–z 0–9 with hyphens between them, two at least"


def _is_agent(name: str) -> bool:
    try:
        msgspec.convert(name, Agent)
    except msgspec.ValidationError:
        return False
    return True
