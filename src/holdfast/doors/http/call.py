"""One request on its way through a handler, and the answer on its way back."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from holdfast.commands.bodies import Body, refusal_from_body
from holdfast.commands.command import Command, Render
from holdfast.commands.view import Idempotency, Reply
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Refusal
from holdfast.domain.rate_limits import Budget
from holdfast.doors.http.limits import DECODED_AT_ONCE_BYTES_MAX
from holdfast.doors.http.problems import HttpProblem
from holdfast.doors.http.rating import take
from holdfast.engine.core import Core
from holdfast.engine.event_hub import Permission
from holdfast.engine.rate_limiter import Standing

T = TypeVar("T")


class Watch(NamedTuple):
    """What a request brings along whose answer may wait for news."""

    last_event_id: str | None
    permission: Permission


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request, decoded and authenticated.

    ids: the ids in the path, in order. body, query: the route's records. revision: of `If-Match`, where given.
    watch: on routes whose answer may wait for news.
    standings: what the key has left of its rate limit, the last one as it is told.
    """

    core: Core
    actor: Actor
    ids: tuple[str, ...]
    body: Any
    query: Any
    idempotency: Idempotency | None
    revision: int | None
    request_id: str
    correlation_id: str
    size_bytes: int
    standings: list[Standing]
    watch: Watch | None = None

    def execute(
        self, command: Command, *, is_beat: bool = False, weight: int = 1, render: Render | None = None
    ) -> Awaitable[Reply]:
        """Carry out a command for the caller. Raises: Refusal."""
        return self.core.execute(
            command,
            self.actor,
            correlation_id=self.correlation_id,
            idempotency=self.idempotency,
            is_beat=is_beat,
            weight=weight,
            size_bytes=self.size_bytes,
            render=render,
        )

    async def compute(self, function: Callable[[], T]) -> T:
        """What a function makes of the body: beside the event loop where the body is long."""
        return function() if self.size_bytes <= DECODED_AT_ONCE_BYTES_MAX else await self.core.compute(function)

    def take(self, budget: Budget, *, cost: int) -> None:
        """Take more from the key's rate limit than the request itself. Raises: rate_limited."""
        take(self.core, self.actor, budget, cost=cost, standings=self.standings)


class Document(NamedTuple):
    """A body that is sent as it is. headers: further ones, such as a policy for browsers."""

    media_type: bytes
    content: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A response that is not a problem. body: None for 204; bytes are JSON that was written out already.

    lines: instead of a body, JSON documents that are sent as they come, one a line; a failure breaks the answer off.
    For the request log: note says why a heartbeat is worth a line, accepted how many were, and refused
    counts, by code, those of a batch that were not.
    """

    status: int
    body: Body | Document | bytes | None
    is_replay: bool = False
    lines: AsyncIterator[bytes] | None = None
    note: str | None = None
    accepted: int = 1
    refused: Mapping[str, int] = {}


class Streamed(Protocol):
    """A response that goes on until the server or the client ends it: `text/event-stream`."""

    async def next_part(self) -> bytes | None:
        """What to send next, once there is something; None: it is over."""
        ...

    def stop(self) -> None:
        """Come to an end: the client is gone, or the server stops."""
        ...

    def close(self) -> None:
        """Let go of everything; called once, whatever became of it."""
        ...


class KeptRefusal(Exception):
    """A refusal with which something was written: it is answered as one, and as a replay where it is one."""

    def __init__(self, refusal: Refusal, *, is_replay: bool) -> None:
        super().__init__(refusal.code.value)
        self.refusal = refusal
        self.is_replay = is_replay


def answered(reply: Reply) -> Answer:
    """A command's reply: 201 where something new exists because of it, else 200. Raises: KeptRefusal."""
    if "refusal" in reply.body:
        raise KeptRefusal(refusal_from_body(reply.body["refusal"]), is_replay=reply.is_replay)
    return Answer(201 if reply.created else 200, reply.body, reply.is_replay)


def revision_of(if_match: str | None) -> int | None:
    """The revision that an `If-Match` header names, quoted or not; None for `*` or none. Raises: HttpProblem 400."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise HttpProblem(400, "malformed_if_match", "If-Match takes a session's revision, such as 3.")
    return int(text)
