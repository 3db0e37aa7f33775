"""A start on a scope that has a session: every combination, against the contract's own words."""

from itertools import product
from typing import Final, NamedTuple

import pytest

from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.starts import TakeOver, TakeOverSession
from holdfast.commands.transitions import (
    ArchiveSession,
    DeleteSession,
    EndSession,
    ParkSession,
    PauseSession,
    StopSession,
)
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.policy import PolicyRequest
from holdfast.domain.session import EndReason
from holdfast.testing.factories import AGENT, LEASE_MS, OPERATOR, REVIVABLE, STRICT, report, start
from tests.support.states import STATES, Subject, reach
from tests.support.stores import World, dump_account, fork, profile_of, session_of, told

LIVE: Final = {"active", "late", "paused", "parked"}
LAPSED: Final = {"stalled", "stalled, strict", "failed by silence", "failed by silence, strict"}
OVER: Final = {"failed by report", "abandoned", "ended"}
"""What the contract calls live, a lapsed holder of its scope, and one that holds nothing."""


class Start(NamedTuple):
    """What a newcomer says. is_same: it is the identity that has the session. exclusive: None: not said."""

    is_same: bool
    exclusive: bool | None
    take_over: str | None
    supersede: str | None
    has_client_session_id: bool


STARTS: Final = [
    Start(*choice)
    for choice in product(
        (False, True), (None, False, True), (None, "unnamed", "named"), (None, "own", "forced"), (False, True)
    )
]


def expected(state: str, said: Start, *, is_exclusive: bool) -> str:
    """What the contract says: an outcome, or the code of the refusal."""
    if said.take_over == "named":
        if state in LIVE:
            return "taken_over" if said.supersede == "forced" else "lease_held"
        return "session_ended" if state == "ended" else "taken_over"
    if said.take_over == "unnamed" and state in LAPSED:
        return "taken_over"
    is_own = state not in OVER and (said.is_same or said.has_client_session_id)
    if is_own:
        return "created" if said.supersede else "resumed"
    if state in OVER or not (is_exclusive or said.exclusive) or said.supersede == "forced":
        return "created"
    return "lease_held" if state in LIVE else "scope_lapsed"


def reached(state: str, world: World, *, is_exclusive: bool) -> Subject:
    """A session in a state, known by a client's own id as well."""
    if state != "late":
        subject = reach(state, world.caller, is_exclusive=is_exclusive)
    else:
        subject = reach("active", world.caller, is_exclusive=is_exclusive)
        world.caller.serve(LEASE_MS - 1)
    return subject


@pytest.mark.parametrize("is_swept", [False, True])
@pytest.mark.parametrize("is_exclusive", [False, True])
@pytest.mark.parametrize("state", sorted(LIVE | LAPSED | OVER))
def test_a_start_on_a_scope_that_has_a_session(state: str, is_exclusive: bool, is_swept: bool, dicts: World) -> None:
    with_client_id = fork(dicts)
    named = start(client_session_id="client-1", exclusive=is_exclusive, policy=STATES.get(state, (REVIVABLE,))[0])
    with_client_id.caller.accepted(named)
    for has_client_session_id, here in ((False, dicts), (True, with_client_id)):
        subject = reached(state, here, is_exclusive=is_exclusive)
        if is_swept:
            here.caller.sweep()
        for said in STARTS:
            if said.has_client_session_id == has_client_session_id:
                check(fork(here), subject, said, expected(state, said, is_exclusive=is_exclusive), state)


