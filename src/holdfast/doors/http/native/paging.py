"""Cursors: where a list goes on, opaque to the caller and bound to the list and its filter."""

import base64
import binascii
import hashlib
import json
from functools import cache
from typing import Annotated, get_type_hints

import msgspec

from holdfast.commands.bodies import Body
from holdfast.commands.lists import ListRequest, ListSpec
from holdfast.commands.rows import Row, Value
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import AccountId
from holdfast.domain.limits import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX
from holdfast.doors.http.native.fields import Record
from holdfast.engine.queries import Page

Limit = Annotated[int, msgspec.Meta(ge=1, le=LIST_LIMIT_MAX)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class ListQuery(Record):
    """What every list takes."""

    limit: Limit = LIST_LIMIT_DEFAULT
    cursor: Cursor | None = None
    include_total: bool = False


def list_request(
    spec: ListSpec, account_id: AccountId, query: ListQuery, filters: dict[str, Value], *, bound_to: str = ""
) -> ListRequest:
    """The page that a query asks for. bound_to: what else the cursor belongs to. Raises: cursor_invalid."""
    given = tuple((name, value) for name, value in sorted(filters.items()) if value is not None)
    after = None
    if query.cursor is not None:
        after = _opened(query.cursor, spec, seal=_seal(spec, account_id, given, bound_to))
    return ListRequest(spec, account_id, given, after, query.limit, query.include_total)


def page_body(page: Page, request: ListRequest, *, bound_to: str = "") -> Body:
    """A page as every list shows it."""
    next_cursor = None
    if page.next_after is not None:
        seal = _seal(request.spec, request.account_id, request.filters, bound_to)
        next_cursor = encoded([seal, page.next_after])
    body: Body = {"items": page.items, "next_cursor": next_cursor}
    if page.total is not None:
        body["total"] = page.total
    return body


def encoded(content: list[Value]) -> str:
    """A cursor that holds these values."""
    text = json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(cursor: str, *, length: int) -> list[Value]:
    """The values of a cursor. Raises: cursor_invalid."""
    try:
        content = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        content = None
    if not isinstance(content, list) or len(content) != length or not all(_may_stand(each) for each in content):
        raise _invalid()
    return content


def _may_stand(value: object) -> bool:
    """Whether a store can be asked about a value: a caller may have made the cursor up."""
    if isinstance(value, str):
        return value.isprintable()
    return type(value) is int and 0 <= value < 2**63


def _opened(cursor: str, spec: ListSpec, *, seal: str) -> Value:
    found_seal, after = decoded(cursor, length=2)
    if found_seal != seal or isinstance(after, int) != _is_ordered_by_number(spec.row_types[0], spec.order):
        raise _invalid()
    return after


@cache
def _is_ordered_by_number(row_type: type[Row], column: str) -> bool:
    return get_type_hints(row_type)[column] is int


def _seal(spec: ListSpec, account_id: AccountId, filters: tuple[tuple[str, Value], ...], bound_to: str) -> str:
    """What tells this list and filter from any other."""
    text = json.dumps([spec.name, account_id, filters, bound_to])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _invalid() -> Refusal:
    return Refusal(Code.CURSOR_INVALID, ways_out=(WayOut(Action.REPEAT_FROM_START),))
