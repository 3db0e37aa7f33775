"""Every way out that a refusal suggests works in the state in which it is suggested, done literally as it is given."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from holdfast.domain.times import epoch_ms
from tests.api.driver import Account, Json, Request, Response, Server
from tests.api.scenes import ABANDON_AFTER_MS, FAIL_AFTER_MS, LEASE_MS, REVIVABLE, STRICT, VERBS, Subject, reach
from tests.api.test_statuses import TABLE

WAYS_MAX: Final = 5
"""As many ways as any refusal suggests."""

PLACEHOLDER: Final = "…"

KEYS: Final = {"force_take_over": "operator", "force_recover": "operator", "create_key": "admin"}
"""Whose key a way out takes, where not the caller's own."""


def filled(fields: Json, *, token: int | None) -> Json:
    """A suggested body with its placeholders filled in."""
    values: dict[str, Any] = {"fencing_token": token, "agent": "claude", "scope": "another scope"}
    return {
        name: filled(value, token=token)
        if isinstance(value, dict)
        else values.get(name, f"a {name}")
        if value == PLACEHOLDER
        else value
        for name, value in fields.items()
    }


def repeated(original: Request, refusal: Response, way: Json, *, token: int | None) -> Request:
    """The refused request again, changed as the way out says."""
    headers = dict(original.headers or {})
    match way["action"]:
        case "repeat_with_token":
            assert isinstance(original.body, dict)
            return original._replace(body=original.body | {"fencing_token": token})
        case "repeat_with_revision":
            return original._replace(headers=headers | {"If-Match": f'"{refusal.json["revision"]}"'})
        case "repeat_with_new_key":
            return original._replace(headers=headers | {"Idempotency-Key": "another-key"})
        case "repeat_from_start":
            path, _, query = original.target.partition("?")
            kept = [each for each in query.split("&") if not each.startswith(("cursor=", "after="))]
            return original._replace(target=f"{path}?{'&'.join(kept)}")
        case action:
            raise AssertionError(f"{action} says neither what to send nor what to change")


def follow(account: Account, original: Request, refusal: Response, way: Json, *, token: int | None) -> Response:
    """What is answered to one way out."""
    if "after_at" in way:
        # Nobody has to wait who was refused together with somebody who waited.
        account.server.serve(max(0, epoch_ms(way["after_at"]) - account.server.clock.now_ms()))
    if "method" not in way:
        return account.server.ask(repeated(original, refusal, way, token=token))
    body = filled(way["body"], token=token) if "body" in way else None
    if way["action"] == "start_taking_over":
        assert isinstance(original.body, dict)
        body = original.body | (body or {})
    key = account.keys[KEYS[way["action"]]] if way["action"] in KEYS else original.key
    return account.server.ask(Request(way["method"], way["path"], body, key=key))


REFUSED: Final = {
    state: [verb for verb, cell in cells.items() if cell.startswith("409")] for state, cells in TABLE.items()
}


@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
@pytest.mark.parametrize("state", REFUSED)
def test_every_way_out_of_a_refused_verb_works(state: str, is_exclusive: bool, account: Account) -> None:
    verbs = [verb for verb in REFUSED[state] for _ in range(WAYS_MAX)]
    subjects = reach(account, state, times=len(verbs), is_exclusive=is_exclusive)
    check_ways(account, [(VERBS[verb](subject), subject) for verb, subject in zip(verbs, subjects, strict=True)])


@pytest.mark.parametrize(
    "state",
    ["active", "parked", "stalled", "stalled, strict", "failed by silence", "abandoned", "abandoned, replaced"],
)
@pytest.mark.parametrize("is_swept", [True, False], ids=["swept", "unswept"])
def test_every_way_out_of_a_write_with_a_bad_token_works(state: str, is_swept: bool, account: Account) -> None:
    changes: list[Json] = [{"fencing_token": 99}, {"fencing_token": None}]
    verbs = [
        (verb, change) for verb in ("beat", "patch", "end", "stall") for change in changes for _ in range(WAYS_MAX)
    ]
    subjects = reach(account, state, times=len(verbs), is_exclusive=True)
    if is_swept:
        account.server.sweep()
    cases = []
    for (verb, change), subject in zip(verbs, subjects, strict=True):
        request = VERBS[verb](subject)
        assert isinstance(request.body, dict)
        cases.append((request._replace(body=request.body | change), subject))
    check_ways(account, cases)


def check_ways(account: Account, cases: list[tuple[Request, Subject]]) -> None:
    """Have every request refused, then take a different way out of each of its repetitions.

    Those that have to wait come last, since time passes for all.
    """
    refusals = account.server.ask_all([request for request, _ in cases])
    found: list[tuple[Json, Request, Response, Subject]] = []
    for number, ((request, subject), refusal) in enumerate(zip(cases, refusals, strict=True)):
        if refusal.status < 300:
            continue
        ways = refusal.json["ways_out"]
        assert 0 < len(ways) <= WAYS_MAX, refusal
        assert all(way["after_at"] > account.server.now() for way in ways if "after_at" in way), refusal
        if number % WAYS_MAX < len(ways):
            found.append((ways[number % WAYS_MAX], request, refusal, subject))
    found.sort(key=lambda each: "after_at" in each[0])
    for way, request, refusal, subject in found:
        response = follow(account, request, refusal, way, token=subject.token)
        assert response.status in (200, 201), (request, refusal, way, response)


Scene = Callable[[Account], tuple[Request, int | None]]


