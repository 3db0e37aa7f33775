"""A request's body: its bytes off the wire, and from a decoded value to a route's record or to all that is wrong.

A good body costs one conversion in C. Only a body that fails it is walked field by field, because the converter stops
at the first fault and a caller is told all of them. What the fields mean is not known here.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import inspect

from holdfast.domain.crane import AGENT, REPO, SCHEMA_VERSION, VENTURE
from holdfast.domain.errors import FieldError
from holdfast.domain.limits import INTEGER_MAX

T = TypeVar("T")


class WholeBody(msgspec.Struct, frozen=True):
    """A body that is one free object, rather than a record."""

    value: dict[str, Any]


WHOLE_BODY = "(body)"
"""The path of the body itself, where the fault is not one field's."""

FIELD_ERRORS_MAX = 100
"""Faults named in one answer: more than a person reads, and a bound on the work that a hostile body can cause."""

SHOWN_NAME_CHARS_MAX = 100
"""Characters of a caller's own field name that are repeated to it."""

SUGGESTED_NAME_CHARS_MAX = 64
SUGGESTIONS_MAX = 10
"""Unknown fields for which a near name is looked for: comparing is quadratic in the length of the name."""


# It ends in a look-ahead because `$` would let a final newline through.
OF_NAMES = (
    r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\x00-\x20\x7f-\xa0\u2028\u2029][^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?![\s\S])"
)
"""Ids and names stand in tables and logs, where a control character can only do harm, and a blank is nothing."""
OF_PROSE = r"\S"
OF_ACCOUNTS = r"^(?!\.{1,2}(?![\s\S]))[A-Za-z0-9._-]{1,64}(?![\s\S])"
"""Ids of accounts. They stand in paths, where `.` and `..` mean something else."""
OF_WEB_PAGES = r"^https?://[^\x00-\x20\x7f-\x9f\u2028\u2029]+(?![\s\S])"
"""Addresses that a page may link to: any other scheme could be a program."""

OF_SCHEMAS = r"^[a-z0-9][a-z0-9._-]{0,31}(?![\s\S])"
"""Names and versions of schemas: what both may be."""

PATTERNS_IN_WORDS = {
    OF_NAMES: "must not be blank, nor hold control characters",
    OF_PROSE: "must not be blank",
    OF_WEB_PAGES: "must be an address that begins with http:// or https://",
    OF_ACCOUNTS: "must be 1–64 of A–Z a–z 0–9 . _ -, and neither . nor ..",
    AGENT: "must be words of a–z 0–9 with hyphens between them, two at least, such as cc-cli-host",
    VENTURE: "must be 2–32 of a–z 0–9 -",
    REPO: "must be owner/name, such as durganfieldguide/dfg-console",
    SCHEMA_VERSION: "must be a version that is served: 1.0",
}
"""What a text that does not match is told, instead of the pattern."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""The second argument of an ASGI application."""


