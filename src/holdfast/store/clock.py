"""The wall clock of a store that has none of its own: monotonic within a process, whatever is done to the machine's."""

import time

REBASE_MS = 2_000
"""How far the machine's clock may drift from ours before a tick takes it over: a clock that was set, or a sleep."""


class ProcessClock:
    """Epoch milliseconds that grow with the monotonic clock.

    Somebody who sets the machine's clock moves ours at the next tick only, which sees the jump and adds it to the time
    that does not count.
    """

    def __init__(self) -> None:
        self._base_ms = 0.0
        self._take_over()

    def now_ms(self) -> int:
        """The present."""
        return int(self._base_ms + time.monotonic() * 1_000)

    def tick_ms(self) -> int:
        """The present, for a tick: taken over from the machine's clock where ours has come apart from it."""
        if abs(time.time() * 1_000 - self.now_ms()) > REBASE_MS:
            self._take_over()
        return self.now_ms()

    def _take_over(self) -> None:
        self._base_ms = (time.time() - time.monotonic()) * 1_000


class MachineClock(ProcessClock):
    """The machine's clock as it is: for whoever only reads a store that another process writes to, and ticks."""

    def now_ms(self) -> int:
        """The present."""
        return int(time.time() * 1_000)
