"""What a start does on a scope that has sessions, what it says of itself, and what a report and a stop do."""

from typing import Any, Final

import pytest

from holdfast.domain.limits import DAY_MS
from tests.api.driver import Account, Json
from tests.api.scenes import FAIL_AFTER_MS, LEASE_MS, REVIVABLE, STRICT, VERBS, reach

SCOPE: Final = "repo=holdfast"


def told(account: Account, *, by: str = "agent", **fields: Any) -> tuple[int, str]:
    """The status, and the outcome or the problem's code, of a start on the scope."""
    body = {"agent": "claude", "scope": SCOPE} | fields
    response = account.call("POST", "/v1/sessions", body, by=by)
    return response.status, response.code or response.json["outcome"]


def test_the_same_identity_resumes_its_session_under_the_next_token(account: Account) -> None:
    first = account.start(scope=SCOPE, holder_id="holder-1")
    second = account.start(scope=SCOPE, holder_id="holder-1")
    assert (first["outcome"], second["outcome"]) == ("created", "resumed")
    assert (second["id"], second["fencing_token"]) == (first["id"], first["fencing_token"] + 1)


@pytest.mark.parametrize("difference", [{"agent": "codex"}, {"holder_id": "holder-2"}, {"scope": "repo=other"}])
def test_another_identity_gets_a_session_of_its_own(difference: Json, account: Account) -> None:
    first = account.start(scope=SCOPE, holder_id="holder-1")
    second = account.start(**({"scope": SCOPE, "holder_id": "holder-1"} | difference))
    assert second["outcome"] == "created"
    assert account.session(first["id"])["status"] == account.session(second["id"])["status"] == "active"


@pytest.mark.parametrize("state", ["active", "paused", "parked", "stalled", "stalled, strict", "failed by silence"])
@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
def test_a_session_that_still_holds_its_scope_is_resumed_whatever_its_policy(
    state: str, is_exclusive: bool, account: Account
) -> None:
    (subject,) = reach(account, state, times=1, is_exclusive=is_exclusive)
    resumed = account.start(scope=subject.scope, holder_id="holder-1")
    seen = (resumed["id"], resumed["outcome"], resumed["status"], resumed["exclusive"], resumed["liveness"])
    assert seen == (subject.id, "resumed", "active", is_exclusive, "live")
    assert resumed["fencing_token"] == subject.token + 1


@pytest.mark.parametrize("state", ["failed by report", "abandoned", "ended", "stalled, taken over"])
def test_a_session_that_holds_nothing_any_more_is_not_resumed(state: str, account: Account) -> None:
    (subject,) = reach(account, state, times=1, is_exclusive=False)
    started = account.start(scope=subject.scope, holder_id="holder-1")
    assert (started["outcome"], started["id"] != subject.id) == ("created", True)
    assert started["fencing_token"] > subject.token


def test_the_clients_own_id_finds_the_session_whoever_asks(account: Account) -> None:
    first = account.start(scope=SCOPE, holder_id="holder-1", client_session_id="client-1")
    second = account.start(scope=SCOPE, holder_id="holder-2", agent="codex", client_session_id="client-1")
    third = account.start(client_session_id="client-1")
    assert {each["id"] for each in (second, third)} == {first["id"]}
    assert told(account, scope="repo=other", client_session_id="client-1") == (409, "client_session_id_reused")
    account.say("end", third)
    fourth = account.start(scope="repo=other", client_session_id="client-2")
    assert fourth["outcome"] == "created"
    assert told(account, client_session_id="client-1") == (201, "created")


def test_a_start_without_a_scope_is_a_session_of_its_own(account: Account) -> None:
    first, second = account.start(), account.start()
    assert (first["scope"], second["scope"]) == (f"session={first['id']}", f"session={second['id']}")
    assert (first["last_checkpoint"], first["recoverable"]) == (None, [])


