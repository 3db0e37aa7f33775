"""The thread that writes: it takes the commands that wait, runs them as a batch, and wakes whoever waits for each.

While one batch commits, the next one gathers; so a lone command is written at once, and many at once share an fsync.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent import futures
from typing import NamedTuple

from holdfast.commands.command import Envelope
from holdfast.commands.view import Reply
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import Mint
from holdfast.engine.batch import Outcome, outcome_unknown, run_batch
from holdfast.store.port import CommitUnknown, Store

log = logging.getLogger(__name__)


GATHER_ROUNDS_MAX = 8
"""Rounds of the event loop that the writer waits while more keeps coming: a millisecond or two at full load."""


class QueueLimits(NamedTuple):
    """How much may wait, and how much goes into one transaction.

    beats_reserved: the share of the queue, in commands, that only heartbeats may use, so that overload by others drops
    no beat. batch_weight: single commands in one transaction; past a few hundred a batch gains nothing and others wait.
    """

    commands: int = 20_000
    beats_reserved: int = 4_000
    bytes: int = 64 * 1024 * 1024
    batch_weight: int = 512


Waiting = tuple[Envelope, "asyncio.Future[Outcome] | futures.Future[Outcome]"]
"""A command, and where its outcome goes."""


class Engine:
    """Carries out commands, one batch after another, on a thread of its own.

    on_fatal: called once, from the writer thread, when the store must not be written to any more.
    """

    def __init__(self, store: Store, *, limits: QueueLimits, on_fatal: Callable[[], None]) -> None:
        self._store = store
        self._limits = limits
        self._on_fatal = on_fatal
        self._mint = Mint()
        self._waiting: deque[Waiting] = deque()
        # Two counters, each written by one thread alone, so that neither loses the other's change.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._work = threading.Event()
        self._gathering_rounds = 0
        self._is_stopping = False
        self._is_broken = False
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="holdfast-writer", daemon=True)

    def start(self) -> None:
        """Begin to work. Callers may wait on an event loop (`execute`) or on a thread (`execute_blocking`)."""
        self._thread.start()

    def stop(self) -> None:
        """Carry out what waits, then stop. Nothing is taken any more."""
        self._is_stopping = True
        self._work.set()
        self._thread.join()

    @property
    def is_broken(self) -> bool:
        """Whether the store must not be written to any more."""
        return self._is_broken

    @property
    def is_writable(self) -> bool:
        """Whether commands are still taken."""
        return not (self._is_broken or self._is_stopping)

    @property
    def queue_depth(self) -> int:
        """How many commands wait."""
        return len(self._waiting)

    async def execute(self, envelope: Envelope) -> Reply:
        """The reply, once it is durable. Raises: Refusal."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._put(envelope, future)
        if not self._gathering_rounds:
            self._gather(0)
        outcome = await future
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def execute_blocking(self, envelope: Envelope) -> Reply:
        """The same for a caller on a thread of its own."""
        future: futures.Future[Outcome] = futures.Future()
        self._put(envelope, future)
        self._work.set()
        outcome = future.result()
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def changed(self, *, timeout_seconds: float) -> None:
        """Return when this node has committed something, or after the timeout: other nodes are not heard here."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _put(self, envelope: Envelope, future: "asyncio.Future[Outcome] | futures.Future[Outcome]") -> None:
        """Queue a command. Only those from the event loop have a size. Raises: unavailable, overloaded."""
        if not self.is_writable:
            raise _unavailable()
        limit = self._limits.commands - (0 if envelope.is_beat else self._limits.beats_reserved)
        is_over_bytes = self._put_bytes - self._taken_bytes + envelope.size_bytes > self._limits.bytes
        if len(self._waiting) >= limit or (is_over_bytes and not envelope.is_beat):
            raise Refusal(Code.OVERLOADED, retry_after_ms=1_000, ways_out=(WayOut(Action.REPEAT_LATER),))
        if envelope.size_bytes:
            self._put_bytes += envelope.size_bytes
        self._waiting.append((envelope, future))

    def _gather(self, gathered: int) -> None:
        """Wake the writer once a round of the event loop brought nothing new, or after enough rounds.

        Requests that arrive together then share a batch, and the two threads do not fight over the interpreter. A
        request that comes alone waits for one round of an idle loop, some 20 microseconds.
        """
        waiting = len(self._waiting)
        if waiting > gathered and self._gathering_rounds < GATHER_ROUNDS_MAX and self._loop is not None:
            self._gathering_rounds += 1
            self._loop.call_soon(self._gather, waiting)
            return
        self._gathering_rounds = 0
        self._work.set()

    def _serve(self) -> None:
        try:
            self._serve_batches()
        finally:
            if not self._is_stopping:
                # A server without its writer must not look as if it took commands.
                self._break()

    def _serve_batches(self) -> None:
        while not (self._is_stopping and not self._waiting):
            self._work.wait()
            self._work.clear()
            batch = self._take()
            if not batch:
                continue
            try:
                outcomes = run_batch(self._store, [envelope for envelope, _ in batch], mint=self._mint)
            except CommitUnknown:
                self._break()
                outcomes = [outcome_unknown() for _ in batch]
            except BaseException:
                # Nobody may be left waiting; what was not answered is not known to be done or undone.
                log.exception("writer_failed commands=%d", len(batch))
                self._break()
                outcomes = [outcome_unknown() for _ in batch]
            self._deliver(batch, outcomes)

    def _take(self) -> list[Waiting]:
        """What waits, up to a batch; what is left over wakes the writer again. A broken store's queue is refused."""
        batch: list[Waiting] = []
        weight = 0
        while self._waiting and weight < self._limits.batch_weight:
            waiting = self._waiting.popleft()
            self._taken_bytes += waiting[0].size_bytes
            weight += waiting[0].weight
            batch.append(waiting)
        if self._waiting:
            self._work.set()
        if self._is_broken:
            self._deliver(batch, [_unavailable() for _ in batch])
            return []
        return batch

    def _break(self) -> None:
        """Take no more commands, and let whoever runs the server know."""
        if not self._is_broken:
            self._is_broken = True
            self._on_fatal()

    def _deliver(self, batch: list[Waiting], outcomes: list[Outcome]) -> None:
        """Wake everybody: one call into the event loop for the whole batch."""
        for_loop: list[tuple[asyncio.Future[Outcome], Outcome]] = []
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if isinstance(future, futures.Future):
                future.set_result(outcome)
            else:
                for_loop.append((future, outcome))
        loop = self._loop
        if loop is None:
            return
        is_change = not all(envelope.is_beat for envelope, _ in batch)
        try:
            loop.call_soon_threadsafe(self._resolve, for_loop, is_change)
        except RuntimeError:
            log.warning("loop_closed commands=%d", len(for_loop))

    def _resolve(self, answered: list[tuple["asyncio.Future[Outcome]", Outcome]], is_change: bool, /) -> None:
        for future, outcome in answered:
            if not future.done():
                future.set_result(outcome)
        if is_change:
            self._changed.set()
            self._changed = asyncio.Event()


def _unavailable() -> Refusal:
    return Refusal(Code.UNAVAILABLE, retry_after_ms=5_000, ways_out=(WayOut(Action.REPEAT_LATER),))
