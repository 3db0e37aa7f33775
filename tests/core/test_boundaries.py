"""Both sides of every moment at which time decides something."""

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.commands.bodies import session_body
from holdfast.commands.command import Command
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.notes import PatchSession, WriteCheckpoint
from holdfast.commands.starts import TakeOver, TakeOverSession
from holdfast.commands.sweeping import SweepSessions
from holdfast.commands.transitions import FailSession, ParkSession, ResumeSession, StallSession
from holdfast.domain.errors import Code
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import ABANDON_AFTER_MS, BEAT_SPACING_MS, SECOND_MS
from holdfast.domain.policy import CRANE, PolicyRequest
from holdfast.domain.service_time import GAP_MS, TICK_MS
from holdfast.testing.caller import SWEEPER
from holdfast.testing.factories import FAIL_AFTER_MS, LEASE_MS, NEVER_FAILS, REVIVABLE, STRICT, start
from tests.support.stores import World, events_of, profile_of, session_of, told


def begun(world: World, **fields: Any) -> tuple[SessionId, int]:
    """A session that was just started, and its token."""
    body = world.caller.accepted(start(exclusive=True, **fields)).body
    return body["id"], body["fencing_token"]


def silent_for(world: World, silence_ms: int, *, is_swept: bool) -> None:
    """Let a time of silence pass."""
    world.caller.serve(silence_ms)
    if is_swept:
        world.caller.sweep()


WRITES: list[Callable[[SessionId, int], Command]] = [
    Heartbeat,
    ResumeSession,
    lambda session_id, token: WriteCheckpoint(session_id, token, "half of it"),
    lambda session_id, token: PatchSession(session_id, token, None, (("branch", "main"),)),
]
"""Whatever a holder writes counts as a beat."""


@pytest.mark.parametrize("is_swept", [False, True])
@pytest.mark.parametrize("write", WRITES, ids=["beat", "resume", "checkpoint", "patch"])
class TestExpiry:
    def test_a_lease_is_held_until_it_is_due(
        self, dicts: World, write: Callable[[SessionId, int], Command], is_swept: bool
    ) -> None:
        session_id, token = begun(dicts, policy=STRICT)
        silent_for(dicts, LEASE_MS - 1, is_swept=is_swept)
        dicts.caller.accepted(write(session_id, token))
        assert told(dicts.store, session_id) == ["started"]
        assert session_of(dicts.store, session_id).due_ms == dicts.caller.present().service_ms + LEASE_MS
        silent_for(dicts, LEASE_MS - 1, is_swept=is_swept)
        dicts.caller.accepted(write(session_id, token))

    def test_a_lease_has_lapsed_at_the_moment_it_is_due(
        self, dicts: World, write: Callable[[SessionId, int], Command], is_swept: bool
    ) -> None:
        session_id, token = begun(dicts, policy=STRICT)
        expired_at_ms = dicts.clock.now_ms() + LEASE_MS
        silent_for(dicts, LEASE_MS, is_swept=is_swept)
        refusal = dicts.caller.refused(write(session_id, token))
        assert (refusal.code, refusal.data["lease_expired_at_ms"]) == (Code.LEASE_EXPIRED, expired_at_ms)

    def test_a_revivable_session_comes_back_and_tells_that_it_was_gone(
        self, dicts: World, write: Callable[[SessionId, int], Command], is_swept: bool
    ) -> None:
        session_id, token = begun(dicts, policy=REVIVABLE)
        expired_at_ms = dicts.clock.now_ms() + LEASE_MS
        silent_for(dicts, LEASE_MS + 7, is_swept=is_swept)
        dicts.caller.accepted(write(session_id, token))
        events = [(str(event.type), event.at_ms) for event in events_of(dicts.store, session_id)][1:]
        now_ms = dicts.clock.now_ms()
        assert events == [("session.stalled", expired_at_ms), ("session.reactivated", now_ms)]
        assert session_of(dicts.store, session_id).due_ms == dicts.caller.present().service_ms + LEASE_MS


@pytest.mark.parametrize("is_swept", [False, True])
def test_a_takeover_works_from_the_moment_the_lease_is_due(dicts: World, is_swept: bool) -> None:
    session_id, _ = begun(dicts)
    by_verb = TakeOverSession(session_id, None, "holder-2", "it is silent")
    by_start = start(holder_id="holder-2", take_over=TakeOver("it is silent"))
    silent_for(dicts, LEASE_MS - 1, is_swept=is_swept)
    for command in (by_verb, by_start):
        refusal = dicts.caller.refused(command)
        assert (refusal.code, refusal.data["lease_expires_at_ms"]) == (Code.LEASE_HELD, dicts.clock.now_ms() + 1)
    dicts.caller.serve(1)
    assert dicts.caller.accepted(by_start).body["took_over_from"] == session_id


