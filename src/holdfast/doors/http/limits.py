"""Every bound of the wire, with its unit and its reason. What fields may hold is bounded in `domain.limits`."""

from typing import NamedTuple

KIB = 1024
MIB = 1024 * KIB

BODY_BYTES_DEFAULT_MAX = 1 * MIB
"""A body on most routes: a checkpoint of 256 KiB and a list of messages fit several times."""

BODY_BYTES_LARGE_MAX = 4 * MIB
"""A body on the routes that take handoffs and imports: 800 KB of canonical JSON is several times that when escaped."""

DECODED_AT_ONCE_BYTES_MAX = 16 * KIB
"""A body that is decoded on the event loop: 5 ms at worst with its canonical form. What is longer, up to seconds for
4 MiB made to be slow, is decoded on a thread beside it; going there and back costs a tenth of a millisecond."""

SSL_HANDSHAKE_S = 10
"""As long as a head may take."""

SHUTDOWN_S = 4
"""Requests in flight at a stop have this long, so that with all else a stop takes under 5 s."""

BACKLOG_CONNECTIONS = 2048
"""Connections that the kernel holds for us: one burst of a fleet that reconnects after a restart."""


class WireLimits(NamedTuple):
    """What one process grants to its callers, before anything is known of them. Times are milliseconds.

    request_target_bytes_max: path and query; over it 414.
    head_bytes_max: names and values of all headers, and the target; over it 431.
    headers_max: over it 431.
    body_bytes_max: the most that any route takes; a route's own limit is kept by `bodies.read_body`.
    framing_bytes_max: what chunk sizes and extensions may cost beyond as many bytes as the body itself has; over it
        400. A body sent byte by byte, or an endless extension, is work for nothing.
    unread_body_bytes_max: a body that was answered before it arrived is read and dropped up to here, so that the
        connection can go on; over it the connection is closed.
    pipelined_requests_max: requests read ahead of the answer in progress; over it 400.
    buffered_body_bytes_max: body bytes read ahead of the application; over it reading pauses.
    counted_body_bytes_min, counted_bodies_bytes_max: bodies of requests that were not answered yet may have this much
        together, on all connections; over it a body that has come to more than the first is refused with 503. Shorter
        ones, every beat among them, are not counted and not refused: their sum is bounded by that of connections.
    buffered_answer_bytes_max: answer bytes that wait for the client; over it the application waits.
    connections_max: open at once; over it the one that has waited longest without a whole head makes room, and where
        there is none, 503. The server asks the system for as many open files, and some more. Event streams may take
        6,000 of them; the rest is left for requests.
    handshakes_max: TLS connections that are not done with their handshake; over it the oldest is let go.
    first_byte_ms: a connection that never says anything is closed after this.
    head_ms: from a head's first byte to its last, however it trickles; over it 408.
    body_stall_ms: between two arrivals of a body; over it 408.
    body_bytes_per_second_min: a body may arrive no slower than this, once body_stall_ms have passed; 4 MiB may take
        nine minutes, and a trickle cannot hold a connection for hours.
    keep_alive_ms: between an answer and the next request; longer than the usual 60 s of clients and balancers, so that
        they close first and no request meets a closing connection.
    answer_stall_ms, answer_bytes_per_second_min: as for bodies, the other way.
    linger_ms, linger_bytes_max: after a last answer, how long and how much of what the client still sends is dropped.
        Closing at once would reset the connection, and the client would lose the answer.
    sweep_ms: how often connections are compared with their deadlines; a deadline is met this much late at worst.
    """

    request_target_bytes_max: int
    head_bytes_max: int
    headers_max: int
    body_bytes_max: int
    framing_bytes_max: int
    unread_body_bytes_max: int
    pipelined_requests_max: int
    buffered_body_bytes_max: int
    counted_body_bytes_min: int
    counted_bodies_bytes_max: int
    buffered_answer_bytes_max: int
    connections_max: int
    handshakes_max: int
    first_byte_ms: int
    head_ms: int
    body_stall_ms: int
    body_bytes_per_second_min: int
    keep_alive_ms: int
    answer_stall_ms: int
    answer_bytes_per_second_min: int
    linger_ms: int
    linger_bytes_max: int
    sweep_ms: int


WIRE_LIMITS = WireLimits(
    request_target_bytes_max=8 * KIB,
    head_bytes_max=32 * KIB,
    headers_max=100,
    body_bytes_max=BODY_BYTES_LARGE_MAX,
    framing_bytes_max=16 * KIB,
    unread_body_bytes_max=64 * KIB,
    pipelined_requests_max=64,
    buffered_body_bytes_max=64 * KIB,
    counted_body_bytes_min=64 * KIB,
    counted_bodies_bytes_max=96 * MIB,
    buffered_answer_bytes_max=64 * KIB,
    connections_max=8192,
    handshakes_max=1024,
    first_byte_ms=10_000,
    head_ms=10_000,
    body_stall_ms=10_000,
    body_bytes_per_second_min=8 * KIB,
    keep_alive_ms=75_000,
    answer_stall_ms=10_000,
    answer_bytes_per_second_min=8 * KIB,
    linger_ms=2_000,
    linger_bytes_max=8 * MIB,
    sweep_ms=1_000,
)
"""What `holdfast serve` grants."""
