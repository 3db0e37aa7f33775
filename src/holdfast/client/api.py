"""Requests to a Holdfast server: one method, three ways in which it can fail, and never a key in an error.

Nothing here knows any route.
"""

import http.client
import json
import select
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from holdfast.client.credentials import CredentialsInvalid, normalise_url

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

RESPONSE_BYTES_MAX = 64 * 1024 * 1024
"""The largest answer that is read: an export of a long conversation."""

READ_BYTES = 64 * 1024

RATE_LIMITED_REPEATS_MAX = 3
"""How often a request that came too soon is sent again: the server says when, and by then it takes it."""

_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_TOO_MANY_REQUESTS = 429
_GATEWAY_STATUSES = frozenset({502, 504})
_STALE_CONNECTION = (
    http.client.RemoteDisconnected,
    http.client.CannotSendRequest,
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
)


class Answer(NamedTuple):
    """What the server said to a request that it carried out.

    body: the decoded JSON; None where there was none. content: the bytes as they came, for what is not JSON.
    headers: by lower-case name.
    """

    status: int
    body: Json
    headers: Mapping[str, str]
    content: bytes = b""


class Unreachable(Exception):
    """No usable answer came: no connection, no answer in time, or something else than Holdfast answered.

    Whether a request that was sent was carried out is unknown.
    """

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"the server at {url} does not answer: {cause}")
        self.url = url
        self.cause = cause


class Unavailable(Unreachable):
    """The server is there and says that it cannot answer now; retry_after_seconds: when it wants to be asked again."""

    def __init__(self, url: str, cause: str, *, retry_after_seconds: float | None) -> None:
        super().__init__(url, cause)
        self.retry_after_seconds = retry_after_seconds


class ApiRefusal(Exception):
    """The server said no; problem: its whole answer."""

    def __init__(self, status: int, code: str, detail: str, problem: dict[str, Json]) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.problem = problem

    @property
    def retry_after_seconds(self) -> float | None:
        """When a refusal for haste ends, as the server said."""
        value = self.problem.get("retry_after_seconds")
        return float(value) if isinstance(value, int | float) else None