@pytest.mark.parametrize(("silence_ms", "expected"), [
    (LEASE_MS - 1, []),
    (LEASE_MS, ["stalled"]),
    (FAIL_AFTER_MS - 1, ["stalled"]),
    (FAIL_AFTER_MS, ["stalled", "failed"]),
    (FAIL_AFTER_MS + ABANDON_AFTER_MS - 1, ["stalled", "failed"]),
    (FAIL_AFTER_MS + ABANDON_AFTER_MS, ["stalled", "failed", "abandoned"]),
    (FAIL_AFTER_MS + 9 * ABANDON_AFTER_MS, ["stalled", "failed", "abandoned"]),
])  # fmt: skip
def test_silence_goes_on_from_stalled_to_failed_to_abandoned(
    dicts: World, silence_ms: int, expected: list[str]
) -> None:
    session_id, _ = begun(dicts)
    began_at_ms = dicts.clock.now_ms()
    silent_for(dicts, silence_ms, is_swept=True)
    due_ms = {"stalled": LEASE_MS, "failed": FAIL_AFTER_MS, "abandoned": FAIL_AFTER_MS + ABANDON_AFTER_MS}
    events = [(str(event.type), event.at_ms, event.recorded_at_ms) for event in events_of(dicts.store, session_id)][1:]
    now_ms = dicts.clock.now_ms()
    assert events == [(f"session.{name}", began_at_ms + due_ms[name], now_ms) for name in expected]
    status = expected[-1] if expected else "active"
    session = session_of(dicts.store, session_id)
    assert (session.status, session.held_scope is None) == (status, status == "abandoned")


def test_silence_counts_from_the_last_beat(dicts: World) -> None:
    session_id, token = begun(dicts)
    dicts.caller.serve(40_000)
    dicts.caller.accepted(Heartbeat(session_id, token))
    for silence_ms, status in ((LEASE_MS - 1, "active"), (1, "stalled"), (FAIL_AFTER_MS - LEASE_MS - 1, "stalled"),
                               (1, "failed")):  # fmt: skip
        silent_for(dicts, silence_ms, is_swept=True)
        assert session_of(dicts.store, session_id).status == status


def test_a_session_reported_as_hanging_fails_when_its_last_beat_is_old_enough(dicts: World) -> None:
    session_id, token = begun(dicts)
    dicts.caller.serve(30_000)
    dicts.caller.accepted(StallSession(session_id, token, "it hangs"))
    silent_for(dicts, FAIL_AFTER_MS - 30_000 - 1, is_swept=True)
    assert session_of(dicts.store, session_id).status == "stalled"
    silent_for(dicts, 1, is_swept=True)
    assert session_of(dicts.store, session_id).status == "failed"


def test_a_policy_that_never_fails_is_given_up_a_day_after_the_lapse(dicts: World) -> None:
    session_id, _ = begun(dicts, policy=NEVER_FAILS)
    silent_for(dicts, CRANE.lease_ms + ABANDON_AFTER_MS - 1, is_swept=True)
    assert session_of(dicts.store, session_id).status == "stalled"
    silent_for(dicts, 1, is_swept=True)
    assert told(dicts.store, session_id) == ["started", "stalled", "abandoned"]


def test_a_reported_failure_is_given_up_after_a_day_unless_told_otherwise(dicts: World) -> None:
    session_id, token = begun(dicts)
    dicts.caller.accepted(FailSession(session_id, token, "the build broke"))
    silent_for(dicts, ABANDON_AFTER_MS - 1, is_swept=True)
    assert session_of(dicts.store, session_id).status == "failed"
    silent_for(dicts, 1, is_swept=True)
    assert session_of(dicts.store, session_id).status == "abandoned"


def test_a_failure_told_after_it_was_given_up_is_kept_whole(dicts: World) -> None:
    for is_swept in (False, True):
        session_id, token = begun(dicts)
        dicts.caller.accepted(FailSession(session_id, token, "the build broke"))
        silent_for(dicts, ABANDON_AFTER_MS, is_swept=is_swept)
        late = FailSession(session_id, token, "the disk is full", '{"trace":1}', 7)
        assert dicts.caller.accepted(late).body["late"]
        profile = profile_of(dicts.store, session_id)
        assert (profile.late, profile.error_details_json, profile.exit_code) == (True, '{"trace":1}', 7)


@pytest.mark.parametrize("is_swept", [False, True])
def test_a_parked_session_wakes_once_and_stays_parked(dicts: World, is_swept: bool) -> None:
    session_id, token = begun(dicts)
    wake_at_ms = dicts.clock.now_ms() + 10 * ABANDON_AFTER_MS
    dicts.caller.accepted(ParkSession(session_id, token, wake_at_ms, "over the holidays"))
    silent_for(dicts, 10 * ABANDON_AFTER_MS - 1, is_swept=True)
    assert told(dicts.store, session_id) == ["started", "parked"]
    silent_for(dicts, 1, is_swept=is_swept)
    dicts.caller.accepted(Heartbeat(session_id, token))
    assert told(dicts.store, session_id) == ["started", "parked", "wake"]
    assert events_of(dicts.store, session_id)[-1].at_ms == wake_at_ms
    silent_for(dicts, ABANDON_AFTER_MS, is_swept=True)
    assert told(dicts.store, session_id) == ["started", "parked", "wake"]
    assert session_of(dicts.store, session_id).status == "parked"
    dicts.caller.accepted(ResumeSession(session_id, token))
    assert session_of(dicts.store, session_id).due_ms == dicts.caller.present().service_ms + LEASE_MS


