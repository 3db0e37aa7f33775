"""Whatever is sent, nothing breaks: hostile values for every field, query and path, made from a seed."""

import json
import logging
import random
from collections.abc import Callable
from enum import Enum
from typing import Any, Final
from unicodedata import category

import msgspec
import pytest
from msgspec import inspect

from holdfast.doors.http.routing import Route
from tests.api.driver import Account, Json, Request, Response
from tests.api.examples import ALL, WITH_ID, example, named

SEED: Final = 20_260_117
BATCH: Final = 50
"""Requests under way at once."""

TEXTS: Final = [
    "", " ", "\t", "\n", "a", "x" * 128, "x" * 129, "x" * 10_000, "😀" * 128, "\u202eevil\u2066", "\x1b[31mred\x07",
    "\u200b", "\ufeff", "\ufffe\uffff", "\U0010ffff", "e\u0301" * 60, "null", "true", "NaN", "-1", "1e999", "…",
    "'; drop table session; --", '" or ""="', "%s%n%x", "{0}{session_id}", "${jndi:ldap://x}", "../../etc/passwd",
    "a/b", "a\\b", "\\", "%", "%2e%2e", "<script>", "sess_01KF5PBE80HY1HECQ7C3HWEZDW", "2026-01-17T10:00:00.000Z",
    "2026-01-17T10:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2026-W03-6", "20260117",
    "2026-01-17T24:00:00Z", "2016-12-31T23:59:60Z", "٢٠٢٦", "İ", "ß", "\u2028\u2029",
]  # fmt: skip
NUMBERS: Final = [
    0, -1, 1, 2, 59, 60, 200, 201, 2**31, 2**32, 2**53 - 1, -(2**53) + 1, 0.0, -0.0, 0.1, 1.5, 1.0, 1e-323, 1e15, 1e16,
    1e21, 1.7976931348623157e308, 9_007_199_254_740_993.0,
]  # fmt: skip
RAW: Final = [
    b"NaN", b"-Infinity", b"1e999", b"9007199254740992", b"1" * 5_000, b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"[" * 80,
    b"[" * 60 + b"]" * 60, b'{"a":1,"a":2}', b"01", b"'x'", b"", b"/*x*/1", b'"\x00"', b"\xef\xbb\xbf1",
]  # fmt: skip
"""What may stand in place of a value and is no JSON that is taken, or barely."""

LIKELY: Final = [
    "active",
    "stalled",
    "live",
    "lapsed",
    "true",
    "false",
    "claude",
    "session.started",
    "2026-01-17T10:00:00Z",
    50,
]
"""What stands in a good query."""

CONTAINERS: Final[list[Any]] = [[], {}, [[]], [None], {"": ""}, {"a": {"b": {"c": [1, "x"]}}}, [0] * 300, {"a": None}]


