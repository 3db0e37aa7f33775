"""Handoffs over HTTP: written, found, taken up, refused and kept, and checked against schemas."""

import hashlib
import json
from typing import Any, Final

import pytest
import rfc8785

from holdfast.domain.limits import HANDOFF_PAYLOAD_BYTES_MAX, HOUR_MS, MINUTE_MS
from tests.api.driver import Account, Json, Response

TOKEN: Final = "ghp_" + "a1" * 18


def create(account: Account, session: Json, summary: str = "half of it is done", **fields: Any) -> Response:
    """What is answered to a handoff of a session that goes on."""
    named = {"session_id": session["id"], "fencing_token": session["fencing_token"], "summary": summary}
    return account.call("POST", "/v1/handoffs", named | fields)


def test_a_handoff_comes_back_as_it_was_written(account: Account) -> None:
    session = account.start(scope={"venture": "v", "repo": "o/r", "track": "3"})
    evidence = {"claim": "tests pass", "kind": "command", "value": "make test", "exit_code": 0}
    said: Json = {
        "status_label": "in progress",
        "work_completed": ["the parser", evidence, {**evidence, "kind": "commit", "verified": True}],
        "blockers": [],
        "next_actions": ["the lexer"],
        "to_agent": "codex-*",
    }
    created = create(account, session, **said)
    assert created.status == 201
    found = account.get(f"/v1/handoffs/{created.json['id']}")
    payload = {"summary": "half of it is done", **said}
    form = rfc8785.dumps(payload)
    assert found["payload"] == payload
    assert (found["payload_hash"], found["payload_size_bytes"]) == (hashlib.sha256(form).hexdigest(), len(form))
    grades = [item if isinstance(item, str) else item["grade"] for item in found["work_completed"]]
    assert grades == ["the parser", "asserted", "verified"]
    about = {name: found[name] for name in ("venture", "repo", "track", "from_agent", "status", "auto", "orphan")}
    assert about == {
        "venture": "v",
        "repo": "o/r",
        "track": "3",
        "from_agent": "claude",
        "status": "open",
        "auto": False,
        "orphan": False,
    }
    assert found.items() >= {name: created.json[name] for name in found.keys() & created.json.keys()}.items()
    assert account.get(f"/v1/sessions/{session['id']}/handoffs")["items"] == [found]
    assert account.get("/v1/handoffs/latest?venture=v") == {"handoff": found}
    started = account.start(scope={"venture": "v", "repo": "o/r", "track": "3"}, holder_id="another")
    assert started["last_handoff"] == {**found, "payload_omitted": False}
    told = [each["type"] for each in account.events(session_id=session["id"])]
    assert told == ["session.started", "handoff.created"]


VECTORS: Final = [
    ('{"b":[1,1.0,1e21,-0.0],"a":{"z":null}}', '{"a":{"z":null},"b":[1,1,1e+21,0]}'),
    (
        (
            '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
            '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}'
        ),
        (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ),
    ),
    (
        (
            '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",'
            '"\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control",'
            '"\\u00f6":"Latin Small Letter O With Diaeresis"}'
        ),
        (
            '{"\\r":"Carriage Return","1":"One","\x80":"Control","ö":"Latin Small Letter O With Diaeresis",'
            '"€":"Euro Sign","😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
        ),
    ),
    (
        '{"a":[9007199254740991,5e-324,1.7976931348623157e308,100000000000000000000.0,0.000001,1e-7]}',
        '{"a":[9007199254740991,5e-324,1.7976931348623157e+308,100000000000000000000,0.000001,1e-7]}',
    ),
]
"""JSON, and its canonical form: of the contract, of RFC 8785 (3.2.2, 3.2.3), and at the bounds of numbers."""


