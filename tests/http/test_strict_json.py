"""One strict path from bytes to values, and from values to a record or to everything that is wrong with it."""

import asyncio
import json
import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.errors import FieldError
from holdfast.doors.http import strict_json
from holdfast.doors.http.bodies import (
    FIELD_ERRORS_MAX,
    WHOLE_BODY,
    BodyTooLarge,
    ClientGone,
    InvalidBody,
    decode_into,
    read_body,
)
from holdfast.doors.http.strict_json import MalformedJson, decode

FOUR_MEBIBYTES = 4 * 1024 * 1024

ACCEPTED: list[tuple[bytes, object]] = [
    (b"null", None),
    (b" \t\r\n[1, true] \t\r\n", [1, True]),
    (b'{"fencing_token":123,"progress":42}', {"fencing_token": 123, "progress": 42}),
    (b"9007199254740991", 2**53 - 1),
    (b"-9007199254740991", -(2**53) + 1),
    (b"1e21", 1e21),
    (b"9007199254740993.0", 9007199254740992.0),
    (b"1.7976931348623157e308", 1.7976931348623157e308),
    (b"1e-999", 0.0),
    (b'{"a":{"b":1},"b":1}', {"a": {"b": 1}, "b": 1}),
    (b'"\\ud83d\\ude00"', "😀"),
    (b'"\\uD83D\\uDE00"', "😀"),
    (b'"\\\\ud800"', "\\ud800"),
    (b'"\\\\u0000"', "\\u0000"),
    (b'"\\u0001\\u007f"', "\x01\x7f"),
    ('"ä\u2028"'.encode(), "ä\u2028"),
    (b'"[[[[{{{{"', "[[[[{{{{"),
]

REFUSED: list[tuple[bytes, str]] = [
    (b"", "is empty"),
    (b" \n", "is empty"),
    (b"\xef\xbb\xbf{}", "is not JSON at character 0"),
    ("{}".encode("utf-16"), "is not UTF-8 at byte 0"),
    (b'"\xed\xa0\x80"', "is not UTF-8 at byte 1"),
    (b'"\xc0\x80"', "is not UTF-8 at byte 1"),
    (b"{", "is not JSON at character 1"),
    (b'{"a":1,}', "is not JSON at character 7"),
    (b"[1,]", "is not JSON at character 3"),
    (b"{'a':1}", "is not JSON at character 1"),
    (b"{a:1}", "is not JSON at character 1"),
    (b"// no\n1", "is not JSON at character 0"),
    (b"+1", "is not JSON at character 0"),
    (b".5", "is not JSON at character 0"),
    (b"-", "is not JSON at character 0"),
    (b"\x0b1", "is not JSON at character 0"),
    ("\u00a01".encode(), "is not JSON at character 0"),
    ("\u0661".encode(), "is not JSON at character 0"),
    (b"01", "goes on after its end, at character 1"),
    (b"1.", "goes on after its end, at character 1"),
    (b"0x10", "goes on after its end, at character 1"),
    (b"{} {}", "goes on after its end, at character 2"),
    (b"{}\x00", "goes on after its end, at character 2"),
    (b'"\t"', "is not JSON at character 1"),
    (b'"\x00"', "is not JSON at character 1"),
    (b'"\\x"', "is not JSON at character 1"),
    (b'"\\u00g0"', "is not JSON at character 2"),
    (b"NaN", "has NaN or Infinity, which JSON does not know"),
    (b"[Infinity]", "has NaN or Infinity, which JSON does not know"),
    (b'{"a":-Infinity}', "has NaN or Infinity, which JSON does not know"),
    (b"1e999", "has a number too large for a double"),
    (b"-1E+400", "has a number too large for a double"),
    (b"1" + b"0" * 400 + b".0", "has a number too large for a double"),
    (b"9007199254740992", "has an integer outside ±(2^53−1)"),
    (b"[-9007199254740992]", "has an integer outside ±(2^53−1)"),
    (b"1" * 5_000, "has an integer outside ±(2^53−1)"),
    (b"-" + b"1" * 100_000, "has an integer outside ±(2^53−1)"),
    (b'{"a":1,"a":1}', "has an object in which a key occurs twice"),
    (b'{"a":1,"\\u0061":2}', "has an object in which a key occurs twice"),
    (b'[{"b":{"a":1,"c":2,"a":3}}]', "has an object in which a key occurs twice"),
    (b'"\\ud800"', "holds a lone surrogate at byte 1"),
    (b'"\\udc00"', "holds a lone surrogate at byte 1"),
    (b'"\\uDC00\\uD800"', "holds a lone surrogate at byte 1"),
    (b'"\\ud83d\\ud83d\\ude00"', "holds a lone surrogate at byte 1"),
    (b'"\\ud83d\\\\\\ude00"', "holds a lone surrogate at byte 1"),
    (b'"\\\\\\ud800"', "holds a lone surrogate at byte 3"),
    (b'{"\\ud800":1}', "holds a lone surrogate at byte 2"),
    (b'"\\u0000"', "holds NUL at byte 1"),
    (b'{"a\\u0000":1}', "holds NUL at byte 3"),
    (b"[" * 65 + b"]" * 65, "is nested more than 64 deep"),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "is nested more than 64 deep"),
    (b"[" * 100_000, "is nested more than 64 deep"),
    (b'{"a":' * 100_000, "is nested more than 64 deep"),
    (b'[1,{"a":[' * 30_000, "is nested more than 64 deep"),
    (b"[" * (FOUR_MEBIBYTES // 2) + b"]" * (FOUR_MEBIBYTES // 2), "is nested more than 64 deep"),
]


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}…{len(text)}"


