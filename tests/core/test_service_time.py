"""Service time: it runs while a server does, and stands still while none does, whatever is done to the clock."""

from collections.abc import Callable

import pytest

from holdfast.commands.command import Command
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.notes import WriteCheckpoint
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import DAY_MS, HOUR_MS, MINUTE_MS
from holdfast.domain.service_time import ServiceState, is_tick_due, moment, tick
from holdfast.testing.clock import START_AT_MS
from holdfast.testing.factories import LEASE_MS, STRICT, start
from tests.support.stores import World, events_of, rows_of, session_of

STATE = ServiceState(1, 1_000_000, 300, "timeline", 0)


@pytest.mark.parametrize(("elapsed_ms", "is_due", "served_ms"), [
    (-DAY_MS, True, 0),
    (-1, True, 0),
    (0, False, 0),
    (499, False, 499),
    (500, True, 500),
    (2_000, True, 2_000),
    (2_001, True, 0),
    (DAY_MS, True, 0),
])  # fmt: skip
def test_a_tick_adds_a_gap_whole_and_nothing_else(elapsed_ms: int, is_due: bool, served_ms: int) -> None:
    now_at_ms = STATE.last_tick_at_ms + elapsed_ms
    before = moment(STATE, now_at_ms=STATE.last_tick_at_ms)
    ticked = tick(STATE, now_at_ms=now_at_ms)
    after = moment(ticked, now_at_ms=now_at_ms)
    assert is_tick_due(STATE, now_at_ms=now_at_ms) is is_due
    assert ticked.last_tick_at_ms == now_at_ms
    assert (after.service_ms - before.service_ms, after.wall_ms) == (served_ms, now_at_ms)


@pytest.mark.parametrize(("elapsed_ms", "seen_ms"), [(-5, 0), (0, 0), (1_999, 1_999), (2_000, 2_000), (9_999, 2_000)])
def test_a_reading_stays_within_what_was_served(elapsed_ms: int, seen_ms: int) -> None:
    now = moment(STATE, now_at_ms=STATE.last_tick_at_ms + elapsed_ms)
    assert now == (STATE.last_tick_at_ms + seen_ms - STATE.paused_ms, STATE.last_tick_at_ms + seen_ms)


def test_a_deadline_is_shown_at_the_wall_clock_time_on_which_it_falls() -> None:
    now = moment(STATE, now_at_ms=STATE.last_tick_at_ms)
    assert now.wall(now.service_ms + 7) == now.wall_ms + 7


@pytest.mark.parametrize("stopped_ms", [2_001, 10 * MINUTE_MS, DAY_MS])
def test_a_server_that_was_stopped_kills_nobody(dicts: World, stopped_ms: int) -> None:
    body = dicts.caller.accepted(start(exclusive=True, policy=STRICT)).body
    dicts.caller.serve(LEASE_MS - 1)
    dicts.caller.stand_still(stopped_ms)
    dicts.caller.sweep()
    assert session_of(dicts.store, body["id"]).status == "active"
    beat = dicts.caller.accepted(Heartbeat(body["id"], body["fencing_token"])).body
    assert beat["lease_expires_at_ms"] == dicts.clock.now_ms() + LEASE_MS


def test_two_seconds_without_a_tick_still_count(dicts: World) -> None:
    body = dicts.caller.accepted(start(exclusive=True, policy=STRICT)).body
    dicts.caller.serve(LEASE_MS - 2_000)
    dicts.caller.stand_still(2_000)
    dicts.caller.sweep()
    assert session_of(dicts.store, body["id"]).status == "stalled"


@pytest.mark.parametrize("jump_ms", [-DAY_MS, -HOUR_MS, -2_001, 2_001, HOUR_MS, DAY_MS])
def test_a_wall_clock_that_was_set_neither_kills_the_living_nor_keeps_the_dead(dicts: World, jump_ms: int) -> None:
    body = dicts.caller.accepted(start(exclusive=True, policy=STRICT)).body
    for _ in range(LEASE_MS // 500 - 1):
        dicts.clock.advance(500)
        dicts.caller.sweep()
    dicts.clock.jump(jump_ms)
    dicts.clock.advance(499)
    dicts.caller.sweep()
    assert session_of(dicts.store, body["id"]).status == "active"
    for _ in range(6):
        dicts.clock.advance(500)
        dicts.caller.sweep()
    assert session_of(dicts.store, body["id"]).status == "stalled"
    (_, stalled) = events_of(dicts.store, body["id"])
    assert abs(stalled.recorded_at_ms - stalled.at_ms) <= 2_500


def test_a_clock_that_ticks_twice_a_second_serves_all_of_its_time(dicts: World) -> None:
    (first,) = rows_of(dicts.store, ServiceState)
    for _ in range(100):
        dicts.clock.advance(500)
        dicts.caller.sweep()
    (last,) = rows_of(dicts.store, ServiceState)
    assert last == first._replace(last_tick_at_ms=first.last_tick_at_ms + 50_000)


@pytest.mark.parametrize("write", [Heartbeat, lambda session_id, token: WriteCheckpoint(session_id, token, "a note")])
def test_an_acknowledged_beat_is_not_moved_back_by_a_gap_seen_late(
    dicts: World, write: Callable[[SessionId, int], Command]
) -> None:
    body = dicts.caller.accepted(start(exclusive=True)).body
    dicts.caller.serve(5_000)
    dicts.clock.advance(499)
    dicts.caller.accepted(write(body["id"], body["fencing_token"]))
    before = session_of(dicts.store, body["id"])
    dicts.caller.stand_still(HOUR_MS)
    dicts.caller.accepted(write(body["id"], body["fencing_token"]))
    after = session_of(dicts.store, body["id"])
    assert before.due_ms == 5_499 + LEASE_MS + START_AT_MS
    assert after.due_ms == before.due_ms
    assert after.last_heartbeat_at_ms >= before.last_heartbeat_at_ms
