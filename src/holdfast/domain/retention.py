"""How long things are kept: until a full time has passed, counted in wall time, and then no longer."""

from holdfast.domain.service_time import Moment


def is_past(at_ms: int, *, keep_ms: int, now: Moment) -> bool:
    """Whether what is kept for so long from a time on has been. Kept while now < at + keep; past at equality."""
    return now.wall_ms >= at_ms + keep_ms