@pytest.mark.parametrize(("silence_ms", "expected"), [
    (20_000 + 20_000, "live"),
    (20_000 + 20_000 + 1, "late"),
    (LEASE_MS - 1, "late"),
    (LEASE_MS, "lapsed"),
])  # fmt: skip
def test_a_session_is_late_past_its_interval_and_grace(dicts: World, silence_ms: int, expected: str) -> None:
    session_id, _ = begun(dicts)
    dicts.caller.serve(silence_ms)
    row, profile = session_of(dicts.store, session_id), profile_of(dicts.store, session_id)
    assert session_body(row, profile, now=dicts.caller.present())["liveness"] == expected


@pytest.mark.parametrize(("policy", "spacing_ms"), [(REVIVABLE, SECOND_MS), (PolicyRequest(lease_ms=6_000), 666)])
def test_beats_too_close_to_the_last_one_are_answered_and_not_written(
    dicts: World, policy: PolicyRequest, spacing_ms: int
) -> None:
    session_id, token = begun(dicts, policy=policy)
    before = session_of(dicts.store, session_id)
    dicts.caller.serve(spacing_ms - 1)
    body = dicts.caller.accepted(Heartbeat(session_id, token, "busy")).body
    assert body["lease_expires_at_ms"] == dicts.caller.present().wall(before.due_ms or 0)
    assert session_of(dicts.store, session_id) == before
    dicts.caller.serve(1)
    dicts.caller.accepted(Heartbeat(session_id, token, "busy"))
    assert session_of(dicts.store, session_id).activity == "busy"


def test_a_beat_is_written_where_service_time_stepped_back_behind_the_last_one(dicts: World) -> None:
    session_id, token = begun(dicts)
    dicts.caller.serve(SECOND_MS)
    dicts.clock.advance(TICK_MS - 1)
    dicts.caller.accepted(Heartbeat(session_id, token, progress=1))
    before = session_of(dicts.store, session_id)
    # The gap is counted from the last tick, which the last beat came after.
    dicts.caller.stand_still(GAP_MS)
    dicts.caller.accepted(Heartbeat(session_id, token, progress=2))
    after = session_of(dicts.store, session_id)
    assert (after.progress, after.due_ms) == (2, before.due_ms)


def test_a_sweep_changes_nobody_who_beat_since_it_was_looked_for(dicts: World) -> None:
    session_id, token = begun(dicts)
    beat_at_ms = LEASE_MS // 2 - 1
    dicts.caller.serve(beat_at_ms)
    dicts.caller.accepted(Heartbeat(session_id, token))
    dicts.caller.serve(LEASE_MS - beat_at_ms)
    assert dicts.caller.due() == (session_id,)
    dicts.caller.sweep()
    assert told(dicts.store, session_id) == ["started"]
    assert dicts.caller.due() == ()
    dicts.caller.serve(beat_at_ms - 1)
    assert dicts.caller.due() == ()
    dicts.caller.serve(1)
    assert dicts.caller.due() == (session_id,)


@pytest.mark.parametrize("interval_ms", [BEAT_SPACING_MS, LEASE_MS // 3, LEASE_MS // 2])
def test_whoever_beats_twice_a_lease_is_never_looked_at(interval_ms: int, dicts: World) -> None:
    session_id, token = begun(dicts)
    for _ in range(4 * LEASE_MS // interval_ms):
        dicts.caller.serve(interval_ms)
        assert dicts.caller.due() == ()
        dicts.caller.accepted(Heartbeat(session_id, token))
    dicts.caller.serve(LEASE_MS - 1)
    assert dicts.caller.due() in ((), (session_id,))
    dicts.caller.sweep()
    assert told(dicts.store, session_id) == ["started"]
    dicts.caller.serve(1)
    dicts.caller.sweep()
    assert told(dicts.store, session_id) == ["started", "stalled"]


def test_a_second_sweep_finds_nothing_left_to_do(dicts: World) -> None:
    session_id, _ = begun(dicts)
    dicts.caller.serve(LEASE_MS)
    found = SweepSessions((session_id,))
    first, second = (dicts.caller.accepted(found, by=SWEEPER).body for _ in range(2))
    assert (first["changed"], second["changed"]) == (1, 0)
    assert told(dicts.store, session_id) == ["started", "stalled"]
