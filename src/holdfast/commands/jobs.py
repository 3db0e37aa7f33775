"""Recurring jobs: claimed by compare-and-set on their row, and given back when their run is over."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.bodies import Body
from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain import jobs
from holdfast.domain.actor import Actor
from holdfast.domain.jobs import Job, Schedule


class Claim(NamedTuple):
    """The right to run a job, as long as its row says so."""

    job: str
    id: str


class ClaimJob(NamedTuple):
    """Run a job, if it is due and nobody else does. node: who asks, for people to read."""

    schedule: Schedule
    node: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The job's row."""
        return (Key(Job, (self.schedule.name,)),)

    def decide(self, view: View) -> Reply:
        """The claim's id; None where there is nothing to do here. A job that is new is planned."""
        job = view.get(Job, self.schedule.name)
        if job is None:
            jitter_ms = view.jitter_ms(self.schedule.jitter_ms)
            job = jobs.planned(self.schedule, jitter_ms=jitter_ms, now=view.now)
            view.put(job)
        if not jobs.is_due(job, self.schedule, now=view.now):
            return Reply({"claim_id": None})
        claim_id = view.mint("claim")
        view.put(jobs.claimed(job, claim_id=claim_id, claimed_by=self.node, now=view.now))
        return Reply({"claim_id": claim_id})


class FinishJob(NamedTuple):
    """Give a claim back, the run being over. error: why it failed; None where it did not."""

    schedule: Schedule
    claim: Claim
    error: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The job's row."""
        return (Key(Job, (self.claim.job,)),)

    def decide(self, view: View) -> Reply:
        """Whether the claim was still its own; else nothing changes."""
        job = held_job(view, self.claim)
        if job is None:
            return Reply({"is_held": False})
        jitter_ms = view.jitter_ms(self.schedule.jitter_ms)
        view.put(jobs.finished(job, self.schedule, error=self.error, jitter_ms=jitter_ms, now=view.now))
        return Reply({"is_held": True})


def held_job(view: View, claim: Claim) -> Job | None:
    """The job of a claim; None where another node has claimed it since."""
    job = view.get(Job, claim.job)
    return job if job is not None and job.claim_id == claim.id else None


def job_body(schedule: Schedule, job: Job | None, *, keep_ms: int | None) -> Body:
    """A job as an operator sees it. keep_ms: how long the rows are kept that it is about; None: for ever."""
    body: Body = {"name": schedule.name, "every_ms": schedule.every_ms, "is_on": keep_ms is not None}
    body["keep_ms"] = keep_ms
    shown = job._asdict() if job is not None else dict.fromkeys(Job._fields)
    return body | {name: value for name, value in shown.items() if name not in ("name", "claim_id")}
