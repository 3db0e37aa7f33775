"""The engine with its writer as a thread of this process: what tests and small embeddings use."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent import futures

from holdfast.commands.command import Envelope
from holdfast.commands.view import Reply
from holdfast.domain.ids import Mint
from holdfast.engine.batch import Outcome, outcome_unknown, run_batch
from holdfast.engine.driver import Engine, Future, QueueLimits, Waiting, resolve, unavailable
from holdfast.engine.meters import BatchMeter
from holdfast.store.port import CommitUnknown, Store

log = logging.getLogger(__name__)


class ThreadEngine(Engine):
    """Carries out commands on a thread of its own. on_fatal: called from that thread."""

    def __init__(self, store: Store, *, limits: QueueLimits, on_fatal: Callable[[], None]) -> None:
        super().__init__(limits=limits, on_fatal=on_fatal)
        self._store = store
        self._mint = Mint()
        self._waiting: deque[Waiting] = deque()
        # Two counters, each written by one thread alone, so that neither loses the other's change.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._work = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="holdfast-writer", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    async def stop(self) -> None:
        """Carry out what waits, then stop. Nothing is taken any more."""
        self._is_stopping = True
        self._work.set()
        await asyncio.to_thread(self._thread.join)

    @property
    def queue_depth(self) -> int:
        """How many commands wait."""
        return len(self._waiting)

    @property
    def _gathered(self) -> int:
        return len(self._waiting)

    @property
    def _queue_bytes(self) -> int:
        return self._put_bytes - self._taken_bytes

    def execute_blocking(self, envelope: Envelope) -> Reply:
        """The reply to a caller on a thread of its own, once it is durable. Raises: Refusal."""
        self._admit(envelope)
        future: futures.Future[Reply] = futures.Future()
        self._put((envelope, future))
        self._wake()
        return future.result()

    def _put(self, waiting: Waiting) -> None:
        # Only those from the event loop have a size.
        if waiting[0].size_bytes:
            self._put_bytes += waiting[0].size_bytes
        self._waiting.append(waiting)

    def _wake(self) -> None:
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
            self.meters.began()
            meter = BatchMeter()
            try:
                outcomes = run_batch(self._store, [envelope for envelope, _ in batch], mint=self._mint, meter=meter)
            except CommitUnknown:
                self._break()
                outcomes = [outcome_unknown() for _ in batch]
            except BaseException:
                # Nobody may be left waiting; what was not answered is not known to be done or undone.
                log.exception("writer_failed commands=%d", len(batch))
                self._break()
                outcomes = [outcome_unknown() for _ in batch]
            self.meters.finished(meter.figures(commands=len(batch)), has_more=bool(self._waiting))
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
            self._deliver(batch, [unavailable() for _ in batch])
            return []
        return batch

    def _deliver(self, batch: list[Waiting], outcomes: list[Outcome]) -> None:
        """Wake everybody: one call into the event loop for the whole batch."""
        for_loop: list[tuple[Future, Outcome]] = []
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if isinstance(future, futures.Future):
                resolve(future, outcome)
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
