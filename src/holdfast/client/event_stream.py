"""Following the events of a server: read as they come, and gone on with where it was cut off."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from holdfast.client.api import Api, ApiRefusal, Json, Unavailable, Unreachable

SILENCE_SECONDS_MAX = 45.0
"""After so long without a byte the connection counts as dead: the server gives a sign of life every 15 s."""

PAUSE_SECONDS_MIN = 1.0
PAUSE_SECONDS_MAX = 30.0
"""Between two tries to connect: twice as long each time, unless the server says when."""

BLOCK_BYTES_MAX = 1024 * 1024
"""The longest block that is read; an event is a few KB."""


class Block(NamedTuple):
    """One block of a stream. data: empty where it only moves the cursor."""

    cursor: str
    data: str


class Blocks:
    """Takes a stream apart as it comes. retry_seconds: when the server wants to be asked again; None: not said.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, of which Holdfast uses the plain part.
    """

    def __init__(self) -> None:
        self.retry_seconds: float | None = None
        self._rest = b""
        self._cursor = ""
        self._data: list[str] = []

    def feed(self, content: bytes) -> Iterator[Block]:
        """The blocks that are complete by now. Raises: ValueError for what is no such stream."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        if len(self._rest) > BLOCK_BYTES_MAX:
            raise ValueError("a block of its stream is too long")
        for line in lines:
            text = line.decode().rstrip("\r")
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                self._cursor = value
            elif name == "data":
                self._data.append(value)
            elif name == "retry" and value.isdecimal():
                self.retry_seconds = int(value) / 1_000
            elif not text and self._cursor:
                data, self._data = "\n".join(self._data), []
                yield Block(self._cursor, data)


def follow(
    api: Api,
    query: Mapping[str, str],
    *,
    tell: Callable[[str | None], None],
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Json]]:
    """Each event, once, in order, for as long as it is asked for more; a server that goes away is waited for.

    tell: called with the reason when the server is away, and with None when it is back.
    Raises: Unreachable where it was never there; ApiRefusal where connecting again would not help.
    """
    cursor, was_there, failures = "", False, 0
    while True:
        blocks = Blocks()
        pause_seconds: float | None = None
        try:
            headers = {"Last-Event-ID": cursor} if cursor else {}
            for content in api.stream(
                "/v1/events/stream", query=query, headers=headers, silence_seconds_max=SILENCE_SECONDS_MAX
            ):
                if failures:
                    tell(None)
                was_there, failures = True, 0
                for block in blocks.feed(content):
                    if block.data:
                        yield _event(block.data)
                    # Only now: one who stops here and goes on later must not miss it.
                    cursor = block.cursor
            pause_seconds, cause = blocks.retry_seconds, "it ended the stream"
        except (Unreachable, ValueError) as exc:
            if not was_there:
                raise
            cause = exc.cause if isinstance(exc, Unreachable) else str(exc)
            pause_seconds = exc.retry_after_seconds if isinstance(exc, Unavailable) else None
        except ApiRefusal as refusal:
            if not was_there or refusal.status != 429:
                raise
            cause, pause_seconds = refusal.detail, refusal.retry_after_seconds
        if not failures:
            tell(cause)
        doubled_seconds = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**failures)
        failures = min(failures + 1, 10)
        wait(doubled_seconds if pause_seconds is None else min(pause_seconds, PAUSE_SECONDS_MAX))


def _event(data: str) -> dict[str, Json]:
    event = json.loads(data)
    if not isinstance(event, dict):
        raise ValueError("its stream has something else than events")
    return event