@pytest.mark.parametrize("first", [True, False], ids=["exclusive", "shared"])
@pytest.mark.parametrize("second", [True, False], ids=["exclusive", "shared"])
@pytest.mark.parametrize("met", [(0, "lease_held"), (LEASE_MS - 1, "lease_held"), (LEASE_MS, "scope_lapsed")])
@pytest.mark.parametrize("policy", [REVIVABLE, STRICT], ids=["revivable", "strict"])
def test_two_share_a_scope_only_if_neither_wants_it_alone(
    first: bool, second: bool, met: tuple[int, str], policy: Json, account: Account
) -> None:
    silent_ms, code = met
    holder = account.start(scope=SCOPE, holder_id="holder-1", exclusive=first, policy=policy)
    account.server.serve(silent_ms)
    response = account.call("POST", "/v1/sessions", {"agent": "codex", "scope": SCOPE, "exclusive": second})
    if not (first or second):
        assert response.status == 201
        return
    assert response.told == (409, code)
    assert response.json["session_id"] == holder["id"]
    assert account.session(holder["id"])["status"] == "active"


@pytest.mark.parametrize("on_conflict", ["reject", None])
def test_of_fifty_parallel_starts_of_an_exclusive_session_one_wins(on_conflict: str | None, account: Account) -> None:
    more = {} if on_conflict is None else {"on_conflict": on_conflict}
    bodies = [
        {"agent": "claude", "holder_id": f"holder-{number}", "scope": SCOPE, "exclusive": True} | more
        for number in range(50)
    ]
    responses = account.server.ask_all([account.request("POST", "/v1/sessions", body) for body in bodies])
    assert sorted(response.told for response in responses) == [(201, None), *[(409, "lease_held")] * 49]
    assert account.get("/v1/sessions?include_total=true")["total"] == 1


def test_parallel_starts_of_one_identity_get_one_session(account: Account) -> None:
    body = {"agent": "claude", "holder_id": "holder-1", "scope": SCOPE, "exclusive": True}
    responses = account.server.ask_all([account.request("POST", "/v1/sessions", body) for _ in range(12)])
    assert len({response.json["id"] for response in responses}) == 1
    assert sorted(response.status for response in responses) == [*[200] * 11, 201]
    assert len({response.json["fencing_token"] for response in responses}) == 12


@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
def test_a_start_that_takes_over_gets_what_the_lapsed_one_left(is_exclusive: bool, account: Account) -> None:
    (old,) = reach(account, "active", times=1, is_exclusive=is_exclusive)
    checkpoint = account.server.ask(VERBS["checkpoint"](old)).json
    account.server.serve(LEASE_MS)
    fields = {"scope": old.scope, "holder_id": "holder-2", "agent": "codex", "take_over": {"reason": "it is silent"}}
    response = account.call("POST", "/v1/sessions", fields)
    new = response.json
    assert (response.status, new["outcome"], new["took_over_from"]) == (201, "taken_over", old.id)
    assert (new["fencing_token"], new["exclusive"]) == (old.token + 1, is_exclusive)
    assert (new["last_checkpoint"]["id"], new["last_checkpoint"]["summary"]) == (checkpoint["id"], "half of it is done")
    before = account.session(old.id)
    assert (before["status"], before["end_reason"], before["status_reason"], before["taken_over_by"]) == (
        "ended", "taken_over", "it is silent", new["id"],
    )  # fmt: skip
    assert [event["type"] for event in account.events()][-3:] == [
        "session.stalled", "session.taken_over", "session.started",
    ]  # fmt: skip


def test_a_start_takes_over_the_newest_lapsed_one_unless_one_is_named(account: Account) -> None:
    first, second, third = (
        account.start(scope=SCOPE, holder_id=f"holder-{number}", policy=REVIVABLE) for number in range(3)
    )
    account.server.serve(LEASE_MS)
    account.start(scope=SCOPE, holder_id="holder-2")
    wish: Json = {"reason": "it is silent"}
    taken = [account.start(scope=SCOPE, holder_id=f"successor-{each}", take_over=wish) for each in range(3)]
    assert [each["took_over_from"] for each in taken] == [second["id"], first["id"], None]
    assert account.session(third["id"])["status"] == "active"
    named = {"reason": "it is silent", "session_id": first["id"]}
    assert told(account, holder_id="successor-3", take_over=named) == (409, "session_taken_over")
    elsewhere = account.start(scope="repo=other", holder_id="holder-9", policy=REVIVABLE)
    named = {"reason": "it is silent", "session_id": elsewhere["id"]}
    assert told(account, holder_id="successor-4", take_over=named) == (422, "validation_failed")


