"""Whether a session is alive, computed whenever somebody asks and never stored."""

from enum import StrEnum

from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, Status


class Liveness(StrEnum):
    """`late`: a beat is overdue by more than the grace. `lapsed`: the lease has expired."""

    LIVE = "live"
    LATE = "late"
    LAPSED = "lapsed"


WITHOUT_LEASE = {
    Status.PARKED: Liveness.LIVE,
    Status.STALLED: Liveness.LAPSED,
    Status.FAILED: Liveness.LAPSED,
    Status.ABANDONED: Liveness.LAPSED,
    Status.ENDED: None,
}
"""How alive a session is where no lease is running: its status says it."""


def liveness(session: Session, *, now: Moment) -> Liveness | None:
    """How alive a session is; None once it has ended.

    A lease is held while now < due and lapsed at equality, whether or not the sweeper has come by.
    """
    if session.status in (Status.ACTIVE, Status.PAUSED):
        assert session.due_ms is not None
        if now.service_ms >= session.due_ms:
            return Liveness.LAPSED
        return Liveness.LATE if is_late(session, now=now) else Liveness.LIVE
    return WITHOUT_LEASE[session.status]


def is_late(session: Session, *, now: Moment) -> bool:
    """Whether a session with a running lease missed the beat that it promised, and the grace after it."""
    if session.heartbeat_interval_ms is None or session.due_ms is None:
        return False
    last_beat_due_ms = session.due_ms - session.lease_ms
    return now.service_ms > last_beat_due_ms + session.heartbeat_interval_ms + session.grace_ms