def check(here: World, subject: Subject, said: Start, outcome: str, state: str) -> None:
    by: Actor = OPERATOR if said.supersede == "forced" else AGENT
    command = start(
        agent="claude" if said.is_same or said.has_client_session_id else "codex",
        holder_id="holder-1" if said.is_same else "holder-2",
        exclusive=said.exclusive,
        take_over=None
        if said.take_over is None
        else TakeOver("it is silent", subject.id if said.take_over == "named" else None),
        supersede=said.supersede is not None,
        force=said.supersede == "forced",
        reason="it has to be" if said.supersede == "forced" else None,
        client_session_id="client-1" if said.has_client_session_id else None,
    )
    where = f"{said} on {state}"
    before = dump_account(here.store, "default")
    highest = max(int(row[2] or 0) for row in before["scope"])
    answered = here.caller.do(command, by=by)
    if outcome in {"lease_held", "scope_lapsed", "session_ended"}:
        assert isinstance(answered, Refusal), (where, answered.body["outcome"])
        assert answered.code == outcome, where
        assert dump_account(here.store, "default") == before, where
        return
    assert isinstance(answered, Reply), (where, answered)
    body = answered.body
    assert (body["outcome"], answered.created) == (outcome, outcome != "resumed"), where
    assert (body["status"], body["fencing_token"]) == ("active", highest + 1), where
    assert (body["id"] == subject.id) == (outcome == "resumed"), where
    inherits = outcome in {"resumed", "taken_over"}
    assert body["exclusive"] == (subject.exclusive if inherits and said.exclusive is None else bool(said.exclusive))
    assert body["took_over_from"] == (subject.id if outcome == "taken_over" else None), where
    old = session_of(here.store, subject.id)
    if outcome == "taken_over":
        assert old.taken_over_by == body["id"], where
        assert (old.end_reason == "taken_over") == (not state.startswith(("failed", "abandoned"))), where
    elif outcome == "created" and said.supersede and state not in OVER and old.held_scope is None:
        assert (old.status, old.end_reason) == ("ended", "superseded"), where


def test_every_state_is_live_lapsed_or_over() -> None:
    what_happened = ("replaced", "taken over", "recovered", "asked to stop", "last attempt", "quarantined")
    others = {state for state in STATES if state.endswith(what_happened)}
    assert (LIVE | LAPSED | OVER) ^ STATES.keys() == {"late", *others}