@pytest.mark.parametrize(("raw", "value"), ACCEPTED, ids=shown)
def test_json_is_read_as_it_is_written(raw: bytes, value: object) -> None:
    decoded = decode(raw)
    assert (type(decoded), decoded) == (type(value), value)


@pytest.mark.parametrize(("raw", "reason"), REFUSED, ids=shown)
def test_what_is_not_strict_json_is_refused_with_a_reason_that_repeats_nothing(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedJson) as refusal:
        decode(raw)
    assert refusal.value.reason == reason


def test_nesting_ends_at_64_however_it_is_mixed() -> None:
    assert decode(b"[" * 64 + b"]" * 64)
    assert decode(b'{"a":[' * 32 + b"]}" * 32)
    assert decode(b"[" + b"[[]]," * 1_000 + b"[]]")
    with pytest.raises(MalformedJson):
        decode(b"[" + b"[[]]," * 1_000 + b"[" * 64 + b"]" * 64 + b"]")


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + b",".join([b"{}"] * 1_000_000) + b"]",
        b"[" + b",".join([b"1"] * 1_000_000) + b"]",
        b"{" + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}",
        b'"' + b"\\\\" * 2_000_000 + b'"',
        b'"' + b"\\ud83d\\ude00" * 300_000 + b'"',
        b'"' + b"[" * 4_000_000 + b'"',
        b" " * 4_000_000 + b"1",
    ],
    ids=["objects", "integers", "keys", "backslashes", "surrogates", "brackets", "blanks"],
)
def test_four_mebibytes_of_anything_are_read(raw: bytes) -> None:
    assert decode(raw) is not None


storable_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable_text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(storable_text, inner, max_size=5),
    max_leaves=20,
)


@given(values, st.booleans())
def test_every_storable_value_survives(value: object, is_escaped: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=is_escaped).encode()) == value


