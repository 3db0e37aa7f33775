"""The core's bodies as JSON. Names tell how: `at_ms`, `…_at_ms` become a time, `…_ms` seconds, `…_json` free JSON as it was."""

from functools import lru_cache
from typing import Any

import msgspec

from holdfast.commands.bodies import Body, refusal_from_body
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.times import rfc3339
from holdfast.doors.http.problems import item_document

_encoder = msgspec.json.Encoder()
encode = _encoder.encode

_PLAIN, _TIME, _LENGTH, _JSON = range(4)


def rendered(body: Body) -> bytes:
    """The bytes of a response."""
    return encode(_object(body))


def _object(body: Body) -> Body:
    shown: Body = {}
    for name, value in body.items():
        shown_name, kind = _kind(name)
        if name == "refusal":
            shown |= _object(item_document(refusal_from_body(value)))
        elif value is None or kind == _PLAIN:
            shown[shown_name] = _value(value) if type(value) in (dict, list) else value
        elif kind == _TIME:
            shown[shown_name] = rfc3339(value)
        elif kind == _LENGTH:
            shown[shown_name] = seconds(value)
        else:
            shown[shown_name] = msgspec.Raw(value.encode())
    return shown


def _value(value: Any) -> Any:
    if type(value) is dict:
        return _object(value)
    return [_value(each) for each in value] if type(value) is list else value


def seconds(length_ms: int) -> int | float:
    """Milliseconds as seconds, whole where they are."""
    return length_ms // SECOND_MS if length_ms % SECOND_MS == 0 else length_ms / SECOND_MS


@lru_cache(maxsize=512)
def _kind(name: str) -> tuple[str, int]:
    """What a field is called at the door, and how its value is shown."""
    if name.endswith("_at_ms") or name == "at_ms":
        return name.removesuffix("_ms"), _TIME
    if name.endswith("_ms"):
        return name.removesuffix("_ms") + "_seconds", _LENGTH
    if name.endswith("_json"):
        return name.removesuffix("_json"), _JSON
    return name, _PLAIN
