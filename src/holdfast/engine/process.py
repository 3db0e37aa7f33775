"""The engine with its writer as a process of its own, so that deciding and answering do not share an interpreter.

The two talk over a pair of sockets. Each frame is a length and a pickle: commands one way, outcomes the other, in the
same order. What has arrived at the writer by the time it is free is its next batch. Either end takes the end of the
other for its own: the server stops, with what was sent and not answered unknown, and the writer leaves at once, since
a command that is carried out after its sender was told that the server is gone may undo what came after it.
"""

import asyncio
import ctypes
import logging
import os
import pickle
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, cast

from holdfast.commands.command import Envelope, Render
from holdfast.commands.view import Reply
from holdfast.domain.ids import Mint
from holdfast.engine.batch import Outcome, outcome_unknown, run_batch
from holdfast.engine.driver import Engine, Future, QueueLimits, Waiting, unavailable
from holdfast.engine.meters import BatchFigures, BatchMeter
from holdfast.store.port import CommitUnknown, Store

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("<I")

READ_BYTES = 256 * 1024
"""Read from a socket at a time: a few batches."""

_new: Final = tuple.__new__
"""Makes a record out of its fields as its own `_make` does, past two functions in Python."""


def frame(content: object) -> bytes:
    """Something as bytes that `Frames` takes apart again. Both ends are ours, and nobody else's."""
    pickled = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(pickled)) + pickled


class Frames:
    """Takes apart what arrives, however it was cut up on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """The contents of all frames that are complete by now."""
        self._buffer += data
        start, size = 0, len(self._buffer)
        while size - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            end = start + _LENGTH.size + length
            if end > size:
                break
            # Nobody but the two of us has an end of the pair.
            yield pickle.loads(memoryview(self._buffer)[start + _LENGTH.size : end])  # noqa: S301
            start = end
        del self._buffer[:start]


def packed(envelopes: Iterable[Envelope]) -> bytes:
    """The frame of some commands.

    Taken apart first: a pickle calls back into Python for every named tuple in it, which costs the event loop two
    thirds of it.
    """
    return frame([(type(envelope.command), tuple(envelope.command), envelope[1:]) for envelope in envelopes])


def unpacked(content: object) -> list[Envelope]:
    """The commands in a frame."""
    taken_apart = cast(list[tuple[type[Any], tuple[Any, ...], tuple[Any, ...]]], content)
    return [_new(Envelope, (_new(kind, values), *rest)) for kind, values, rest in taken_apart]


Answered = tuple[list[Outcome], BatchFigures]
"""What comes back: the outcomes of a batch, and what it took."""


def packed_answer(batch: Sequence[Envelope], outcomes: Iterable[Outcome], figures: BatchFigures) -> bytes:
    """The frame of what comes back: replies taken apart for the same reason, and written out where that is wanted."""
    answered = [
        outcome if type(outcome) is not Reply else _rendered(outcome, envelope.render)
        for envelope, outcome in zip(batch, outcomes, strict=True)
    ]
    return frame((answered, tuple(figures)))


def _rendered(reply: Reply, render: Render | None) -> tuple[Any, ...]:
    """The fields of a reply, its body as bytes where the door wants it so: the event loop unpacks them for nothing."""
    if render is None:
        return tuple(reply)
    try:
        written = render(reply.body)
    except Exception:
        # The command is carried out: whatever ails its answer, the door tells, to the one who waits for it.
        log.exception("reply_not_rendered")
        return tuple(reply)
    return tuple(reply) if written is None else ({}, *reply[1:-1], written)


def unpacked_answer(content: object) -> Answered:
    """What came back in a frame."""
    outcomes, figures = cast(tuple[list[Any], tuple[Any, ...]], content)
    return [_new(Reply, each) if type(each) is tuple else each for each in outcomes], _new(BatchFigures, figures)


def ask(connection: socket.socket, envelope: Envelope) -> Outcome:
    """Have the writer carry out one command before the engine runs. Raises: ConnectionError."""
    connection.sendall(packed([envelope]))
    (outcome,), _ = unpacked_answer(receive(connection))
    return outcome


def receive(connection: socket.socket) -> object:
    """Wait for one frame, where no more than one is under way. Raises: ConnectionError."""
    frames = Frames()
    while data := connection.recv(READ_BYTES):
        for content in frames.feed(data):
            return content
    raise ConnectionError("the writer is gone")


class ProcessEngine(Engine):
    """Carries out commands in a writer process, on the event loop that `start` is called on.

    connection: our end of the pair.
    """

    def __init__(self, connection: socket.socket, *, limits: QueueLimits, on_fatal: Callable[[], None]) -> None:
        super().__init__(limits=limits, on_fatal=on_fatal)
        self._connection = connection
        self._unsent: list[Waiting] = []
        self._in_flight: deque[Waiting] = deque()
        self._bytes = 0
        self._transport: asyncio.WriteTransport | None = None
        self._connecting: asyncio.Task[object] | None = None
        self._gone: asyncio.Future[None]

    def start(self) -> None:
        """Begin to work."""
        loop = self._loop = asyncio.get_running_loop()
        self._connection.setblocking(False)
        self._gone = loop.create_future()
        self._connecting = loop.create_task(loop.create_connection(lambda: _Answers(self), sock=self._connection))

    async def stop(self) -> None:
        """Carry out what waits, then stop. Nothing is taken any more."""
        self._is_stopping = True
        if self._connecting is not None:
            await self._connecting
        self._wake()
        while self._in_flight:
            await asyncio.wait([future for _, future in self._in_flight if isinstance(future, asyncio.Future)])
        if self._transport is not None:
            self._transport.close()
        await self._gone

    @property
    def queue_depth(self) -> int:
        """How many commands wait."""
        return len(self._unsent) + len(self._in_flight)

    @property
    def _gathered(self) -> int:
        return len(self._unsent)

    @property
    def _queue_bytes(self) -> int:
        return self._bytes

    def execute_blocking(self, envelope: Envelope) -> Reply:
        """The reply to a caller on a thread of its own, once it is durable. Raises: Refusal."""
        loop = self._loop
        if loop is None:
            raise unavailable()

        async def executed() -> Reply:
            return await self.execute(envelope)

        return asyncio.run_coroutine_threadsafe(executed(), loop).result()

    def _put(self, waiting: Waiting) -> None:
        self._bytes += waiting[0].size_bytes
        self._unsent.append(waiting)

    def _wake(self) -> None:
        if self._transport is None or not self._unsent:
            return
        waiting, self._unsent = self._unsent, []
        self._in_flight += waiting
        self.meters.began()
        self._transport.write(packed([envelope for envelope, _ in waiting]))

    def connected(self, transport: asyncio.WriteTransport) -> None:
        """The writer is there: send it what came meanwhile."""
        self._transport = transport
        self._wake()

    def answered(self, outcomes: list[Outcome], figures: BatchFigures) -> None:
        """The writer is through with as many commands, in the order in which they were sent."""
        answered: list[tuple[Future, Outcome]] = []
        is_change = False
        for outcome in outcomes:
            envelope, future = self._in_flight.popleft()
            self._bytes -= envelope.size_bytes
            is_change = is_change or not envelope.is_beat
            answered.append((future, outcome))
        self.meters.finished(figures, has_more=bool(self._in_flight))
        self._resolve(answered, is_change)

    def disconnected(self) -> None:
        """The writer is gone: what it was sent may be done or not, what it was not sent is not done."""
        if not self._is_stopping:
            log.critical("writer_gone commands=%d", len(self._in_flight))
            self._break()
        self._resolve([(future, outcome_unknown()) for _, future in self._in_flight], False)
        self._resolve([(future, unavailable()) for _, future in self._unsent], False)
        self._in_flight.clear()
        self._unsent.clear()
        self._bytes = 0
        if not self._gone.done():
            self._gone.set_result(None)


class _Answers(asyncio.Protocol):
    """Our end of the pair, on the event loop."""

    def __init__(self, engine: ProcessEngine) -> None:
        self._engine = engine
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._engine.connected(cast(asyncio.WriteTransport, transport))

    def data_received(self, data: bytes) -> None:
        for content in self._frames.feed(data):
            self._engine.answered(*unpacked_answer(content))

    def connection_lost(self, exc: Exception | None) -> None:
        self._engine.disconnected()


PR_SET_PDEATHSIG = 1
"""Source: Linux, include/uapi/linux/prctl.h."""


def die_with_server(server_pid: int) -> None:
    """On Linux, have the kernel kill this process when the server is gone; elsewhere the end of the pair tells it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != server_pid:
            os._exit(1)