@pytest.mark.parametrize(("sent", "form"), VECTORS)
def test_the_hash_is_of_the_canonical_form(account: Account, sent: str, form: str) -> None:
    session = account.start(scope="vectors")
    token = session["fencing_token"]
    body = f'{{"session_id":"{session["id"]}","fencing_token":{token},"summary":"s","payload":{sent}}}'
    created = account.call("POST", "/v1/handoffs", body.encode())
    assert created.status == 201, created
    told = (created.json["payload_hash"], created.json["payload_size_bytes"])
    assert told == (hashlib.sha256(form.encode()).hexdigest(), len(form.encode()))
    assert account.get(f"/v1/handoffs/{created.json['id']}")["payload"] == json.loads(sent)


@pytest.mark.parametrize("payload", ['{"a":9007199254740992}', '{"a":"\\ud800"}', '{"a":NaN}', '{"a":1,"a":1}'])
def test_what_has_no_canonical_form_is_refused(account: Account, payload: str) -> None:
    session = account.start(scope="vectors")
    body = f'{{"session_id":"{session["id"]}","summary":"s","payload":{payload}}}'
    assert account.call("POST", "/v1/handoffs", body.encode()).told == (400, "malformed_json")


def test_a_payload_may_have_exactly_so_many_bytes(account: Account) -> None:
    session = account.start(scope="long", exclusive=True)
    fits = {"a": "ü" * ((HANDOFF_PAYLOAD_BYTES_MAX - len('{"a":""}')) // 2)}
    assert len(rfc8785.dumps(fits)) == HANDOFF_PAYLOAD_BYTES_MAX
    too_long = {"a": fits["a"] + "x"}
    refused = account.say("end", session, handoff={"summary": "s", "payload": too_long})
    assert refused.told == (413, "payload_too_large")
    assert (refused.json["limit"], refused.json["size"]) == (HANDOFF_PAYLOAD_BYTES_MAX, HANDOFF_PAYLOAD_BYTES_MAX + 1)
    assert account.session(session["id"])["status"] == "active"
    ended = account.say("end", session, handoff={"summary": "s", "payload": fits})
    assert (ended.status, ended.json["payload_size_bytes"]) == (200, HANDOFF_PAYLOAD_BYTES_MAX)
    assert account.get(f"/v1/handoffs/{ended.json['handoff_id']}")["payload"] == fits
    # The next start is told that there is more than it is shown.
    shown = account.start(scope="long")["last_handoff"]
    assert (shown["payload"], shown["payload_omitted"]) == (None, True)
    assert len(account.get("/v1/handoffs")["items"]) == 1


def test_an_end_with_a_handoff_is_answered_alike_however_often_it_is_said(account: Account) -> None:
    session = account.start(scope="once", exclusive=True)
    handoff = {"summary": "all of it is done", "next_actions": ["rest"]}
    answers = [account.say("end", session, handoff=handoff) for _ in range(3)]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json["handoff_id"] == account.get("/v1/handoffs/latest")["handoff"]["id"]
    other = [
        account.say("end", session, handoff={"summary": "no, half of it"}, end_reason=why)
        for why in ("completed", "completed", "manual")
    ]
    assert {each.told for each in other} == {(409, "session_ended")}
    assert len({each.json["handoff_id"] for each in other}) == 1
    orphan = account.get(f"/v1/handoffs/{other[0].json['handoff_id']}")
    assert (orphan["orphan"], orphan["orphan_reason"], orphan["summary"]) == (True, "session_ended", "no, half of it")
    assert orphan["id"] in other[0].json["detail"]
    assert account.start(scope="once")["last_handoff"]["id"] == orphan["id"]


def test_many_ends_with_one_handoff_at_once_leave_one(account: Account) -> None:
    session = account.start(scope="race", exclusive=True)
    body = {"fencing_token": session["fencing_token"], "handoff": {"summary": "done"}}
    request = account.request("POST", f"/v1/sessions/{session['id']}/end", body)
    keyed = account.request("POST", f"/v1/sessions/{session['id']}/end", body, Idempotency_Key="one-key-for-all")
    answers = account.server.ask_all([request, keyed] * 25)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert account.get("/v1/handoffs?include_total=true")["total"] == 1


def test_a_kept_refusal_is_replayed_under_its_key(account: Account) -> None:
    session = account.start(scope="replayed", exclusive=True)
    account.say("end", session)
    path, body = f"/v1/sessions/{session['id']}/end", {"handoff": {"summary": "my last words"}}
    first, again = (account.call("POST", path, body, Idempotency_Key="the-same-key") for _ in range(2))
    assert (first.told, again.told) == ((409, "session_ended"),) * 2
    assert first.json["handoff_id"] == again.json["handoff_id"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert account.get("/v1/handoffs?include_total=true")["total"] == 1


def test_a_session_that_fell_silent_leaves_a_draft_for_the_next_start(account: Account) -> None:
    old = account.start(scope="silent", exclusive=True, policy={"lease_seconds": 60, "fail_after_seconds": 300})
    account.server.serve(5_000)
    account.say("heartbeat", old, activity="compiling", status_note="nearly there")
    account.say("checkpoint", old, summary="the parser works", next_actions=["the lexer"], branch="dev")
    account.server.serve(6 * MINUTE_MS)
    # Nobody has swept yet: the start sees for itself.
    new = account.start(scope="silent", exclusive=True, holder_id="another", take_over={"reason": "it is silent"})
    left = new["last_handoff"]
    assert (left["auto"], left["session_id"], left["branch"]) == (True, old["id"], "dev")
    assert left["next_actions"] == ["the lexer"]
    for words in ("fell silent", "compiling", "nearly there", "the parser works"):
        assert words in left["summary"]
    assert left["payload"]["checkpoint"]["number"] == 1
    late = account.say("end", old, handoff={"summary": "I was only slow"})
    assert late.told == (409, "session_taken_over")
    assert account.get("/v1/handoffs/latest?from_agent=claude")["handoff"]["summary"] == "I was only slow"


def test_secrets_are_taken_out_before_anything_is_stored(account: Account) -> None:
    session = account.start(scope="secrets")
    said = {"work_completed": [f"pushed with {TOKEN}"], "payload": {"key": [TOKEN], TOKEN: "https://a:b@c.d/e"}}
    created = create(account, session, f"the token is {TOKEN}", **said)
    assert created.json["redactions"] >= 3
    handoff = account.get(f"/v1/handoffs/{created.json['id']}")
    assert handoff["payload"] == {"key": ["[redacted]"], "[redacted]": "https://[redacted]@c.d/e"}
    assert handoff["summary"] == "the token is [redacted]"
    assert handoff["payload_hash"] == hashlib.sha256(rfc8785.dumps(handoff["payload"])).hexdigest()
    written = account.say("checkpoint", session, summary=f"use {TOKEN}", state={"token": TOKEN}).json
    assert (written["summary"], written["state"], written["redactions"]) == (
        "use [redacted]",
        {"token": "[redacted]"},
        2,
    )
    plain = "a task-force of risk-assessment-2024 and shelf_1234567890123456 at https://example.org/a:b"
    assert account.say("checkpoint", session, summary=plain).json["summary"] == plain


def test_the_life_of_a_handoff_is_told(account: Account) -> None:
    session = account.start(scope="life")
    handoff_id = create(account, session).json["id"]
    path = f"/v1/handoffs/{handoff_id}/status"
    taken = account.call("POST", path, {"status": "acknowledged", "note": "mine"}).json
    assert (taken["status"], taken["status_note"], taken["acknowledged_by"]) == (
        "acknowledged",
        "mine",
        taken["created_by"],
    )
    assert account.call("POST", path, {"status": "acknowledged"}, by="operator").told == (409, "handoff_settled")
    done = account.call("POST", path, {"status": "done"}, by="operator").json
    assert (done["status"], done["acknowledged_at"]) == ("done", taken["acknowledged_at"])
    refused = account.call("POST", path, {"status": "returned"})
    assert (refused.told, refused.json["ways_out"][0]["path"]) == (
        (409, "handoff_settled"),
        f"/v1/handoffs/{handoff_id}",
    )
    assert account.call("POST", path, {"status": "expired"}).fields == {"status"}
    types = [each["type"] for each in account.events(session_id=session["id"])]
    assert types == ["session.started", "handoff.created", "handoff.acknowledged", "handoff.done"]
    assert account.get(f"/v1/sessions/{session['id']}/explain")["because"]["type"] == "session.started"


def test_handoffs_are_found_by_every_filter(account: Account) -> None:
    def begin(track: str) -> Json:
        scope = {"venture": "v", "repo": "o/r", "track": track}
        return account.start(scope=scope, holder_id=track, agent=f"agent-{track}")

    sessions = {"1": begin("1")}
    before = account.server.now()
    first = create(account, sessions["1"], "one", to_agent="codex-*", issue_number=7, status_label="blocked").json["id"]
    account.server.serve(HOUR_MS)
    between = account.server.now()
    sessions["2"] = begin("2")
    second = create(account, sessions["2"], "two", to_agent="codex-1", repo="o/other").json["id"]
    third = create(account, sessions["2"], "three", issue_number=7).json["id"]
    expected = {
        "venture=v": [third, second, first],
        "repo=o/r": [third, first],
        "track=1": [first],
        "venture=v&repo=o/r&track=2": [third],
        "issue_number=7": [third, first],
        "status_label=blocked": [first],
        "to_agent=codex-1": [second, first],
        "to_agent=codex-2": [first],
        "to_agent=cod": [],
        "from_agent=agent-2": [third, second],
        f"session_id={sessions['1']['id']}": [first],
        f"created_after={between}": [third, second],
        f"created_before={between}": [first],
        f"created_before={before}": [],
        "status=superseded": [first],
        "status=open": [third, second],
        "scope=venture%3Dv%3Brepo%3Do%252Fr%3Btrack%3D1": [first],
    }
    for query, ids in expected.items():
        page = account.get(f"/v1/handoffs?{query}&include_total=true")
        assert ([each["id"] for each in page["items"]], page["total"]) == (ids, len(ids)), query
        latest = account.get(f"/v1/handoffs/latest?{query}")["handoff"]
        assert (latest and latest["id"]) == (ids[0] if ids else None), query
    summaries = account.get("/v1/handoffs?fields=summary")["items"]
    assert {"payload", "next_actions"}.isdisjoint(summaries[0])
    assert summaries[0]["summary"] == "three"


def test_a_list_shows_each_handoff_once_though_its_pages_are_short(account: Account) -> None:
    session = account.start(scope="many")
    ids = [create(account, session, f"number {number}").json["id"] for number in range(7)]
    body = {"a": "x" * 700_000}
    ids += [create(account, session, f"long {number}", payload=body).json["id"] for number in range(7)]
    found = [each["id"] for each in account.each("/v1/handoffs", limit="10")]
    assert found == ids[::-1]


def test_a_payload_has_to_fit_the_schema_that_it_names(account: Account, other: Account) -> None:
    schema = {
        "type": "object",
        "required": ["score", "by"],
        "properties": {"score": {"$ref": "#/$defs/score"}},
        "$defs": {"score": {"type": "integer", "maximum": 10}},
    }
    path = "/v1/handoff-schemas/review/1"
    first, again = account.call("PUT", path, schema), account.call("PUT", path, {"schema": schema})
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert account.call("PUT", path, {"type": "object"}).told == (409, "handoff_schema_exists")
    assert account.get(path)["schema"] == schema
    assert [each["id"] for each in account.get("/v1/handoff-schemas")["items"]] == ["review/1"]
    assert other.call("GET", path).told == (404, "not_found")
    session = account.start(scope="schemas")
    wrong = create(account, session, schema="review/1", payload={"score": 11})
    assert (wrong.told, wrong.fields) == ((422, "validation_failed"), {"payload", "payload.score"})
    assert create(account, session, schema="review/2", payload={}).told == (404, "not_found")
    right = create(account, session, schema="review/1", payload={"score": 9, "by": "me"})
    assert (right.status, right.json["schema"]) == (201, "review/1")
    assert account.say("end", session, handoff={"summary": "s", "schema": "review/1"}).told == (
        422,
        "validation_failed",
    )
    assert account.session(session["id"])["status"] == "active"


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"$ref": "https://example.org/x.json"}, "schema.$ref"),
        ({"properties": {"a": {"items": [{"$ref": "other.json#/a"}]}}}, "schema.properties.a.items[0].$ref"),
        ({"$dynamicRef": "file:///etc/passwd"}, "schema.$dynamicRef"),
        ({"type": "objekt"}, "schema.type"),
        ({"$ref": "#/$defs/none"}, "schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "schema.$schema"),
        ({"pattern": "(?=a)"}, "schema.pattern"),
        ({"pattern": "("}, "schema.pattern"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(account: Account, schema: Json, field: str) -> None:
    refused = account.call("PUT", "/v1/handoff-schemas/review/1", schema)
    assert (refused.told, refused.fields) == ((422, "validation_failed"), {field})


def test_a_name_that_no_schema_can_have_is_refused(account: Account) -> None:
    assert account.call("PUT", "/v1/handoff-schemas/Re%20view/1", {}).fields == {"name"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"summary": ""}, {"summary"}),
        ({"summary": "x" * 5_001}, {"summary"}),
        ({"status_label": "x" * 65}, {"status_label"}),
        ({"to_agent": "a*b"}, {"to_agent"}),
        ({"blockers": ["x"] * 201}, {"blockers"}),
        (
            {"work_completed": [1, {"claim": "c"}]},
            {"work_completed[0]", "work_completed[1].kind", "work_completed[1].value"},
        ),
        ({"next_actions": [{"claim": "c", "kind": "url", "value": "v", "sha256": "x"}]}, {"next_actions[0].sha256"}),
        ({"schema": "review"}, {"schema"}),
        ({"summry": "s"}, {"summry"}),
        ({"issue_number": 0}, {"issue_number"}),
        ({"payload": []}, {"payload"}),
    ],
)
def test_every_bad_field_of_a_handoff_is_named(account: Account, fields: Json, wrong: set[str]) -> None:
    session = account.start(scope="bad")
    refused = create(account, session, **fields)
    assert (refused.status, refused.fields) == (422, wrong)


