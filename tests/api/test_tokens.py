"""Fencing tokens over HTTP: who is let through, who learns one, and that none is ever issued twice."""

import re
from typing import Any, Final

import pytest

from holdfast.commands.view import Changes
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Request, Response, Server, serving
from tests.api.scenes import HOLDERS_VERBS, LEASE_MS, REVIVABLE, TAKING_OVER, VERBS, Subject, reach

CHECKED_VERBS: Final = (*HOLDERS_VERBS, "archive", "delete")
"""Verbs that take a token; the last two do not need one, since they are about the record and not the holder's."""


def with_token(request: Request, token: int | None) -> Request:
    """The same request with another token, or with none."""
    if isinstance(request.body, dict):
        body = {name: value for name, value in request.body.items() if name != "fencing_token"}
        return request._replace(body=body if token is None else body | {"fencing_token": token})
    target = re.sub(r"&fencing_token=\d+", "" if token is None else f"&fencing_token={token}", request.target)
    return request._replace(target=target)


def acquired_twice(account: Account, *, times: int, is_exclusive: bool) -> list[Subject]:
    """Active sessions whose holder started twice, so that their first token, 1, is an old one."""
    subjects = reach(account, "active", times=times, is_exclusive=is_exclusive)
    again = [{"scope": each.scope, "agent": "claude", "holder_id": "holder-1"} for each in subjects]
    replies = account.server.ask_all([account.request("POST", "/v1/sessions", body) for body in again])
    assert [(each.status, each.json["outcome"]) for each in replies] == [(200, "resumed")] * times
    return [each._replace(token=reply.json["fencing_token"]) for each, reply in zip(subjects, replies, strict=True)]


@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
@pytest.mark.parametrize("change", [-1, 1, 2**52], ids=["lower", "higher", "huge"])
def test_any_token_but_the_current_one_is_refused_and_changes_nothing(
    is_exclusive: bool, change: int, account: Account
) -> None:
    subjects = acquired_twice(account, times=len(CHECKED_VERBS), is_exclusive=is_exclusive)
    for verb, subject in zip(CHECKED_VERBS, subjects, strict=True):
        before = account.session(subject.id), account.end_of_events()
        response = account.server.ask(with_token(VERBS[verb](subject), subject.token + change))
        assert response.told == (409, "fencing_token_stale"), (verb, response)
        assert (account.session(subject.id), account.end_of_events()) == before, verb


def test_a_holders_write_on_an_exclusive_session_needs_its_token(account: Account) -> None:
    subjects = acquired_twice(account, times=len(HOLDERS_VERBS), is_exclusive=True)
    for verb, subject in zip(HOLDERS_VERBS, subjects, strict=True):
        before = account.session(subject.id), account.end_of_events()
        request = VERBS[verb](subject)
        assert account.server.ask(with_token(request, None)).told == (428, "fencing_token_required"), verb
        assert (account.session(subject.id), account.end_of_events()) == before, verb
        assert account.server.ask(request).status in (200, 201), verb


def test_a_holders_write_on_a_shared_session_needs_no_token(account: Account) -> None:
    subjects = acquired_twice(account, times=len(HOLDERS_VERBS), is_exclusive=False)
    for verb, subject in zip(HOLDERS_VERBS, subjects, strict=True):
        assert account.server.ask(with_token(VERBS[verb](subject), None)).status in (200, 201), verb


@pytest.mark.parametrize("verb", ["end", "fail"])
def test_a_late_end_needs_a_token_alike_whether_or_not_the_silence_was_swept_up(verb: str, account: Account) -> None:
    swept, unswept = [], []
    for state in ("stalled", "failed by silence", "abandoned"):
        first, second = reach(account, state, times=2, is_exclusive=True)
        unswept.append(account.server.ask(with_token(VERBS[verb](first), None)).told)
        account.server.sweep()
        swept.append(account.server.ask(with_token(VERBS[verb](second), None)).told)
    assert swept == unswept