def the_long_way(raw: bytes) -> object:
    """What is made of bytes that are looked at closely, or the reason why nothing is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strict_json, "_plain_object", lambda _: None)
        try:
            return typed(decode(raw))
        except MalformedJson as refused:
            return refused.reason


def the_usual_way(raw: bytes) -> object:
    """The same, short flat objects the short way."""
    try:
        return typed(decode(raw))
    except MalformedJson as refused:
        return refused.reason


def typed(value: object) -> object:
    """A value that tells 1 from 1.0 and True."""
    return repr(value)


flat_texts = st.text('{}[]":,\\u0 \t\n\x01\x7fäaetrufalsn123.0-+eE', max_size=24)
flat_members = st.lists(
    st.tuples(
        st.sampled_from(['"a"', '"b"', '"a:b"', '"ä"', '"\x7f"', '"\x1f"', '"\\u0061"', "a"]),
        st.sampled_from(
            [
                *("1", "-0", "01", "1.0", "1e3", "9007199254740991", "9007199254740992", "-9007199254740992"),
                *("18446744073709551616", "true", "null", "NaN", '"x"', '"x:y"', '"\x00"', "[]", "{}", '"', ""),
            ]
        ),
    ),
    max_size=4,
)


@given(
    members=flat_members, space=st.sampled_from(["", " ", "\n", "\t", "\f", "\ufeff"]), rest=flat_texts | st.just("")
)
def test_a_flat_object_means_the_same_whichever_way_it_is_read(
    members: list[tuple[str, str]], space: str, rest: str
) -> None:
    text = "{" + f",{space}".join(f"{name}:{space}{value}" for name, value in members) + "}" + rest
    raw = (space + text).encode()
    assert the_usual_way(raw) == the_long_way(raw)


@given(st.binary(max_size=40).map(lambda middle: b'{"a":"' + middle + b'"}') | flat_texts.map(str.encode))
def test_bytes_mean_the_same_whichever_way_they_are_read(raw: bytes) -> None:
    assert the_usual_way(raw) == the_long_way(raw)


@given(st.binary(max_size=60) | st.text('[]{}:,"\\u0dDeE8+-.19 ntf', max_size=60).map(str.encode))
def test_bytes_are_read_as_every_strict_reader_reads_them_or_refused(raw: bytes) -> None:
    try:
        value = decode(raw)
    except MalformedJson:
        return
    assert msgspec.json.decode(raw) == value
    for leaf in leaves(value):
        assert not isinstance(leaf, float) or math.isfinite(leaf)
        if isinstance(leaf, str):
            assert "\x00" not in leaf
            assert leaf.encode().decode() == leaf


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from leaves(child)
    else:
        yield value


class OnLapse(StrEnum):
    REVIVABLE = "revivable"
    STRICT = "strict"


class Policy(msgspec.Struct, forbid_unknown_fields=True):
    lease_seconds: Annotated[int, msgspec.Meta(ge=1, le=100)]
    on_lapse: OnLapse | None = None


class Beat(msgspec.Struct, forbid_unknown_fields=True):
    fencing_token: int
    note: Annotated[str, msgspec.Meta(max_length=5, pattern="^[a-z]*$")] | None = None


class ByName(msgspec.Struct, tag="name", tag_field="by", forbid_unknown_fields=True):
    name: str


class ByNumber(msgspec.Struct, tag="number", tag_field="by", forbid_unknown_fields=True):
    number: int


class Body(msgspec.Struct, forbid_unknown_fields=True):
    policy: Policy
    items: Annotated[list[Beat], msgspec.Meta(max_length=3)] = []
    meta: Any = None
    counts: dict[str, int] = {}
    target: ByName | ByNumber | None = None
    token: int | str | None = None
    share: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    outcome: Literal["done", "failed"] = "done"
    is_forced: bool = False

    def __post_init__(self) -> None:
        if self.is_forced and self.token is None:
            raise ValueError("is_forced needs a token")


class Lenient(msgspec.Struct):
    policy: Policy | None = None


def errors_of(value: object, record_type: type = Body) -> dict[str, str]:
    with pytest.raises(InvalidBody) as refusal:
        decode_into(value, record_type)
    fields = [error.field for error in refusal.value.errors]
    assert len(set(fields)) == len(fields)
    assert all(isinstance(error, FieldError) for error in refusal.value.errors)
    return {error.field: error.message for error in refusal.value.errors}


def test_integral_floats_pass_where_an_integer_is_wanted_at_any_depth() -> None:
    body = {
        "policy": {"lease_seconds": 100.0},
        "items": [{"fencing_token": 9007199254740991.0}],
        "counts": {"a": -0.0},
        "target": {"by": "number", "number": 3.0},
        "token": 4.0,
        "meta": 5.0,
        "share": 0,
    }
    assert decode_into(body, Body) == Body(
        policy=Policy(lease_seconds=100),
        items=[Beat(fencing_token=2**53 - 1)],
        counts={"a": 0},
        target=ByNumber(number=3),
        token=4,
        meta=5.0,
        share=0.0,
    )


def test_every_bad_field_is_named_at_once_with_its_path() -> None:
    body = {
        "policy": {"lease_secnds": "5", "on_lapse": "stric"},
        "items": [{"fencing_token": "1", "note": "abcdef"}, {"note": "A"}, 3],
        "counts": {"a": 1e21, "b": 1.5},
        "target": {"by": "colour"},
        "token": [],
        "share": 1,
        "outcome": "xyz",
        "is_forced": 1,
        "polcy": 1,
        "zzz": 1,
    }
    assert errors_of(body) == {
        "policy.lease_seconds": "is required",
        "policy.on_lapse": 'must be one of "revivable", "strict"; did you mean "strict"?',
        "policy.lease_secnds": 'is not a known field; did you mean "lease_seconds"?',
        "items[0].fencing_token": "must be a whole number",
        "items[0].note": "must have at most 5 characters",
        "items[1].fencing_token": "is required",
        "items[1].note": "must match ^[a-z]*$",
        "items[2]": "must be an object",
        "counts.a": "must be a whole number within ±(2^53−1)",
        "counts.b": "must be a whole number",
        "target.by": 'must be one of "name", "number"',
        "token": "must be a whole number or text",
        "share": "must be a number, at least 0 and below 1",
        "outcome": 'must be one of "done", "failed"',
        "is_forced": "must be true or false",
        "polcy": 'is not a known field; did you mean "policy"?',
        "zzz": "is not a known field",
    }


@pytest.mark.parametrize(
    ("lease_seconds", "is_accepted"), [(1, True), (100, True), (0, False), (101, False), (True, False), ("5", False)]
)
def test_bounds_hold_on_both_sides_and_nothing_is_coerced(lease_seconds: object, is_accepted: bool) -> None:
    body = {"policy": {"lease_seconds": lease_seconds}}
    if is_accepted:
        assert decode_into(body, Body).policy == Policy(lease_seconds=lease_seconds)  # type: ignore[arg-type]
    else:
        assert list(errors_of(body)) == ["policy.lease_seconds"]


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_body_that_is_no_object_is_said_to_be_none(value: object) -> None:
    assert errors_of(value) == {WHOLE_BODY: "must be an object"}


def test_too_many_entries_are_counted_and_not_examined() -> None:
    assert errors_of({"policy": {"lease_seconds": 1}, "items": [{}] * 4}) == {"items": "must have at most 3 entries"}


def test_what_the_record_itself_refuses_is_said_in_its_words() -> None:
    body = {"policy": {"lease_seconds": 1}, "is_forced": True}
    assert errors_of(body) == {WHOLE_BODY: "is_forced needs a token"}


def test_unknown_fields_are_dropped_where_the_record_allows_them_and_only_there() -> None:
    assert decode_into({"anything": 1}, Lenient) == Lenient()
    assert errors_of({"anything": 1, "policy": {"lease_seconds": 1, "x": 2}}, Lenient) == {
        "policy.x": "is not a known field"
    }


def test_answer_to_a_hostile_body_is_bounded() -> None:
    body: dict[str, object] = {"policy": {"lease_seconds": 1}}
    errors = errors_of(body | {"counts": {f"{number}{'n' * 400}": "x" for number in range(10_000)}})
    assert len(errors) == FIELD_ERRORS_MAX
    assert max(len(field) for field in errors) < 120


class Wire:
    """An ASGI `receive` that plays messages and counts how many were asked for."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.received = 0

    async def receive(self) -> dict[str, Any]:
        self.received += 1
        return self.messages.pop(0)