class Maker:
    """Hostile requests, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self) -> object:
        """Any JSON value."""
        pools: list[list[Any]] = [TEXTS, NUMBERS, CONTAINERS, [None, True, False]]
        return self.random.choice(self.random.choice(pools))

    def near(self, kind: inspect.Type) -> object:
        """A value that is nearly, or just, what a field wants."""
        choice = self.random.choice
        match kind:
            case inspect.Metadata():
                return self.near(kind.type)
            case inspect.UnionType():
                return self.near(choice(kind.types))
            case inspect.StructType():
                return self.record(kind.cls)
            case inspect.ListType():
                return [self.near(kind.item_type) for _ in range(choice([0, 1, 3]))]
            case inspect.EnumType():
                members: list[Enum] = list(kind.cls)
                return choice([*[member.value for member in members], "none of them"])
            case inspect.LiteralType():
                return choice([*kind.values, "none of them"])
            case inspect.StrType():
                return choice(TEXTS)
            case inspect.IntType() | inspect.FloatType():
                return choice(NUMBERS)
            case inspect.BoolType():
                return choice([True, False])
            case inspect.NoneType():
                return None
            case _:
                return choice([choice(CONTAINERS), self.value()])

    def record(self, record_type: type[Any], *, is_hostile_everywhere: bool = False) -> Json:
        """An object with some fields of a record."""
        fields = inspect.type_info(record_type).fields  # type: ignore[attr-defined]
        made: Json = {}
        for field in fields:
            if field.required or self.random.random() < 0.3:
                is_wild = is_hostile_everywhere or self.random.random() < 0.2
                made[field.encode_name] = self.value() if is_wild else self.near(field.type)
        if self.random.random() < 0.1:
            made[self.random.choice(TEXTS)] = self.value()
        return made

    def body(self, route: Route, good: Json | None) -> bytes | None:
        """A body for a route: mostly a good one with one field that is nearly right, or wrong; else made up."""
        draw = self.random.random()
        if route.body is None or not route.body.__struct_fields__ or draw < 0.02:
            return None if draw < 0.8 else self.random.choice([b"{}", b"\xff\xfe", b"x" * 200])
        if draw < 0.1:
            return self.spoilt(route.body, good or {})
        if draw < 0.7:
            field = self.random.choice(inspect.type_info(route.body).fields)  # type: ignore[attr-defined]
            value = self.near(field.type) if draw < 0.5 else self.value()
            return _encoded((good or {}) | {field.encode_name: value})
        return _encoded(self.record(route.body, is_hostile_everywhere=draw > 0.9))

    def spoilt(self, record_type: type[Any], good: Json) -> bytes:
        """A good body in which bytes stand for one value that are perhaps no JSON."""
        name = self.random.choice(record_type.__struct_fields__)
        return _encoded(good | {name: "SPOILT"}).replace(b'"SPOILT"', self.random.choice(RAW))

    def query(self, route: Route) -> str:
        """A query string, more or less."""
        names = [] if route.query is None else list(route.query.__struct_fields__)
        pairs = []
        if not names and self.random.random() < 0.8:
            return ""
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 5])):
            name = self.random.choice([*names * 10, "x", ""])
            if name == "wait_seconds":
                continue
            pools: list[list[Any]] = [[*TEXTS[:6], *TEXTS[7:]], NUMBERS, LIKELY]
            value = str(self.random.choice(self.random.choice(pools)))
            pairs.append(f"{self.escaped(name)}={self.escaped(value)}")
        return "&".join(pairs)

    def escaped(self, text: str) -> str:
        """A text percent-encoded in one of many ways, some of them wrong."""
        ways: list[Callable[[str], str]] = [
            _escaped,
            _escaped,
            _escaped,
            _raw_bytes,
            lambda _: "%zz%",
            lambda _: "%00%ff",
        ]
        return self.random.choice(ways)(text)

    def headers(self) -> dict[str, str | bytes]:
        """Headers, most of them of no use."""
        pool: list[tuple[str, list[str | bytes]]] = [
            ("Idempotency-Key", ["x" * 8, "x" * 300, "", b"\xff" * 9, "hostile-key-1", "hostile-key-2"]),
            ("X-Request-Id", ["ok-1", "", b"\xff", "x" * 10_000, "\x1b[31m", 'a"b']),
            ("X-Correlation-ID", ["ok-1", "", b"\xff", "x" * 200]),
            (
                "If-Match",
                ['"1"', "*", "", b"\xff", "9" * 30, '"\u0661"'.encode(), "W/", '"'],
            ),
            ("Content-Type", ["application/json", "text/plain", b"\xff", "application/json; charset=\xff"]),
            ("X-Account-Id", ["", b"\xff", "..", "x" * 500, "default", "no such\taccount"]),
            ("Authorization", ["Bearer", b"Bearer \xff\xfe", "Bearer hfk_" + "0" * 38, "Basic eDp5", ""]),
            ("X-Holdfast", [b"\x00\x01\x02"]),
        ]
        chosen = self.random.sample(pool, self.random.choice([0, 0, 0, 0, 0, 0, 0, 1, 1, 2]))
        return {name: self.random.choice(values) for name, values in chosen}

    def path(self, target: str, about: str) -> str:
        """A path, at times with something else for its id."""
        if self.random.random() < 0.85:
            return target
        odd = [
            "",
            ".",
            "..",
            "%2e",
            "%00",
            "%ff",
            "%zz",
            "%",
            "a%2Fb",
            "x" * 8_000,
            "\xff",
            "%F0%9F%98%80",
            "sess_",
            "*",
        ]
        return target.replace(about, self.random.choice(odd))


def _encoded(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _raw_bytes(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1").replace("&", "%26").replace("#", "%23")


def hostile(account: Account, route: Route, maker: Maker, good: Request) -> Request:
    """One request to a route, made up or spoilt."""
    target, _, query = good.target.partition("?")
    about = target.split("/")[3] if "{id}" in route.path else "nothing-to-replace"
    made_up = maker.query(route)
    chosen = maker.random.choice([query, made_up, made_up, f"{query}&{made_up}"])
    path = maker.path(target, about)
    body = maker.body(route, good.body if isinstance(good.body, dict) else None)
    return Request(route.method, f"{path}?{chosen}" if chosen else path, body, maker.headers(), good.key)


JSON_TYPES: Final = {"application/json", "application/problem+json"}


def check(request: Request, response: Response) -> None:
    """An answer that is one: not a fault of the server's, and a problem document where it is a refusal."""
    assert response.status < 500, (request, response)
    assert response.headers["x-request-id"], request
    assert response.headers["x-correlation-id"], request
    if response.status == 204:
        assert not response.content, request
        return
    if response.headers["content-type"] == "text/event-stream":
        assert response.content.startswith(b"retry: "), request
        return
    if response.status < 300:
        assert response.headers["content-type"] not in JSON_TYPES or isinstance(response.json, dict), request
        return
    body = response.json
    assert response.headers["content-type"] == "application/problem+json", request
    assert (body["status"], body["request_id"]) == (response.status, response.headers["x-request-id"]), request
    assert body["code"], request
    assert body["detail"], request
    assert len(response.content) < 64 * 1024, request


