"""The engine: takes commands, hands them to the one writer, and wakes whoever waits for each.

While one batch commits, the next one gathers; so a lone command is written at once, and many at once share an fsync.
The writer is a process of its own (`process`), or a thread of this one (`thread`).
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent import futures
from math import ceil
from typing import NamedTuple

from holdfast.commands.command import Envelope
from holdfast.commands.view import Reply
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.engine.batch import Outcome
from holdfast.engine.meters import WriterMeters
from holdfast.engine.tracing import BatchTracer

log = logging.getLogger(__name__)

GATHER_ROUNDS_MAX = 8
"""Rounds of the event loop that the writer waits while more keeps coming: a millisecond or two at full load."""

GATHER_SHARE = 3
"""No more is gathered than one part in so many of what usually waits. Callers who wait for their answers would else end
up all in one batch, and the writer and the event loop would wait for each other in turn."""


class QueueLimits(NamedTuple):
    """How much may wait, and how much goes into one transaction.

    beats_reserved: the share of the queue, in commands, that only heartbeats may use, so that overload by others drops
    no beat. batch_weight: single commands in one transaction; past a few hundred a batch gains nothing and others wait.
    """

    commands: int = 20_000
    beats_reserved: int = 4_000
    bytes: int = 64 * 1024 * 1024
    batch_weight: int = 512


Future = asyncio.Future[Reply] | futures.Future[Reply]
Waiting = tuple[Envelope, Future]
"""A command, and where its outcome goes."""


class Engine(ABC):
    """Carries out commands, one batch after another. Callers wait on an event loop, or on a thread of their own.

    on_fatal: called once when the store must not be written to any more, from whichever thread finds out.
    meters: what became of batches. tracer: told of every batch; whoever wires a server sets it, or nobody.
    """

    def __init__(self, *, limits: QueueLimits, on_fatal: Callable[[], None]) -> None:
        self._limits = limits
        self._on_fatal = on_fatal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathering_rounds = 0
        self._usual_depth = 0
        self._share = 1
        self._is_stopping = False
        self._is_broken = False
        self._on_change: Callable[[], None] = lambda: None
        self._traces: dict[Future, object] = {}
        self.meters = WriterMeters()
        self.tracer: BatchTracer | None = None

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    async def stop(self) -> None:
        """Carry out what waits, then stop. Nothing is taken any more."""

    @property
    @abstractmethod
    def queue_depth(self) -> int:
        """How many commands wait."""

    @property
    @abstractmethod
    def _gathered(self) -> int:
        """How many of them the writer has not been shown."""

    @property
    @abstractmethod
    def _queue_bytes(self) -> int:
        """About how much memory they hold."""

    @abstractmethod
    def _put(self, waiting: Waiting) -> None:
        """Queue a command for the writer."""

    @abstractmethod
    def _wake(self) -> None:
        """Let the writer see what is queued."""

    @abstractmethod
    def execute_blocking(self, envelope: Envelope) -> Reply:
        """The reply to a caller on a thread of its own, once it is durable. Raises: Refusal."""

    @property
    def is_broken(self) -> bool:
        """Whether the store must not be written to any more."""
        return self._is_broken

    @property
    def is_writable(self) -> bool:
        """Whether commands are still taken."""
        return not (self._is_broken or self._is_stopping)

    def execute(self, envelope: Envelope) -> Awaitable[Reply]:
        """The reply, once it is durable; awaiting it raises a Refusal. Raises: unavailable, overloaded."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._admit(envelope)
        future: asyncio.Future[Reply] = loop.create_future()
        if self.tracer is not None:
            self._traces[future] = self.tracer.current()
        self._put((envelope, future))
        if not self._gathering_rounds:
            self._gather(0)
        elif self._gathered >= self._share:
            # In the middle of a round: the writer works on these while the event loop takes in the others.
            self._wake()
        return future

    def listen(self, on_change: Callable[[], None]) -> None:
        """Have this called, on the present event loop, when this node has committed more than beats."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._on_change = on_change

    def _admit(self, envelope: Envelope) -> None:
        """Make sure that there is room. Raises: unavailable, overloaded."""
        if not self.is_writable:
            raise unavailable()
        limits = self._limits
        if envelope.is_beat:
            is_full = self.queue_depth >= limits.commands
        else:
            is_full = self.queue_depth >= limits.commands - limits.beats_reserved
            is_full = is_full or self._queue_bytes + envelope.size_bytes > limits.bytes
        if is_full:
            raise Refusal(Code.OVERLOADED, retry_after_ms=1_000, ways_out=(WayOut(Action.REPEAT_LATER),))

    def _gather(self, gathered: int) -> None:
        """Wake the writer once a round of the event loop brought nothing new, or after enough rounds.

        Requests that arrive together then share a batch. A request that comes alone waits for one round of an idle
        loop, some 20 microseconds.
        """
        waiting = self._gathered
        is_growing = waiting > gathered and self._gathering_rounds < GATHER_ROUNDS_MAX
        if is_growing and waiting < self._share and self._loop is not None:
            self._gathering_rounds += 1
            self._loop.call_soon(self._gather, waiting)
            return
        self._gathering_rounds = 0
        self._usual_depth = max(self.queue_depth, self._usual_depth - self._usual_depth // 8)
        self._share = ceil(self._usual_depth / GATHER_SHARE)
        self._wake()

    def _break(self) -> None:
        """Take no more commands, and let whoever runs the server know."""
        if not self._is_broken:
            self._is_broken = True
            self._on_fatal()

    def _resolve(self, answered: list[tuple[Future, Outcome]], is_change: bool, /) -> None:
        """Wake everybody, on the event loop."""
        if self.tracer is not None and answered:
            self._trace(self.tracer, [self._traces.pop(future, None) for future, _ in answered])
        for future, outcome in answered:
            if not future.done():
                resolve(future, outcome)
        if is_change:
            self._on_change()

    def _trace(self, tracer: BatchTracer, requests: list[object]) -> None:
        try:
            tracer.batch(requests, seconds=self.meters.last.seconds)
        except Exception:
            # Whatever ails a trace, whoever waits has to be answered.
            log.exception("batch_not_traced commands=%d", len(requests))


def resolve(future: Future, outcome: Outcome) -> None:
    """Wake whoever waits for a command."""
    if isinstance(outcome, Refusal):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def unavailable() -> Refusal:
    """What is answered where no writer works."""
    return Refusal(Code.UNAVAILABLE, retry_after_ms=5_000, ways_out=(WayOut(Action.REPEAT_LATER),))
