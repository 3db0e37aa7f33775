"""Types of fields that several bodies share: their bounds, and what becomes of them."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.limits import (
    ID_CHARS_MAX,
    INTEGER_MAX,
    LIST_ITEMS_MAX,
    NAME_CHARS_MAX,
    NOTE_CHARS_MAX,
    SECOND_MS,
    SUMMARY_CHARS_MAX,
)
from holdfast.domain.times import epoch_ms

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Note = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARS_MAX)]
Summary = Annotated[str, msgspec.Meta(min_length=1, max_length=SUMMARY_CHARS_MAX)]
Items = Annotated[list[Any], msgspec.Meta(max_length=LIST_ITEMS_MAX)]
Integer = Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=INTEGER_MAX)]
Token = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=INTEGER_MAX // SECOND_MS)]
Time = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

LAST_YEAR = 9_000


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """A body or a query string: what it does not name is refused."""


def free_json(value: object, *, field: str, bytes_max: int) -> str:
    """Free JSON as the text that is stored. Raises: validation_failed where it is too large."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > bytes_max:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, f"must stay within {bytes_max} bytes"),))
    return text


def ms(seconds: float | None) -> int | None:
    """Seconds, as given, in whole milliseconds."""
    return None if seconds is None else round(seconds * SECOND_MS)


def at_ms(text: str | None, *, field: str) -> int | None:
    """A time, as given, in epoch milliseconds. Raises: validation_failed."""
    if text is None:
        return None
    try:
        value = epoch_ms(text)
    except (ValueError, OverflowError):
        value = -1
    if not 0 <= value < _ms_of_year(LAST_YEAR):
        message = "must be an RFC 3339 time with an offset, such as 2026-01-17T10:00:00.000Z"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, message),))
    return value


def _ms_of_year(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND_MS
