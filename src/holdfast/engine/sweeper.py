"""The sweeper: finds sessions and machines whose time has come and has the engine decide each anew under its lock.

It also keeps service time running: a pass that finds the store's clock due for a tick sends an empty sweep, and every
batch ticks.
"""

import logging
import os
import threading
import time
from typing import NamedTuple

from holdfast.commands.command import Envelope
from holdfast.commands.machines import MACHINES_DUE, SweepMachines
from holdfast.commands.sweeping import SweepSessions
from holdfast.domain.actor import SWEEPER_KEY, Actor, KeyScope
from holdfast.domain.errors import Refusal
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, SessionId
from holdfast.domain.service_time import is_tick_due, moment
from holdfast.engine.driver import Engine
from holdfast.store.port import Reader, StoreUnavailable

log = logging.getLogger(__name__)

PASS_SECONDS = 0.2
"""Time between passes: a fifth of the second within which a lapse is to be seen."""

CHUNK = 256
"""Sessions or machines in one command: a few milliseconds of the writer, so that beats do not wait behind a sweep."""

FOUND_MAX = 4_096
"""Sessions looked up in one pass; the next pass follows at once while there are so many."""

STUCK_SECONDS = 30.0
"""A pass that takes longer is stuck: in the store, or behind a writer that is. The longest wait that ends by itself is
that for a connection to PostgreSQL, and it is a sixth of this."""

READY_GAP_SECONDS = 2.0
"""A node counts as ready between two passes that succeeded, for no longer than this: as long as service time may stand
still."""

SWEEPER = Actor(DEFAULT_ACCOUNT, SWEEPER_KEY, KeyScope.OPERATOR)


class SweepReport(NamedTuple):
    """What the last pass did, for health and metrics. finished_at: monotonic seconds; seconds: how long it took."""

    finished_at: float
    seconds: float
    changed: int
    examined: int


class Sweeper:
    """A thread that sweeps until it is stopped. Any number of nodes may sweep one database.

    ready_seconds: for how long this node has served: its store answered and its writer took commands.
    """

    def __init__(self, store: Reader, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="holdfast-sweeper", daemon=True)
        self.last = SweepReport(time.monotonic(), 0.0, 0, 0)
        self._began_at = time.monotonic()
        self.ready_seconds = 0.0

    @property
    def is_passing(self) -> bool:
        """Whether passes follow each other, those that fail included; each also passes through the writer."""
        return self._thread.is_alive() and time.monotonic() - self._began_at < STUCK_SECONDS

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Finish the present pass and stop."""
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._began_at = time.monotonic()
            is_more = False
            try:
                is_more = self.sweep_once()
            except (Refusal, StoreUnavailable) as error:
                log.warning("sweep_postponed reason=%s", getattr(error, "code", "unavailable"))
            except Exception:
                # A sweeper that died would leave the dead undiscovered; the next pass may fare better.
                log.exception("sweep_failed")
            if not is_more:
                self._stop.wait(PASS_SECONDS)

    def sweep_once(self) -> bool:
        """One pass; whether there is more to do at once. Raises: Refusal, StoreUnavailable."""
        began = time.monotonic()
        state, now_at_ms = self._store.service_clock()
        is_tick = is_tick_due(state, now_at_ms=now_at_ms)
        present = moment(state, now_at_ms=now_at_ms)
        found = self._store.due_sessions(service_ms=present.service_ms, wall_ms=present.wall_ms, limit=FOUND_MAX)
        changed = 0
        for start in range(0, len(found), CHUNK) if found else range(1 if is_tick else 0):
            command = SweepSessions(tuple(SessionId(each) for each in found[start : start + CHUNK]))
            weight = max(1, len(command.session_ids))
            entropy = os.urandom(ENTROPY_BYTES)
            reply = self._engine.execute_blocking(Envelope(command, SWEEPER, entropy, "sweeper", weight=weight))
            changed += reply.body["changed"]
        machines = self._store.oldest(MACHINES_DUE, until_ms=present.service_ms, after=None, limit=CHUNK)
        if machines:
            sweep = SweepMachines(tuple(each.key for each in machines))
            envelope = Envelope(sweep, SWEEPER, os.urandom(ENTROPY_BYTES), "sweeper", weight=len(machines))
            self._engine.execute_blocking(envelope)
        now = time.monotonic()
        if self._engine.is_writable:
            self.ready_seconds += min(now - self.last.finished_at, READY_GAP_SECONDS)
        self.last = SweepReport(now, now - began, changed, len(found))
        return len(found) == FOUND_MAX or len(machines) == CHUNK