CONTROLS: Final = {"Cc", "Zl", "Zp"}
"""Categories of characters that a name must not have."""

REQUESTS_PER_ROUTE: Final = 100


@pytest.mark.parametrize("route", ALL, ids=named)
def test_no_input_is_the_servers_fault(route: Route, account: Account, caplog: pytest.LogCaptureFixture) -> None:
    maker = Maker(SEED + sorted(map(named, ALL)).index(named(route)))
    with caplog.at_level(logging.WARNING):
        for _ in range(REQUESTS_PER_ROUTE // BATCH):
            good = example(account, route)
            requests = [hostile(account, route, maker, good) for _ in range(BATCH)]
            for request, response in zip(requests, account.server.ask_all(requests), strict=True):
                check(request, response)
    assert [record.getMessage() for record in caplog.records] == []
    assert account.call("GET", "/v1/sessions").status == 200


def test_every_field_of_every_body_is_tried_with_every_value(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    session = account.start(client_session_id="tried")
    values: list[object] = [*TEXTS[:12], *NUMBERS[4:], None, True, *CONTAINERS]
    requests = []
    for route in ALL:
        if route.body is None or route.path == "/v1/keys":
            continue
        target = route.path.replace("{id}", session["id"])
        for field in msgspec.structs.fields(route.body):
            chosen = random.Random(f"{named(route)} {field.name}").sample(values, 8)
            body = {"agent": "claude", "reason": "tried"} if field.name not in ("agent", "reason") else {}
            allowed = {name: value for name, value in body.items() if name in route.body.__struct_fields__}
            requests += [
                account.request(route.method, target, _encoded(allowed | {field.encode_name: value}))
                for value in chosen
            ]
    with caplog.at_level(logging.WARNING):
        for start in range(0, len(requests), BATCH):
            some = requests[start : start + BATCH]
            for request, response in zip(some, account.server.ask_all(some), strict=True):
                check(request, response)
    assert [record.getMessage() for record in caplog.records] == []


def test_what_was_taken_can_be_read(account: Account) -> None:
    taken = [text for text in TEXTS if 0 < len(text) <= 128 and not any(category(each) in CONTROLS for each in text)]
    taken = [text for text in taken if text.strip()]
    for number, text in enumerate(taken):
        started = account.start(scope=f"scope {number}", mode=text, holder_id=text, meta={text: text})
        read = account.session(started["id"])
        assert (read["mode"], read["holder_id"], read["meta"]) == (text, text, {text: text})
    listed = {row["id"]: row for row in account.each("/v1/sessions")}
    assert len(listed) == len(taken)


def test_the_same_seed_makes_the_same_requests(account: Account) -> None:
    (route,) = [each for each in WITH_ID if named(each) == "PATCH /v1/sessions/{id}"]
    good = example(account, route)
    first, second = ([hostile(account, route, Maker(1), good) for _ in range(3)] for _ in range(2))
    assert first == second
