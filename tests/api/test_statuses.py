"""Every cell of the status table in the native contract: what each verb does to a session in each state, over HTTP."""

from typing import Final, NamedTuple

import pytest

from tests.api.driver import Account, Json, Response
from tests.api.scenes import HOLDERS_VERBS, STATES, VERBS, Subject, reach


class Outcome(NamedTuple):
    """What the contract says of one cell.

    then: the session's status afterwards; None once it is deleted. flags: fields that the answer has set.
    """

    status: int
    code: str | None
    then: str | None
    flags: frozenset[str] = frozenset()


def outcome(cell: str) -> Outcome:
    """A cell as it is written below: `200 active reactivated`, or `409 session_ended`, which changes nothing."""
    status, word, *flags = cell.split()
    if status in ("200", "201"):
        return Outcome(int(status), None, None if word == "gone" else word, frozenset(flags))
    return Outcome(int(status), word, None)


def _all(cell: str, *verbs: str) -> dict[str, str]:
    return dict.fromkeys(verbs, cell)


_ENDS: Final = ("end", "end as before")
_FAILS: Final = ("fail", "fail as before")
_NOT_OVER: Final = _all("409 session_not_terminal", "archive", "delete")
_FREE: Final = _all("403 forbidden", "take over by force, with an agent's key", "recover by force, with an agent's key")
_ACQUIRING: Final = ("take over", "take over by force", "recover", "recover by force")
_RECOVERED: Final = _all("201 ended", "recover", "recover by force")
_HELD: Final = {
    "take over": "409 lease_held",
    "take over by force": "201 ended",
    "recover": "409 lease_held",
    "recover by force": "201 ended",
    **_FREE,
}

_ACTIVE: Final = {
    "beat": "200 active",
    "checkpoint": "201 active",
    "patch": "200 active",
    "pause": "200 paused",
    "resume": "200 active",
    "park": "200 parked",
    **_all("200 ended", *_ENDS),
    **_all("200 failed", *_FAILS),
    "stall": "200 stalled",
    "stop": "200 active stop_requested",
    **_HELD,
    **_NOT_OVER,
}
_PAUSED: Final = _ACTIVE | {
    "beat": "200 paused",
    "checkpoint": "201 paused",
    "patch": "200 paused",
    "stop": "200 paused stop_requested",
}
_PARKED: Final = _ACTIVE | {
    "beat": "200 parked",
    "checkpoint": "201 parked",
    "patch": "200 parked",
    "stall": "409 session_parked",
    "stop": "200 parked stop_requested",
}
_STALLED: Final = {
    "beat": "200 active reactivated",
    "checkpoint": "201 active",
    "patch": "200 active",
    "pause": "409 session_stalled",
    "resume": "200 active reactivated",
    "park": "409 session_stalled",
    **_all("200 ended", *_ENDS),
    **_all("200 failed", *_FAILS),
    "stall": "200 stalled",
    "stop": "200 stalled stop_requested",
    **_all("201 ended", "take over", "take over by force"),
    **_RECOVERED,
    **_FREE,
    **_NOT_OVER,
}
_FAILED_BY_SILENCE: Final = {
    "beat": "200 active reactivated",
    "checkpoint": "201 active",
    "patch": "200 active",
    **_all("409 session_failed", "pause", "resume", "park", "stall"),
    **_all("200 ended late", *_ENDS),
    **_all("200 failed late", *_FAILS),
    "stop": "200 failed stop_requested",
    **_all("201 failed", "take over", "take over by force"),
    **_RECOVERED,
    **_FREE,
    "archive": "200 failed",
    "delete": "409 session_not_archived",
}
_FAILED_BY_REPORT: Final = {
    **_all("409 session_failed", *HOLDERS_VERBS, "stop"),
    "fail as before": "200 failed",
    **_all("201 failed", "take over", "take over by force"),
    **_RECOVERED,
    **_FREE,
    "archive": "200 failed",
    "delete": "409 session_not_archived",
}
_ABANDONED: Final = {
    **_all("409 session_abandoned", *HOLDERS_VERBS, "stop"),
    **_all("200 ended late", *_ENDS),
    **_all("200 failed late", *_FAILS),
    **_all("201 abandoned", "take over", "take over by force"),
    **_RECOVERED,
    **_FREE,
    "archive": "200 abandoned",
    "delete": "409 session_not_archived",
}
_ENDED: Final = {
    **_all("409 session_ended", *HOLDERS_VERBS, "stop", *_ACQUIRING),
    "end as before": "200 ended",
    **_FREE,
    "archive": "200 ended",
    "delete": "409 session_not_archived",
}
_TAKEN_OVER: Final = {
    **_all("409 session_taken_over", *HOLDERS_VERBS, "stop", *_ACQUIRING),
    **_FREE,
    "delete": "409 session_not_archived",
}
_EXPIRED: Final = _all("409 lease_expired", "beat", "checkpoint", "patch")
_SUCCEEDED: Final = _all("409 lease_held", *_ACQUIRING)
_REPLACED_BY_RECOVERY: Final = {
    **_all("409 session_recovered", *HOLDERS_VERBS, "stop", *_ACQUIRING),
    **_FREE,
    "archive": "200 ended",
    "delete": "409 session_not_archived",
}

