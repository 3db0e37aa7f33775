"""Recurring jobs: one claim at a time, of bounded life; missed runs made up for once; clocks that are set."""

from itertools import count

import pytest

from holdfast.commands.jobs import Claim, ClaimJob, FinishJob
from holdfast.commands.rows import Key
from holdfast.domain.jobs import CLAIM_MS, RETRY_MS, Job, Schedule
from holdfast.domain.limits import DAY_MS, HOUR_MS, MINUTE_MS
from tests.support.stores import World

_numbers = count()


def schedule(*, jitter_ms: int = 0) -> Schedule:
    """An hourly job that no other test has."""
    return Schedule(f"job-{next(_numbers)}", HOUR_MS, jitter_ms)


def claim(world: World, hourly: Schedule, node: str = "node-1") -> Claim | None:
    """What a node gets that asks for the job."""
    claim_id = world.caller.accepted(ClaimJob(hourly, node)).body["claim_id"]
    return None if claim_id is None else Claim(hourly.name, claim_id)


def claimed(world: World, hourly: Schedule, node: str = "node-1") -> Claim:
    """A claim that the node must get."""
    found = claim(world, hourly, node)
    assert found is not None
    return found


def finish(world: World, hourly: Schedule, held: Claim, error: str | None = None) -> bool:
    """Whether the claim was still held as it was given back."""
    return bool(world.caller.accepted(FinishJob(hourly, held, error)).body["is_held"])


def job_of(world: World, hourly: Schedule) -> Job:
    """The job's row."""
    job = world.store.get(Key(Job, (hourly.name,)))
    assert isinstance(job, Job)
    return job


def test_a_job_is_run_by_one_and_again_after_its_period(database: World) -> None:
    hourly = schedule()
    held = claimed(database, hourly)
    began_at_ms = job_of(database, hourly).last_run_at_ms
    assert claim(database, hourly, "node-2") is None
    database.caller.serve(2_000)
    assert finish(database, hourly, held)
    after = job_of(database, hourly)
    assert began_at_ms is not None
    assert after == Job(
        hourly.name, began_at_ms + HOUR_MS, None, None, None, began_at_ms, 2_000, 0, None, 1, 0, 0
    )  # fmt: skip
    database.caller.serve(HOUR_MS - 2_001)
    assert claim(database, hourly, "node-2") is None
    database.caller.serve(1)
    assert claim(database, hourly, "node-2") is not None


def test_a_claim_lapses_at_its_expiry_and_its_holder_can_do_nothing_more(database: World) -> None:
    hourly = schedule()
    dead = claimed(database, hourly)
    database.caller.serve(CLAIM_MS - 1)
    assert claim(database, hourly, "node-2") is None
    database.caller.serve(1)
    alive = claimed(database, hourly, "node-2")
    row = job_of(database, hourly)
    assert (row.claimed_by, row.last_error, row.failure_count) == ("node-2", "node-1 did not finish", 1)
    assert not finish(database, hourly, dead)
    assert job_of(database, hourly) == row
    assert finish(database, hourly, alive)
    assert (job_of(database, hourly).last_error, job_of(database, hourly).run_count) == (None, 1)


def test_runs_that_were_missed_are_made_up_for_by_one(database: World) -> None:
    hourly = schedule()
    finish(database, hourly, claimed(database, hourly))
    database.caller.stand_still(30 * DAY_MS)
    assert finish(database, hourly, claimed(database, hourly))
    assert claim(database, hourly) is None
    database.caller.serve(HOUR_MS - 1)
    assert claim(database, hourly) is None


def test_a_failed_run_is_tried_again_soon(database: World) -> None:
    hourly = schedule()
    finish(database, hourly, claimed(database, hourly), error="unavailable")
    row = job_of(database, hourly)
    assert (row.last_error, row.run_count, row.failure_count) == ("unavailable", 0, 1)
    database.caller.serve(RETRY_MS - 1)
    assert claim(database, hourly) is None
    database.caller.serve(1)
    assert claim(database, hourly) is not None


@pytest.mark.parametrize("by_ms", [-400 * DAY_MS, -DAY_MS, -MINUTE_MS, MINUTE_MS, DAY_MS, 400 * DAY_MS])
def test_a_clock_that_was_set_neither_stops_a_job_nor_keeps_a_dead_claim(database: World, by_ms: int) -> None:
    hourly = schedule()
    finish(database, hourly, claimed(database, hourly))
    database.clock.jump(by_ms)
    database.caller.serve(HOUR_MS + MINUTE_MS)
    claimed(database, hourly)
    database.clock.jump(by_ms)
    database.caller.serve(CLAIM_MS + MINUTE_MS)
    alive = claimed(database, hourly, "node-2")
    assert finish(database, hourly, alive)
    database.clock.jump(-2 * by_ms)


def test_runs_are_spread_within_their_jitter(database: World) -> None:
    first, later = set(), set()
    for _ in range(12):
        hourly = schedule(jitter_ms=10 * MINUTE_MS)
        now_ms = database.caller.present().wall_ms
        if claim(database, hourly) is None:
            first.add(job_of(database, hourly).next_run_at_ms - now_ms)
            database.caller.serve(10 * MINUTE_MS)
            held = claimed(database, hourly)
            finish(database, hourly, held)
        row = job_of(database, hourly)
        assert row.last_run_at_ms is not None
        later.add(row.next_run_at_ms - row.last_run_at_ms - HOUR_MS)
    assert len(first) > 8
    assert all(0 <= each <= 10 * MINUTE_MS for each in first)
    assert len(later) > 8
    assert all(abs(each) <= 10 * MINUTE_MS for each in later)
    assert min(later) < 0 < max(later)
