"""The request log of one node: gathered while requests are answered, written in bulk once a second.

What is gathered lies in memory: a crash loses the last second of the log, and no request waits for its line. Where the
store takes nothing, lines wait within a bound; what is beyond it is dropped, counted, and told.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable

from holdfast.commands.command import Envelope
from holdfast.commands.request_log import RecordRequests
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, AccountId, KeyId
from holdfast.domain.limits import MINUTE_MS, SECOND_MS
from holdfast.domain.requests import RequestCount, RequestRecord
from holdfast.engine.driver import Engine
from holdfast.store.port import Reader, StoreUnavailable

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""How often what was gathered is written: as much of the log as a crash may lose."""

CHUNK = 256
"""Lines in one command: a few milliseconds of the writer, so that beats do not wait behind the log."""

WAITING_MAX = 10_000
"""Lines that wait at most, some 10 MB: ten seconds of a busy node whose store is away."""

LOGGER = Actor(DEFAULT_ACCOUNT, KeyId("request_log"), KeyScope.OPERATOR)

_WORTH_REPEATING = frozenset({Code.UNAVAILABLE, Code.OVERLOADED, Code.BUSY, Code.STORAGE_FULL})
"""Refusals after which nothing was written, and the same may be written later. After any other, it might be there
already, or never be taken."""

Tally = dict[tuple[AccountId, KeyId], list[int]]
"""Requests and what they held, by who sent them."""


class RequestLog:
    """Takes lines and counts from the event loop's thread, and has the engine write them.

    dropped: lines that were lost since the start, for want of room or of a store.
    settle: called before counts are taken, to count what was put aside; the door sets it.
    """

    def __init__(self, store: Reader, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._node = os.urandom(6).hex()
        self._waiting: list[RequestRecord] = []
        self._counts: list[RequestCount] = []
        self._tallies: dict[str, Tally] = {}
        self._wall_before_monotonic_ms: int | None = None
        self._task: asyncio.Task[None] | None = None
        self.settle: Callable[[], None] = lambda: None
        self.dropped = 0
        self._dropped_told = 0

    def start(self) -> None:
        """Begin to write once a second. To be called on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def stop(self) -> None:
        """Write what waits, and stop. To be called while the engine works, when no more requests are answered."""
        if self._task is not None:
            self._task.cancel()
        await self.flush()
        self._tell_dropped()

    def add(self, record: RequestRecord) -> None:
        """Remember a request, unless too many wait. at_ms: as `wall_ms` tells it."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(record)
        else:
            self.dropped += 1

    def tally(self, route: str) -> Tally:
        """Where requests of a route are counted; whoever counts changes it in place."""
        return self._tallies.setdefault(route, {})

    def wall_ms(self) -> int:
        """The present by the store's clock, as far as it was heard of; by the machine's before that."""
        if self._wall_before_monotonic_ms is None:
            return int(time.time() * SECOND_MS)
        return self._wall_before_monotonic_ms + int(time.monotonic() * SECOND_MS)

    @property
    def waiting(self) -> int:
        """How many lines wait to be written."""
        return len(self._waiting)

    @property
    def is_dropping(self) -> bool:
        """Whether lines are being lost now: there is no room for the next one."""
        return len(self._waiting) >= WAITING_MAX

    @property
    def lag_ms(self) -> int:
        """How long the oldest line has waited."""
        waiting = self._waiting
        return max(0, self.wall_ms() - waiting[0].at_ms) if waiting else 0

    async def flush(self) -> None:
        """Write what waits now. What the store refuses waits for the next time, or is dropped."""
        while (command := self._take()) is not None:
            try:
                self._written(await self._engine.execute(_envelope(command)))
            except Refusal as refusal:
                self._refused(command, refusal)
                return

    async def _serve(self) -> None:
        await self.hear_clock()
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.settle()
            try:
                await self.flush()
            except Exception:
                # A log that ended here would be missed when it is needed; the next flush may fare better.
                log.exception("request_log_failed")
            self._tell_dropped()

    async def hear_clock(self) -> None:
        """Ask the store for the time, by which lines are dated until the next one is written."""
        try:
            _, now_at_ms = await asyncio.to_thread(self._store.service_clock)
        except StoreUnavailable:
            return
        self._set_clock(now_at_ms)

    def _set_clock(self, now_at_ms: int) -> None:
        self._wall_before_monotonic_ms = now_at_ms - int(time.monotonic() * SECOND_MS)

    def _take(self) -> RecordRequests | None:
        """A chunk of what waits; None where nothing does."""
        requests, self._waiting = self._waiting[:CHUNK], self._waiting[CHUNK:]
        if not self._counts:
            self.settle()
            self._counts = self._take_tallies()
        room = CHUNK - len(requests)
        counts, self._counts = self._counts[:room], self._counts[room:]
        return RecordRequests(tuple(requests), tuple(counts)) if requests or counts else None

    def _take_tallies(self) -> list[RequestCount]:
        minute_at_ms = self.wall_ms() // MINUTE_MS * MINUTE_MS
        counts = []
        for route, tally in self._tallies.items():
            counts += [
                RequestCount(account_id, minute_at_ms, key_id, route, self._node, *counted)
                for (account_id, key_id), counted in tally.items()
            ]
            tally.clear()
        return counts

    def _written(self, reply: Reply) -> None:
        self._set_clock(reply.body["now_at_ms"])

    def _refused(self, command: RecordRequests, refusal: Refusal) -> None:
        """Let what was not written wait once more, the oldest first to go where there is no room for all."""
        if refusal.code not in _WORTH_REPEATING:
            self.dropped += len(command.requests)
            return
        waiting = [*command.requests, *self._waiting]
        self.dropped += max(0, len(waiting) - WAITING_MAX)
        self._waiting = waiting[-WAITING_MAX:]
        self._counts = [*command.counts, *self._counts]

    def _tell_dropped(self) -> None:
        if self.dropped > self._dropped_told:
            log.warning("request_log_dropped requests=%d", self.dropped - self._dropped_told)
            self._dropped_told = self.dropped


def _envelope(command: RecordRequests) -> Envelope:
    weight = max(1, len(command.requests) + len(command.counts))
    return Envelope(command, LOGGER, os.urandom(ENTROPY_BYTES), "request-log", weight=weight)
