"""A wall clock that is set forwards or back by an hour: who beats lives, and who is silent lapses when it should."""

from pathlib import Path

import pytest

from holdfast.commands.heartbeats import Heartbeat
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import HOUR_MS, SECOND_MS
from holdfast.testing.factories import LEASE_MS, start
from tests.support.stores import told, world

STEP_MS = 400
"""Time between sweeps, each of which ticks where that is due."""

BEAT_MS = LEASE_MS // 3
DETECTED_WITHIN_MS = SECOND_MS
JUMP_MOMENTS_MS = (LEASE_MS // 2, LEASE_MS * 3 // 4, LEASE_MS * 5 // 4)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
def test_a_clock_that_is_set_kills_nobody_who_beats_and_keeps_nobody_who_is_silent(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, jump_ms: int
) -> None:
    postgres_url = request.getfixturevalue("postgres_url") if kind == "postgres" else None
    with world(kind, sqlite_path=tmp_path / "holdfast.db", postgres_url=postgres_url) as served:
        caller = served.caller
        beating, silent = (
            SessionId(caller.accepted(start(scope, holder_id=scope)).body["id"]) for scope in ("beating", "silent")
        )
        lapsed_after_ms: int | None = None
        jumps = list(JUMP_MOMENTS_MS)
        for now_ms in range(STEP_MS, 2 * LEASE_MS, STEP_MS):
            served.clock.advance(STEP_MS)
            if jumps and now_ms >= jumps[0]:
                served.clock.jump(jump_ms)
                del jumps[0]
            caller.sweep()
            if now_ms % BEAT_MS < STEP_MS:
                caller.accepted(Heartbeat(beating))
            if lapsed_after_ms is None and "stalled" in told(served.store, silent):
                lapsed_after_ms = now_ms
        assert told(served.store, beating) == ["started"]
        assert told(served.store, silent) == ["started", "stalled"]
        assert lapsed_after_ms is not None
        # A jump takes the time since the last tick with it, so a lapse may come that much later; never earlier.
        assert LEASE_MS <= lapsed_after_ms <= LEASE_MS + DETECTED_WITHIN_MS + len(JUMP_MOMENTS_MS) * STEP_MS
