"""Pages of other origins: which of them a browser lets read what is answered.

Keys come in a header that no browser sends by itself, so a foreign page can do nothing here that it could not do with
the key in its hands; this only opens the door for those that are named. Cookies are not known, and so never allowed.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from holdfast.doors.http.exchange import Application

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

PREFLIGHT_SECONDS = b"600"
"""How long a browser may remember that it was allowed: an origin that is taken out is out within ten minutes."""

ALLOWED_METHODS = b"GET, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    b"authorization, content-type, idempotency-key, if-match, last-event-id, x-account-id, x-api-key, x-relay-key,"
    b" x-correlation-id, x-request-id"
)
EXPOSED_HEADERS = (
    b"allow, date, deprecation, idempotency-replayed, link, location, ratelimit, ratelimit-policy, retry-after,"
    b" x-correlation-id, x-request-id"
)
"""What a script may read of an answer, beside what every script may."""

VARY = (b"vary", b"origin")
_SHARED = (VARY, (b"access-control-expose-headers", EXPOSED_HEADERS))


class Cors:
    """An application that pages of some origins may use. origins: exact, as browsers send them."""

    def __init__(self, application: Application, *, origins: Sequence[str]) -> None:
        self._application = application
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        # The answer to everybody else says so too: a cache must not give it to an allowed page, or the other way round.
        more = ((b"access-control-allow-origin", origin), *_SHARED) if origin in self._origins else (VARY,)
        is_preflight = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        if is_preflight and origin in self._origins:
            await _permit(send, more)
            return

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._application(scope, receive, send_more)


async def _permit(send: Send, more: Sequence[tuple[bytes, bytes | None]]) -> None:
    """Answer a preflight: it has no key, and asks for nothing but this."""
    headers = [
        *more,
        (b"access-control-allow-methods", ALLOWED_METHODS),
        (b"access-control-allow-headers", ALLOWED_HEADERS),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
