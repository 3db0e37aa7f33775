"""Rate limits: how many requests a key may make in a minute, by the generic cell rate algorithm.

A budget is one number: the time at which it will be full again. Each request puts that time off by a minute divided by
the limit; one that would put it off by more than a minute from now is refused. So a whole minute's requests may come at
once, and after that as many as the rate lets in.
Source: ITU-T I.371, the virtual scheduling algorithm.
"""

from enum import IntEnum
from math import ceil
from typing import NamedTuple

from holdfast.domain.actor import KeyScope

PERIOD_SECONDS = 60
"""What a limit is counted in."""

LIMITED_SCOPES = frozenset({KeyScope.READ, KeyScope.AGENT})
"""Keys that have limits: those that are handed to programs. Whoever operates the service must not be locked out."""


class Budget(IntEnum):
    """What is counted apart: heartbeats have a budget of their own, so that nothing else keeps a session from one."""

    REQUESTS = 0
    HEARTBEATS = 1


NAMES = ("requests", "heartbeats")
"""The budgets, as they are told."""


class RateLimits(NamedTuple):
    """How many a key may make in a minute; 0: any number."""

    requests_per_minute: int
    heartbeats_per_minute: int


def take(full_at: float, *, cost: int, limit: int, now: float) -> float:
    """When the budget is full again once so many were taken from it, in seconds like `now`; see `is_within`."""
    return max(full_at, now) + min(cost, limit) * PERIOD_SECONDS / limit


def is_within(full_at: float, *, now: float) -> bool:
    """Whether a budget that is full again at that time is not overdrawn. The microsecond is for rounding."""
    return full_at - now <= PERIOD_SECONDS + 1e-6


def left(full_at: float, *, limit: int, now: float) -> int:
    """How many may still be taken at once."""
    return max(0, min(limit, int((PERIOD_SECONDS - (full_at - now)) * limit / PERIOD_SECONDS + 1e-3)))


def wait_seconds(full_at: float, *, now: float) -> int:
    """Whole seconds until what was refused would be granted; full_at: with it taken."""
    return max(1, ceil(full_at - now - PERIOD_SECONDS - 1e-6))