def test_each_beat_of_a_batch_is_judged_by_its_own_token(account: Account) -> None:
    subjects = acquired_twice(account, times=4, is_exclusive=True)
    tokens: list[int | None] = [subjects[0].token, subjects[1].token - 1, subjects[2].token + 1, None]
    account.server.serve(10_000)
    beats = [
        {"session_id": subject.id, "fencing_token": token} for subject, token in zip(subjects, tokens, strict=True)
    ]
    answer = account.call("POST", "/v1/heartbeats", {"heartbeats": beats}).json
    assert [(each["session_id"], each["ok"], each.get("code")) for each in answer["results"]] == [
        (subjects[0].id, True, None),
        (subjects[1].id, False, "fencing_token_stale"),
        (subjects[2].id, False, "fencing_token_stale"),
        (subjects[3].id, False, "fencing_token_required"),
    ]
    assert (answer["accepted"], answer["refused"]) == (1, 3)
    beaten = [account.session(subject.id)["last_heartbeat_at"] == account.server.now() for subject in subjects]
    assert beaten == [True, False, False, False]


def test_after_a_takeover_the_old_token_is_refused_everywhere(account: Account) -> None:
    (old,) = reach(account, "stalled", times=1, is_exclusive=True)
    taken = account.call("POST", f"{old.path}/takeover", TAKING_OVER)
    new = old._replace(id=taken.json["id"], token=taken.json["fencing_token"])
    assert new.token > old.token
    for verb in (*HOLDERS_VERBS, "stop"):
        assert account.server.ask(VERBS[verb](old)).told == (409, "session_taken_over"), verb
    for verb in CHECKED_VERBS:
        request = with_token(VERBS[verb](new), old.token)
        assert account.server.ask(request).told == (409, "fencing_token_stale"), verb
    assert fenced(account, old.scope, old.token).told == (409, "fencing_token_stale")
    current = fenced(account, old.scope, new.token)
    assert current.json == {"scope": old.scope, "current": True, "session_id": new.id}
    assert account.server.ask(VERBS["beat"](new)).status == 200


def fenced(account: Account, scope: str, token: int) -> Response:
    """What the fence answers."""
    return account.call("GET", f"/v1/fence?scope={scope.replace(' ', '%20')}&token={token}")


@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("active", 200),
        ("paused", 200),
        ("parked", 200),
        ("stalled", 409),
        ("stalled, strict", 409),
        ("failed by silence", 409),
        ("failed by report", 409),
        ("abandoned", 409),
        ("ended", 409),
        ("stalled, taken over", 409),
    ],
)
def test_the_fence_lets_a_token_through_only_while_it_is_held(
    state: str, status: int, is_exclusive: bool, account: Account
) -> None:
    (subject,) = reach(account, state, times=1, is_exclusive=is_exclusive)
    assert fenced(account, subject.scope, subject.token).status == status
    assert fenced(account, subject.scope, subject.token + 5).status == 409


def test_the_fence_closes_when_the_lease_ends_and_not_before(account: Account) -> None:
    (subject,) = reach(account, "active", times=1, is_exclusive=True)
    account.server.serve(LEASE_MS - 1)
    assert fenced(account, subject.scope, subject.token).status == 200
    account.server.serve(1)
    assert fenced(account, subject.scope, subject.token).status == 409


def test_every_sharer_of_a_scope_has_a_token_of_its_own_and_all_are_current(account: Account) -> None:
    sessions = [account.start(scope="shared", holder_id=f"holder-{number}") for number in range(4)]
    tokens = [session["fencing_token"] for session in sessions]
    assert len(set(tokens)) == 4
    assert [fenced(account, "shared", token).status for token in tokens] == [200] * 4
    account.say("end", sessions[1])
    assert [fenced(account, "shared", token).status for token in tokens] == [200, 409, 200, 200]


