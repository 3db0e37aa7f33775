"""A clock that stands still until a test moves it."""

from holdfast.store.clock import REBASE_MS, ProcessClock

START_AT_MS = 1_768_644_000_000
"""2026-01-17T10:00:00Z: where the clock of a test begins unless it says otherwise."""


class FakeClock(ProcessClock):
    """A machine with two clocks, as the real one has: a monotonic one, and a wall clock that somebody may set.

    What a store reads follows the monotonic one, and takes the wall clock over at a tick, where the two came apart.
    """

    def __init__(self, at_ms: int = START_AT_MS) -> None:
        self._began_at_ms = at_ms
        self.begin_anew()

    def begin_anew(self) -> None:
        """Stand again where the clock began."""
        self._ours_ms = self._wall_ms = self._began_at_ms

    def now_ms(self) -> int:
        """The present, as a store reads it."""
        return self._ours_ms

    def tick_ms(self) -> int:
        """The present, for a tick."""
        if abs(self._wall_ms - self._ours_ms) > REBASE_MS:
            self._ours_ms = self._wall_ms
        return self._ours_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass."""
        assert by_ms >= 0, "time passes forwards; `jump` sets the wall clock back"
        self._ours_ms += by_ms
        self._wall_ms += by_ms

    def jump(self, by_ms: int) -> None:
        """Set the wall clock forwards or back, while no time passes."""
        self._wall_ms += by_ms