def part(body: bytes, *, is_last: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": not is_last}


def read(wire: Wire, *, headers: list[tuple[bytes, bytes]] | None = None) -> bytes:
    return asyncio.run(read_body(wire.receive, {"headers": headers or []}, limit_bytes=4))


def test_body_up_to_the_limit_is_read_in_one_part_or_many() -> None:
    assert read(Wire(part(b""))) == b""
    assert read(Wire(part(b"abcd"))) == b"abcd"
    assert read(Wire(part(b"ab", is_last=False), part(b"cd", is_last=False), part(b""))) == b"abcd"


def test_body_over_the_limit_is_refused_as_soon_as_that_is_known() -> None:
    announced = Wire(part(b"abcde"))
    with pytest.raises(BodyTooLarge):
        read(announced, headers=[(b"host", b"a"), (b"content-length", b"5")])
    assert announced.received == 0
    with pytest.raises(BodyTooLarge):
        read(Wire(part(b"abcde")))
    endless = Wire(part(b"abc", is_last=False), part(b"de", is_last=False), part(b"f", is_last=False))
    with pytest.raises(BodyTooLarge):
        read(endless)
    assert endless.received == 2


def test_body_that_breaks_off_is_no_body() -> None:
    with pytest.raises(ClientGone):
        read(Wire({"type": "http.disconnect"}))
    with pytest.raises(ClientGone):
        read(Wire(part(b"ab", is_last=False), {"type": "http.disconnect"}))