def test_a_named_lapsed_session_is_taken_over_before_the_own_one_is_resumed(account: Account) -> None:
    lapsed = account.start(scope=SCOPE, holder_id="holder-1", policy=REVIVABLE)
    account.server.serve(LEASE_MS)
    own = account.start(scope=SCOPE, holder_id="holder-2")
    wish = {"reason": "it is silent", "session_id": lapsed["id"]}
    taken = account.start(scope=SCOPE, holder_id="holder-2", take_over=wish)
    assert (taken["outcome"], taken["took_over_from"], taken["id"] != own["id"]) == ("taken_over", lapsed["id"], True)


def test_nobody_takes_over_from_a_live_exclusive_holder_by_a_start(account: Account) -> None:
    account.start(scope=SCOPE, holder_id="holder-1", exclusive=True, policy=REVIVABLE)
    assert told(account, holder_id="holder-2", take_over={"reason": "I want it"}) == (409, "lease_held")
    assert told(account, holder_id="holder-2", exclusive=True, take_over={"reason": "now"}) == (409, "lease_held")


def test_a_wish_to_take_over_where_nothing_lapsed_is_an_ordinary_start(account: Account) -> None:
    assert told(account, take_over={"reason": "just in case"}) == (201, "created")


def test_supersede_ends_the_own_session_and_starts_anew(account: Account) -> None:
    first = account.start(scope=SCOPE, holder_id="holder-1", exclusive=True)
    second = account.start(scope=SCOPE, holder_id="holder-1", exclusive=True, on_conflict="supersede")
    assert (second["outcome"], second["id"] != first["id"]) == ("created", True)
    before = account.session(first["id"])
    assert (before["status"], before["end_reason"]) == ("ended", "superseded")


def test_supersede_ends_nobody_elses_session_unless_an_operator_forces_it(account: Account) -> None:
    first = account.start(scope=SCOPE, holder_id="holder-1", exclusive=True)
    wish: Json = {"holder_id": "holder-2", "exclusive": True, "on_conflict": "supersede"}
    assert told(account, **wish) == (409, "lease_held")
    assert told(account, **wish, by="operator") == (409, "lease_held")
    assert told(account, **wish, force=True, reason="I am in a hurry") == (403, "forbidden")
    assert told(account, **wish, force=True, by="operator") == (422, "validation_failed")
    assert account.session(first["id"])["status"] == "active"
    assert told(account, **wish, force=True, reason="it is mine", by="operator") == (201, "created")
    before = account.session(first["id"])
    assert (before["status"], before["end_reason"]) == ("ended", "superseded")
    (record,) = account.each("/v1/audit", action="session.superseded")
    assert (record["target"], record["reason"]) == (first["id"], "it is mine")


def test_supersede_leaves_those_alone_with_whom_a_scope_is_shared(account: Account) -> None:
    first = account.start(scope=SCOPE, holder_id="holder-1")
    account.start(scope=SCOPE, holder_id="holder-2", on_conflict="supersede")
    assert account.session(first["id"])["status"] == "active"


def test_a_scope_in_parts_is_the_same_as_its_string(account: Account) -> None:
    parts = {"workspace": "w/1", "track": 7, "repo": "a;b=c", "venture": "v", "project_id": "p ü"}
    scope = "project_id=p%20%C3%BC;venture=v;repo=a%3Bb%3Dc;track=7;workspace=w%2F1"
    at_top = account.start(**parts, holder_id="holder-1")
    below = account.start(scope=parts, holder_id="holder-1")
    as_text = account.start(scope=scope, holder_id="holder-1")
    assert {each["scope"] for each in (at_top, below, as_text)} == {scope}
    assert {each["id"] for each in (at_top, below, as_text)} == {at_top["id"]}
    found = account.session(at_top["id"])
    assert {name: found[name] for name in parts} == parts | {"track": "7"}


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("", 422),
        ("a\nb", 422),
        ("a\u202eb", 422),
        ("x" * 1_000, 201),
        ("x" * 1_001, 422),
        ("ü" * 500, 201),
        ("ü" * 501, 422),
        ({"repo": "ü" * 128, "venture": "ü" * 128}, 422),
        ({"repo": ""}, 422),
        ({"repo": "x", "branch": "y"}, 422),
        ({}, 201),
        (7, 422),
        (None, 201),
    ],
)
def test_a_scope_is_bounded_and_printable(scope: object, status: int, account: Account) -> None:
    response = account.call("POST", "/v1/sessions", {"agent": "claude", "scope": scope})
    assert response.status == status, response
    if status == 422:
        assert all(field.startswith("scope") for field in response.fields)


