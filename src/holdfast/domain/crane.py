"""What holds for sessions that are begun and ended by the day: their agents' names, their lease, their settings.

Source: seed 000 and its contract.
"""

import re
from typing import NamedTuple

from holdfast.domain.limits import HOUR_MS, MINUTE_MS, SECOND_MS
from holdfast.domain.policy import CRANE, PolicyRequest

AGENT_CHARS_MAX = 63
AGENT = r"^[a-z0-9]+-[a-z0-9-]+(?![\s\S])"
"""It ends in a look-ahead because `$` would let a final newline through."""

VENTURE = r"^[a-z0-9-]{2,32}(?![\s\S])"
REPO = r"^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}(?![\s\S])"
SCHEMA_VERSION = r"^1\.[0-9]{1,4}(?![\s\S])"
SCHEMA_VERSION_SERVED = "1.0"

ACTIVE_SESSIONS_SHOWN_MAX = 20
"""Others at work in the same repository that a start is told of."""

BEATS_PER_LEASE_MIN = 3
"""A lease that is set shorter than so many beats makes the beats come sooner, so that one lost beat is not the end."""


class DaySettings(NamedTuple):
    """What the server's settings say of such sessions.

    stale_ms: the silence after which a session counts as stale; its lease.
    idempotency_keep_ms: for how long an answer is given again; None: for ever.
    ventures: the only ones there are; empty: any.
    """

    stale_ms: int = CRANE.lease_ms
    heartbeat_interval_ms: int = CRANE.heartbeat_interval_ms or 600 * SECOND_MS
    heartbeat_jitter_ms: int = CRANE.heartbeat_jitter_ms
    idempotency_keep_ms: int | None = HOUR_MS
    ventures: tuple[str, ...] = ()

    @property
    def policy(self) -> PolicyRequest:
        """The preset `crane` with these figures, made consistent: whole seconds, at least three beats to a lease."""
        seconds = min(self.heartbeat_interval_ms, self.stale_ms // BEATS_PER_LEASE_MIN) // SECOND_MS
        interval_ms = max(1, seconds) * SECOND_MS
        return PolicyRequest(
            preset=CRANE.preset,
            lease_ms=self.stale_ms,
            heartbeat_interval_ms=interval_ms,
            heartbeat_jitter_ms=min(self.heartbeat_jitter_ms, interval_ms - SECOND_MS),
            grace_ms=min(CRANE.grace_ms, interval_ms),
        )

    @property
    def is_crowded(self) -> bool:
        """Whether beats come sooner than they were set to, because the lease is too short for that."""
        return self.policy.heartbeat_interval_ms != self.heartbeat_interval_ms


STALE_MINUTES_MAX = 30 * 24 * 60
assert STALE_MINUTES_MAX * MINUTE_MS <= 30 * 24 * HOUR_MS


def suggested_agent(name: str) -> str:
    """The acceptable name that is nearest to one that is not."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:AGENT_CHARS_MAX].rstrip("-")
    if "-" in words:
        return words
    return f"{words[: AGENT_CHARS_MAX - 6]}-agent" if words else "my-agent"
