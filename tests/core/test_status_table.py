"""Every cell of the status table in the native contract: what each verb does in each state, on every store."""

from itertools import count, product
from typing import Final

import pytest

from holdfast.commands.rows import Key
from holdfast.commands.transitions import ArchiveSession
from holdfast.commands.view import Reply
from holdfast.domain.errors import Refusal
from holdfast.domain.lifecycle import settle
from holdfast.domain.session import Session
from tests.support.states import SILENCES, STATES, VERBS, Subject, reach
from tests.support.stores import World, dump_account, session_of, told

accounts = (f"account-{number}" for number in count())

CELLS: Final = {
    "active": {
        "beat": "active",
        "write a checkpoint": "active",
        "patch": "active",
        "a minute of silence": "stalled +stalled",
        "five minutes of silence": "failed +stalled +failed",
        "a day more of silence": "abandoned +stalled +failed +abandoned",
        "pause": "paused +paused",
        "resume": "active",
        "park": "parked +parked",
        "end": "ended +ended",
        "end as before": "ended +ended",
        "fail": "failed +failed",
        "fail as before": "failed +failed",
        "stall": "stalled +stalled",
        "ask to stop": "active +stop_requested",
        "take over": "lease_held",
        "take over, forced": "ended +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "lease_held",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "lease_held",
        "archive": "session_not_terminal",
        "delete": "session_not_terminal",
    },
    "paused": {
        "beat": "paused",
        "write a checkpoint": "paused",
        "patch": "paused",
        "a minute of silence": "stalled +stalled",
        "five minutes of silence": "failed +stalled +failed",
        "a day more of silence": "abandoned +stalled +failed +abandoned",
        "pause": "paused",
        "resume": "active +resumed",
        "park": "parked +parked",
        "end": "ended +ended",
        "end as before": "ended +ended",
        "fail": "failed +failed",
        "fail as before": "failed +failed",
        "stall": "stalled +stalled",
        "ask to stop": "paused +stop_requested",
        "take over": "lease_held",
        "take over, forced": "ended +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "lease_held",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "lease_held",
        "archive": "session_not_terminal",
        "delete": "session_not_terminal",
    },
    "parked": {
        "beat": "parked",
        "write a checkpoint": "parked",
        "patch": "parked",
        "a minute of silence": "parked",
        "five minutes of silence": "parked",
        "a day more of silence": "parked",
        "pause": "paused +paused",
        "resume": "active +resumed",
        "park": "parked +parked",
        "end": "ended +ended",
        "end as before": "ended +ended",
        "fail": "failed +failed",
        "fail as before": "failed +failed",
        "stall": "session_parked",
        "ask to stop": "parked +stop_requested",
        "take over": "lease_held",
        "take over, forced": "ended +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "lease_held",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "lease_held",
        "archive": "session_not_terminal",
        "delete": "session_not_terminal",
    },
    "stalled": {
        "beat": "active reactivated +reactivated",
        "write a checkpoint": "active +reactivated",
        "patch": "active +reactivated",
        "a minute of silence": "stalled",
        "five minutes of silence": "failed +failed",
        "a day more of silence": "abandoned +failed +abandoned",
        "pause": "session_stalled",
        "resume": "active reactivated +reactivated",
        "park": "session_stalled",
        "end": "ended +ended",
        "end as before": "ended +ended",
        "fail": "failed +failed",
        "fail as before": "failed +failed",
        "stall": "stalled",
        "ask to stop": "stalled +stop_requested",
        "take over": "ended +taken_over",
        "take over, forced": "ended +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "ended +recovered",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "ended +recovered",
        "archive": "session_not_terminal",
        "delete": "session_not_terminal",
    },
    "failed by silence": {
        "beat": "active reactivated +reactivated",
        "write a checkpoint": "active +reactivated",
        "patch": "active +reactivated",
        "a minute of silence": "failed",
        "five minutes of silence": "failed",
        "a day more of silence": "abandoned +abandoned",
        "pause": "session_failed",
        "resume": "session_failed",
        "park": "session_failed",
        "end": "ended late +ended",
        "end as before": "ended late +ended",
        "fail": "failed late +failed",
        "fail as before": "failed late +failed",
        "stall": "session_failed",
        "ask to stop": "failed +stop_requested",
        "take over": "failed +taken_over",
        "take over, forced": "failed +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "ended +recovered",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "ended +recovered",
        "archive": "failed +archived",
        "delete": "gone +archived +deleted",
    },
    "failed by report": {
        "beat": "session_failed",
        "write a checkpoint": "session_failed",
        "patch": "session_failed",
        "a minute of silence": "failed",
        "five minutes of silence": "failed",
        "a day more of silence": "abandoned +abandoned",
        "pause": "session_failed",
        "resume": "session_failed",
        "park": "session_failed",
        "end": "session_failed",
        "end as before": "session_failed",
        "fail": "session_failed",
        "fail as before": "failed",
        "stall": "session_failed",
        "ask to stop": "session_failed",
        "take over": "failed +taken_over",
        "take over, forced": "failed +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "ended +recovered",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "ended +recovered",
        "archive": "failed +archived",
        "delete": "gone +archived +deleted",
    },
    "abandoned": {
        "beat": "session_abandoned",
        "write a checkpoint": "session_abandoned",
        "patch": "session_abandoned",
        "a minute of silence": "abandoned",
        "five minutes of silence": "abandoned",
        "a day more of silence": "abandoned",
        "pause": "session_abandoned",
        "resume": "session_abandoned",
        "park": "session_abandoned",
        "end": "ended late +ended",
        "end as before": "ended late +ended",
        "fail": "failed late +failed",
        "fail as before": "failed late +failed",
        "stall": "session_abandoned",
        "ask to stop": "session_abandoned",
        "take over": "abandoned +taken_over",
        "take over, forced": "abandoned +taken_over",
        "take over, forced by an agent": "forbidden",
        "recover": "ended +recovered",
        "recover, forced": "ended +recovered",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "ended +recovered",
        "archive": "abandoned +archived",
        "delete": "gone +archived +deleted",
    },
    "ended": {
        "beat": "session_ended",
        "write a checkpoint": "session_ended",
        "patch": "session_ended",
        "a minute of silence": "ended",
        "five minutes of silence": "ended",
        "a day more of silence": "ended",
        "pause": "session_ended",
        "resume": "session_ended",
        "park": "session_ended",
        "end": "session_ended",
        "end as before": "ended",
        "fail": "session_ended",
        "fail as before": "session_ended",
        "stall": "session_ended",
        "ask to stop": "session_ended",
        "take over": "session_ended",
        "take over, forced": "session_ended",
        "take over, forced by an agent": "forbidden",
        "recover": "session_ended",
        "recover, forced": "session_ended",
        "recover, forced by an agent": "forbidden",
        "recover, by another": "session_ended",
        "archive": "ended +archived",
        "delete": "gone +archived +deleted",
    },
}
"""What native-v1 says, written down from it. A status: the verb is accepted and leads there; another first word is the
code of the refusal. `+`: an event that is told, in order. `reactivated`, `late`: what the answer says besides."""

