"""Recurring jobs: one row each, claimed by one node for a while, so that of many nodes one does the work.

A claim is known by its id and lasts a minute from the last thing done under it. Whoever works under a claim checks it
in the transaction that does the work, so a node that was slow, or came back from the dead, changes nothing any more.
Times are wall clock. A clock that was set must neither stop a job for a year nor keep a dead claim alive, so a time
further ahead than it was ever put counts as passed.
"""

from typing import NamedTuple

from holdfast.domain.limits import MINUTE_MS
from holdfast.domain.service_time import Moment

CLAIM_MS = MINUTE_MS
"""How long a claim lasts after the last step under it: many times what a step takes, and soon over if a node dies."""

RETRY_MS = 5 * MINUTE_MS
"""How long after a failed run the next one begins, where the job would not be due before."""


class Schedule(NamedTuple):
    """How often a job runs. jitter_ms: by how much a run may be early or late, so that not all run at once."""

    name: str
    every_ms: int
    jitter_ms: int


class Job(NamedTuple):
    """A job's row.

    claim_id: under which the present run works; None while none does. claimed_by: the node that runs it.
    last_run_at_ms: when the present or the last run began; last_count: how many rows it has treated.
    last_error: why the last run that ended failed; None where it did not.
    run_count, failure_count: of runs that ended, one way or the other; a run whose node died counts as failed.
    """

    name: str
    next_run_at_ms: int
    claim_id: str | None
    claimed_by: str | None
    claim_expires_at_ms: int | None
    last_run_at_ms: int | None
    last_duration_ms: int | None
    last_count: int
    last_error: str | None
    run_count: int
    failure_count: int
    total_count: int


def planned(schedule: Schedule, *, jitter_ms: int, now: Moment) -> Job:
    """A job that is known for the first time: due within its jitter."""
    return Job(
        name=schedule.name,
        next_run_at_ms=now.wall_ms + abs(jitter_ms),
        claim_id=None,
        claimed_by=None,
        claim_expires_at_ms=None,
        last_run_at_ms=None,
        last_duration_ms=None,
        last_count=0,
        last_error=None,
        run_count=0,
        failure_count=0,
        total_count=0,
    )


def is_claimed(job: Job, *, now: Moment) -> bool:
    """Whether a node works under a claim that has not expired. Held while now < expires."""
    expires_at_ms = job.claim_expires_at_ms
    return expires_at_ms is not None and now.wall_ms < expires_at_ms <= now.wall_ms + CLAIM_MS


def is_due(job: Job, schedule: Schedule, *, now: Moment) -> bool:
    """Whether the job may be claimed now. Runs that were missed are made up for by one."""
    if is_claimed(job, now=now):
        return False
    ahead_ms = job.next_run_at_ms - now.wall_ms
    return ahead_ms <= 0 or ahead_ms > max(schedule.every_ms, RETRY_MS) + schedule.jitter_ms


def claimed(job: Job, *, claim_id: str, claimed_by: str, now: Moment) -> Job:
    """The job, claimed by a node. An earlier claim that was never given back was a run that failed."""
    is_orphan = job.claim_id is not None
    return job._replace(
        claim_id=claim_id,
        claimed_by=claimed_by,
        claim_expires_at_ms=now.wall_ms + CLAIM_MS,
        last_run_at_ms=now.wall_ms,
        last_duration_ms=None,
        last_count=0,
        last_error=f"{job.claimed_by} did not finish" if is_orphan else job.last_error,
        failure_count=job.failure_count + is_orphan,
    )


def advanced(job: Job, *, count: int, now: Moment) -> Job:
    """The job after a step of its present run that treated so many rows; the claim lasts on."""
    return job._replace(
        claim_expires_at_ms=now.wall_ms + CLAIM_MS,
        last_count=job.last_count + count,
        total_count=job.total_count + count,
    )


def finished(job: Job, schedule: Schedule, *, error: str | None, jitter_ms: int, now: Moment) -> Job:
    """The job after its present run, with the next one planned; after a failure that comes soon."""
    wait_ms = schedule.every_ms if error is None else min(schedule.every_ms, RETRY_MS)
    began_at_ms = now.wall_ms if job.last_run_at_ms is None else job.last_run_at_ms
    return job._replace(
        next_run_at_ms=began_at_ms + wait_ms + jitter_ms,
        claim_id=None,
        claimed_by=None,
        claim_expires_at_ms=None,
        last_duration_ms=max(0, now.wall_ms - began_at_ms),
        last_error=error,
        run_count=job.run_count + (error is None),
        failure_count=job.failure_count + (error is not None),
    )