TABLE: Final[dict[str, dict[str, str]]] = {
    "active": _ACTIVE,
    "paused": _PAUSED,
    "parked": _PARKED,
    "stalled": _STALLED,
    "stalled, strict": _STALLED | _EXPIRED | {"resume": "409 lease_expired"},
    "failed by silence": _FAILED_BY_SILENCE,
    "failed by silence, strict": _FAILED_BY_SILENCE | _EXPIRED,
    "failed by report": _FAILED_BY_REPORT,
    "failed by report, replaced": _FAILED_BY_REPORT | _SUCCEEDED,
    "abandoned": _ABANDONED,
    "abandoned, replaced": _ABANDONED | _all("409 session_abandoned", *_ENDS, *_FAILS) | _SUCCEEDED,
    "ended": _ENDED,
    "ended, replaced": _ENDED,
    "stalled, taken over": _TAKEN_OVER | {"archive": "200 ended"},
    "failed by silence, taken over": _TAKEN_OVER | {"archive": "200 failed"},
    "failed by report, taken over": _TAKEN_OVER | {"archive": "200 failed"},
    "abandoned, taken over": _TAKEN_OVER | {"archive": "200 abandoned"},
    **dict.fromkeys(
        ("stalled, recovered", "failed by report, recovered", "abandoned, recovered"), _REPLACED_BY_RECOVERY
    ),
}
"""The table of native-v1, a cell for each verb. `replaced`: somebody else has started on the scope since."""

_SHARED: Final = {
    "failed by report, replaced": _FAILED_BY_REPORT,
    "abandoned, replaced": _ABANDONED | _all("409 session_abandoned", *_ENDS, *_FAILS),
}
"""Where a session that shares its scope fares otherwise: a successor beside it keeps nobody from taking it over."""


def test_the_table_has_every_cell() -> None:
    assert TABLE.keys() == STATES.keys()
    assert [state for state, cells in TABLE.items() if cells.keys() != VERBS.keys()] == []


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
def test_every_verb_in_every_state_does_what_the_table_says(state: str, is_exclusive: bool, account: Account) -> None:
    cells = TABLE[state] if is_exclusive else _SHARED.get(state, TABLE[state])
    subjects = reach(account, state, times=len(cells), is_exclusive=is_exclusive)
    for (verb, cell), subject in zip(cells.items(), subjects, strict=True):
        check(subject, verb, outcome(cell), where=f"{verb} when {state}")


@pytest.mark.parametrize("state", ["stalled", "failed by silence", "abandoned", "abandoned, replaced"])
def test_what_time_decided_holds_whether_or_not_it_was_swept(state: str, account: Account) -> None:
    subjects = reach(account, state, times=len(TABLE[state]), is_exclusive=True)
    account.server.sweep()
    for (verb, cell), subject in zip(TABLE[state].items(), subjects, strict=True):
        check(subject, verb, outcome(cell), where=f"{verb} when {state} and swept")


