"""A bounded pool of read connections, shared by whatever threads read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue
from threading import BoundedSemaphore
from typing import Generic, TypeVar

C = TypeVar("C")

READERS_MAX = 8
"""Reads at a time; more wait. Fewer keep two cores busy; the rest covers reads that wait for a disk or a network."""


class Pool(Generic[C]):
    """Connections that are opened when first needed and kept."""

    def __init__(self, open_one: Callable[[], C], close_one: Callable[[C], None]) -> None:
        self._open_one = open_one
        self._close_one = close_one
        self._idle: LifoQueue[C] = LifoQueue()
        self._slots = BoundedSemaphore(READERS_MAX)

    @contextmanager
    def connection(self) -> Iterator[C]:
        """A connection for one read; one that failed is closed rather than kept."""
        with self._slots:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                connection = self._open_one()
            try:
                yield connection
            except BaseException:
                self._close_one(connection)
                raise
            self._idle.put(connection)

    def close(self) -> None:
        """Close every idle connection."""
        while True:
            try:
                self._close_one(self._idle.get_nowait())
            except Empty:
                return