def test_handoffs_of_others_are_not_there(account: Account, other: Account) -> None:
    session = account.start(scope={"venture": "v", "project_id": "p1"})
    handoff_id = create(account, session).json["id"]
    foreign, unknown = (
        other.call("GET", f"/v1/handoffs/{each}", X_Request_Id="x").json | {"instance": ""}
        for each in (handoff_id, "ho_none")
    )
    assert (foreign["status"], foreign) == (404, unknown)
    assert other.call("POST", f"/v1/handoffs/{handoff_id}/status", {"status": "done"}).told == (404, "not_found")
    assert other.get("/v1/handoffs")["items"] == []
    assert other.get("/v1/handoffs/latest") == {"handoff": None}
    made = {
        project: account.call("POST", "/v1/keys", {"name": "b", "project_id": project}, by="admin").json["key"]
        for project in ("p1", "p2")
    }
    for project, count in (("p1", 1), ("p2", 0)):
        headers = {"Authorization": f"Bearer {made[project]}"}
        found = account.server.call("GET", "/v1/handoffs", headers=headers)  # type: ignore[arg-type]
        assert len(found.json["items"]) == count
        one = account.server.call("GET", f"/v1/handoffs/{handoff_id}", headers=headers)  # type: ignore[arg-type]
        assert one.status == (200 if count else 404)


def test_a_fault_of_a_handoff_that_comes_with_the_end_is_named_by_its_whole_path(account: Account) -> None:
    session = account.start()
    body = {"fencing_token": session["fencing_token"], "handoff": {"summary": "x", "blockers": [{"claim": 1}]}}
    refused = account.request("POST", f"/v1/sessions/{session['id']}/end", body)
    fields = [each["field"] for each in account.server.ask(refused).json["errors"]]
    assert fields
    assert all(field.startswith("handoff.blockers[0]") for field in fields), fields
    assert account.session(session["id"])["status"] == "active"
