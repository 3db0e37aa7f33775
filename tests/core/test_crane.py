"""What holds for sessions by the day: a lease that holds its beats, and names of agents."""

import re

import pytest

from holdfast.domain.crane import AGENT, AGENT_CHARS_MAX, DaySettings, suggested_agent
from holdfast.domain.policy import resolve


def test_beats_come_sooner_where_the_lease_would_not_hold_three() -> None:
    day = DaySettings(stale_ms=60_000)
    assert (day.policy.heartbeat_interval_ms, day.is_crowded, DaySettings().is_crowded) == (20_000, True, False)
    for stale_ms in (60_000, 61_000, 45 * 60_000, 30 * 24 * 60 * 60_000):
        for interval_ms in (1_000, 600_000, 86_400_000):
            for jitter_ms in (0, 120_000, 10**9):
                policy = resolve(DaySettings(stale_ms, interval_ms, jitter_ms).policy)
                assert policy.heartbeat_jitter_ms < (policy.heartbeat_interval_ms or 0) * 3 <= policy.lease_ms * 3


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ("Claude Code", "claude-code"),
        ("claude", "claude-agent"),
        ("__", "my-agent"),
        ("cc_cli@Host.local", "cc-cli-host-local"),
        ("x" * 80, "x" * 57 + "-agent"),
    ],
)
def test_a_name_that_will_not_do_is_answered_with_one_that_will(given: str, suggested: str) -> None:
    assert suggested_agent(given) == suggested
    assert re.search(AGENT, suggested)
    assert len(suggested) <= AGENT_CHARS_MAX
