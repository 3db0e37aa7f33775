"""Bodies that are decoded beside the event loop: what is said of them is the same, and nobody waits for them."""

import json
import threading
from typing import Any

import pytest

from holdfast.doors.http import strict_json
from holdfast.doors.http.limits import DECODED_AT_ONCE_BYTES_MAX
from tests.api.driver import Account

LARGE = DECODED_AT_ONCE_BYTES_MAX + 1


def padded(body: dict[str, Any]) -> bytes:
    """The body with spaces around it, just too long to be decoded at once."""
    return json.dumps(body).encode().ljust(LARGE)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (padded({"agent": "claude"}), 201, None),
        (b"[" * LARGE, 400, "malformed_json"),
        (b'{"agent": "' + b"\xff" * LARGE + b'"}', 400, "malformed_json"),
        (padded({"agent": "claude", "scop": "s"}), 422, "validation_failed"),
        (b'{"agent": "claude", "meta": {"x": ' + b"1" * LARGE + b"}}", 400, "malformed_json"),
    ],
    ids=["good", "deep", "no text", "unknown field", "integer"],
)
def test_a_large_body_is_answered_as_a_small_one(body: bytes, status: int, code: str | None, account: Account) -> None:
    assert account.call("POST", "/v1/sessions", body).told == (status, code)


def test_a_large_body_under_a_key_is_replayed_and_another_one_is_refused(account: Account) -> None:
    def start(body: bytes) -> Any:
        return account.call("POST", "/v1/sessions", body, Idempotency_Key="a-key-of-this-test")

    first = start(padded({"agent": "claude", "scope": "s"}))
    again = start(padded({"scope": "s", "agent": "claude"}))
    assert (first.status, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert start(padded({"agent": "codex"})).told == (422, "idempotency_key_reused")


def test_small_requests_do_not_wait_for_a_large_one(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = strict_json.decode
    decoded: list[tuple[str, int]] = []
    small_are_done = threading.Event()

    def slow(raw: bytes) -> object:
        if len(raw) >= LARGE:
            assert small_are_done.wait(30)
        decoded.append((threading.current_thread().name, len(raw)))
        if len(decoded) == 3:
            small_are_done.set()
        return decode(raw)

    monkeypatch.setattr(strict_json, "decode", slow)
    bodies = [padded({"agent": "claude"}), *[json.dumps({"agent": f"agent-{number}"}).encode() for number in range(3)]]
    answers = account.server.ask_all([account.request("POST", "/v1/sessions", body) for body in bodies])
    assert [answer.status for answer in answers] == [201] * 4
    assert decoded[-1] == ("holdfast-decoder_0", LARGE)
    assert {name for name, _ in decoded[:3]} == {threading.current_thread().name}