class BodyTooLarge(Exception):
    """A body is longer than its route takes. The rest of it was not read, so the answer must close the connection.

    size_bytes: how long it is, where that was announced.
    """

    def __init__(self, limit_bytes: int, size_bytes: int | None = None) -> None:
        super().__init__(f"over {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.size_bytes = size_bytes


class ClientGone(Exception):
    """The request never arrived in full, and nobody waits for an answer. Nothing of it may be carried out."""


async def read_body(receive: Receive, scope: Mapping[str, Any], *, limit_bytes: int) -> bytes:
    """The whole body of a request, at most `limit_bytes` long.

    A body that announces more is refused before any of it is asked for; one that does not, as soon as it passes the
    limit. To be called before a request is carried out even where its body is not looked at: a body with broken
    framing is no request.
    Raises: BodyTooLarge, ClientGone.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit_bytes:
            raise BodyTooLarge(limit_bytes, int(value))
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return _bounded(message.get("body", b""), limit_bytes=limit_bytes)
    body = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > limit_bytes:
            return _bounded(bytes(body), limit_bytes=limit_bytes)
        message = await receive()


def _bounded(body: bytes, *, limit_bytes: int) -> bytes:
    if len(body) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return body


class InvalidBody(Exception):
    """A body of the wrong shape. `errors` names every bad field, at least one."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(f"{len(errors)} fields")
        self.errors = list(errors)


def decode_into(value: object, record_type: type[T]) -> T:
    """`value`, as `strict_json.decode` gave it, as a record of `record_type`.

    Integral floats pass where an integer is wanted, within ±(2^53−1). Nothing else is coerced. Fields that the type
    does not know are refused where it says forbid_unknown_fields, else dropped.
    Raises: InvalidBody.
    Source: contracts, rules for every HTTP door, JSON and unknown fields.
    """
    try:
        return msgspec.convert(value, record_type)
    except msgspec.ValidationError:
        examination = _Examination()
        repaired = examination.examine(value, kind=inspect.type_info(record_type), path="")
    if examination.errors:
        raise InvalidBody(examination.errors)
    try:
        return msgspec.convert(repaired, record_type)
    except msgspec.ValidationError as exc:
        raise InvalidBody([_unexplained(exc)]) from exc


def _unexplained(exc: msgspec.ValidationError) -> FieldError:
    """A fault that only the record itself could see: its own check's words, at the place that the converter names."""
    _, found, place = str(exc).rpartition(" - at `$")
    path = place.rstrip("`").lstrip(".") if found else ""
    return FieldError(path or WHOLE_BODY, str(exc.__cause__) if exc.__cause__ else "is not accepted")


class _Examination:
    """One walk through a body: collects faults, and gives the body back with integral floats made integers."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self._suggestions = 0

    def examine(self, value: object, *, kind: inspect.Type, path: str) -> object:
        match kind:
            case inspect.Metadata():
                return self.examine(value, kind=kind.type, path=path)
            case inspect.StructType():
                return self._examine_struct(value, kind=kind, path=path)
            case inspect.UnionType():
                return self._examine_union(value, kind=kind, path=path)
            case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
                return self._examine_list(value, kind=kind, path=path)
            case inspect.DictType():
                return self._examine_dict(value, kind=kind, path=path)
            case inspect.IntType():
                return self._examine_integer(value, kind=kind, path=path)
            case _:
                message = _fault_of_leaf(value, kind)
                if message is not None:
                    self._add(path, message)
                return value

    @property
    def _is_full(self) -> bool:
        return len(self.errors) >= FIELD_ERRORS_MAX

    def _add(self, path: str, message: str) -> None:
        if not self._is_full:
            self.errors.append(FieldError(path or WHOLE_BODY, message))

    def _examine_struct(self, value: object, *, kind: inspect.StructType, path: str) -> object:
        if not isinstance(value, dict):
            self._add(path, "must be an object")
            return value
        known = {field.encode_name: field for field in kind.fields}
        repaired = dict(value)
        for name, field in known.items():
            if name in value:
                repaired[name] = self.examine(value[name], kind=field.type, path=_below(path, name))
            elif field.required:
                self._add(_below(path, name), "is required")
        if kind.tag_field is not None and value.get(kind.tag_field) != kind.tag:
            self._add(_below(path, kind.tag_field), f"must be {_quoted(kind.tag)}")
        if kind.forbid_unknown_fields:
            self._refuse_unknown(value, known=[*known, *([kind.tag_field] if kind.tag_field else [])], path=path)
        return repaired

    def _refuse_unknown(self, value: dict[str, object], *, known: list[str], path: str) -> None:
        for name in value:
            if self._is_full:
                return
            if name not in known:
                self._add(_below(path, name), "is not a known field" + self._suggest(name, known=known))

    def _suggest(self, word: str, *, known: Sequence[str]) -> str:
        if self._suggestions >= SUGGESTIONS_MAX or len(word) > SUGGESTED_NAME_CHARS_MAX:
            return ""
        self._suggestions += 1
        near = get_close_matches(word.lower().replace("-", "_"), known, n=1)
        return f"; did you mean {_quoted(near[0])}?" if near else ""

    def _examine_union(self, value: object, *, kind: inspect.UnionType, path: str) -> object:
        if value is None and kind.includes_none:
            return value
        options = [_bare(option) for option in kind.types if not isinstance(option, inspect.NoneType)]
        fitting = [option for option in options if _may_be(value, option)]
        tagged = [option for option in fitting if isinstance(option, inspect.StructType) and option.tag_field]
        if len(fitting) > 1 and len(tagged) == len(fitting) and isinstance(value, dict):
            return self._examine_tagged(value, options=tagged, path=path)
        if len(fitting) == 1:
            return self.examine(value, kind=fitting[0], path=path)
        if len(options) == 1:
            return self.examine(value, kind=options[0], path=path)
        if not fitting or all(_fault_of_leaf(value, option) is not None for option in fitting):
            self._add(path, "must be " + " or ".join(_wanted(option) for option in options))
        return value

    def _examine_tagged(self, value: dict[str, object], *, options: list[inspect.StructType], path: str) -> object:
        tag_field = options[0].tag_field
        assert tag_field is not None
        for option in options:
            if value.get(tag_field) == option.tag:
                return self.examine(value, kind=option, path=path)
        choices = ", ".join(_quoted(option.tag) for option in options)
        self._add(_below(path, tag_field), f"must be one of {choices}" if tag_field in value else "is required")
        return value

    def _examine_list(
        self,
        value: object,
        *,
        kind: inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType,
        path: str,
    ) -> object:
        if not isinstance(value, list):
            self._add(path, "must be a list")
            return value
        length_fault = _fault_of_length(value, low=kind.min_length, high=kind.max_length, unit="entry", units="entries")
        if length_fault is not None:
            self._add(path, length_fault)
            return value
        repaired = []
        for position, entry in enumerate(value):
            repaired.append(self.examine(entry, kind=kind.item_type, path=f"{path}[{position}]"))
            if self._is_full:
                break
        return repaired

    def _examine_dict(self, value: object, *, kind: inspect.DictType, path: str) -> object:
        if not isinstance(value, dict):
            self._add(path, "must be an object")
            return value
        length_fault = _fault_of_length(value, low=kind.min_length, high=kind.max_length, unit="field", units="fields")
        if length_fault is not None:
            self._add(path, length_fault)
            return value
        repaired = {}
        for name, entry in value.items():
            key_fault = _fault_of_leaf(name, _bare(kind.key_type))
            if key_fault is not None:
                self._add(_below(path, name), f"has a name that {key_fault}")
            repaired[name] = self.examine(entry, kind=kind.value_type, path=_below(path, name))
            if self._is_full:
                break
        return repaired

    def _examine_integer(self, value: object, *, kind: inspect.IntType, path: str) -> object:
        number = value
        if isinstance(value, float) and value.is_integer() and abs(value) <= INTEGER_MAX:
            number = int(value)
        message = _fault_of_leaf(number, kind)
        if message is not None:
            self._add(path, message)
        return number


def _below(path: str, name: str) -> str:
    shown = name if len(name) <= SHOWN_NAME_CHARS_MAX else name[:SHOWN_NAME_CHARS_MAX] + "…"
    return f"{path}.{shown}" if path else shown


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _quoted(word: object) -> str:
    return f'"{word}"' if isinstance(word, str) else str(word).lower()


_JSON_TYPES: dict[type[inspect.Type], tuple[type, ...]] = {
    inspect.NoneType: (NoneType,),
    inspect.BoolType: (bool,),
    inspect.IntType: (int, float),
    inspect.FloatType: (int, float),
    inspect.StrType: (str,),
    inspect.DateTimeType: (str,),
    inspect.StructType: (dict,),
    inspect.DictType: (dict,),
    inspect.ListType: (list,),
    inspect.VarTupleType: (list,),
    inspect.SetType: (list,),
    inspect.FrozenSetType: (list,),
    inspect.EnumType: (str, int),
    inspect.LiteralType: (str, int, NoneType),
}

_WANTED: dict[type[inspect.Type], str] = {
    inspect.NoneType: "null",
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.DateTimeType: "a time such as 2026-01-17T10:00:00.000Z",
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.SetType: "a list",
    inspect.FrozenSetType: "a list",
}


def _choices(kind: inspect.Type) -> list[object] | None:
    match kind:
        case inspect.EnumType():
            return [member.value for member in kind.cls]
        case inspect.LiteralType():
            return list(kind.values)
        case _:
            return None


def _wanted(kind: inspect.Type) -> str:
    choices = _choices(kind)
    if choices is not None:
        return "one of " + ", ".join(_quoted(choice) for choice in choices)
    return _WANTED.get(type(kind), "something else")


def _may_be(value: object, kind: inspect.Type) -> bool:
    """True where the JSON type of the value is one that the kind takes; its bounds are not looked at."""
    if isinstance(kind, inspect.AnyType | inspect.RawType):
        return True
    taken = _JSON_TYPES.get(type(kind), (str, int, float, list, dict))
    return isinstance(value, taken) and (not isinstance(value, bool) or bool in taken)


def _fault_of_leaf(value: object, kind: inspect.Type) -> str | None:
    """What is wrong with a value that has no fields of its own, as the end of a sentence about it; None: nothing.

    Kinds that are not known here pass: the converter has the last word on them.
    """
    if not _may_be(value, kind):
        return f"must be {_wanted(kind)}"
    fault_of = _LEAF_FAULTS.get(type(kind))
    return None if fault_of is None else fault_of(value, kind)


def _fault_of_integer(value: object, kind: inspect.Type) -> str | None:
    assert isinstance(kind, inspect.IntType)
    if not isinstance(value, int):
        limit = " within ±(2^53−1)" if isinstance(value, float) and abs(value) > INTEGER_MAX else ""
        return f"must be a whole number{_bounds(kind) or limit}"
    return _fault_of_bounds(value, kind)


def _fault_of_number(value: object, kind: inspect.Type) -> str | None:
    assert isinstance(kind, inspect.FloatType)
    assert isinstance(value, int | float)
    return _fault_of_bounds(value, kind)


def _fault_of_bounds(value: float, kind: inspect.IntType | inspect.FloatType) -> str | None:
    is_outside = (
        (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
        or (kind.lt is not None and value >= kind.lt)
    )
    if is_outside:
        return f"must be {_WANTED[type(kind)]}{_bounds(kind)}"
    if kind.multiple_of is not None and value % kind.multiple_of:
        return f"must be a multiple of {kind.multiple_of}"
    return None


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    words = [
        f"{word} {bound}"
        for word, bound in (("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt))
        if bound is not None
    ]
    return ", " + " and ".join(words) if words else ""


def _fault_of_text(value: object, kind: inspect.Type) -> str | None:
    assert isinstance(kind, inspect.StrType)
    assert isinstance(value, str)
    length_fault = _fault_of_length(
        value, low=kind.min_length, high=kind.max_length, unit="character", units="characters"
    )
    if length_fault is not None or kind.pattern is None:
        return length_fault
    try:
        msgspec.convert(value, _patterned(kind.pattern))
    except msgspec.ValidationError:
        return PATTERNS_IN_WORDS.get(kind.pattern, f"must match {kind.pattern}")
    return None


@cache
def _patterned(pattern: str) -> object:
    # Asked of the converter itself, so that a pattern cannot mean two things.
    return Annotated[str, msgspec.Meta(pattern=pattern)]


def _fault_of_choice(value: object, kind: inspect.Type) -> str | None:
    choices = _choices(kind)
    assert choices is not None
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return None
    words = [choice for choice in choices if isinstance(choice, str)]
    near = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) and len(value) <= 64 else []
    return f"must be {_wanted(kind)}" + (f"; did you mean {_quoted(near[0])}?" if near else "")


def _fault_of_time(value: object, kind: inspect.Type) -> str | None:
    assert isinstance(kind, inspect.DateTimeType)
    try:
        msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return f"must be {_wanted(kind)}"
    return None


def _fault_of_length(
    value: Sequence[object] | dict[str, object], *, low: int | None, high: int | None, unit: str, units: str
) -> str | None:
    if low is not None and len(value) < low:
        return f"must have at least {low} {unit if low == 1 else units}"
    if high is not None and len(value) > high:
        return f"must have at most {high} {unit if high == 1 else units}"
    return None


_LEAF_FAULTS: dict[type[inspect.Type], Callable[[object, inspect.Type], str | None]] = {
    inspect.IntType: _fault_of_integer,
    inspect.FloatType: _fault_of_number,
    inspect.StrType: _fault_of_text,
    inspect.EnumType: _fault_of_choice,
    inspect.LiteralType: _fault_of_choice,
    inspect.DateTimeType: _fault_of_time,
}
