"""What the wire answers by itself, before or instead of the application: one fault, one status, one code.

What a caller sent is never answered with a 5xx, although RFC 9110 has 501 and 505 for some of it: those are for us.
"""

import json
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4


class WireFault(NamedTuple):
    """Why a connection is not served further. `detail` is ours: it never repeats what was sent."""

    status: int
    code: str
    detail: str
    retry_after_s: int | None = None


MALFORMED = WireFault(400, "malformed_request", "The request is not well-formed HTTP/1.1.")
BAD_HOST = WireFault(400, "malformed_request", "The request must have exactly one valid Host header.")
BAD_TARGET = WireFault(400, "malformed_request", "The request target is not one that this server can take.")
BAD_LENGTH = WireFault(400, "malformed_request", "The Content-Length header is not a length.")
TRAILERS_SENT = WireFault(400, "malformed_request", "Trailers after a chunked body are not taken.")
FRAMING_WASTEFUL = WireFault(400, "malformed_request", "The body has more chunk framing than content.")
TOO_MANY_PIPELINED = WireFault(400, "too_many_pipelined", "Too many requests were sent ahead of their answers.")
TIMED_OUT = WireFault(408, "request_timeout", "The request did not arrive in time.")
BODY_TOO_LARGE = WireFault(413, "payload_too_large", "The body is larger than any route takes.")
TARGET_TOO_LONG = WireFault(414, "uri_too_long", "The request target is too long.")
EXPECTATION_UNKNOWN = WireFault(417, "expectation_failed", "The only expectation that can be met is 100-continue.")
HEAD_TOO_LARGE = WireFault(431, "headers_too_large", "The request has too many headers, or too long ones.")
BROKEN = WireFault(500, "internal", "Something failed on the server; its log has the details.")
CODING_UNKNOWN = WireFault(400, "transfer_encoding_unknown", "The only transfer encoding that is taken is chunked.")
CONNECT_REFUSED = WireFault(400, "connect_refused", "This server is not a proxy.")
TOO_MANY_CONNECTIONS = WireFault(503, "overloaded", "Too many connections are open.", retry_after_s=1)
TOO_MANY_BODIES = WireFault(503, "overloaded", "Too many large requests are under way.", retry_after_s=1)
VERSION_UNKNOWN = WireFault(400, "http_version_unknown", "The request must be HTTP/1.1 or HTTP/1.0.")

PROBLEM_TYPE = "application/problem+json"

STATUS_LINES: dict[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


CORRELATION_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Telling = Callable[[bytes, dict[str, Any], str], tuple[dict[str, Any], str]]
"""From a request's path, a problem and a correlation id to the problem as that path tells it, and its media type."""


class Asked(NamedTuple):
    """As much as is known of a request that is refused. size_bytes: of its body, where that was announced."""

    path: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    size_bytes: int | None = None


def well_formed(value: bytes | None) -> str | None:
    """An id that a client gave a request, if it is fit to be repeated."""
    return value.decode() if value is not None and CORRELATION_ID.fullmatch(value) else None


def answer_to(
    fault: WireFault,
    *,
    date_line: bytes,
    asked: Asked | None = None,
    body_bytes_max: int | None = None,
    telling: Telling | None = None,
) -> bytes:
    """The whole response to a fault: a problem document, and the announcement that the connection closes.

    body_bytes_max: told of a body that is too large. telling: how a path tells of problems; None: all alike.
    """
    asked = asked or Asked()
    headers = dict(asked.headers)
    request_id = well_formed(headers.get(b"x-request-id")) or uuid4().hex
    correlation_id = well_formed(headers.get(b"x-correlation-id")) or request_id
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(fault.status).phrase,
        "status": fault.status,
        "code": fault.code,
        "detail": fault.detail,
        "request_id": request_id,
    }
    if fault is BODY_TOO_LARGE and body_bytes_max is not None:
        problem["limit"] = body_bytes_max
        if asked.size_bytes is not None:
            problem["size"] = asked.size_bytes
    shown, media_type = (problem, PROBLEM_TYPE) if telling is None else telling(asked.path, problem, correlation_id)
    body = json.dumps(shown, separators=(",", ":")).encode()
    retry_line = b"" if fault.retry_after_s is None else b"retry-after: %d\r\n" % fault.retry_after_s
    return b"".join(
        [
            STATUS_LINES[fault.status],
            date_line,
            b"content-type: %s\r\n" % media_type.encode(),
            b"content-length: %d\r\n" % len(body),
            b"cache-control: no-store\r\n",
            retry_line,
            b"x-request-id: %s\r\nx-correlation-id: %s\r\n" % (request_id.encode(), correlation_id.encode()),
            b"connection: close\r\n\r\n",
            body,
        ]
    )