def test_what_a_start_says_is_what_is_read(account: Account) -> None:
    said: Json = {
        "agent": "claude",
        "holder_id": "holder-1",
        "mode": "review",
        "machine_id": "machine-1",
        "slot": 3,
        "parent_id": "parent-1",
        "group_id": "group-1",
        "client_session_id": "client-1",
        "exclusive": True,
        "branch": "topic",
        "commit_sha": "0a1b2c",
        "issue_number": 12,
        "meta": {"lease_ms": 5, "at_ms": 6, "x_json": "{", "1e21": 1e21, "refusal": {"code": "ü\u2028"}, "null": None},
    }
    started = account.start(**said)
    read = account.session(started["id"])
    assert {name: read[name] for name in said} == said
    assert read.items() <= started.items()


def test_resuming_keeps_what_is_not_said_again(account: Account) -> None:
    account.start(scope=SCOPE, holder_id="holder-1", mode="review", meta={"a": 1}, policy=STRICT, group_id="group-1")
    resumed = account.start(scope=SCOPE, holder_id="holder-1", meta={"b": 2})
    assert (resumed["mode"], resumed["meta"], resumed["group_id"]) == ("review", {"b": 2}, "group-1")
    assert resumed["policy"]["on_lapse"] == "strict"
    resumed = account.start(scope=SCOPE, holder_id="holder-1", policy="crane")
    assert (resumed["policy"]["preset"], resumed["policy"]["lease_seconds"]) == ("crane", 2700)


def test_a_start_is_told_what_was_left_on_its_scope(account: Account) -> None:
    (lapsed,) = reach(account, "active", times=1, is_exclusive=False)
    account.server.ask(VERBS["checkpoint"](lapsed))
    account.server.serve(LEASE_MS)
    started = account.start(scope=lapsed.scope, holder_id="holder-2")
    assert started["last_checkpoint"]["session_id"] == lapsed.id
    assert [(each["id"], each["status"], each["can_resume"]) for each in started["recoverable"]] == [
        (lapsed.id, "stalled", True)
    ]


def test_a_start_is_told_of_all_that_broke_off_on_its_scope_and_was_not_followed(account: Account) -> None:
    failed, abandoned, archived, taken = (
        account.start(scope=SCOPE, holder_id=f"holder-{number}", policy={"lease_seconds": 10}) for number in range(4)
    )
    for _ in range(2):
        account.server.serve(DAY_MS)
        account.server.sweep()
    assert {account.session(each["id"])["status"] for each in (failed, abandoned, archived, taken)} == {"abandoned"}
    reported = account.start(scope=SCOPE, holder_id="holder-9")
    account.say("fail", reported, reason="it crashed")
    account.say("archive", archived)
    account.say("takeover", taken, fencing_token=..., reason="mine now", holder_id="holder-8")
    started = account.start(scope=SCOPE, holder_id="holder-10")
    told = [(each["id"], each["status"], each["can_resume"], each["can_recover"]) for each in started["recoverable"]]
    assert told == [
        (reported["id"], "failed", False, True),
        (abandoned["id"], "abandoned", False, True),
        (failed["id"], "abandoned", False, True),
    ]
    account.say("recover", reported, fencing_token=..., holder_id="holder-11")
    again = account.start(scope=SCOPE, holder_id="holder-10")
    assert [each["id"] for each in again["recoverable"]] == [abandoned["id"], failed["id"]]
    assert account.start(scope="another", holder_id="holder-10")["recoverable"] == []


