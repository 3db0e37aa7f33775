"""The rate limits of this node: what every key has left, and what is to be told to the other nodes.

Lives on the event loop alone. Other nodes' requests count as soon as they are heard of, once a second.
"""

from collections.abc import Callable, Sequence
from math import ceil, inf
from typing import Final

from holdfast.commands.keys import CountedUse
from holdfast.domain.actor import Actor
from holdfast.domain.ids import AccountId, KeyId
from holdfast.domain.keys import KeyUsage
from holdfast.domain.rate_limits import LIMITED_SCOPES, Budget, RateLimits, is_within, left, take, wait_seconds

BUCKETS_MAX: Final = 10_000
"""Keys counted at a time; past that those whose budget is full are forgotten, which changes nothing for them."""


BOUGHT_PART: Final = 1_000
"""Of a large budget so small a part is taken at once and then counted down: a heartbeat may cost no arithmetic. What a
key has bought and not used lets it pass its limit by as little."""


class Standing:
    """What a key has left of a budget. reset_seconds: until it is full again, or, where refused, until to ask again.

    shown: room for the door to keep how it shows this.
    """

    __slots__ = ("budget", "is_granted", "left", "limit", "reset_seconds", "shown")

    def __init__(self, budget: Budget, limit: int, *, left: int, reset_seconds: int, is_granted: bool) -> None:
        self.budget = budget
        self.limit = limit
        self.left = left
        self.reset_seconds = reset_seconds
        self.is_granted = is_granted
        self.shown: tuple[tuple[bytes, bytes], ...] = ()


class _Bucket:
    """One key's budgets.

    full_at: the times at which they are full again. bought: what was taken of them and not used. standing: as of then;
    None where there is no limit. untold: what the other nodes do not know of; told: their counters as last heard.
    """

    __slots__ = ("account_id", "bought", "full_at", "standing", "told", "untold", "window_at_ms")

    def __init__(self, account_id: AccountId, *, bought: list[float]) -> None:
        self.account_id = account_id
        self.full_at = [0.0, 0.0]
        self.bought = bought
        self.standing: list[Standing | None] = [None, None]
        self.untold = [0, 0]
        self.told = [0, 0]
        self.window_at_ms = 0


class RateLimiter:
    """Decides for each request of a limited key whether it is one too many.

    is_shared: other nodes count as well, and are to be told. now: monotonic seconds.
    """

    def __init__(self, limits: RateLimits, *, is_shared: bool, now: Callable[[], float]) -> None:
        self._limits = (limits.requests_per_minute, limits.heartbeats_per_minute)
        self._is_shared = is_shared
        self._now = now
        self._buckets: dict[KeyId, _Bucket] = {}
        self._buckets_max = BUCKETS_MAX

    def take(self, actor: Actor, budget: Budget, *, cost: int) -> Standing | None:
        """What is left once so many were taken, or that they were not; None for a key without limits."""
        bucket = self._buckets.get(actor.key_id) or self._new(actor)
        after = bucket.bought[budget] - cost
        if after >= 0:
            bucket.bought[budget] = after
            return bucket.standing[budget]
        return self._buy(bucket, budget, cost=cost)

    def _buy(self, bucket: _Bucket, budget: Budget, *, cost: int) -> Standing:
        """Take some of a budget for this request and, where there is enough, for those after it."""
        limit, now, bought = self._limits[budget], self._now(), int(bucket.bought[budget])
        needed = cost - bought
        wanted = max(needed, limit // BOUGHT_PART)
        full_at = take(bucket.full_at[budget], cost=wanted, limit=limit, now=now)
        if not is_within(full_at, now=now):
            wanted = needed
            full_at = take(bucket.full_at[budget], cost=wanted, limit=limit, now=now)
        if not is_within(full_at, now=now):
            return Standing(budget, limit, left=bought, reset_seconds=wait_seconds(full_at, now=now), is_granted=False)
        bucket.full_at[budget] = full_at
        bucket.bought[budget] = wanted - needed
        if self._is_shared:
            bucket.untold[budget] += wanted
        has_left = left(full_at, limit=limit, now=now) + wanted - needed
        standing = Standing(budget, limit, left=has_left, reset_seconds=ceil(full_at - now), is_granted=True)
        bucket.standing[budget] = standing
        return standing

    def untold(self) -> list[CountedUse]:
        """What keys used that the other nodes do not know yet; it counts as told once `hear` is called with it.

        A key that has used nothing more but has less than all left is among them: others may be using it.
        """
        if not self._is_shared:
            return []
        now = self._now()
        return [
            CountedUse(key_id, bucket.account_id, *bucket.untold)
            for key_id, bucket in self._buckets.items()
            if any(bucket.untold) or max(bucket.full_at) > now
        ]

    def hear(self, counted: Sequence[CountedUse], totals: Sequence[KeyUsage]) -> None:
        """Take in what all nodes together have counted, ours among it: the others' share is taken from the budgets."""
        now = self._now()
        for ours, total in zip(counted, totals, strict=True):
            bucket = self._buckets.get(ours.key_id)
            if bucket is None:
                continue
            before = bucket.told if bucket.window_at_ms == total.window_at_ms else [0, 0]
            own = (ours.requests, ours.heartbeats)
            for budget, number in enumerate((total.requests, total.heartbeats)):
                foreign, limit = number - before[budget] - own[budget], self._limits[budget]
                bucket.untold[budget] -= own[budget]
                if foreign > 0 and limit:
                    # No further than empty: what was granted elsewhere at the same time is not held against the key.
                    taken = take(bucket.full_at[budget], cost=foreign, limit=limit, now=now)
                    bucket.full_at[budget] = min(taken, take(now, cost=limit, limit=limit, now=now))
            bucket.told = [total.requests, total.heartbeats]
            bucket.window_at_ms = total.window_at_ms

    def _new(self, actor: Actor) -> _Bucket:
        if len(self._buckets) >= self._buckets_max:
            now = self._now()
            kept = {key: each for key, each in self._buckets.items() if any(each.untold) or max(each.full_at) > now}
            self._buckets, self._buckets_max = kept, max(BUCKETS_MAX, 2 * len(kept))
        is_limited = actor.scope in LIMITED_SCOPES
        bought = [0.0 if is_limited and limit else inf for limit in self._limits]
        bucket = self._buckets[actor.key_id] = _Bucket(actor.account_id, bought=bought)
        return bucket
