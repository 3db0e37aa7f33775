"""What the event loop pays for noting an accepted heartbeat: `python -m bench.request_cost`.

The application is called in process, without a socket and without a store: its handler answers at once. Measured in
turn with and without the observer, medians of many runs, since the difference is small beside the noise of a machine.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import MutableMapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from holdfast.bootstrap import GARBAGE_THRESHOLDS
from holdfast.commands.view import Reply
from holdfast.domain.actor import KeyScope
from holdfast.domain.rate_limits import RateLimits
from holdfast.doors.http.app import HttpApp
from holdfast.engine.core import Core
from holdfast.engine.driver import QueueLimits
from holdfast.engine.thread import ThreadEngine
from holdfast.store.sqlite import SqliteStore

CALLS = 5_000
RUNS = 41
KEY = "a-key-for-the-benchmark"
REPLY = {
    "status": "active",
    "last_heartbeat_at_ms": 1_768_644_000_000,
    "next_heartbeat_at_ms": 1_768_644_060_000,
    "heartbeat_interval_ms": 60_000,
    "lease_expires_at_ms": 1_768_644_180_000,
    "stop_requested": False,
    "reactivated": False,
}


async def _nothing() -> None:
    return


class Silent:
    """Notes nothing."""

    def answered(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    refused = answered


class Calls:
    """An application whose core answers each beat at once."""

    def __init__(self, core: Core, *, is_observed: bool) -> None:
        self.core = core
        self.app = HttpApp(core, on_start=_nothing, on_stop=_nothing, local_hosts_only=False, is_local=False)
        if not is_observed:
            self.app._observer = Silent()  # type: ignore[assignment]

    async def run(self) -> float:
        """Seconds of the processor for one call."""
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {KEY}".encode())]
        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": b"/v1/sessions/sess_01JHZZZZZZZZZZZZZZZZZZZZZZ/heartbeat",
            "query_string": b"",
            "headers": headers,
        }

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: MutableMapping[str, Any]) -> None:
            return

        began = time.process_time()
        for _ in range(CALLS):
            await self.app(dict(scope), receive, send)
        self.core.meters.settle()
        return (time.process_time() - began) / CALLS


async def measure(core: Core) -> None:
    """Print what a call costs with and without being noted."""

    async def answer_at_once(*_: Any, **__: Any) -> Reply:
        return Reply(REPLY)

    core.execute = answer_at_once  # type: ignore[method-assign]
    silent, noted = Calls(core, is_observed=False), Calls(core, is_observed=True)
    differences, totals = [], []
    for _ in range(RUNS):
        with_observer, without = await noted.run(), await silent.run()
        differences.append((with_observer - without) * 1e6)
        totals.append(with_observer * 1e6)
    low, middle, high = statistics.quantiles(differences, n=4)
    print(f"a heartbeat through the application: {min(totals):.2f} µs at best, {statistics.median(totals):.2f} mostly")
    print(f"of which noting it is {middle:.2f} µs (half of {RUNS} runs between {low:.2f} and {high:.2f})")


def main() -> None:
    """Measure on an empty store, with garbage collected as rarely as the server does it."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    with TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / "bench.db")
        engine = ThreadEngine(store, limits=QueueLimits(), on_fatal=lambda: None)
        core = Core(
            store,
            engine,
            configured_keys={KEY: KeyScope.ADMIN},
            trusts_everybody=False,
            opens_accounts=True,
            rate_limits=RateLimits(0, 0),
            shares_limits=False,
        )
        asyncio.run(measure(core))
        core.close()
        store.close()


if __name__ == "__main__":
    main()
