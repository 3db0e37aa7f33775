"""What may be sent: the JSON that is taken, the fields that are known, and how faults are named."""

import gzip
import json
from typing import Any, Final

import pytest

from holdfast.domain.limits import INTEGER_MAX
from holdfast.doors.http.limits import BODY_BYTES_DEFAULT_MAX
from tests.api.driver import Account, Json, Message, Request, Server

DEEPEST: Final = 62
"""Lists inside each other within `{"meta": {"a": …}}` that make the allowed depth of 64."""


def nested(depth: int) -> bytes:
    """A start whose meta holds lists inside each other."""
    return b'{"agent":"claude","meta":{"a":' + b"[" * depth + b"]" * depth + b"}}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b" ",
        b"{'agent': 'claude'}",
        b'{"agent":"claude",}',
        b'{"agent":"claude"}{}',
        b'{"agent":"claude"} x',
        b"agent=claude",
        b"\xef\xbb\xbf" + b'{"agent":"claude"}',
        b'{"agent":"cl\xffaude"}',
        b'{"agent":"cl\xed\xa0\x80aude"}',
        b'{"agent":"claude"}'.decode().encode("utf-16"),
        b'{"agent":"claude","agent":"codex"}',
        b'{"agent":"claude","meta":{"a":{"b":1,"b":1}}}',
        b'{"agent":"claude","meta":{"a":1,"\\u0061":2}}',
        b'{"agent":"claude","meta":{"a":NaN}}',
        b'{"agent":"claude","meta":{"a":Infinity}}',
        b'{"agent":"claude","meta":{"a":-Infinity}}',
        b'{"agent":"claude","meta":{"a":1e400}}',
        b'{"agent":"claude","meta":{"a":9007199254740992}}',
        b'{"agent":"claude","meta":{"a":-9007199254740992}}',
        b'{"agent":"claude","meta":{"a":' + b"9" * 5_000 + b"}}",
        b'{"agent":"claude","meta":{"a":01}}',
        b'{"agent":"claude","meta":{"a":+1}}',
        b'{"agent":"claude","meta":{"a":.5}}',
        b'{"agent":"claude","meta":{"a":0x10}}',
        b'{"agent":"claude","meta":{"a":"\\ud800"}}',
        b'{"agent":"claude","meta":{"a":"\\udc00\\ud800"}}',
        b'{"agent":"claude","meta":{"\\udfff":1}}',
        b'{"agent":"claude","meta":{"a":"\\u0000"}}',
        b'{"agent":"claude","meta":{"\\u0000":1}}',
        b'{"agent":"claude","meta":{"a":"\x00"}}',
        b'{"agent":"claude","meta":{"a":"\n"}}',
        b'{"agent":"claude","meta":{"a":"\\x41"}}',
        nested(DEEPEST + 1),
        nested(100_000),
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:60]),
)
def test_malformed_json_is_a_400(body: bytes, account: Account) -> None:
    response = account.call("POST", "/v1/sessions", body)
    if body == b"":
        assert (response.status, response.fields) == (422, {"agent"})
    else:
        assert response.told == (400, "malformed_json")
    assert account.get("/v1/sessions")["items"] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
        ('"\\u202e\\u200b\\u001b[31m"', "\u202e\u200b\u001b[31m"),
        (str(INTEGER_MAX), INTEGER_MAX),
        (str(-INTEGER_MAX), -INTEGER_MAX),
        ("1e21", 1e21),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("-0.0", -0.0),
        ("1.0", 1.0),
        ("[]", []),
        ('{"": null}', {"": None}),
        ('{"__proto__": {"x": 1}}', {"__proto__": {"x": 1}}),
    ],
)
def test_free_json_comes_back_as_it_was(text: str, value: object, account: Account) -> None:
    started = account.call("POST", "/v1/sessions", f'{{"agent":"claude","meta":{{"a":{text}}}}}'.encode())
    assert started.status == 201, started
    read = account.session(started.json["id"])["meta"]["a"]
    assert (read, type(read)) == (value, type(value))
    path = f"/v1/sessions/{started.json['id']}/checkpoint"
    written = account.call("POST", path, f'{{"summary":"s","state":{text},"blockers":[{text}]}}'.encode())
    (checkpoint,) = account.get(f"/v1/sessions/{started.json['id']}/checkpoints")["items"]
    assert (checkpoint["state"], checkpoint["blockers"]) == (value, [value])
    assert written.json.items() >= checkpoint.items()


def test_the_deepest_json_that_is_taken_comes_back(account: Account) -> None:
    started = account.call("POST", "/v1/sessions", nested(DEEPEST))
    assert started.status == 201
    assert account.session(started.json["id"])["meta"] == json.loads(nested(DEEPEST))["meta"]