class Api:
    """A server and the key for it. Threads may share it: each has its own connection, kept open between requests."""

    def __init__(self, url: str, key: str | None, *, timeout_seconds: float, ca_file: str | None = None) -> None:
        """url: http or https, with a path where the server lies behind one. timeout_seconds: of a whole request.

        ca_file: certificates, in PEM, that a server's must come from; None: those that this machine trusts. There is
        no way to trust just anybody.

        Raises: CredentialsInvalid for another url or file; ValueError for a key that no header may carry.
        """
        parts = urlsplit(url)
        self.url = normalise_url(url)
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError("the key has characters that a key cannot have")
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._host = parts.hostname or ""
        self._port = parts.port
        self._prefix = parts.path.rstrip("/")
        self._tls = _trust(ca_file) if parts.scheme == "https" else None
        self._threads = threading.local()

    def __repr__(self) -> str:
        return f"Api({self.url!r})"

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """What the server answers.

        A request is sent again, once, when a kept connection turns out to be closed and sending it twice is safe: its
        method may be repeated, or it has an idempotency key.
        One that came too soon (429, of which nothing was carried out) is sent again when the server wants it, if that
        is within the timeout.
        timeout_seconds: for this request only. Redirects are not followed.
        Raises: Unreachable, Unavailable, ApiRefusal.
        """
        deadline = time.monotonic() + (timeout_seconds or self._timeout_seconds)
        target = f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        sent_headers = self._headers(content, idempotency_key=idempotency_key, extra=headers or {})
        is_repeatable = method in _REPEATABLE_METHODS or idempotency_key is not None
        for repeats_left in range(RATE_LIMITED_REPEATS_MAX, -1, -1):
            try:
                return self._sent(method, target, content, sent_headers, is_repeatable=is_repeatable, deadline=deadline)
            except ApiRefusal as refusal:
                wait = refusal.retry_after_seconds
                is_too_late = wait is None or time.monotonic() + wait >= deadline
                if refusal.status != _TOO_MANY_REQUESTS or wait is None or is_too_late or not repeats_left:
                    raise
                time.sleep(wait)
        raise AssertionError("the last try answers or raises")

    def _sent(
        self,
        method: str,
        target: str,
        content: bytes | None,
        sent_headers: Mapping[str, str],
        *,
        is_repeatable: bool,
        deadline: float,
    ) -> Answer:
        connection, is_reused = self._connection()
        try:
            try:
                response, received = _exchange(connection, method, target, content, sent_headers, deadline=deadline)
            except _STALE_CONNECTION:
                if not (is_reused and is_repeatable):
                    raise
                connection = self._reconnect()
                response, received = _exchange(connection, method, target, content, sent_headers, deadline=deadline)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise Unreachable(self.url, _cause(exc)) from None
        if response.will_close:
            self.close()
        return self._judge(response, received)

    def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], silence_seconds_max: float
    ) -> Iterator[bytes]:
        """The bytes of an answer that goes on, as they come, until the server ends it; on a connection of its own.

        Raises: Unreachable, also after a silence; Unavailable, ApiRefusal.
        """
        target = f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")
        connection = self._new_connection()
        connection.timeout = self._timeout_seconds
        try:
            connection.request("GET", target, headers=self._headers(None, idempotency_key=None, extra=headers))
            sock = connection.sock
            with connection.getresponse() as response:
                if response.status != http.client.OK:
                    self._judge(response, response.read(RESPONSE_BYTES_MAX))
                    raise Unreachable(self.url, "its answer is not one of Holdfast")
                sock.settimeout(silence_seconds_max)
                while content := response.read1(READ_BYTES):
                    yield content
        except (OSError, http.client.HTTPException) as exc:
            raise Unreachable(self.url, _cause(exc)) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Close this thread's connection; the next request opens another."""
        connection = getattr(self._threads, "connection", None)
        if connection is not None:
            connection.close()
            self._threads.connection = None

    def _headers(
        self, content: bytes | None, *, idempotency_key: str | None, extra: Mapping[str, str]
    ) -> dict[str, str]:
        made = {"Accept": "application/json", **extra}
        if self._key is not None:
            made["Authorization"] = f"Bearer {self._key}"
        if content is not None:
            made["Content-Type"] = "application/json"
        if idempotency_key is not None:
            made["Idempotency-Key"] = idempotency_key
        return made

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """This thread's connection, and whether it was used before and looks open."""
        connection: http.client.HTTPConnection | None = getattr(self._threads, "connection", None)
        if connection is not None and connection.sock is not None and not _has_input(connection):
            return connection, True
        return self._reconnect(), False

    def _reconnect(self) -> http.client.HTTPConnection:
        self.close()
        connection = self._threads.connection = self._new_connection()
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port)
        return http.client.HTTPSConnection(self._host, self._port, context=self._tls)

    def _judge(self, response: http.client.HTTPResponse, content: bytes) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        is_json = kind == "application/json" or kind.endswith("+json")
        body: Json = None
        if is_json and content:
            try:
                body = json.loads(content)
            except (ValueError, RecursionError):
                raise Unreachable(self.url, "its answer is not JSON") from None
        if response.status < 300:
            return Answer(response.status, body, headers, content)
        problem = body if isinstance(body, dict) else {}
        code = str(problem.get("code") or f"http_{response.status}")
        detail = str(problem.get("detail") or problem.get("title") or response.reason or "no reason given")
        retry_after_seconds = _retry_after(headers.get("retry-after"))
        if response.status == 503:
            raise Unavailable(self.url, detail, retry_after_seconds=retry_after_seconds)
        if response.status in _GATEWAY_STATUSES:
            raise Unreachable(self.url, f"{response.status} {detail}")
        if retry_after_seconds is not None:
            problem = {"retry_after_seconds": retry_after_seconds, **problem}
        raise ApiRefusal(response.status, code, detail, problem)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """What a server's certificate is checked by. Raises: CredentialsInvalid."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as exc:
        raise CredentialsInvalid("HOLDFAST_CA_FILE", f"{ca_file} holds no certificate in PEM") from exc
    except OSError as exc:
        raise CredentialsInvalid("HOLDFAST_CA_FILE", f"{ca_file} cannot be read: {exc.strerror}") from exc


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    content: bytes | None,
    headers: Mapping[str, str],
    *,
    deadline: float,
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.timeout = _left(deadline)
    if connection.sock is not None:
        connection.sock.settimeout(_left(deadline))
    connection.request(method, target, body=content, headers=dict(headers))
    sock = connection.sock
    sock.settimeout(_left(deadline))
    response = connection.getresponse()
    chunks = []
    size = 0
    while chunk := response.read1(READ_BYTES):
        size += len(chunk)
        if size > RESPONSE_BYTES_MAX:
            raise http.client.HTTPException(f"its answer is larger than {RESPONSE_BYTES_MAX} bytes")
        chunks.append(chunk)
        if response.isclosed():
            break
        sock.settimeout(_left(deadline))
    if response.length:
        raise http.client.IncompleteRead(b"".join(chunks), response.length)
    # Reading all of it by read1 does not always end the response, and the connection would not be free for the next.
    response.close()
    return response, b"".join(chunks)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _has_input(connection: http.client.HTTPConnection) -> bool:
    """Whether an idle connection has something to read: its end, or an answer that nobody asked for."""
    try:
        return bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _cause(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({exc.verify_message})"
    if isinstance(exc, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return "it closed the connection before its answer was complete"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return str(exc) or type(exc).__name__


def _retry_after(value: str | None) -> float | None:
    """The seconds in a Retry-After header, which may hold a number or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
