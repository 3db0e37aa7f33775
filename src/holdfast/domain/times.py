"""Times as people read them: RFC 3339 in UTC with milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache

from holdfast.domain.limits import SECOND_MS

_ENDS = tuple([f".{milliseconds:03d}Z" for milliseconds in range(SECOND_MS)])


# Of seconds, not of whole times: those of a busy node would take megabytes, which cost more to look through than this.
@lru_cache(maxsize=1024)
def _to_the_second(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(at_ms: int) -> str:
    """`2026-01-17T10:00:00.000Z` for epoch milliseconds."""
    return _to_the_second(at_ms // SECOND_MS) + _ENDS[at_ms % SECOND_MS]


def epoch_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time; any offset is accepted, finer than milliseconds is cut off.

    Raises: ValueError where the text is no such time or names no offset.
    """
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return int((parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND_MS)
