"""Service time: the clock in which leases run, which stands still while no server does.

A server that slept, was down or had its clock set must kill nobody. So one row says when a node last ticked and how
much time is not to be counted; every node ticks it twice a second, and a tick that finds a gap (more than two seconds,
or less than none) adds the gap to what is not counted. A gap exists only when no node at all ticked.
"""

from typing import NamedTuple

TICK_MS = 500
"""How often a node ticks. Half a second bounds how far service time can seem to step back at a gap."""

GAP_MS = 2_000
"""The longest time between two ticks that counts as served: four missed ticks."""


TOKEN_FLOOR_EPOCH_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z: floors are counted in seconds since then, so that they stay whole in every JSON reader."""

TOKEN_FLOOR_BITS = 22
"""How far a floor's seconds are shifted left: four million tokens of one scope in a second are never issued."""


class ServiceState(NamedTuple):
    """The store's one row about itself: its clock, its history's name, and the floor under its tokens.

    timeline: drawn anew by a restore, part of every event cursor, so that a cursor of another history is noticed.
    token_floor: no fencing token at or below it is ever issued again; raised by a restore.
    """

    id: int
    last_tick_at_ms: int
    paused_ms: int
    timeline: str
    token_floor: int


class Moment(NamedTuple):
    """One reading of the clock, taken after the rows are locked: what deadlines and what people go by."""

    service_ms: int
    wall_ms: int

    def wall(self, due_ms: int) -> int:
        """The wall-clock time, in epoch milliseconds, at which a service-time deadline falls as things stand."""
        return due_ms + self.wall_ms - self.service_ms


def is_tick_due(state: ServiceState, *, now_at_ms: int) -> bool:
    """Whether this batch has to tick: half a second went by, or the clock went back."""
    return not 0 <= now_at_ms - state.last_tick_at_ms < TICK_MS


def tick(state: ServiceState, *, now_at_ms: int) -> ServiceState:
    """The state after a tick now; a gap is added, whole, to the time that does not count."""
    elapsed_ms = now_at_ms - state.last_tick_at_ms
    is_gap = not 0 <= elapsed_ms <= GAP_MS
    return state._replace(
        last_tick_at_ms=now_at_ms,
        paused_ms=state.paused_ms + elapsed_ms if is_gap else state.paused_ms,
    )


def moment(state: ServiceState, *, now_at_ms: int) -> Moment:
    """The present, bounded by the last tick: a node that reads an old tick can be late, never early by a gap."""
    bounded_at_ms = min(max(now_at_ms, state.last_tick_at_ms), state.last_tick_at_ms + GAP_MS)
    return Moment(service_ms=bounded_at_ms - state.paused_ms, wall_ms=bounded_at_ms)


def restored(state: ServiceState, *, now_at_ms: int, highest_token: int, timeline: str) -> ServiceState:
    """The state of a database that holds an older state of things again, from which a new history begins.

    What was issued after that older state was kept is not known any more. So the floor goes above whatever can have
    been issued by now, and the new timeline has every cursor of the lost history noticed. The clock is left alone: the
    next tick finds the gap since, and counts none of it as silence.

    highest_token: the highest token known from anywhere, such as the database that is being replaced.
    """
    seconds = max(0, now_at_ms - TOKEN_FLOOR_EPOCH_MS) // 1_000
    floor = max(seconds << TOKEN_FLOOR_BITS, state.token_floor, highest_token)
    return state._replace(token_floor=floor, timeline=timeline)
