"""Routes that say whether the service is well; open to everybody, so they say nothing else."""

import time

from holdfast.commands.probing import ProbeWrite
from holdfast.domain.errors import Refusal
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.problems import HttpProblem
from holdfast.doors.http.routing import Route
from holdfast.engine.sweeper import SWEEPER

READY_TRUST_SECONDS = 1.0
"""How long an answer about readiness is believed, so that nobody makes the store write by asking."""


async def health(_call: Call) -> Answer:
    """The process answers."""
    return Answer(200, {"status": "ok"})


class Readiness:
    """Whether a write commits, asked of the store at most once a second."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._is_ready = False

    async def ready(self, call: Call) -> Answer:
        """A write was committed just now."""
        if time.monotonic() - self._asked_at >= READY_TRUST_SECONDS:
            self._asked_at = time.monotonic()
            try:
                await call.core.execute(ProbeWrite(), SWEEPER, correlation_id=call.correlation_id)
                self._is_ready = True
            except Refusal:
                self._is_ready = False
        if not self._is_ready:
            raise HttpProblem(503, "not_ready", "The store does not take writes.", headers=((b"retry-after", b"1"),))
        return Answer(200, {"status": "ready"})


ROUTES = [
    Route("GET", "/health", health, None),
    Route("GET", "/health/live", health, None),
    Route("GET", "/health/ready", Readiness().ready, None),
]
