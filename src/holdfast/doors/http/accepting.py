"""Taking in TLS connections: each shakes hands before the wire hears of it, and so many may do so at a time.

The event loop's own server tells nobody of a connection whose handshake is not done, so nothing could bound those: a
few thousand clients that connect and say nothing would use up the descriptors that the store needs.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from holdfast.doors.http.limits import SSL_HANDSHAKE_S
from holdfast.doors.http.protocol import Wire

log = logging.getLogger("holdfast.wire")

ACCEPTED_AT_ONCE_MAX = 64
"""Connections taken in before the loop turns to others again."""

OUT_OF_FILES_PAUSE_S = 0.5

HANDSHAKE_FAILED = "tls_handshake_failed"
HANDSHAKE_CROWDED_OUT = "tls_handshake_crowded_out"


class TlsListener:
    """A listening socket whose connections become the wire's once they speak TLS.

    Where too many shake hands at once, the one that has taken longest is let go: a client that means it is done within
    milliseconds, and a crowd of silent ones must not keep it out.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        context: ssl.SSLContext,
        wire: Wire,
        make_connection: Callable[[], asyncio.Protocol],
    ) -> None:
        self._sock = sock
        self._context = context
        self._wire = wire
        self._make_connection = make_connection
        self._loop = asyncio.get_running_loop()
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Take in nobody any more, and let those go that are not done."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Return when nobody shakes hands any more."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                # Out of descriptors: the socket stays readable, and trying on at once would keep the loop busy.
                log.error("accept_failed error=%s", exc.strerror)
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(OUT_OF_FILES_PAUSE_S, self._resume)
                return
            connection.setblocking(False)
            if len(self._handshakes) >= self._wire.limits.handshakes_max:
                oldest = next(iter(self._handshakes))
                del self._handshakes[oldest]
                # One that has just ended is still listed, and has been counted for what it ended of.
                if oldest.cancel():
                    self._wire.refused[HANDSHAKE_CROWDED_OUT] += 1
            task = self._loop.create_task(self._shake_hands(connection))
            self._handshakes[task] = None
            task.add_done_callback(partial(self._done, connection))

    def _resume(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _done(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        if task.cancelled():
            # One that is cancelled before its first step never learned of its socket.
            connection.close()

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_connection, connection, ssl=self._context, ssl_handshake_timeout=SSL_HANDSHAKE_S
            )
        except OSError as exc:
            # Everything that a client can do wrong here ends so: silence, plain HTTP, no version in common, leaving.
            self._wire.refused[HANDSHAKE_FAILED] += 1
            log.debug("tls_handshake_failed error=%s", type(exc).__name__)
