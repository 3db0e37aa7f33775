"""Every request and reply that the README of Crane Context shows, replayed as it stands there; ids and times aside."""

import json
import re
from typing import Any

from tests.api.driver import Account, Headers, Json, Response

SOD = """
{
  "schema_version": "1.0",
  "agent": "cc-cli-host",
  "client": "cc-cli",
  "venture": "dfg",
  "repo": "durganfieldguide/dfg-console",
  "track": 1,
  "issue_number": 185
}
"""
SOD_REPLY = """
{
  "session": {
    "id": "sess_01HQXV3NK8...",
    "status": "active",
    "created_at": "2026-01-17T10:00:00Z",
    "last_heartbeat_at": "2026-01-17T10:00:00Z",
    "schema_version": "1.0"
  },
  "last_handoff": {},
  "active_sessions": []
}
"""
EOD = """
{
  "schema_version": "1.0",
  "session_id": "sess_01HQXV3NK8...",
  "handoff": {
    "summary": "Completed authentication implementation",
    "status_label": "ready-for-review",
    "work_completed": ["Implemented JWT middleware"],
    "blockers": [],
    "next_actions": ["Review PR #123"]
  }
}
"""
HEARTBEAT_REPLY = """
{
  "session_id": "sess_01HQXV3NK8...",
  "last_heartbeat_at": "2026-01-17T14:30:00Z",
  "next_heartbeat_at": "2026-01-17T14:41:23Z",
  "heartbeat_interval_seconds": 683
}
"""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


def post(account: Account, path: str, body: str, **headers: str) -> Response:
    """What is answered to a request as the README has it."""
    given: Headers = {"X-Relay-Key": account.keys["agent"], "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return account.server.call("POST", path, body.encode(), given)


def get(account: Account, target: str) -> Json:
    """What is found."""
    response = account.server.call("GET", target, headers={"X-Relay-Key": account.keys["agent"]})
    assert response.status == 200, response
    found: Json = response.json
    return found


def fits(shown: Any, found: Any) -> bool:
    """Whether what was found is what is shown: the same fields at least, ids, times and drawn numbers of their form."""
    match shown:
        case dict():
            return isinstance(found, dict) and all(fits(value, found.get(name)) for name, value in shown.items())
        case str() if _TIME.fullmatch(shown):
            return isinstance(found, str) and _TIME.fullmatch(found) is not None
        case str() if shown.endswith("..."):
            return isinstance(found, str) and re.fullmatch(shown[:5] + "[0-9A-HJKMNP-TV-Z]{26}", found) is not None
        case 683:
            return type(found) is int and 480 <= found <= 720
        case _:
            return bool(shown == found)


def test_the_readme_is_answered_as_it_says(account: Account) -> None:
    earlier = post(account, "/sod", SOD).json["session_id"]
    assert post(account, "/eod", EOD.replace("sess_01HQXV3NK8...", earlier)).status == 200

    started = post(account, "/sod", SOD)
    assert started.status == 200
    assert fits(json.loads(SOD_REPLY), started.json), started.json
    session_id = started.json["session"]["id"]

    about = json.dumps({"session_id": session_id})
    assert post(account, "/update", about, idempotency_key="2d0ff8f5-8b8c-4d2f-8a9d-6a8a2f8f0f11").status == 200
    beat = post(account, "/heartbeat", about)
    assert fits(json.loads(HEARTBEAT_REPLY), beat.json), beat.json
    assert beat.json.keys() == json.loads(HEARTBEAT_REPLY).keys()

    for query in (
        "venture=dfg",
        "repo=durganfieldguide/dfg-console",
        "agent=cc-cli-host",
        "venture=dfg&track=1&limit=5",
    ):
        assert [each["id"] for each in get(account, f"/active?{query}")["sessions"]] == [session_id]

    eod = EOD.replace("sess_01HQXV3NK8...", session_id)
    ended = post(account, "/eod", eod, idempotency_key="0e8ff1d0-3f3f-4ef7-9d9f-0d6c1d9f1a22")
    assert ended.status == 200
    assert post(account, "/eod", eod).content == ended.content

    latest = get(account, "/handoffs/latest?venture=dfg&repo=durganfieldguide/dfg-console&track=1&issue_number=185")
    assert fits(json.loads(EOD)["handoff"], latest["handoff"])
    assert latest["handoff"]["id"] == ended.json["handoff_id"]
    assert len(get(account, "/handoffs?venture=dfg")["handoffs"]) == 2


def test_one_key_serves_several_paths(account: Account) -> None:
    """Idempotency keys are scoped per endpoint."""
    session_id = post(account, "/sod", SOD, idempotency_key="one").json["session_id"]
    about = json.dumps({"session_id": session_id})
    for path, body in (
        ("/update", about),
        ("/heartbeat", about),
        ("/eod", EOD.replace("sess_01HQXV3NK8...", session_id)),
    ):
        answer = post(account, path, body, idempotency_key="one")
        assert (answer.status, "x-idempotency-hit" in answer.headers) == (200, False)