class Writer:
    """The other end: carries out what arrives, until no more can come. For a process of its own.

    is_broken: whether the store must not be written to any more.
    """

    def __init__(self, store: Store, connection: socket.socket, *, batch_weight: int) -> None:
        self._store = store
        self._connection = connection
        self._batch_weight = batch_weight
        self._mint = Mint()
        self._frames = Frames()
        self._waiting: deque[Envelope] = deque()
        self._meter = BatchMeter()
        self.is_broken = False

    def serve(self) -> None:
        """Work until the server has gone, or the store is broken."""
        try:
            while not self.is_broken and self._arrived():
                batch = self._take()
                self.answer(batch, self._carry_out(batch))
        except ConnectionError:
            # Nobody waits for the answers any more; what was committed stays.
            log.warning("server_gone")

    def answer(self, batch: Sequence[Envelope], outcomes: Sequence[Outcome]) -> None:
        """Send the outcomes of a batch. Raises: ConnectionError."""
        self._connection.sendall(packed_answer(batch, outcomes, self._meter.figures(commands=len(outcomes))))

    def _arrived(self) -> bool:
        """Take in what has arrived, and wait only while there is nothing; False once nobody waits for an answer."""
        while True:
            try:
                data = self._connection.recv(READ_BYTES, socket.MSG_DONTWAIT if self._waiting else 0)
            except BlockingIOError:
                return True
            if not data:
                return False
            for content in self._frames.feed(data):
                self._waiting += unpacked(content)

    def _take(self) -> list[Envelope]:
        """What waits, up to a batch."""
        batch: list[Envelope] = []
        weight = 0
        while self._waiting and weight < self._batch_weight:
            envelope = self._waiting.popleft()
            weight += envelope.weight
            batch.append(envelope)
        return batch

    def _carry_out(self, batch: list[Envelope]) -> list[Outcome]:
        self._meter = BatchMeter()
        try:
            return run_batch(self._store, batch, mint=self._mint, meter=self._meter)
        except CommitUnknown:
            self.is_broken = True
        except BaseException:
            # Nobody may be left waiting; what was not answered is not known to be done or undone.
            log.exception("writer_failed commands=%d", len(batch))
            self.is_broken = True
        return [outcome_unknown() for _ in batch]