def _starts(first: Json, *, silent_ms: int = 0, then: Json) -> Scene:
    """A start that meets what an earlier one left, so long after it."""

    def scene(account: Account) -> tuple[Request, int | None]:
        scope = f"scope {account.server.clock.now_ms()} {sum(1 for _ in account.each('/v1/sessions'))}"
        token = account.start(scope=scope, holder_id="holder-1", **first)["fencing_token"]
        account.server.serve(silent_ms)
        return account.request("POST", "/v1/sessions", {"agent": "codex", "scope": scope} | then), token

    return scene


def _named_elsewhere(account: Account) -> tuple[Request, int | None]:
    account.start(scope="one scope", client_session_id="client-1")
    body = {"agent": "claude", "scope": "one more", "client_session_id": "client-1"}
    return account.request("POST", "/v1/sessions", body), None


def _alone_beside_a_lapsed_one(account: Account) -> tuple[Request, int | None]:
    """A live session that is to have the scope alone, which another one held and left."""
    account.start(scope="shared", holder_id="holder-1", policy=REVIVABLE)
    mine = {"scope": "shared", "holder_id": "holder-2", "policy": {"lease_seconds": 3600}}
    token = account.start(**mine)["fencing_token"]
    account.server.serve(LEASE_MS)
    return account.request("POST", "/v1/sessions", {"agent": "claude", "exclusive": True} | mine), token


def _fenced(*, silent_ms: int) -> Scene:
    def scene(account: Account) -> tuple[Request, int | None]:
        started = account.start(scope="fenced", policy=REVIVABLE, exclusive=True)
        token = started["fencing_token"]
        account.server.serve(silent_ms)
        asked = token if silent_ms else token + 1
        return account.request("GET", f"/v1/fence?scope=fenced&token={asked}"), token

    return scene


def _changed_meanwhile(account: Account) -> tuple[Request, int | None]:
    session = account.start()
    return account.request("PATCH", f"/v1/sessions/{session['id']}", {"branch": "main"}, If_Match='"7"'), None


def _key_reused(account: Account) -> tuple[Request, int | None]:
    account.call("POST", "/v1/sessions", {"agent": "claude"}, Idempotency_Key="used-before")
    return account.request("POST", "/v1/sessions", {"agent": "codex"}, Idempotency_Key="used-before"), None


def _secret_shown(account: Account) -> tuple[Request, int | None]:
    request = account.request("POST", "/v1/keys", {"name": "mine"}, by="admin", Idempotency_Key="used-before")
    account.server.ask(request)
    return request, None


def _read(method: str, target: str, *, by: str = "agent") -> Scene:
    return lambda account: (account.request(method, target, by=by), None)


SCENES: Final[dict[str, tuple[Scene, tuple[str, ...]]]] = {
    "an exclusive start on a live shared scope": (
        _starts({}, then={"exclusive": True}), ("explain", "force_take_over", "take_over"),
    ),
    "a shared start on a live exclusive scope": (
        _starts({"exclusive": True}, then={}), ("explain", "force_take_over", "take_over"),
    ),
    "an exclusive start on a lapsed exclusive scope": (
        _starts({"exclusive": True, "policy": REVIVABLE}, silent_ms=LEASE_MS, then={"exclusive": True}),
        ("start_taking_over", "take_over", "recover"),
    ),
    "a shared start on a lapsed exclusive scope, strict": (
        _starts({"exclusive": True, "policy": STRICT}, silent_ms=LEASE_MS, then={}),
        ("start_taking_over", "take_over", "recover"),
    ),
    "an exclusive start on a scope that failed by silence": (
        _starts({"policy": REVIVABLE}, silent_ms=FAIL_AFTER_MS, then={"exclusive": True}),
        ("start_taking_over", "take_over", "recover"),
    ),
    "an exclusive resumption beside a lapsed session": (_alone_beside_a_lapsed_one, ("take_over", "recover")),
    "a client's id that names another scope": (_named_elsewhere, ("read", "start")),
    "a token that was never given": (_fenced(silent_ms=0), ("explain",)),
    "a token whose lease lapsed": (_fenced(silent_ms=LEASE_MS), ("explain", "start")),
    "a token whose session was abandoned": (
        _fenced(silent_ms=FAIL_AFTER_MS + ABANDON_AFTER_MS), ("explain", "start"),
    ),
    "a token of a scope that nobody used": (_read("GET", "/v1/fence?scope=unused&token=1"), ("start",)),
    "a session that there is not": (_read("GET", "/v1/sessions/sess_none"), ("start",)),
    "a key that there is not": (_read("DELETE", "/v1/keys/key_none", by="admin"), ("create_key",)),
    "a revision of before": (_changed_meanwhile, ("read", "repeat_with_revision")),
    "an idempotency key used for something else": (_key_reused, ("repeat_with_new_key",)),
    "a secret that was shown": (_secret_shown, ("create_key",)),
    "a cursor of nothing": (_read("GET", "/v1/sessions?limit=1&cursor=bm90aGluZw"), ("repeat_from_start",)),
    "a cursor of no events": (_read("GET", "/v1/events?after=bm90aGluZw"), ("repeat_from_start",)),
    "a cursor of another history": (_read("GET", "/v1/events?after=WyJvdGhlciIsMV0"), ("repeat_from_start",)),
}  # fmt: skip
"""Requests that are refused for other reasons than a verb's, and the ways out that each refusal names."""


@pytest.mark.parametrize("name", SCENES)
def test_every_way_out_of_any_other_refusal_works(name: str, server: Server) -> None:
    scene, expected = SCENES[name]
    for number, action in enumerate(expected):
        account = server.new_account()
        original, token = scene(account)
        refusal = server.ask(original)
        ways = refusal.json["ways_out"]
        assert tuple(way["action"] for way in ways) == expected, refusal
        response = follow(account, original, refusal, ways[number], token=token)
        assert response.status in (200, 201), (refusal, action, response)
