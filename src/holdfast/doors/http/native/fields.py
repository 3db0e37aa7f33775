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
    TITLE_CHARS_MAX,
)
from holdfast.domain.times import epoch_ms
from holdfast.doors.http.bodies import OF_ACCOUNTS, OF_NAMES, OF_PROSE, OF_WEB_PAGES

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX, pattern=OF_NAMES)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=OF_NAMES)]
AccountName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=OF_ACCOUNTS)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_CHARS_MAX, pattern=OF_NAMES)]
Url = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX, pattern=OF_WEB_PAGES)]
Note = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=OF_PROSE)]
Summary = Annotated[str, msgspec.Meta(min_length=1, max_length=SUMMARY_CHARS_MAX, pattern=OF_PROSE)]
Items = Annotated[list[Any], msgspec.Meta(max_length=LIST_ITEMS_MAX)]
Integer = Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=INTEGER_MAX)]
Token = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=INTEGER_MAX // SECOND_MS)]
Time = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra_json_schema={"format": "date-time"})]

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
    return times_ms(**{field: text})[field]


def times_ms(**texts: str | None) -> dict[str, int | None]:
    """Times by field, as given, in epoch milliseconds. Raises: validation_failed, naming every field that is none."""
    times = {field: None if text is None else _epoch_ms(text) for field, text in texts.items()}
    message = "must be an RFC 3339 time with an offset, such as 2026-01-17T10:00:00.000Z"
    errors = tuple(FieldError(field, message) for field, value in times.items() if value == _NO_TIME)
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    return times


_NO_TIME = -1


def _epoch_ms(text: str) -> int:
    try:
        value = epoch_ms(text)
    except (ValueError, OverflowError):
        return _NO_TIME
    return value if 0 <= value < _ms_of_year(LAST_YEAR) else _NO_TIME


def _ms_of_year(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND_MS