def test_a_whole_number_may_be_written_with_a_fraction(account: Account) -> None:
    session = account.start(slot=3.0)
    assert account.session(session["id"])["slot"] == 3
    said = b'{"fencing_token": 1.0, "progress": 1e3}'
    account.server.serve(1_000)
    assert account.call("POST", f"/v1/sessions/{session['id']}/heartbeat", said).status == 200
    progress = account.session(session["id"])["progress"]
    assert (progress, type(progress)) == (1_000, int)
    assert account.call("POST", "/v1/sessions", {"agent": "claude", "slot": 3.5}).fields == {"slot"}
    assert account.call("POST", "/v1/sessions", {"agent": "claude", "slot": 1e16}).fields == {"slot"}
    assert account.call("POST", "/v1/sessions", {"agent": "claude", "slot": True}).fields == {"slot"}


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null", b"true"])
def test_json_that_is_no_object_is_a_422(body: bytes, account: Account) -> None:
    response = account.call("POST", "/v1/sessions", body)
    assert response.told == (422, "validation_failed")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("APPLICATION/JSON", 201),
        ("application/vnd.holdfast+json", 201),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonx", 415),
        ("", 415),
        ("application/json, text/plain", 415),
    ],
)
def test_a_body_is_sent_as_json(content_type: str, status: int, account: Account) -> None:
    response = account.call("POST", "/v1/sessions", {"agent": "claude"}, Content_Type=content_type)
    assert response.status == status
    assert response.code in (None, "unsupported_media_type")


def test_a_body_is_sent_as_it_is(account: Account) -> None:
    packed = gzip.compress(b'{"agent": "claude"}')
    refused = account.call("POST", "/v1/sessions", packed, Content_Encoding="gzip")
    assert refused.told == (415, "unsupported_media_type")
    assert refused.headers["accept-encoding"] == "identity"
    assert account.call("POST", "/v1/sessions", {"agent": "claude"}, Content_Encoding="identity").status == 201


@pytest.mark.parametrize("blank", [" ", "   ", "\u00a0"])
def test_what_names_or_explains_something_is_not_blank(blank: str, account: Account) -> None:
    for field in ("agent", "scope", "holder_id", "branch"):
        refused = account.call("POST", "/v1/sessions", {"agent": "claude", field: blank})
        assert (refused.status, refused.fields) == (422, {field})
    session = account.start()
    path = f"/v1/sessions/{session['id']}"
    for verb, field in (("stop", "reason"), ("checkpoint", "summary"), ("fail", "reason")):
        refused = account.call("POST", f"{path}/{verb}", {field: blank})
        assert (refused.status, refused.fields) == (422, {field}), verb
    assert account.session(session["id"])["status"] == "active"


def test_a_request_without_a_body_needs_no_content_type(account: Account) -> None:
    session = account.start()
    for verb in ("heartbeat", "pause", "resume", "stall", "resume", "park", "end", "archive"):
        assert account.call("POST", f"/v1/sessions/{session['id']}/{verb}").status == 200, verb


def test_a_body_where_none_is_taken_is_refused(account: Account) -> None:
    session = account.start()
    for method, target in (("GET", "/v1/sessions"), ("DELETE", f"/v1/sessions/{session['id']}?confirm=true")):
        assert account.call(method, target, {"confirm": True}).told == (422, "validation_failed")
    assert account.server.call("GET", "/health", {}).told == (413, "payload_too_large")


def with_filler(length: int) -> bytes:
    """A start of exactly this length in bytes, whose meta is too large."""
    frame = b'{"agent":"claude","meta":{"a":""}}'
    return frame.replace(b'""', b'"' + b"x" * (length - len(frame)) + b'"')


def test_a_body_up_to_the_limit_is_read_and_a_longer_one_is_not(account: Account) -> None:
    assert account.call("POST", "/v1/sessions", with_filler(BODY_BYTES_DEFAULT_MAX)).fields == {"meta"}
    response = account.call("POST", "/v1/sessions", with_filler(BODY_BYTES_DEFAULT_MAX + 1))
    assert response.told == (413, "payload_too_large")
    assert response.headers["connection"] == "close"


