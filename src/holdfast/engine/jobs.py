"""The job runner: claims recurring jobs that are due and does their work in small steps, so that beats do not wait.

It only finds rows; whether a row may go is decided by the engine, under its lock and under the job's claim.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping

from holdfast.commands.bodies import Body
from holdfast.commands.command import Command, Envelope
from holdfast.commands.jobs import Claim, ClaimJob, FinishJob
from holdfast.commands.lists import Aged
from holdfast.commands.retention import KINDS, Kind, RetireRows
from holdfast.commands.rows import Key
from holdfast.domain.actor import JOB_RUNNER_KEY, Actor, KeyScope
from holdfast.domain.errors import Refusal
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES
from holdfast.domain.jobs import Job, is_due
from holdfast.engine.driver import Engine
from holdfast.engine.queries import present
from holdfast.store.port import Reader, StoreUnavailable

log = logging.getLogger(__name__)

PASS_SECONDS = 5.0
"""How often it looks for jobs that are due; they run hourly and daily, and a dead node's claim lasts a minute."""

PAUSE_SECONDS_MIN = 0.01

PAUSE_SHARE = 4.0
"""How long it pauses after a step, in terms of how long the step took: four fifths of the writer are left to others."""

STEP_SECONDS = 0.01
"""How long a step is to take, since beats wait meanwhile. Rows that are not in memory take ten times as long."""

ROWS_MIN = 20
"""Rows in the first step, and in one after a step that took long."""

RUNNER = Actor(DEFAULT_ACCOUNT, JOB_RUNNER_KEY, KeyScope.OPERATOR)

Keeps = Mapping[str, int | None]
"""For each kind of row, by its name, for how many milliseconds it is kept; None: for ever."""


class JobRunner:
    """A thread that runs jobs until it is stopped. Any number of nodes may look after one database.

    node: its name, for people to read.
    """

    def __init__(self, store: Reader, engine: Engine, *, keeps: Keeps, node: str) -> None:
        self._store = store
        self._engine = engine
        self._keeps = keeps
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="holdfast-jobs", daemon=True)

    def start(self) -> None:
        """Begin to look for jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the present step and stop. A run that is not over is taken up when its claim expires."""
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                self.run_due()
            except (Refusal, StoreUnavailable) as error:
                log.warning("jobs_postponed reason=%s", _reason(error))
            except Exception:
                # A runner that died would let every table grow; the next pass may fare better.
                log.exception("jobs_failed")
            self._stop.wait(PASS_SECONDS)

    def run_due(self) -> list[str]:
        """Run every job that is due and that no other node runs; their names. Raises: Refusal, StoreUnavailable."""
        ran = []
        for kind in KINDS.values():
            keep_ms = self._keeps.get(kind.name)
            claim = None if keep_ms is None or self._stop.is_set() else self._claim(kind)
            if keep_ms is not None and claim is not None:
                self._run(kind, claim, keep_ms=keep_ms)
                ran.append(kind.name)
        return ran

    def _claim(self, kind: Kind) -> Claim | None:
        job = self._store.get(Key(Job, (kind.name,)))
        if isinstance(job, Job) and not is_due(job, kind.schedule, now=present(self._store)):
            return None
        claim_id = self._send(ClaimJob(kind.schedule, self._node))["claim_id"]
        return None if claim_id is None else Claim(kind.name, claim_id)

    def _run(self, kind: Kind, claim: Claim, *, keep_ms: int) -> None:
        error = None
        try:
            if not self._retire(kind, claim, keep_ms=keep_ms):
                return
        except (Refusal, StoreUnavailable) as failure:
            error = _reason(failure)
            log.warning("job_failed job=%s error=%s", kind.name, error)
        except Exception as failure:
            log.exception("job_failed job=%s", kind.name)
            error = type(failure).__name__
        self._send(FinishJob(kind.schedule, claim, error))
        if error is None:
            log.info("job_finished job=%s", kind.name)

    def _retire(self, kind: Kind, claim: Claim, *, keep_ms: int) -> bool:
        """Go through the rows that may have been kept long enough, the oldest first; whether it came to their end."""
        after: Aged | None = None
        rows = ROWS_MIN
        until_ms = present(self._store).wall_ms - keep_ms
        while found := self._store.oldest(kind.search, until_ms=until_ms, after=after, limit=rows):
            began_at = time.monotonic()
            keys = tuple(each.key for each in found)
            if not self._send(RetireRows(kind.name, keys, keep_ms, claim), weight=len(keys))["is_held"]:
                log.warning("job_lost job=%s", kind.name)
                return False
            took_seconds = time.monotonic() - began_at
            if self._stop.wait(max(PAUSE_SECONDS_MIN, PAUSE_SHARE * took_seconds)):
                return False
            after = found[-1]
            rows = rows_for(rows, took_seconds=took_seconds, rows_max=kind.step)
        return True

    def _send(self, command: Command, *, weight: int = 1) -> Body:
        envelope = Envelope(command, RUNNER, os.urandom(ENTROPY_BYTES), "jobs", weight=weight)
        return self._engine.execute_blocking(envelope).body


def rows_for(rows: int, *, took_seconds: float, rows_max: int) -> int:
    """How many rows the next step is to have, given how long one of so many took; twice as many at most."""
    fitting = int(rows * STEP_SECONDS / max(took_seconds, STEP_SECONDS / 2))
    return max(ROWS_MIN, min(fitting, rows_max))


def _reason(error: Refusal | StoreUnavailable) -> str:
    return str(error.code) if isinstance(error, Refusal) else "unavailable"
