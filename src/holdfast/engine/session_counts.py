"""How many sessions there are, by status and liveness, in all accounts: counted by the store, and not too often."""

import threading
import time
from typing import NamedTuple

from holdfast.domain.liveness import WITHOUT_LEASE, Liveness
from holdfast.domain.service_time import ServiceState, moment
from holdfast.domain.session import Status
from holdfast.store.port import Reader, StoreUnavailable

TRUST_SECONDS = 10.0
"""How long counts are believed: so often they are made, however many ask."""

LEASED_MAX = 100_000
"""Sessions with a running lease that the store looks at one by one. Past that it is not told how many are late."""


class SessionCount(NamedTuple):
    """So many sessions have this status and liveness. liveness: None where there is none, or it is not told."""

    status: Status
    liveness: Liveness | None
    sessions: int


class StoreFigures(NamedTuple):
    """What the store says of itself. now_at_ms: its clock."""

    sessions: list[SessionCount]
    state: ServiceState
    now_at_ms: int


class SessionCounts:
    """The counts, for any number of threads; only one of them asks the store at a time."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counts: list[SessionCount] = []
        self._trusted_until = float("-inf")

    def figures(self) -> StoreFigures | None:
        """The store's clock now, and counts at most TRUST_SECONDS old; None where the store cannot be read."""
        try:
            with self._lock:
                state, now_at_ms = self._store.service_clock()
                if time.monotonic() >= self._trusted_until:
                    self._counts = count_sessions(self._store)
                    self._trusted_until = time.monotonic() + TRUST_SECONDS
                return StoreFigures(self._counts, state, now_at_ms)
        except StoreUnavailable:
            return None


def count_sessions(store: Reader) -> list[SessionCount]:
    """All sessions, counted now. Raises: StoreUnavailable."""
    state, now_at_ms = store.service_clock()
    now = moment(state, now_at_ms=now_at_ms)
    by_status = dict.fromkeys(Status, 0) | {Status(name): count for name, count in store.count_statuses().items()}
    overdue = store.count_overdue(service_ms=now.service_ms, rows_max=LEASED_MAX)
    is_whole = sum(looked_at for looked_at, _, _ in overdue.values()) < LEASED_MAX
    counts = []
    for status, sessions in by_status.items():
        if status in WITHOUT_LEASE:
            counts.append(SessionCount(status, WITHOUT_LEASE[status], sessions))
        elif is_whole:
            _, late, lapsed = overdue.get(status, (0, 0, 0))
            # The two questions are asked one after the other, and a session may begin or end between them.
            counts.append(SessionCount(status, Liveness.LIVE, max(0, sessions - late - lapsed)))
            counts += [SessionCount(status, Liveness.LATE, late), SessionCount(status, Liveness.LAPSED, lapsed)]
        else:
            counts.append(SessionCount(status, None, sessions))
    return counts