def test_parts_beside_a_scope_in_parts_belong_to_it(account: Account) -> None:
    started = account.start(scope={"repo": "a"}, project_id="p", holder_id="holder-1")
    assert (started["scope"], started["repo"], started["project_id"]) == ("project_id=p;repo=a", "a", "p")
    same = account.start(scope={"repo": "a", "project_id": "p"}, repo="a", holder_id="holder-1")
    assert same["id"] == started["id"]
    beside_text = account.start(scope="repo=a", repo="a", project_id="p", holder_id="holder-1")
    assert (beside_text["scope"], beside_text["project_id"]) == ("repo=a", "p")
    body = {"scope": {"repo": "a"}, "repo": "b", "agent": "claude"}
    refused = account.call("POST", "/v1/sessions", body)
    assert (refused.told, [each["field"] for each in refused.json["errors"]]) == ((422, "validation_failed"), ["repo"])


MONITOR: Final = {
    "preset": "monitor",
    "lease_seconds": 180,
    "heartbeat_interval_seconds": 60,
    "heartbeat_jitter_seconds": 5,
    "grace_seconds": 60,
    "fail_after_seconds": 900,
    "on_lapse": "revivable",
}
CRANE: Final = MONITOR | {
    "preset": "crane",
    "lease_seconds": 2700,
    "heartbeat_interval_seconds": 600,
    "heartbeat_jitter_seconds": 120,
    "grace_seconds": 600,
    "fail_after_seconds": None,
}
INTERACTIVE: Final = CRANE | {
    "preset": "interactive",
    "lease_seconds": 28_801,
    "heartbeat_interval_seconds": None,
    "heartbeat_jitter_seconds": 0,
    "grace_seconds": 0,
}
CUSTOM: Final = {
    "preset": "custom",
    "lease_seconds": 36,
    "heartbeat_interval_seconds": 12,
    "heartbeat_jitter_seconds": 1,
    "grace_seconds": 12,
    "fail_after_seconds": 180,
    "on_lapse": "revivable",
}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, MONITOR),
        ("monitor", MONITOR),
        ({}, MONITOR),
        ({"preset": "monitor", "fail_after_seconds": 180}, MONITOR | {"fail_after_seconds": 180}),
        ({"on_lapse": "strict"}, MONITOR | {"on_lapse": "strict"}),
        ("crane", CRANE),
        ("interactive", INTERACTIVE),
        ({"lease_seconds": 36}, CUSTOM),
        ({"lease_seconds": 36.0, "on_lapse": "strict"}, CUSTOM | {"on_lapse": "strict"}),
        ({"preset": "autonomous", "lease_seconds": 36}, CUSTOM | {"preset": "autonomous", "on_lapse": "strict"}),
        (
            {"lease_seconds": 36, "heartbeat_interval_seconds": 24},
            CUSTOM | {"heartbeat_interval_seconds": 24, "heartbeat_jitter_seconds": 2},
        ),
        ({"lease_seconds": 36, "heartbeat_interval_seconds": 6, "heartbeat_jitter_seconds": 0}, CUSTOM | {
            "heartbeat_interval_seconds": 6, "heartbeat_jitter_seconds": 0, "grace_seconds": 6,
        }),
        ({"lease_seconds": 1}, CUSTOM | {
            "lease_seconds": 1, "heartbeat_interval_seconds": 0.333, "heartbeat_jitter_seconds": 0.027,
            "grace_seconds": 0.333, "fail_after_seconds": 5,
        }),
        ({"lease_seconds": 30 * 86_400, "fail_after_seconds": 30 * 86_400}, CUSTOM | {
            "lease_seconds": 2_592_000, "heartbeat_interval_seconds": 864_000, "heartbeat_jitter_seconds": 72_000,
            "grace_seconds": 864_000, "fail_after_seconds": 2_592_000,
        }),
        ({"lease_seconds": 36, "heartbeat_interval_seconds": 20, "grace_seconds": 16}, CUSTOM | {
            "heartbeat_interval_seconds": 20, "heartbeat_jitter_seconds": 1.666, "grace_seconds": 16,
        }),
    ],
)  # fmt: skip
def test_a_policy_is_a_preset_or_follows_from_its_lease(policy: object, expected: Json, account: Account) -> None:
    session = account.start(policy=policy)
    assert account.session(session["id"])["policy"] == expected
    lease_ms = round(expected["lease_seconds"] * 1_000)
    assert session["lease_expires_at"] == account.server.now(plus_ms=lease_ms)


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ("monitors", {"policy.preset"}),
        ({"preset": "custom"}, {"policy.preset"}),
        ("autonomous", {"policy.lease_seconds"}),
        ({"lease_seconds": 0.999}, {"policy.lease_seconds"}),
        ({"lease_seconds": 30 * 86_400 + 1}, {"policy.lease_seconds"}),
        ({"lease_seconds": 36, "heartbeat_interval_seconds": 20, "grace_seconds": 16.001}, {"policy.lease_seconds"}),
        ({"lease_seconds": 36, "heartbeat_interval_seconds": 37}, {"policy.lease_seconds"}),
        ({"preset": "monitor", "lease_seconds": 119}, {"policy.lease_seconds"}),
        ({"lease_seconds": 36, "heartbeat_interval_seconds": 0}, {"policy.heartbeat_interval_seconds"}),
        ({"lease_seconds": 36, "heartbeat_jitter_seconds": 12}, {"policy.heartbeat_jitter_seconds"}),
        ({"lease_seconds": 36, "fail_after_seconds": 35}, {"policy.fail_after_seconds"}),
        ({"lease_seconds": 36, "fail_after_seconds": 366 * 86_400}, {"policy.fail_after_seconds"}),
        (
            {"lease_seconds": 0, "heartbeat_jitter_seconds": 99, "fail_after_seconds": 1e10},
            {"policy.lease_seconds", "policy.heartbeat_jitter_seconds", "policy.fail_after_seconds"},
        ),
        ({"lease_seconds": -1}, {"policy.lease_seconds"}),
        ({"lease_seconds": "60"}, {"policy.lease_seconds"}),
        ({"lease_seconds": 60, "on_lapse": "never"}, {"policy.on_lapse"}),
        ({"lease": 60, "graze": 1}, {"policy.lease", "policy.graze"}),
        (60, {"policy"}),
        ([], {"policy"}),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused_by_field(
    policy: object, fields: set[str], account: Account
) -> None:
    response = account.call("POST", "/v1/sessions", {"agent": "claude", "policy": policy})
    assert response.told == (422, "validation_failed")
    assert response.fields >= fields
    assert account.get("/v1/sessions")["items"] == []


