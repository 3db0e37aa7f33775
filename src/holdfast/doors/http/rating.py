"""Rate limits as HTTP: taking a request from its key's budget, and the headers that say what is left.

Source: draft-ietf-httpapi-ratelimit-headers-10 for `RateLimit` and `RateLimit-Policy`; the `X-RateLimit-…` headers are
what clients knew before it.
"""

from holdfast.domain.actor import Actor
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.rate_limits import NAMES, PERIOD_SECONDS, Budget
from holdfast.engine.core import Core
from holdfast.engine.rate_limiter import Standing

Pairs = tuple[tuple[bytes, bytes], ...]


def take(core: Core, actor: Actor, budget: Budget, *, cost: int, standings: list[Standing]) -> None:
    """Take so many from the key's budget, if it has a limit. Raises: rate_limited."""
    standing = core.limiter.take(actor, budget, cost=cost)
    if standing is None:
        return
    standings.append(standing)
    if not standing.is_granted:
        raise Refusal(
            Code.RATE_LIMITED,
            what=NAMES[budget],
            limit=standing.limit,
            retry_after_ms=standing.reset_seconds * SECOND_MS,
            ways_out=(WayOut(Action.REPEAT_LATER),),
        )


def headers(standing: Standing) -> Pairs:
    """What tells a caller how it stands."""
    if not standing.shown:
        standing.shown = _headers(standing)
    return standing.shown


def _headers(standing: Standing) -> Pairs:
    name, limit = NAMES[standing.budget], str(standing.limit)
    left, reset = str(standing.left), str(standing.reset_seconds)
    told = (
        (b"ratelimit-policy", f'"{name}";q={limit};w={PERIOD_SECONDS}'.encode()),
        (b"ratelimit", f'"{name}";r={left};t={reset}'.encode()),
    )
    if standing.budget == Budget.HEARTBEATS and standing.is_granted:
        # Every header costs a heartbeat; those who keep sessions alive learn of their limit in time from these two.
        return told
    return (
        *told,
        (b"x-ratelimit-limit", limit.encode()),
        (b"x-ratelimit-remaining", left.encode()),
        (b"x-ratelimit-reset", reset.encode()),
    )
