"""What stands between the wire and the application: whom proxies are believed about, and which pages may read."""

import asyncio
import ipaddress
import socket
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from holdfast.doors.http.cors import Cors
from holdfast.doors.http.forwarded import HOPS_MAX, Forwarded
from holdfast.doors.http.limits import WIRE_LIMITS
from holdfast.doors.http.server import WireServer, build_server
from tests.http.live_wire import WAIT_S, LiveWire, RawClient, live_wire
from tests.support.server import Server

Message = MutableMapping[str, Any]
Raw = list[tuple[bytes, bytes]]

PROXIES = tuple(ipaddress.ip_network(each) for each in ("10.0.0.7", "10.1.0.0/16", "2001:db8:1::/48"))
PAGE = "https://board.example.com"


def ask(app: Any, method: str, headers: Raw, *, client: str = "10.0.0.7") -> tuple[Message, list[Message]]:
    """The request as the application saw it (or not), and what was sent."""
    scope = {"type": "http", "method": method, "headers": headers, "client": (client, 4711), "scheme": "http"}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(app(scope, receive, send))
    return scope, sent


async def streams(_scope: Message, _receive: Any, send: Any) -> None:
    """Answers in parts, as a stream of events does."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("10.0.0.7", ["192.0.2.1"], "192.0.2.1"),
        ("10.1.2.3", ["192.0.2.1, 10.0.0.7"], "192.0.2.1"),
        ("10.0.0.7", ["203.0.113.9, 192.0.2.1, 10.1.9.9"], "192.0.2.1"),
        ("10.0.0.7", ["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
        ("10.0.0.7", ["10.0.0.7, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.7", ["10.1.0.1, 10.1.0.2"], "10.1.0.1"),
        ("10.0.0.7", ["192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.7", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.7", ["2001:DB8::1"], "2001:db8::1"),
        ("2001:db8:1::5", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("10.0.0.7", ["192.0.2.1, unknown"], "10.0.0.7"),
        ("10.0.0.7", ["192.0.2.1, "], "10.0.0.7"),
        ("10.0.0.7", ["192.0.2.1, 10.1.0.1\x00"], "10.0.0.7"),
        ("10.0.0.7", ["192.0.2.1, <script>, 10.1.0.1"], "10.1.0.1"),
        ("10.0.0.7", ["192.0.2.256"], "10.0.0.7"),
        ("10.0.0.7", [""], "10.0.0.7"),
        ("10.0.0.7", [], "10.0.0.7"),
        ("10.0.0.8", ["192.0.2.1"], "10.0.0.8"),
        ("198.51.100.1", ["10.0.0.7"], "198.51.100.1"),
        ("10.0.0.7", ["203.0.113.9" + ", 10.1.0.1" * HOPS_MAX], "10.1.0.1"),
    ],
)
def test_a_client_is_whom_the_nearest_believed_proxies_heard(peer: str, chain: list[str], client: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in chain]
    seen, _ = ask(Forwarded(streams, proxies=PROXIES), "GET", headers, client=peer)
    assert seen["client"][0] == client


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.7", ["https"], "https"),
        ("10.0.0.7", ["HTTPS"], "https"),
        ("10.0.0.7", ["https, http"], "http"),
        ("10.0.0.7", ["https", "http"], "http"),
        ("10.0.0.7", ["javascript"], "http"),
        ("10.0.0.8", ["https"], "http"),
    ],
)
def test_the_scheme_is_what_the_nearest_believed_proxy_says(peer: str, said: list[str], scheme: str) -> None:
    headers = [(b"x-forwarded-proto", value.encode()) for value in said]
    assert ask(Forwarded(streams, proxies=PROXIES), "GET", headers, client=peer)[0]["scheme"] == scheme


def headers_of(sent: list[Message]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_a_page_of_a_named_origin_may_ask_before_it_asks_and_needs_no_key_for_that() -> None:
    preflight = [(b"origin", PAGE.encode()), (b"access-control-request-method", b"POST")]
    _, sent = ask(Cors(streams, origins=[PAGE]), "OPTIONS", preflight)
    told = headers_of(sent)
    assert (sent[0]["status"], sent[1]["body"]) == (204, b"")
    assert (told["access-control-allow-origin"], told["vary"]) == (PAGE, "origin")
    assert "authorization" in told["access-control-allow-headers"]
    assert "PATCH" in told["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in told


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "http://board.example.com",
        "https://board.example.com:8443",
        "https://board.example.com.evil.test",
        "https://xboard.example.com",
        "HTTPS://BOARD.EXAMPLE.COM",
        "null",
        "*",
        "",
    ],
)
def test_any_other_page_is_told_nothing_that_lets_it_read(origin: str) -> None:
    for method, more in (("GET", []), ("OPTIONS", [(b"access-control-request-method", b"POST")])):
        _, sent = ask(Cors(streams, origins=[PAGE]), method, [(b"origin", origin.encode()), *more])
        told = headers_of(sent)
        assert sent[0]["status"] == 200, "the application answered, not the preflight"
        assert told["vary"] == "origin"
        assert not any(name.startswith("access-control") for name in told)


def test_a_stream_to_a_named_origin_is_passed_on_part_by_part() -> None:
    _, sent = ask(Cors(streams, origins=[PAGE]), "GET", [(b"origin", PAGE.encode())])
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * 2]
    told = headers_of(sent)
    assert told["access-control-allow-origin"] == PAGE
    assert "retry-after" in told["access-control-expose-headers"]


def test_every_answer_forbids_guessing_its_type_and_insists_on_https_only_where_that_is_set() -> None:
    def headers_with(**settings: Any) -> dict[str, str]:
        server: WireServer = build_server(streams, host="127.0.0.1", port=0, **settings)
        server.close()
        return {name.decode(): value.decode() for name, value in server.config.encoded_headers}

    assert headers_with() == {"x-content-type-options": "nosniff"}
    assert headers_with(hsts_seconds=600)["strict-transport-security"] == "max-age=600"


@pytest.mark.parametrize("path", [b"/first", b"/nothing", b"/parts"])
def test_the_server_wires_both(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    inner = LiveWire._application

    async def noting(self: LiveWire, scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope.get("client"))
        await inner(self, scope, receive, send)

    monkeypatch.setattr(LiveWire, "_application", noting)
    edge = {"trusted_proxies": [ipaddress.ip_network("127.0.0.1")], "cors_origins": [PAGE]}
    with live_wire(WIRE_LIMITS, loop="uvloop", edge=edge) as wire, wire.connect() as client:
        said = (
            b"Host: a\r\nOrigin: https://board.example.com\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n"
        )
        client.send(b"GET " + path + b" HTTP/1.1\r\n" + said + b"Connection: close\r\n\r\n")
        head = client.read_until_end().partition(b"\r\n\r\n")[0]
    assert b"access-control-allow-origin: https://board.example.com" in head
    assert b"x-content-type-options: nosniff" in head
    assert ("192.0.2.1", 0) in seen


def test_the_settings_reach_the_server(sqlite_url: str, tmp_path: Path) -> None:
    environ = {"HOLDFAST_CORS_ORIGINS": PAGE, "HOLDFAST_TRUSTED_PROXIES": "127.0.0.1"}
    with Server(sqlite_url, directory=tmp_path / "node", environ=environ) as server:
        server.start()
        with RawClient(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)) as client:
            preflight = b"Host: a\r\nOrigin: %b\r\nAccess-Control-Request-Method: POST\r\n\r\n"
            client.send(b"OPTIONS /v1/sessions HTTP/1.1\r\n" + preflight % PAGE.encode())
            allowed = client.read_answer()
            client.send(b"OPTIONS /v1/sessions HTTP/1.1\r\n" + preflight % b"https://evil.example.com")
            refused = client.read_answer()
    assert allowed is not None
    assert refused is not None
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (204, PAGE)
    assert (refused.status, refused.headers["vary"]) == (405, "origin")
