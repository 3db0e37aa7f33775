"""Requests that the server makes itself: one POST to a receiver of webhooks, and nothing else.

Every address is checked before it is connected to, and the address that was checked is the one connected to, so a name
that resolves differently the next moment leads nowhere. No redirect is followed. No more of an answer is read than its
head, and nothing of it is kept but the status and Retry-After.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Final

import h11

from holdfast import __version__
from holdfast.domain.errors import Refusal
from holdfast.domain.webhook_signatures import signature
from holdfast.domain.webhook_targets import Target, is_allowed, target_of
from holdfast.domain.webhooks import Outcome, retry_after_ms
from holdfast.engine.webhooks import Sending

CONNECT_SECONDS: Final = 5.0
"""For one address; a receiver that is there answers within a tenth of that."""

ADDRESSES_MAX: Final = 4
"""Addresses of a name that are tried, one after the other, within the time of the attempt."""

HEAD_BYTES_MAX: Final = 16 * 1024
"""The head of an answer, with all that comes before it (100 Continue); more is refused."""

RESOLVERS_MAX: Final = 32
"""Names looked up at a time: the system's resolver has no time limit that can be set for each."""

USER_AGENT: Final = f"Holdfast/{__version__} (webhooks)"

Resolve = Callable[[str, int], list[str]]
"""The addresses of a host. Raises: OSError."""


class Unsendable(Exception):
    """Nothing was sent; the message says why."""


def addresses_of(host: str, port: int) -> list[str]:
    """What the system's resolver says, each address once, in its order. Raises: OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


class Sender:
    """Sends messages, on an event loop in a thread of its own, so that requests do not wait for receivers.

    timeout_seconds: for an attempt as a whole. allows_private: see `domain.webhook_targets.is_allowed`.
    trust: by which receivers' certificates are checked; None: what the system trusts.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        allows_private: bool,
        resolve: Resolve = addresses_of,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.allows_private = allows_private
        self._resolve = resolve
        self._trust = trust
        self._resolvers = ThreadPoolExecutor(RESOLVERS_MAX, thread_name_prefix="holdfast-resolver")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-webhook-sender", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Break off what is under way; its claims are given back or run out."""
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._break_off(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _break_off(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_up(self, host: str, port: int) -> list[str]:
        """The addresses of a host. On any event loop. Raises: OSError."""
        return await asyncio.get_running_loop().run_in_executor(self._resolvers, self._resolve, host, port)

    def submit(self, sending: Sending) -> "Future[Outcome]":
        """Begin to send a message; what it came to."""
        assert self._loop is not None, "it was started"
        return asyncio.run_coroutine_threadsafe(self.send(sending), self._loop)

    async def send(self, sending: Sending) -> Outcome:
        """What an attempt comes to. Never raises but when it is broken off."""
        began = time.monotonic()
        status, wait_ms, error = None, None, None
        try:
            async with asyncio.timeout(self.timeout_seconds):
                target = target_of(sending.url, allows_private=self.allows_private)
                status, wait_ms = await self._post(target, sending)
        except TimeoutError:
            error = f"no answer within {self.timeout_seconds:g} s"
        except Refusal as refusal:
            error = refusal.errors[0].message
        except (Unsendable, OSError, h11.ProtocolError) as failure:
            error = _reason(failure)
        if status is not None and not 200 <= status < 300:
            error = f"it answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")
        return Outcome(status, error, round((time.monotonic() - began) * 1_000), wait_ms)

    async def _post(self, target: Target, sending: Sending) -> tuple[int, int | None]:
        """The status, and how long the receiver wants quiet. Raises: Unsendable, OSError, h11.ProtocolError."""
        reader, writer = await self._connect(target)
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
            at_seconds = int(time.time())
            signatures = [
                signature(secret, message_id=sending.message_id, at_seconds=at_seconds, body=sending.body)
                for secret in sending.secrets
            ]
            head = h11.Request(
                method="POST",
                target=target.path,
                headers=[
                    ("Host", target.authority),
                    ("User-Agent", USER_AGENT),
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(sending.body))),
                    ("webhook-id", sending.message_id),
                    ("webhook-timestamp", str(at_seconds)),
                    ("webhook-signature", " ".join(signatures)),
                    ("Connection", "close"),
                ],
            )
            parts = (head, h11.Data(data=sending.body), h11.EndOfMessage())
            writer.write(b"".join(connection.send(part) or b"" for part in parts))
            await writer.drain()
            return await _answer(connection, reader)
        finally:
            # Not waited for: a receiver that does not hang up must not hold this up.
            writer.transport.abort()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            addresses = await self.look_up(target.host, target.port)
        except OSError as error:
            raise Unsendable(f"its name cannot be looked up: {error.strerror or error}") from error
        refused = [each for each in addresses if not is_allowed(each, allows_private=self.allows_private)]
        if refused or not addresses:
            # One address of a name that leads inside is enough: the next look-up may give only that one.
            raise Unsendable("its name leads to a private, local or reserved address")
        failure: Exception = Unsendable("it cannot be connected to")
        for address in addresses[:ADDRESSES_MAX]:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(
                        address,
                        target.port,
                        ssl=self._context() if target.is_tls else None,
                        server_hostname=target.host if target.is_tls else None,
                        limit=HEAD_BYTES_MAX,
                    )
            except TimeoutError:
                failure = Unsendable(f"no connection within {CONNECT_SECONDS:g} s")
            except OSError as error:
                failure = error
        raise failure

    def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context()
        return self._trust


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, int | None]:
    """The head of the answer. Raises: Unsendable, OSError, h11.ProtocolError."""
    bytes_left = HEAD_BYTES_MAX
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if not bytes_left:
                # Also of one that answers 100 Continue without end: reading on would keep every other message waiting.
                raise Unsendable(f"its answer does not begin within {HEAD_BYTES_MAX // 1024} KiB")
            data = await reader.read(bytes_left)
            bytes_left -= len(data)
            if not data and connection.their_state is h11.SEND_RESPONSE:
                raise Unsendable("it hung up without an answer")
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            headers = dict(event.headers)
            return event.status_code, _retry_after(headers.get(b"retry-after"))
        elif not isinstance(event, h11.InformationalResponse):
            raise Unsendable("its answer is not HTTP")


def _retry_after(value: bytes | None) -> int | None:
    if value is None:
        return None
    text = value.decode("latin-1")
    try:
        date_seconds: int | None = int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError):
        date_seconds = None
    return retry_after_ms(text, now_seconds=int(time.time()), date_seconds=date_seconds)


def _reason(failure: Exception) -> str:
    """Why an attempt failed, without anything that the receiver said."""
    if isinstance(failure, Unsendable):
        return str(failure)
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return "it does not speak TLS as it should"
    if isinstance(failure, h11.ProtocolError):
        return "its answer is not HTTP"
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    return type(failure).__name__