_AFTER_LAPSE: Final = {"beat", "write a checkpoint", "patch", "resume"}
CELLS["stalled, strict"] = CELLS["stalled"] | dict.fromkeys(_AFTER_LAPSE, "lease_expired")
CELLS["failed by silence, strict"] = CELLS["failed by silence"] | dict.fromkeys(
    _AFTER_LAPSE - {"resume"}, "lease_expired"
)
CELLS["abandoned, replaced"] = CELLS["abandoned"] | {
    **dict.fromkeys(("end", "end as before", "fail", "fail as before"), "session_abandoned"),
    **dict.fromkeys(("take over", "take over, forced"), "lease_held if exclusive, else abandoned +taken_over"),
    **dict.fromkeys(
        ("recover", "recover, forced", "recover, by another"), "lease_held if exclusive, else ended +recovered"
    ),
}
_FORBIDDEN: Final = dict.fromkeys(("take over, forced by an agent", "recover, forced by an agent"), "forbidden")
_TAKEN_OVER: Final = {**dict.fromkeys(VERBS, "session_taken_over"), **_FORBIDDEN}
for _state, _status in {
    "ended, taken over": "ended",
    "failed, taken over": "failed",
    "abandoned, taken over": "abandoned",
}.items():
    CELLS[_state] = _TAKEN_OVER | {
        **dict.fromkeys(SILENCES, _status),
        "archive": f"{_status} +archived",
        "delete": "gone +archived +deleted",
    }

_RECOVERED: Final = {
    **dict.fromkeys(VERBS, "session_recovered"),
    **_FORBIDDEN,
    **dict.fromkeys(SILENCES, "ended"),
    **dict.fromkeys(("recover", "recover, forced"), "ended"),
    "archive": "ended +archived",
    "delete": "gone +archived +deleted",
}
for _state in ("stalled, recovered", "failed by report, recovered", "abandoned, recovered"):
    CELLS[_state] = _RECOVERED

