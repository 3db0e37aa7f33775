"""What the wire answers by itself, before or instead of the application: one fault, one status, one code.

What a caller sent is never answered with a 5xx, although RFC 9110 has 501 and 505 for some of it: those are for us.
"""

import json
from http import HTTPStatus
from typing import NamedTuple
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

STATUS_LINES: dict[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def answer_to(fault: WireFault, *, date_line: bytes) -> bytes:
    """The whole response to a fault: a problem document, and the announcement that the connection closes."""
    request_id = uuid4().hex
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(fault.status).phrase,
        "status": fault.status,
        "code": fault.code,
        "detail": fault.detail,
        "request_id": request_id,
    }
    body = json.dumps(problem, separators=(",", ":")).encode()
    retry_line = b"" if fault.retry_after_s is None else b"retry-after: %d\r\n" % fault.retry_after_s
    return b"".join(
        [
            STATUS_LINES[fault.status],
            date_line,
            b"content-type: application/problem+json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"cache-control: no-store\r\n",
            retry_line,
            b"x-request-id: %s\r\nx-correlation-id: %s\r\n" % (request_id.encode(), request_id.encode()),
            b"connection: close\r\n\r\n",
            body,
        ]
    )
