"""Routes that say whether the service is well; open to everybody, so they say nothing else."""

import asyncio
import time

from holdfast.commands.probing import ProbeWrite
from holdfast.domain.errors import Refusal
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.problems import HttpProblem
from holdfast.doors.http.routing import Route
from holdfast.engine.core import Core
from holdfast.engine.sweeper import SWEEPER

READY_TRUST_SECONDS = 1.0
"""How long an answer about readiness is believed, so that nobody makes the store write by asking."""

READY_WAIT_SECONDS = 5.0
"""How long a write may take while the service still counts as ready."""


async def health(_call: Call) -> Answer:
    """The process answers."""
    return Answer(200, {"status": "ok"})


class Readiness:
    """Whether a write commits, asked of the store at most once a second.

    Whoever asks while the store is being asked waits for its answer: an older one might not hold any more.
    """

    def __init__(self) -> None:
        self._asked: Core | None = None
        self._asked_at = float("-inf")
        self._probe: asyncio.Future[bool] | None = None

    async def ready(self, call: Call) -> Answer:
        """A write was committed just now."""
        if not await self._commits(call):
            raise HttpProblem(503, "not_ready", "The store does not take writes.", headers=((b"retry-after", b"1"),))
        return Answer(200, {"status": "ready"})

    async def _commits(self, call: Call) -> bool:
        probe = self._probe
        is_old = time.monotonic() - self._asked_at >= READY_TRUST_SECONDS
        if probe is None or self._asked is not call.core or (probe.done() and is_old):
            self._asked, self._asked_at = call.core, time.monotonic()
            probe = self._probe = asyncio.ensure_future(_probe(call))
        try:
            # Shielded: the answer is for all who wait, and one of them may leave.
            return await asyncio.wait_for(asyncio.shield(probe), READY_WAIT_SECONDS)
        except TimeoutError:
            return False


async def _probe(call: Call) -> bool:
    try:
        await call.core.execute(ProbeWrite(), SWEEPER, correlation_id=call.correlation_id)
    except Refusal:
        return False
    return True


ROUTES = [
    Route("GET", "/health", health, None),
    Route("GET", "/health/live", health, None),
    Route("GET", "/health/ready", Readiness().ready, None),
]