def reported(**fields: Any) -> Json:
    """A report of a session that ran for an hour."""
    return {
        "client_session_id": "client-1",
        "agent": "claude",
        "scope": SCOPE,
        "started_at": "2026-01-16T10:00:00.000Z",
        "ended_at": "2026-01-16T12:00:00+01:00",
    } | fields


def test_a_report_records_a_session_that_ran_while_nobody_listened(account: Account) -> None:
    response = account.call("POST", "/v1/sessions/report", reported(exit_code=0, meta={"a": 1}))
    session = response.json
    assert response.status == 201
    assert {name: session[name] for name in (
        "status", "end_reason", "reported_late", "started_at", "ended_at", "exit_code", "lease_expires_at", "liveness",
        "client_session_id", "scope", "meta", "exclusive",
    )} == {
        "status": "ended",
        "end_reason": "completed",
        "reported_late": True,
        "started_at": "2026-01-16T10:00:00.000Z",
        "ended_at": "2026-01-16T11:00:00.000Z",
        "exit_code": 0,
        "lease_expires_at": None,
        "liveness": None,
        "client_session_id": "client-1",
        "scope": SCOPE,
        "meta": {"a": 1},
        "exclusive": False,
    }  # fmt: skip
    assert "fencing_token" not in session
    assert account.session(session["id"]) == session
    assert [event["type"] for event in account.events()] == ["session.ended"]
    assert told(account, exclusive=True) == (201, "created")


def test_a_report_said_again_is_answered_as_it_stands(account: Account) -> None:
    first = account.call("POST", "/v1/sessions/report", reported(exit_code=3))
    again = account.call("POST", "/v1/sessions/report", reported(exit_code=3))
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert (first.json["end_reason"], len(account.events())) == ("crashed", 1)