def test_a_body_that_is_too_long_is_not_read_on(account: Account) -> None:
    asked: list[int] = []

    async def receive() -> Message:
        asked.append(1)
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    chunked = Request("POST", "/v1/sessions", headers={"content-type": "application/json"}, key=account.keys["agent"])
    announced = chunked._replace(headers={"content-length": str(BODY_BYTES_DEFAULT_MAX + 1)})
    answers = account.server.together([account.server.answer(chunked, receive=receive)])
    assert (answers[0].status, len(asked)) == (413, BODY_BYTES_DEFAULT_MAX // 65_536 + 1)
    asked.clear()
    answers = account.server.together([account.server.answer(announced, receive=receive)])
    assert (answers[0].status, len(asked)) == (413, 0)


def test_every_bad_field_is_named_at_once(account: Account) -> None:
    body: Json = {
        "agent": 7,
        "slot": -1,
        "scope": {"repo": "", "track": []},
        "policy": {"lease_seconds": "long", "on_lapse": "maybe"},
        "exclusive": "yes",
        "take_over": {},
        "on_conflict": "explode",
        "meta": [],
        "colour": "red",
    }
    response = account.call("POST", "/v1/sessions", body)
    assert response.told == (422, "validation_failed")
    assert response.fields == {
        "agent", "slot", "scope.repo", "scope.track", "policy.lease_seconds", "policy.on_lapse", "exclusive",
        "take_over.reason", "on_conflict", "meta", "colour",
    }  # fmt: skip
    assert all(error["message"] for error in response.json["errors"])


UNKNOWN: Final[list[tuple[str, str, Any, str, str]]] = [
    ("POST", "/v1/sessions", {"agent": "a", "exclusiv": True}, "exclusiv", "exclusive"),
    ("POST", "/v1/sessions", {"agent": "a", "takeOver": {}}, "takeOver", "take_over"),
    ("POST", "/v1/sessions", {"agent": "a", "policy": {"lease_second": 1}}, "policy.lease_second", "lease_seconds"),
    ("POST", "/v1/sessions", {"agent": "a", "on_conflict": "supercede"}, "on_conflict", "supersede"),
    ("POST", "/v1/heartbeats", {"heartbeat": []}, "heartbeat", "heartbeats"),
    (
        "POST",
        "/v1/heartbeats",
        {"heartbeats": [{"session_id": "x", "fencingToken": 1}]},
        "heartbeats[0].fencingToken",
        "fencing_token",
    ),
    ("GET", "/v1/sessions?statuss=active", None, "statuss", "status"),
    ("GET", "/v1/sessions?status=activ", None, "status", "active"),
    ("GET", "/v1/events?typ=session.started", None, "typ", "type"),
]


@pytest.mark.parametrize("unknown", UNKNOWN, ids=lambda unknown: unknown[3])
def test_an_unknown_field_is_named_with_what_was_probably_meant(
    unknown: tuple[str, str, Any, str, str], account: Account
) -> None:
    method, target, body, field, suggestion = unknown
    response = account.call(method, target, body)
    assert response.told == (422, "validation_failed")
    (message,) = [error["message"] for error in response.json["errors"] if error["field"] == field]
    assert f'did you mean "{suggestion}"?' in message


@pytest.mark.parametrize(
    ("verb", "body", "fields"),
    [
        ("fail", {}, {"reason"}),
        ("fail", {"reason": ""}, {"reason"}),
        ("fail", {"reason": "x" * 2_001}, {"reason"}),
        ("stop", {}, {"reason"}),
        ("takeover", {"holder_id": "x"}, {"reason"}),
        ("checkpoint", {"state": {}}, {"summary"}),
        ("checkpoint", {"summary": "x" * 5_001}, {"summary"}),
        ("checkpoint", {"summary": "s", "blockers": ["x"] * 201}, {"blockers"}),
        ("checkpoint", {"summary": "s", "state": "x" * (256 * 1024 - 1)}, {"state"}),
        ("end", {"end_reason": "bored"}, {"end_reason"}),
        ("park", {"wake_at": "tomorrow"}, {"wake_at"}),
        ("park", {"wake_at": "2026-01-17T10:00:00"}, {"wake_at"}),
        ("park", {"wake_at": "2026-13-17T10:00:00Z"}, {"wake_at"}),
        ("park", {"wake_at": "1969-12-31T23:59:59Z"}, {"wake_at"}),
        ("park", {"wake_at": "9999-12-31T23:59:59Z"}, {"wake_at"}),
        ("park", {"wake_at": 1_768_644_000}, {"wake_at"}),
        ("heartbeat", {"fencing_token": "1"}, {"fencing_token"}),
        ("heartbeat", {"fencing_token": -1}, {"fencing_token"}),
        ("heartbeat", {"progress": 1.5, "activity": 7, "status_note": "x" * 2_001}, {
            "progress", "activity", "status_note",
        }),
    ],
)  # fmt: skip
def test_a_verbs_bad_fields_are_named(verb: str, body: Json, fields: set[str], account: Account) -> None:
    session = account.start()
    before = account.session(session["id"])
    response = account.call("POST", f"/v1/sessions/{session['id']}/{verb}", body)
    assert (response.status, response.fields) == (422, fields)
    assert account.session(session["id"]) == before


def test_a_deletion_has_to_be_confirmed(account: Account) -> None:
    session = account.start()
    account.say("end", session)
    account.say("archive", session)
    for query in ("", "?confirm=false", "?confirm=1", "?confirm=yes"):
        response = account.call("DELETE", f"/v1/sessions/{session['id']}{query}")
        assert (response.status, response.fields) == (422, {"confirm"})
    assert account.call("DELETE", f"/v1/sessions/{session['id']}?confirm=true").status == 200


@pytest.mark.parametrize(
    "query",
    ["limit=%", "limit=%ff", "status=active&status=active", "q=%00", "a=1;b=2", "&".join(["q=1"] * 200), "\u00ff=1"],
)
def test_a_query_string_that_cannot_be_read_is_a_422(query: str, account: Account) -> None:
    assert account.call("GET", f"/v1/sessions?{query}").told == (422, "validation_failed")


def test_a_merge_patch_changes_what_it_names_and_null_removes(account: Account) -> None:
    session = account.start(meta={"a": 1, "b": {"c": 2, "d": 3}, "e": [1]})
    path = f"/v1/sessions/{session['id']}"
    first = {"branch": "main", "commit_sha": "abc", "issue_number": 7, "current_task_id": "task-1"}
    patched = account.call("PATCH", path, first | {"meta": {"a": None, "b": {"c": {"x": 1}}, "e": {"f": None}}}).json
    assert {name: patched[name] for name in first} == first
    assert patched["meta"] == {"b": {"c": {"x": 1}, "d": 3}, "e": {}}
    cleared = account.call("PATCH", path, {"branch": None}, If_Match=f'"{patched["revision"]}"').json
    assert (cleared["branch"], cleared["commit_sha"], cleared["revision"]) == (None, "abc", patched["revision"] + 1)
    assert account.session(session["id"]).items() <= cleared.items()


@pytest.mark.parametrize(
    ("if_match", "status", "code"),
    [
        ('"1"', 200, None),
        ("1", 200, None),
        ('W/"1"', 200, None),
        ("*", 200, None),
        ('"2"', 412, "revision_conflict"),
        ('"0"', 412, "revision_conflict"),
        ('"x"', 400, "malformed_if_match"),
        ("", 400, "malformed_if_match"),
        ('"1", "2"', 400, "malformed_if_match"),
        ("9" * 17, 400, "malformed_if_match"),
    ],
)
def test_a_patch_may_name_the_revision_that_it_changes(
    if_match: str, status: int, code: str | None, account: Account
) -> None:
    session = account.start()
    response = account.call("PATCH", f"/v1/sessions/{session['id']}", {"branch": "main"}, If_Match=if_match)
    assert response.told == (status, code)
    assert account.session(session["id"])["revision"] == (2 if status == 200 else 1)


def test_meta_stays_within_its_bound_however_it_grows(account: Account) -> None:
    session = account.start(meta={"a": "x" * 40_000})
    response = account.call("PATCH", f"/v1/sessions/{session['id']}", {"meta": {"b": "x" * 40_000}})
    assert (response.status, response.fields) == (422, {"meta"})
    assert list(account.session(session["id"])["meta"]) == ["a"]


def test_a_batch_of_beats_has_one_to_a_thousand(account: Account) -> None:
    session = account.start()
    beats = [{"session_id": session["id"]}] * 1_000
    answer = account.call("POST", "/v1/heartbeats", {"heartbeats": beats})
    assert (answer.status, answer.json["accepted"]) == (200, 1_000)
    for bad in ([], [*beats, beats[0]]):
        assert account.call("POST", "/v1/heartbeats", {"heartbeats": bad}).fields == {"heartbeats"}


@pytest.mark.parametrize("name", ["agent", "holder_id", "group_id", "machine_id", "client_session_id", "mode"])
def test_names_and_ids_have_one_to_128_characters(name: str, account: Account) -> None:
    for length, status in ((0, 422), (1, 201), (128, 201), (129, 422)):
        response = account.call("POST", "/v1/sessions", {"agent": "claude"} | {name: "😀" * length})
        assert response.status == status, (length, response)


@pytest.mark.parametrize("name", ["agent", "holder_id", "repo", "group_id", "client_session_id"])
def test_names_and_ids_hold_no_control_characters(name: str, account: Account) -> None:
    for text in ("a\nb", "a\n", "\na", "\n", "\t", "a\r\n", "\x1b[31m", "\x7f", "\x85", "a\u2028", "a\u2029"):
        response = account.call("POST", "/v1/sessions", {"agent": "claude"} | {name: text})
        assert (response.status, response.fields) == (422, {name}), text


def test_what_is_refused_repeats_no_more_than_a_name_of_what_was_sent(server: Server) -> None:
    account = server.new_account()
    response = account.call("POST", "/v1/sessions", {"agent": "s3cret-value" * 100, "x" * 10_000: "s3cret-value"})
    assert (response.status, len(response.content) < 2_000, b"s3cret" in response.content) == (422, True, False)
