"""The runs of this user on this machine, as an agent sees them: it knows at once when one of them is gone."""

import os
import sys
from collections.abc import Callable

from holdfast.client.processes import ProcessIdentity, is_running
from holdfast.client.spool import Spool, this_process


class RunWatch:
    """Looks after every `holdfast run` whose entry is in the spool, from the moment at which it is first seen.

    A descriptor of each process says when it ends, so nothing has to ask again and again; where there are no such
    descriptors, `scan` asks.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        url: str,
        add: Callable[[int, Callable[[], None]], None],
        remove: Callable[[int], None],
    ) -> None:
        """add, remove: have a function called when a descriptor becomes readable, and no longer."""
        self._spool = spool
        self._url = url
        self._add = add
        self._remove = remove
        self._watched: dict[str, int | None] = {}
        self._runners: dict[str, ProcessIdentity] = {}
        self._own = this_process()
        self.gone: set[str] = set()

    def scan(self) -> None:
        """Take note of runs that began or ended since; `gone` then names those whose end is still to be told."""
        names = self._spool.names()
        for name in self._watched.keys() - names:
            self._forget(name)
        self.gone &= names
        for name in names - self._watched.keys() - self.gone:
            self._watch(name)
        for name, descriptor in list(self._watched.items()):
            if descriptor is None and name in self._runners and is_running(self._runners[name]) is False:
                self._note_gone(name)

    @property
    def count(self) -> int:
        """How many runs are looked after."""
        return len(self._runners)

    def _watch(self, name: str) -> None:
        entry = self._spool.read(name)
        if entry is None:
            return
        self._watched[name] = None
        if entry.url != self._url or entry.runner == self._own:
            return
        if entry.end is not None or is_running(entry.runner) is False:
            self._note_gone(name)
            return
        self._runners[name] = entry.runner
        if sys.platform != "linux":
            return
        try:
            descriptor = os.pidfd_open(entry.runner.pid)
        except OSError:
            return
        # The descriptor is that of the runner only if the runner is still there now that it is open.
        if is_running(entry.runner) is not True:
            os.close(descriptor)
            return
        self._watched[name] = descriptor
        self._add(descriptor, lambda: self._note_gone(name))

    def _note_gone(self, name: str) -> None:
        self._forget(name)
        self.gone.add(name)

    def _forget(self, name: str) -> None:
        descriptor = self._watched.pop(name, None)
        self._runners.pop(name, None)
        if descriptor is not None:
            self._remove(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        """Let go of every descriptor."""
        for name in list(self._watched):
            self._forget(name)
