"""The one way in which bytes from a caller become JSON values.

Whatever passes here is the same on both stores and comes out again as it went in. What a route wants of the values is
decided in `bodies`, never here.
"""

import json
import re
from typing import Annotated

import msgspec

from holdfast.domain.limits import INTEGER_MAX

JSON_DEPTH_MAX = 64
"""Lists and objects inside each other: more than any form of work needs, and far below every parser's own limit."""

_INTEGER_CHARS_MAX = len(str(-INTEGER_MAX))
_JSON_SPACE = " \t\n\r"
_PLAIN_BYTES_MAX = 1_024

# In text whose escaped backslashes are gone: an escaped NUL, a high surrogate that no low one follows, a low surrogate
# that follows no high one.
_UNSTORABLE_ESCAPE = re.compile(
    rb"\\u0000"
    rb"|\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]",
    re.DOTALL,
)


class MalformedJson(Exception):
    """Bytes that are not the JSON that Holdfast takes. `reason` may be shown: it never repeats what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(raw: bytes) -> object:
    """The value of one strict JSON text: dict, list, str, int, float, bool or None.

    Integers are within ±(2^53−1), floats finite, keys unique, strings free of NUL and lone surrogates, and nesting
    ends at 64. Linear in the length of `raw`.
    Raises: MalformedJson.
    Source: contracts, rules for every HTTP door, JSON.
    """
    plain = _plain_object(raw)
    if plain is not None:
        return plain
    try:
        text = raw.decode().rstrip(_JSON_SPACE)
    except UnicodeDecodeError as exc:
        raise MalformedJson(f"is not UTF-8 at byte {exc.start}") from exc
    if b"\\u" in raw:
        _refuse_unstorable_escapes(raw)
    start = len(text) - len(text.lstrip(_JSON_SPACE))
    value, end = _scan(text, start=start)
    if end != len(text):
        raise MalformedJson(f"goes on after its end, at character {end}")
    if raw.count(b"[") + raw.count(b"{") > JSON_DEPTH_MAX:
        _refuse_deep(value)
    return value


def _plain_object(raw: bytes) -> dict[str, int | str | bool | None] | None:
    """A short, flat object, as most bodies are, in a third of the time; None where a closer look is needed."""
    if len(raw) > _PLAIN_BYTES_MAX or b"\\" in raw:
        return None
    try:
        members = _plain_decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    # A key that occurs twice leaves more colons than members; so does a colon in a text, which is looked at closely.
    return members if raw.count(b":") == len(members) else None


def _scan(text: str, *, start: int) -> tuple[object, int]:
    try:
        value, end = _decoder.raw_decode(text, start)
    except json.JSONDecodeError as exc:
        raise MalformedJson(f"is not JSON at character {exc.pos}" if text else "is empty") from exc
    except RecursionError as exc:
        raise MalformedJson(f"is nested more than {JSON_DEPTH_MAX} deep") from exc
    return value, end


def _refuse_unstorable_escapes(raw: bytes) -> None:
    # Taking out escaped backslashes first leaves only those that begin an escape. What replaces them is as long, so
    # that positions hold and two escapes around one do not become neighbours.
    found = _UNSTORABLE_ESCAPE.search(raw.replace(b"\\\\", b"__"))
    if found is None:
        return
    what = "NUL" if found[0] == b"\\u0000" else "a lone surrogate"
    raise MalformedJson(f"holds {what} at byte {found.start()}")


def _refuse_deep(value: object) -> None:
    """Walk level by level: no recursion, so no depth can exhaust the stack."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(JSON_DEPTH_MAX):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise MalformedJson(f"is nested more than {JSON_DEPTH_MAX} deep")


def _unique_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("has an object in which a key occurs twice")
    return members


def _exact_integer(digits: str) -> int:
    # Counted first: Python refuses to read thousands of digits, with another error.
    if len(digits) <= _INTEGER_CHARS_MAX and -INTEGER_MAX <= (number := int(digits)) <= INTEGER_MAX:
        return number
    raise MalformedJson("has an integer outside ±(2^53−1)")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if number - number != 0.0:
        raise MalformedJson("has a number too large for a double")
    return number


def _refuse_constant(_name: str) -> object:
    raise MalformedJson("has NaN or Infinity, which JSON does not know")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_object,
    parse_int=_exact_integer,
    parse_float=_finite_float,
    parse_constant=_refuse_constant,
)

_plain_decoder = msgspec.json.Decoder(
    dict[str, Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)] | str | bool | None]
)
