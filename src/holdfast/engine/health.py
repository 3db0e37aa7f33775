"""How a node fares, judged: from what was just tried and what its parts say of themselves to what is wrong.

Pure but for reading the parts. Nothing is told from memory: whoever asks has the store read and written first.
"""

import time
from typing import NamedTuple

from holdfast import __version__
from holdfast.commands.bodies import Body
from holdfast.domain.limits import SECOND_MS
from holdfast.engine.core import Core
from holdfast.engine.sweeper import Sweeper
from holdfast.store.port import Reader

SWEEP_AGE_SECONDS_MAX = 5.0
"""A sweeper that finished no pass for longer does not find the silent in time; it passes five times a second."""

BATCH_SECONDS_MAX = 5.0
"""A batch that takes longer is stuck: in the store, or behind somebody's lock."""

LOG_LAG_MS_MAX = 10_000
"""The request log is written every second; one that is so late is about to lose lines."""


class Tried(NamedTuple):
    """What became of one try. error: the code of the refusal; None where it went well."""

    error: str | None
    seconds: float


class Clock(NamedTuple):
    """The store's clock as a reader found it. paused_ms: what counts for no lease, since no node was serving."""

    now_at_ms: int
    last_tick_at_ms: int
    paused_ms: int


class Fault(NamedTuple):
    """One thing that is wrong. is_failing: something that was promised does not hold while it lasts."""

    code: str
    detail: str
    is_failing: bool = True


def read_clock(store: Reader) -> Clock:
    """The smallest read there is. Raises: StoreUnavailable."""
    state, now_at_ms = store.service_clock()
    return Clock(now_at_ms, state.last_tick_at_ms, state.paused_ms)


def report(core: Core, *, read: Tried, clock: Clock | None, written: Tried) -> Body:
    """Everything that an operator wants to know of a node, the faults first. clock: None where it was not read."""
    faults = _faults(core, read=read, written=written)
    is_failing = any(fault.is_failing for fault in faults)
    return {
        "status": "failing" if is_failing else "degraded" if faults else "ok",
        "problems": [{"code": fault.code, "detail": fault.detail} for fault in faults],
        "version": __version__,
        "uptime_ms": _ms(time.monotonic() - core.started_at),
        "store": {
            "read_error": read.error,
            "read_ms": _ms(read.seconds),
            "write_error": written.error,
            "write_ms": _ms(written.seconds),
        },
        "writer": _writer(core),
        "sweeper": None if core.sweeper is None else _sweeper(core.sweeper),
        "request_log": {
            "waiting": core.request_log.waiting,
            "lag_ms": core.request_log.lag_ms,
            "dropped": core.request_log.dropped,
        },
        "service_time": None
        if clock is None
        else {
            "now_at_ms": clock.now_at_ms,
            "tick_age_ms": max(0, clock.now_at_ms - clock.last_tick_at_ms),
            "paused_ms": clock.paused_ms,
        },
    }


def _writer(core: Core) -> Body:
    meters, now = core.engine.meters, time.monotonic()
    busy_since, finished_at = meters.busy_since, meters.finished_at
    last = None
    if finished_at is not None:
        last = {
            "commands": meters.last.commands,
            "took_ms": _ms(meters.last.seconds),
            "age_ms": _ms(now - finished_at),
        }
    return {
        "takes_commands": core.is_writable,
        "queue_depth": core.engine.queue_depth,
        "busy_ms": 0 if busy_since is None else _ms(now - busy_since),
        "last_batch": last,
    }


def _sweeper(sweeper: Sweeper) -> Body:
    last = sweeper.last
    return {
        "is_alive": sweeper.is_alive,
        "age_ms": _ms(time.monotonic() - last.finished_at),
        "took_ms": _ms(last.seconds),
        "examined": last.examined,
        "changed": last.changed,
    }


def _faults(core: Core, *, read: Tried, written: Tried) -> list[Fault]:
    faults = []
    if not core.is_writable:
        faults.append(
            Fault("writer_stopped", "The writer has stopped; nothing is taken until the server is restarted.")
        )
    busy_since = core.engine.meters.busy_since
    if busy_since is not None and (busy := time.monotonic() - busy_since) > BATCH_SECONDS_MAX:
        faults.append(Fault("writer_stuck", f"The writer has been at one batch for {busy:.0f} s."))
    if read.error is not None:
        faults.append(Fault("store_unreadable", f"The store cannot be read ({read.error})."))
    if written.error is not None:
        faults.append(Fault("store_unwritable", f"A trial write was not committed ({written.error})."))
    if core.sweeper is not None:
        age = time.monotonic() - core.sweeper.last.finished_at
        if not core.sweeper.is_alive:
            faults.append(
                Fault("sweeper_dead", "The sweeper does not run; this node finds no session that fell silent.")
            )
        elif age > SWEEP_AGE_SECONDS_MAX:
            faults.append(Fault("sweeper_late", f"The sweeper has finished no pass for {age:.0f} s."))
    if core.request_log.lag_ms > LOG_LAG_MS_MAX:
        lag = core.request_log.lag_ms // SECOND_MS
        faults.append(Fault("request_log_late", f"The request log is {lag} s behind.", is_failing=False))
    if core.request_log.is_dropping:
        faults.append(Fault("request_log_dropping", "The request log loses lines.", is_failing=False))
    return faults


def _ms(seconds: float) -> float:
    return round(seconds * SECOND_MS, 3)
