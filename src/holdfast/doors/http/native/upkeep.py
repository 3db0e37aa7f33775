"""Routes for whoever runs the service: recurring jobs, and cleaning up."""

from typing import Annotated, Literal

import msgspec

from holdfast.commands.cleanup import TERMINAL_STATUSES, CleanUp
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.limits import DAY_MS
from holdfast.domain.session import Status
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Record
from holdfast.doors.http.native.paging import Cursor, decoded, encoded
from holdfast.doors.http.routing import Route
from holdfast.engine import queries

OLDER_THAN_DAYS_DEFAULT = 30
OLDER_THAN_DAYS_MAX = 36_500

CLEANUP_SESSIONS_MAX = 200
"""Sessions that one request looks at: one transaction, for which beats wait. `next_cursor` goes on."""

Over = Literal["ended", "failed", "abandoned"]
"""TERMINAL_STATUSES, as a body can name them."""


class CleanupBody(Record):
    """`POST /v1/cleanup`."""

    dry_run: bool = False
    older_than_days: Annotated[int, msgspec.Meta(ge=1, le=OLDER_THAN_DAYS_MAX)] = OLDER_THAN_DAYS_DEFAULT
    statuses: Annotated[list[Over], msgspec.Meta(min_length=1, max_length=len(Status))] | None = None
    include_unread: bool = False
    cursor: Cursor | None = None


async def clean_up(call: Call) -> Answer:
    """Delete finished sessions that are old enough, a part at a time; go on with `cursor` until there is none."""
    body: CleanupBody = call.body
    statuses = _statuses(body)
    older_than_ms = body.older_than_days * DAY_MS
    session_ids, after = await call.core.read(
        queries.cleanup_candidates,
        call.actor.account_id,
        statuses=statuses,
        older_than_ms=older_than_ms,
        after=None if body.cursor is None else _after(body.cursor, statuses),
        limit=CLEANUP_SESSIONS_MAX,
    )
    command = CleanUp(
        tuple(session_ids),
        statuses,
        older_than_ms,
        is_dry_run=body.dry_run,
        with_unread=body.include_unread,
        next_cursor=None if after is None else encoded(list(after)),
    )
    return answered(await call.execute(command, weight=max(1, len(session_ids))))


def _statuses(body: CleanupBody) -> tuple[Status, ...]:
    """The statuses that are meant, each once."""
    given = TERMINAL_STATUSES if body.statuses is None else body.statuses
    return tuple(status for status in TERMINAL_STATUSES if status in given)


def _after(cursor: str, statuses: tuple[Status, ...]) -> tuple[Status, str]:
    """Where a cursor stands. Raises: cursor_invalid."""
    status, session_id = decoded(cursor, length=2)
    if status not in statuses or not isinstance(session_id, str):
        raise Refusal(Code.CURSOR_INVALID, ways_out=(WayOut(Action.REPEAT_FROM_START),))
    return Status(str(status)), session_id


async def list_jobs(call: Call) -> Answer:
    """Recurring jobs: what they did last, what failed, and when they run next."""
    jobs = await call.core.read(queries.jobs, keeps=call.core.keeps)
    return Answer(200, {"items": jobs, "next_cursor": None})


ROUTES = [
    Route("POST", "/v1/cleanup", clean_up, KeyScope.OPERATOR, body=CleanupBody, is_mutating=True),
    Route("GET", "/v1/jobs", list_jobs, KeyScope.OPERATOR),
]
