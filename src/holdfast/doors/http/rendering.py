"""The core's bodies as JSON. Names tell how: `at_ms` and `…_at_ms` become a time, `…_ms` seconds, `…_json` JSON."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from holdfast.commands.bodies import Body, refusal_from_body
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.times import rfc3339
from holdfast.doors.http.problems import item_document

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def rendered(body: Body) -> bytes:
    """The bytes of a response."""
    return encode(shown(body))


def shown(body: Body) -> Body:
    """A body under the names and in the forms of a response; free JSON in it stays as it was sent."""
    if "refusal" in body:
        body = {**body, **item_document(refusal_from_body(body["refusal"]))}
        del body["refusal"]
    shown_body: Body = {}
    for (shown_name, show), value in zip(_plan(tuple(body)), body.values(), strict=True):
        if show is not None and value is not None:
            shown_body[shown_name] = show(value)
        else:
            shown_body[shown_name] = _nested(value) if type(value) in _NESTED else value
    return shown_body


_NESTED = frozenset({dict, list})


def _nested(value: Any) -> Any:
    if type(value) is dict:
        return shown(value)
    return [_nested(each) for each in value] if type(value) is list else value


def seconds(length_ms: int) -> int | float:
    """Milliseconds as seconds, whole where they are."""
    return length_ms // SECOND_MS if length_ms % SECOND_MS == 0 else length_ms / SECOND_MS


Show = Callable[[Any], Any] | None
"""How a value is shown where it is not shown as it is."""


@lru_cache(maxsize=1024)
def _plan(names: tuple[str, ...]) -> list[tuple[str, Show]]:
    """For each field of a body of this form: what it is called at the door, and how its value is shown."""
    return [_shown(name) for name in names]


def _shown(name: str) -> tuple[str, Show]:
    if name.endswith("_at_ms") or name == "at_ms":
        return name.removesuffix("_ms"), rfc3339
    if name.endswith("_ms"):
        return name.removesuffix("_ms") + "_seconds", seconds
    if name.endswith("_json"):
        return name.removesuffix("_json"), lambda text: msgspec.Raw(text.encode())
    return name, None