_UNFORCED: Final = ("recover", "recover, by another")
for _state in ("active", "stalled", "failed by report"):
    CELLS[f"{_state}, asked to stop"] = CELLS[_state] | (
        {} if _state == "active" else dict.fromkeys(_UNFORCED, "session_stop_requested")
    )
for _state in ("stalled", "stalled, strict", "failed by silence", "failed by report", "abandoned"):
    CELLS[f"{_state}, quarantined"] = CELLS[_state] | dict.fromkeys(_UNFORCED, "session_quarantined")
CELLS["active, last attempt"] = CELLS["active"] | {
    "a minute of silence": "stalled +quarantined +stalled",
    "five minutes of silence": "failed +quarantined +stalled +failed",
    "a day more of silence": "abandoned +quarantined +stalled +failed +abandoned",
    "fail": "failed +quarantined +failed",
    "fail as before": "failed +quarantined +failed",
    "stall": "stalled +quarantined +stalled",
}

STATUSES: Final = {"active", "paused", "parked", "stalled", "ended", "failed", "abandoned", "gone"}


def test_the_table_has_every_cell() -> None:
    assert CELLS.keys() == STATES.keys()
    for state, cells in CELLS.items():
        assert cells.keys() == VERBS.keys() | SILENCES.keys(), state


@pytest.mark.parametrize(("state", "verb"), [(state, verb) for state, cells in CELLS.items() for verb in cells])
def test_a_verb_does_what_the_contract_says(state: str, verb: str, dicts: World) -> None:
    for is_exclusive, is_swept in product((False, True), (False, True)):
        check_cell(dicts, state, verb, is_exclusive=is_exclusive, is_swept=is_swept)


@pytest.mark.parametrize("state", CELLS)
def test_a_verb_does_what_the_contract_says_on_every_database(state: str, database: World) -> None:
    for verb in CELLS[state]:
        check_cell(database, state, verb, is_exclusive=True, is_swept=False)


def check_cell(world: World, state: str, verb: str, *, is_exclusive: bool, is_swept: bool) -> None:
    account_id = next(accounts)
    subject = reach(state, world.caller, is_exclusive=is_exclusive, account_id=account_id)
    if is_swept:
        world.caller.sweep()
    first, _, otherwise = CELLS[state][verb].partition(" if exclusive, else ")
    expected, *more = (otherwise if otherwise and not is_exclusive else first).split()
    where = f"{verb} when {state}, exclusive: {is_exclusive}, swept: {is_swept}"
    if expected in STATUSES:
        check_acceptance(world, subject, verb, expected=expected, more=more, where=where)
    else:
        check_refusal(world, subject, verb, code=expected, where=where)


def check_acceptance(world: World, subject: Subject, verb: str, *, expected: str, more: list[str], where: str) -> None:
    before = settled_events(world, subject)
    if verb in SILENCES:
        world.caller.serve(SILENCES[verb])
        world.caller.sweep()
    else:
        if verb == "delete":
            world.caller.accepted(ArchiveSession(subject.id, subject.token), by=subject.holder)
        said = VERBS[verb](subject, subject.token)
        outcome = world.caller.do(said.command, by=said.by)
        assert isinstance(outcome, Reply), (where, outcome)
        assert ("reactivated" in more) == bool(outcome.body.get("reactivated")), where
        assert ("late" in more) == bool(outcome.body.get("late")), where
        if not verb.startswith(("take over", "recover")) and "status" in outcome.body:
            assert outcome.body["status"] == expected, where
    if expected == "gone":
        assert world.store.get(Key(Session, (subject.id,))) is None, where
    else:
        assert session_of(world.store, subject.id).status == expected, where
    events = [word.removeprefix("+") for word in more if word.startswith("+")]
    assert told(world.store, subject.id) == [*before, *events], where


def settled_events(world: World, subject: Subject) -> list[str]:
    """The events of a session, with those that a sweep would tell now."""
    pending = settle(session_of(world.store, subject.id), now=world.caller.present()).happenings
    return [*told(world.store, subject.id), *(str(each.type).removeprefix("session.") for each in pending)]


def check_refusal(world: World, subject: Subject, verb: str, *, code: str, where: str) -> None:
    before = dump_account(world.store, subject.holder.account_id)
    said = VERBS[verb](subject, subject.token)
    outcome = world.caller.do(said.command, by=said.by)
    assert isinstance(outcome, Refusal), (where, outcome)
    assert outcome.code == code, where
    assert dump_account(world.store, subject.holder.account_id) == before, where
