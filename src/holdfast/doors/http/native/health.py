"""Routes that say whether the service is well.

Three are open to everybody, so they say nothing else; what ails it is for operators.
"""

import asyncio
import time

from holdfast.commands.probing import ProbeWrite
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Refusal
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.problems import HttpProblem
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine.core import Core
from holdfast.engine.health import Clock, Tried, read_clock, report
from holdfast.engine.sweeper import SWEEPER

READY_TRUST_SECONDS = 1.0
"""How long an answer about readiness is believed, so that nobody makes the store write by asking."""

READY_WAIT_SECONDS = 5.0
"""How long a write, or a read, may take while the service still counts as ready."""

TIMED_OUT = "timeout"


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
        self._probe: asyncio.Future[Tried] | None = None

    async def ready(self, call: Call) -> Answer:
        """A write was committed just now."""
        if (await self._written(call)).error is not None:
            raise HttpProblem(503, "not_ready", "The store does not take writes.", headers=((b"retry-after", b"1"),))
        return Answer(200, {"status": "ready"})

    async def detail(self, call: Call) -> Answer:
        """How this node fares: what is wrong, and how its store, writer, sweeper and request log are."""
        written, (read, clock) = await asyncio.gather(self._written(call), _read(call.core))
        return Answer(200, report(call.core, read=read, clock=clock, written=written))

    async def _written(self, call: Call) -> Tried:
        """What became of a write."""
        probe = self._probe
        is_old = time.monotonic() - self._asked_at >= READY_TRUST_SECONDS
        if probe is None or self._asked is not call.core or (probe.done() and is_old):
            self._asked, self._asked_at = call.core, time.monotonic()
            probe = self._probe = asyncio.ensure_future(_write(call))
        try:
            # Shielded: the answer is for all who wait, and one of them may leave.
            return await asyncio.wait_for(asyncio.shield(probe), READY_WAIT_SECONDS)
        except TimeoutError:
            return Tried(TIMED_OUT, time.monotonic() - self._asked_at)


async def _write(call: Call) -> Tried:
    began = time.monotonic()
    error = None
    try:
        await call.core.execute(ProbeWrite(), SWEEPER, correlation_id=call.correlation_id)
    except Refusal as refusal:
        error = refusal.code.value
    return Tried(error, time.monotonic() - began)


async def _read(core: Core) -> tuple[Tried, Clock | None]:
    began = time.monotonic()
    clock, error = None, None
    try:
        clock = await asyncio.wait_for(core.read(read_clock), READY_WAIT_SECONDS)
    except TimeoutError:
        error = TIMED_OUT
    except Refusal as refusal:
        error = refusal.code.value
    return Tried(error, time.monotonic() - began), clock


_readiness = Readiness()

ROUTES = [
    Route("GET", "/health", health, None, routine=Routine.CHECK),
    Route("GET", "/health/live", health, None, routine=Routine.CHECK),
    Route("GET", "/health/ready", _readiness.ready, None, routine=Routine.CHECK),
    Route("GET", "/health/detail", _readiness.detail, KeyScope.OPERATOR, routine=Routine.CHECK),
]