def test_a_report_of_a_session_that_was_started_after_all_ends_it(account: Account) -> None:
    started = account.start(scope=SCOPE, exclusive=True, client_session_id="client-1")
    path = "/v1/sessions/report"
    assert account.call("POST", path, reported(fencing_token=99)).told == (409, "fencing_token_stale")
    assert account.call("POST", path, reported()).told == (428, "fencing_token_required")
    ended = account.call("POST", path, reported(fencing_token=started["fencing_token"])).json
    assert (ended["id"], ended["status"], ended["reported_late"]) == (started["id"], "ended", True)
    assert told(account, exclusive=True, holder_id="holder-2") == (201, "created")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ended_at": "2026-01-16T09:59:59.999Z"}, {"ended_at"}),
        ({"started_at": "yesterday", "ended_at": "2026-01-16"}, {"started_at", "ended_at"}),
        ({"started_at": "2026-01-16T10:00:00"}, {"started_at"}),
        ({"client_session_id": None, "agent": ""}, {"client_session_id", "agent"}),
        ({"end_reason": "bored"}, {"end_reason"}),
        ({"exit_code": 1.5}, {"exit_code"}),
    ],
)
def test_a_report_that_cannot_be_is_refused_by_field(fields: Json, named: set[str], account: Account) -> None:
    response = account.call("POST", "/v1/sessions/report", reported(**fields))
    assert (response.status, response.fields) == (422, named)
    assert account.get("/v1/sessions")["items"] == []


def test_whoever_is_asked_to_stop_hears_it_with_the_next_beat(account: Account) -> None:
    session = account.start(scope=SCOPE, exclusive=True)
    assert account.say("stop", session, reason="it costs too much").json["stop_requested"] is True
    beat = account.say("heartbeat", session).json
    assert (beat["stop_requested"], beat["stop_reason"]) == (True, "it costs too much")
    batch = {"heartbeats": [{"session_id": session["id"], "fencing_token": session["fencing_token"]}]}
    (result,) = account.call("POST", "/v1/heartbeats", batch).json["results"]
    assert (result["stop_requested"], result["stop_reason"]) == (True, "it costs too much")
    resumed = account.start(scope=SCOPE)
    assert (resumed["outcome"], resumed["stop_requested"]) == ("resumed", False)
    assert account.say("heartbeat", resumed).json["stop_requested"] is False
    assert [event["type"] for event in account.events()].count("session.stop_requested") == 1


def test_a_parked_session_is_woken_once_and_stays_parked(account: Account) -> None:
    session = account.start(scope=SCOPE, exclusive=True)
    wake_at = account.server.now(plus_ms=2 * DAY_MS)
    account.say("park", session, wake_at=wake_at, reason="over the weekend")
    account.server.serve(2 * DAY_MS - 1)
    account.server.sweep()
    assert "session.wake" not in [event["type"] for event in account.events()]
    account.server.serve(1)
    for _ in range(3):
        account.server.sweep()
        account.server.serve(DAY_MS)
    (event,) = [event for event in account.events() if event["type"] == "session.wake"]
    assert (event["at"], event["rule"]) == (wake_at, "wake_time_reached")
    assert account.session(session["id"])["status"] == "parked"
    assert account.say("heartbeat", session).json["status"] == "parked"
    assert account.say("resume", session).json["lease_expires_at"] == account.server.now(plus_ms=180_000)


def test_a_paused_session_lives_by_its_beats(account: Account) -> None:
    session = account.start(scope=SCOPE, exclusive=True, policy=REVIVABLE)
    account.say("pause", session)
    for _ in range(3):
        account.server.serve(LEASE_MS - 1)
        beat = account.say("heartbeat", session).json
        assert (beat["status"], beat["reactivated"]) == ("paused", False)
    account.server.serve(LEASE_MS)
    account.server.sweep()
    assert account.session(session["id"])["status"] == "stalled"
    assert account.say("heartbeat", session).json["reactivated"] is True


def test_beats_too_close_together_are_answered_and_not_written(account: Account) -> None:
    session = account.start(policy={"lease_seconds": 60, "heartbeat_interval_seconds": 20})
    at_first = account.session(session["id"])
    account.server.serve(999)
    beat = account.say("heartbeat", session, activity="reading")
    assert beat.status == 200
    assert account.session(session["id"]) == at_first
    account.server.serve(1)
    account.say("heartbeat", session, activity="reading", progress=7, status_note="fine")
    now = account.session(session["id"])
    assert (now["last_heartbeat_at"], now["activity"], now["progress"], now["status_note"]) == (
        account.server.now(), "reading", 7, "fine",
    )  # fmt: skip
    assert (now["revision"], now["lease_expires_at"]) == (at_first["revision"], account.server.now(plus_ms=60_000))