def test_tokens_of_a_scope_grow_over_every_way_of_acquiring_it_again(database_url: str) -> None:
    tokens: list[int] = []
    clock = FakeClock()

    def start(account: Account, **fields: Any) -> Json:
        session = account.start(scope="one scope", exclusive=True, policy=REVIVABLE, **fields)
        tokens.append(session["fencing_token"])
        return session

    with serving(database_url, clock) as server:
        account = server.new_account()
        start(account)
        session = start(account)
        account.say("end", session, end_reason="cleared")
        session = start(account)
        server.serve(LEASE_MS)
        taken = account.call("POST", f"/v1/sessions/{session['id']}/takeover", TAKING_OVER).json
        tokens.append(taken["fencing_token"])
        server.serve(LEASE_MS)
        session = start(account, holder_id="holder-3", take_over={"reason": "it is silent"})
        account.say("fail", session, reason="it broke")
        account.say("archive", session)
        assert account.call("DELETE", f"/v1/sessions/{session['id']}?confirm=true").status == 200
        session = start(account)
        account.say("end", session)
        start(account)
    with serving(database_url, clock) as server:
        account = Account(server, account.id, account.keys, {})
        session = start(account, on_conflict="supersede")
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 8


def test_a_token_is_shown_to_whoever_acquires_it_and_to_nobody_else(database_url: str) -> None:
    first_token = 6_180_339_887
    with serving(database_url, FakeClock()) as server:
        raise_token_floor(server, first_token - 1)
        account = server.new_account()
        session = account.start(scope="secret", exclusive=True, policy=REVIVABLE, client_session_id="client-1")
        assert session["fencing_token"] == first_token
        subject = Subject(account, session["id"], first_token, "secret")
        answers = [server.ask(VERBS[verb](subject)) for verb in ("beat", "checkpoint", "patch", "pause", "resume")]
        answers.append(server.ask(VERBS["stop"](subject)))
        refused = [with_token(VERBS[verb](subject), None) for verb in HOLDERS_VERBS]
        refused += [with_token(VERBS[verb](subject), 1) for verb in CHECKED_VERBS]
        refused += [VERBS["take over"](subject), account.request("GET", "/v1/fence?scope=secret&token=1")]
        refused.append(account.request("POST", "/v1/sessions", {"agent": "codex", "scope": "secret"}))
        beat = {"session_id": subject.id, "fencing_token": 1}
        answers.append(account.call("POST", "/v1/heartbeats", {"heartbeats": [beat]}))
        responses = server.ask_all(refused)
        assert {response.status for response in responses} == {409, 428}
        server.serve(LEASE_MS)
        taken = server.ask(VERBS["take over"](subject))
        assert taken.json["fencing_token"] == first_token + 1
        answers += [server.ask(VERBS["archive"](subject)), server.ask(VERBS["beat"](subject))]
        answers += [account.call("GET", target, by="admin") for target in everything(account)]
        assert [each for each in (*answers, *responses) if b"618033988" in each.content] == []
        assert b'fencing_token":' not in b"".join(each.content for each in answers)


def raise_token_floor(server: Server, floor: int) -> None:
    """As a restore does."""
    transaction = server.store.begin()
    state, now_at_ms = transaction.clock(is_tick=False)
    changes = Changes([], [(state, state._replace(token_floor=floor))], [], [], [])
    transaction.save(changes, recorded_at_ms=now_at_ms)
    transaction.commit()


def everything(account: Account) -> list[str]:
    """Every path at which anything can be read."""
    paths = ["/v1/sessions", "/v1/events", "/v1/audit", "/v1/keys"]
    for session in account.each("/v1/sessions"):
        of_session = f"/v1/sessions/{session['id']}"
        paths += [of_session, *(f"{of_session}/{name}" for name in ("events", "checkpoints", "explain"))]
    return paths


def test_of_many_takeovers_at_once_one_wins(account: Account) -> None:
    (old,) = reach(account, "stalled", times=1, is_exclusive=True)
    bodies = [{"holder_id": f"holder-{number}", "reason": "it is silent"} for number in range(12)]
    responses = account.server.ask_all([account.request("POST", f"{old.path}/takeover", body) for body in bodies])
    assert sorted(response.told for response in responses) == [(201, None), *[(409, "session_taken_over")] * 11]


def test_a_replayed_start_has_the_first_ones_token_and_draws_none(account: Account) -> None:
    body = {"agent": "claude", "scope": "replayed", "exclusive": True}
    first, second = (account.call("POST", "/v1/sessions", body, Idempotency_Key="start-once") for _ in range(2))
    assert (second.content, second.headers["idempotency-replayed"]) == (first.content, "true")
    assert account.start(scope="replayed", exclusive=True)["fencing_token"] == first.json["fencing_token"] + 1
