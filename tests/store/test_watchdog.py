"""Whether a sweeper still passes: the sign of life that a supervisor is shown; each pass goes through the writer."""

import threading
from typing import cast

import pytest

from holdfast.domain.service_time import ServiceState
from holdfast.engine import sweeper
from holdfast.engine.driver import Engine
from holdfast.engine.sweeper import Sweeper
from holdfast.store.port import Store, StoreUnavailable
from tests.http.live_wire import eventually


class _Store:
    """A store that is away, or keeps whoever asks it waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_stuck = False
        self.released = threading.Event()

    def service_clock(self) -> tuple[ServiceState, int]:
        self.asked += 1
        if self.is_stuck:
            self.released.wait()
        raise StoreUnavailable


def test_a_sweeper_whose_store_is_away_passes_and_one_that_is_stuck_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _Store()
    swept = Sweeper(cast(Store, store), cast(Engine, None))
    eventually(lambda: not swept.is_passing)
    swept.start()
    eventually(lambda: store.asked > 1 and swept.is_passing)
    store.is_stuck = True
    monkeypatch.setattr(sweeper, "STUCK_SECONDS", 0.5)
    eventually(lambda: not swept.is_passing)
    store.released.set()
    store.is_stuck = False
    eventually(lambda: swept.is_passing)
    swept.stop()
    eventually(lambda: not swept.is_passing)
