"""What is answered about many sessions at once."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.session import Status
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.refusals import WayOut
from holdfast.doors.http.native.answers.words import At, Count, Seconds, SessionId


class BeatResult(msgspec.Struct, kw_only=True):
    """One result of a batch: a beat's fields where `ok`, else a refusal's."""

    session_id: str
    ok: bool
    status: Status | UnsetType = UNSET
    last_heartbeat_at: At | UnsetType = UNSET
    next_heartbeat_at: At | UnsetType | None = UNSET
    heartbeat_interval_seconds: Seconds | UnsetType | None = UNSET
    lease_expires_at: At | UnsetType | None = UNSET
    stop_requested: bool | UnsetType = UNSET
    reactivated: bool | UnsetType = UNSET
    stop_reason: str | UnsetType = UNSET
    status_code: int | UnsetType = UNSET
    code: Code | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    ways_out: list[WayOut] | UnsetType = UNSET


class BeatResults(msgspec.Struct):
    """One result a beat, in the order of the request."""

    results: list[BeatResult]
    accepted: Count
    refused: Count


class Fence(msgspec.Struct):
    """A token that is current."""

    scope: Annotated[str, Meta(examples=["repo=holdfast"])]
    current: Annotated[bool, Meta(extra_json_schema={"const": True})]
    session_id: SessionId


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/heartbeats": Described(
        "heartbeats",
        {200: BeatResults},
        (),
        {"heartbeats": [{"session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD", "fencing_token": 1}]},
    ),
    "GET /v1/fence": Described("check_fence", {200: Fence}, (Code.FENCING_TOKEN_STALE,)),
}