def test_a_resumed_session_goes_on_under_the_next_token_with_what_was_said_anew(dicts: World) -> None:
    subject = reach("stalled, strict", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(StopSession(subject.id, "it costs too much"), by=OPERATOR)
    body = dicts.caller.accepted(start(policy=PolicyRequest(lease_ms=90_000))).body
    assert (body["id"], body["outcome"], body["fencing_token"]) == (subject.id, "resumed", subject.token + 1)
    assert (body["policy"]["lease_ms"], body["policy"]["on_lapse"]) == (90_000, "revivable")
    assert body["lease_expires_at_ms"] == dicts.clock.now_ms() + 90_000
    assert not body["stop_requested"]
    assert told(dicts.store, subject.id) == ["started", "stalled", "stop_requested", "reactivated"]


def test_a_parked_session_is_resumed_by_its_identity_and_forgets_when_to_wake(dicts: World) -> None:
    body = dicts.caller.accepted(start(exclusive=True)).body
    dicts.caller.accepted(ParkSession(body["id"], body["fencing_token"], dicts.clock.now_ms() + 5_000, None))
    dicts.caller.accepted(start())
    dicts.caller.serve(5_000)
    dicts.caller.sweep()
    assert told(dicts.store, body["id"]) == ["started", "parked", "resumed"]
    assert profile_of(dicts.store, body["id"]).wake_at_ms is None


def test_sharers_beside_one_that_wants_the_scope_alone(dicts: World) -> None:
    first = dicts.caller.accepted(start()).body
    dicts.caller.accepted(start(holder_id="holder-2"))
    refusal = dicts.caller.refused(start(exclusive=True))
    assert refusal.code == Code.LEASE_HELD
    assert refusal.data["session_id"] != first["id"]
    dicts.caller.accepted(start(exclusive=False))


def test_an_exclusive_takeover_takes_every_lapsed_sharer_and_no_live_one(dicts: World) -> None:
    first, second, live = (dicts.caller.accepted(start(holder_id=f"holder-{name}")).body for name in "abc")
    dicts.caller.serve(LEASE_MS - 1)
    dicts.caller.accepted(Heartbeat(live["id"]))
    dicts.caller.serve(1)
    alone = start(holder_id="holder-9", exclusive=True, take_over=TakeOver("they are silent"))
    assert dicts.caller.refused(alone).data["session_id"] == live["id"]
    assert told(dicts.store, first["id"]) == ["started"]
    dicts.caller.accepted(EndSession(live["id"], None, EndReason.COMPLETED))
    body = dicts.caller.accepted(alone).body
    assert body["took_over_from"] == second["id"]
    for old in (first, second):
        assert session_of(dicts.store, old["id"]).taken_over_by == body["id"]
        assert told(dicts.store, old["id"]) == ["started", "stalled", "taken_over"]


def test_the_newest_lapsed_sharer_is_taken_over(dicts: World) -> None:
    bodies = [dicts.caller.accepted(start(holder_id=f"holder-{name}")).body for name in "abc"]
    dicts.caller.serve(LEASE_MS)
    takes = start(holder_id="holder-9", take_over=TakeOver("it is silent"))
    found: list[str] = []
    for _ in bodies:
        found.append(dicts.caller.accepted(takes._replace(holder_id=f"holder-{len(found)}")).body["took_over_from"])
    assert found == [body["id"] for body in reversed(bodies)]
    assert dicts.caller.accepted(takes).body["took_over_from"] is None


def test_a_force_that_names_no_operator_or_no_reason_is_refused(dicts: World) -> None:
    dicts.caller.accepted(start(exclusive=True))
    forced = start(holder_id="holder-2", supersede=True, force=True, reason="it has to be")
    assert dicts.caller.refused(forced).code == Code.FORBIDDEN
    assert dicts.caller.refused(forced._replace(reason=None), by=OPERATOR).code == Code.VALIDATION_FAILED
    assert dicts.caller.accepted(forced, by=OPERATOR).body["outcome"] == "created"


def test_superseding_touches_nobody_else(dicts: World) -> None:
    own, other = (dicts.caller.accepted(start(holder_id=name)).body for name in ("holder-1", "holder-2"))
    new = dicts.caller.accepted(start(supersede=True, reason="a fresh start")).body
    assert new["id"] != own["id"]
    assert session_of(dicts.store, own["id"]).end_reason == "superseded"
    assert session_of(dicts.store, other["id"]).status == "active"


def test_superseding_by_a_clients_own_id_leaves_the_identity_one_session(dicts: World) -> None:
    dicts.caller.accepted(start(holder_id="holder-2", client_session_id="client-1"))
    dicts.caller.accepted(start(holder_id="holder-1"))
    new = dicts.caller.accepted(start(holder_id="holder-1", client_session_id="client-1", supersede=True)).body
    sessions = [row for row in dump_account(dicts.store, "default")["session"] if row[3] is not None]
    assert [row[0] for row in sessions] == [new["id"]]


def test_a_clients_own_id_finds_its_session_without_a_scope(dicts: World) -> None:
    first = dicts.caller.accepted(start("repo=a", client_session_id="client-1")).body
    again = dicts.caller.accepted(start(None, holder_id="holder-2", client_session_id="client-1")).body
    assert (again["id"], again["outcome"]) == (first["id"], "resumed")
    assert dicts.caller.refused(start("repo=b", client_session_id="client-1")).code == Code.CLIENT_SESSION_ID_REUSED
    dicts.caller.accepted(EndSession(first["id"], None, EndReason.COMPLETED))
    new = dicts.caller.accepted(start("repo=a", client_session_id="client-1")).body
    assert (new["outcome"], new["id"] == first["id"]) == ("created", False)


def test_a_takeover_that_names_a_session_needs_no_scope_and_no_other_one(dicts: World) -> None:
    subject = reach("stalled", dicts.caller, is_exclusive=True)
    wish = TakeOver("it is silent", subject.id)
    elsewhere = dicts.caller.refused(start("repo=another", holder_id="holder-2", take_over=wish))
    assert elsewhere.code == Code.VALIDATION_FAILED
    body = dicts.caller.accepted(start(None, holder_id="holder-2", take_over=wish)).body
    assert (body["scope"], body["took_over_from"]) == (subject.scope, subject.id)


def test_a_session_without_a_scope_is_its_own(dicts: World) -> None:
    first, second = (dicts.caller.accepted(start(None, exclusive=True)).body for _ in range(2))
    assert first["scope"] == f"session={first['id']}"
    assert second["id"] != first["id"]
    assert (first["fencing_token"], second["fencing_token"]) == (1, 1)


def test_what_a_takeover_leaves_behind(dicts: World) -> None:
    subject = reach("failed by report", dicts.caller, is_exclusive=True)
    reason = session_of(dicts.store, subject.id).status_reason
    body = dicts.caller.accepted(TakeOverSession(subject.id, None, "holder-2", "it failed")).body
    old = session_of(dicts.store, subject.id)
    assert (old.status, old.status_reason, old.taken_over_by) == ("failed", reason, body["id"])
    assert body["policy"]["lease_ms"] == LEASE_MS
    (audited,) = dump_account(dicts.store, "default")["audit"]
    assert ("session.taken_over", subject.id, "it failed") == audited[4:7]


def test_a_takeover_inherits_the_policy_and_where_the_work_is(dicts: World) -> None:
    for policy in (REVIVABLE, STRICT, PolicyRequest(preset="crane"), PolicyRequest(preset="interactive"),
                   PolicyRequest(preset="autonomous", lease_ms=7_000), PolicyRequest(preset="monitor", grace_ms=1),
                   PolicyRequest(lease_ms=5_000, heartbeat_jitter_ms=0, grace_ms=0)):  # fmt: skip
        old = dicts.caller.accepted(start(None, policy=policy, exclusive=True)).body
        new = dicts.caller.accepted(TakeOverSession(old["id"], None, "holder-2", "so", force=True), by=OPERATOR).body
        assert (new["policy"], new["agent"], new["scope"]) == (old["policy"], old["agent"], old["scope"])


def test_an_archived_failure_that_comes_back_is_no_longer_archived(dicts: World) -> None:
    subject = reach("failed by silence", dicts.caller, is_exclusive=True)
    dicts.caller.accepted(ArchiveSession(subject.id))
    dicts.caller.accepted(Heartbeat(subject.id, subject.token))
    assert session_of(dicts.store, subject.id).archived_at_ms is None
    dicts.caller.accepted(EndSession(subject.id, subject.token, EndReason.COMPLETED))
    assert dicts.caller.refused(DeleteSession(subject.id)).code == Code.SESSION_NOT_ARCHIVED


def test_a_report_of_an_unknown_session_is_kept_as_ended_and_holds_nothing(dicts: World) -> None:
    body = dicts.caller.accepted(report("client-1")).body
    assert (body["status"], body["reported_late"], body["started_at_ms"]) == ("ended", True, 1_000_000)
    assert "fencing_token" not in body
    assert dicts.caller.accepted(start(exclusive=True)).body["fencing_token"] == 1
    again = dicts.caller.accepted(report("client-1"))
    assert (again.body, again.created) == (body, False)


def test_a_report_of_a_session_that_is_known_ends_it_under_its_own_token_only(dicts: World) -> None:
    begun = dicts.caller.accepted(start(client_session_id="client-1")).body
    wrong = report("client-1", fencing_token=begun["fencing_token"] + 1)
    assert dicts.caller.refused(wrong).code == Code.FENCING_TOKEN_STALE
    body = dicts.caller.accepted(report("client-1", fencing_token=begun["fencing_token"])).body
    assert (body["id"], body["status"]) == (begun["id"], "ended")


def test_a_report_that_ended_before_it_started_is_refused(dicts: World) -> None:
    assert dicts.caller.refused(report("client-1", ended_at_ms=1)).code == Code.VALIDATION_FAILED


def test_a_pause_is_not_given_up_by_a_resume_of_another_identity(dicts: World) -> None:
    body = dicts.caller.accepted(start(exclusive=True)).body
    dicts.caller.accepted(PauseSession(body["id"], body["fencing_token"]))
    assert dicts.caller.refused(start(agent="codex")).code == Code.LEASE_HELD