def test_the_next_beat_is_put_off_by_the_servers_own_jitter(account: Account) -> None:
    sessions = [account.start(policy="crane", scope=f"scope {number}") for number in range(20)]
    earliest, latest = account.server.now(plus_ms=480_000), account.server.now(plus_ms=720_000)
    times = [session["next_heartbeat_at"] for session in sessions]
    assert all(earliest <= time <= latest for time in times)
    assert len(set(times)) > 10


def test_a_holder_is_the_key_unless_it_names_itself(account: Account) -> None:
    (key,) = [key for key in account.each("/v1/keys") if key["scope"] == "agent"]
    assert account.start()["holder_id"] == key["id"]


def test_a_session_that_fell_silent_is_failed_by_the_time_of_its_last_beat(account: Account) -> None:
    session = account.start(scope=SCOPE, policy=REVIVABLE)
    started_at = session["started_at"]
    account.server.serve(2 * FAIL_AFTER_MS)
    account.server.sweep()
    stalled, failed = account.events()[-2:]
    assert (stalled["type"], failed["type"]) == ("session.stalled", "session.failed")
    assert (stalled["data"]["last_heartbeat_at"], failed["data"]["last_heartbeat_at"]) == (started_at, started_at)
    assert stalled["at"] < failed["at"] < failed["recorded_at"] == account.server.now()


def test_a_takeover_goes_on_with_what_the_old_session_was_and_left(account: Account) -> None:
    parts = {"repo": "r1", "track": "7"}
    old = account.start(**parts, mode="review", policy=STRICT, exclusive=True, meta={"a": 1}, holder_id="holder-1")
    account.say("checkpoint", old, summary="half of it is done", state={"step": 1})
    account.server.serve(LEASE_MS)
    taken = account.call("POST", f"/v1/sessions/{old['id']}/takeover", {"reason": "silent", "holder_id": "holder-2"})
    new = taken.json
    kept = ("scope", "repo", "track", "mode", "exclusive", "agent", "policy")
    assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
    assert (taken.status, new["outcome"], new["holder_id"], new["status"]) == (201, "taken_over", "holder-2", "active")
    assert (new["took_over_from"], new["last_checkpoint"]["state"]) == (old["id"], {"step": 1})
    assert account.session(old["id"])["taken_over_by"] == new["id"]
    again = account.start(**parts, holder_id="holder-2")
    assert (again["outcome"], again["id"], again["exclusive"]) == ("resumed", new["id"], True)


def test_what_a_holder_says_of_its_end_is_kept(account: Account) -> None:
    first, second = account.start(), account.start()
    account.say("fail", first, reason="it broke", error_details={"line": [7]}, exit_code=3)
    account.say("end", second, end_reason="cleared", exit_code=0)
    failed, ended = account.session(first["id"]), account.session(second["id"])
    assert (failed["status_reason"], failed["error_details"], failed["exit_code"], failed["failed_by"]) == (
        "it broke", {"line": [7]}, 3, "report",
    )  # fmt: skip
    assert (ended["end_reason"], ended["exit_code"], ended["ended_at"]) == ("cleared", 0, account.server.now())


def test_whoever_beats_after_the_end_is_told_why_it_ended(account: Account) -> None:
    first, second = account.start(), account.start()
    account.say("end", first, end_reason="killed")
    account.say("fail", second, reason="the build broke")
    assert account.say("heartbeat", first).json["end_reason"] == "killed"
    assert "the build broke" in account.say("heartbeat", second).json["detail"]


def test_a_refused_start_is_told_who_holds_the_scope_and_until_when(account: Account) -> None:
    holder = account.start(scope=SCOPE, holder_id="holder-1", exclusive=True)
    refused = account.call("POST", "/v1/sessions", {"agent": "codex", "scope": SCOPE}).json
    assert (refused["session_id"], refused["scope"], refused["lease_expires_at"]) == (
        holder["id"], SCOPE, holder["lease_expires_at"],
    )  # fmt: skip