def check(subject: Subject, verb: str, expected: Outcome, *, where: str) -> None:
    before = seen(subject)
    response = subject.account.server.ask(VERBS[verb](subject))
    assert response.told == (expected.status, expected.code), (where, response)
    if expected.code is not None:
        assert seen(subject) == before, where
        return
    check_flags(response, expected, where=where)
    after = subject.account.session(subject.id)
    assert after["status"] == expected.then, (where, after)


def check_flags(response: Response, expected: Outcome, *, where: str) -> None:
    body = response.json
    told = {name for name in ("reactivated", "late", "stop_requested") if body.get(name)}
    assert told == expected.flags, (where, body)


def seen(subject: Subject) -> tuple[Json, list[Json], str]:
    """A session, its events, and where the account's events end."""
    account = subject.account
    return account.session(subject.id), account.get(f"{subject.path}/events")["items"], account.end_of_events()


@pytest.mark.parametrize(
    "state",
    [state for state, cells in TABLE.items() if cells["delete"] == "409 session_not_archived"],
)
def test_a_finished_session_that_was_archived_can_be_deleted(state: str, account: Account) -> None:
    (subject,) = reach(account, state, times=1, is_exclusive=True)
    assert account.server.ask(VERBS["archive"](subject)).json["archived_at"] is not None
    response = account.server.ask(VERBS["delete"](subject))
    # One that broke off has a draft.
    handoffs = 0 if state in ("ended", "ended, replaced") else 1
    deleted = {"sessions": 1, "checkpoints": 0, "handoffs": handoffs}
    assert (response.status, response.json) == (200, {"id": subject.id, "deleted": deleted})
    assert account.call("GET", subject.path).told == (404, "not_found")
    assert account.events(session_id=subject.id)[-1]["type"] == "session.deleted"


@pytest.mark.parametrize("state", ["stalled, taken over", "failed by report, taken over", "abandoned, taken over"])
def test_whoever_was_taken_over_is_told_so_with_or_without_a_token(state: str, account: Account) -> None:
    for verb in HOLDERS_VERBS:
        (subject,) = reach(account, state, times=1, is_exclusive=True)
        said = VERBS[verb](subject)
        assert isinstance(said.body, dict)
        without = said._replace(body={name: value for name, value in said.body.items() if name != "fencing_token"})
        before = seen(subject)
        assert [account.server.ask(each).told for each in (said, without)] == [(409, "session_taken_over")] * 2, verb
        assert seen(subject) == before, verb


def test_a_beat_on_a_parked_session_is_recorded_and_renews_nothing(account: Account) -> None:
    (subject,) = reach(account, "parked", times=1, is_exclusive=True)
    account.server.serve(10_000)
    answer = account.server.ask(VERBS["beat"](subject)).json
    session = account.session(subject.id)
    assert (answer["last_heartbeat_at"], answer["lease_expires_at"]) == (account.server.now(), None)
    assert (session["last_heartbeat_at"], session["status"], session["liveness"]) == (
        account.server.now(), "parked", "live",
    )  # fmt: skip


def test_a_failure_said_again_is_answered_as_the_first_time(account: Account) -> None:
    (subject,) = reach(account, "active", times=1, is_exclusive=True)
    first = account.server.ask(VERBS["fail as before"](subject))
    events = account.events()
    assert account.server.ask(VERBS["fail as before"](subject)).content == first.content
    assert account.events() == events


def test_an_end_said_again_is_answered_as_the_first_time(account: Account) -> None:
    (subject,) = reach(account, "active", times=1, is_exclusive=True)
    first = account.server.ask(VERBS["end"](subject))
    events = account.events()
    assert account.server.ask(VERBS["end"](subject)).content == first.content
    assert account.events() == events
