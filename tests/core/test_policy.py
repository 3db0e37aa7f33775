"""Lease policies: what follows from what, and what contradicts."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.domain.errors import Code, Refusal
from holdfast.domain.limits import DAY_MS, LEASE_MS_MAX, MINUTE_MS, SECOND_MS
from holdfast.domain.policy import OnLapse, Policy, PolicyRequest, resolve

MONITOR: Final = Policy("monitor", 180_000, 60_000, 5_000, 60_000, 900_000, OnLapse.REVIVABLE)
CRANE: Final = Policy("crane", 2_700_000, 600_000, 120_000, 600_000, None, OnLapse.REVIVABLE)
INTERACTIVE: Final = Policy("interactive", 28_801_000, None, 0, 0, None, OnLapse.REVIVABLE)


@pytest.mark.parametrize(("request_", "expected"), [
    (PolicyRequest(), MONITOR),
    (PolicyRequest("monitor"), MONITOR),
    (PolicyRequest("crane"), CRANE),
    (PolicyRequest("interactive"), INTERACTIVE),
    (PolicyRequest("autonomous", 60_000), Policy("autonomous", 60_000, 20_000, 1_666, 20_000, 300_000, OnLapse.STRICT)),
    (PolicyRequest(None, 60_000), Policy("custom", 60_000, 20_000, 1_666, 20_000, 300_000, OnLapse.REVIVABLE)),
    (PolicyRequest(None, 60_000, 45_000), Policy("custom", 60_000, 45_000, 3_750, 15_000, 300_000, OnLapse.REVIVABLE)),
    (PolicyRequest(None, 60_000, 60_000, 0), Policy("custom", 60_000, 60_000, 0, 0, 300_000, OnLapse.REVIVABLE)),
    (
        PolicyRequest("autonomous", 60_000, 10_000, 1, 2, 70_000, OnLapse.REVIVABLE),
        Policy("autonomous", 60_000, 10_000, 1, 2, 70_000, OnLapse.REVIVABLE),
    ),
    (PolicyRequest("monitor", fail_after_ms=180_000), MONITOR._replace(fail_after_ms=180_000)),
    (PolicyRequest("monitor", on_lapse=OnLapse.STRICT), MONITOR._replace(on_lapse=OnLapse.STRICT)),
    (PolicyRequest("crane", 3_600_000), CRANE._replace(lease_ms=3_600_000)),
    (PolicyRequest("interactive", 60_000), INTERACTIVE._replace(lease_ms=60_000)),
    (PolicyRequest(heartbeat_jitter_ms=0, grace_ms=0), MONITOR._replace(heartbeat_jitter_ms=0, grace_ms=0)),
])  # fmt: skip
def test_what_was_not_said_follows_from_the_preset_or_the_lease(request_: PolicyRequest, expected: Policy) -> None:
    assert resolve(request_) == expected


LEASE, INTERVAL, JITTER, FAIL, PRESET = (
    f"policy.{name}"
    for name in (
        "lease_seconds",
        "heartbeat_interval_seconds",
        "heartbeat_jitter_seconds",
        "fail_after_seconds",
        "preset",
    )
)


@pytest.mark.parametrize(("request_", "fields"), [
    (PolicyRequest("nonsense"), [PRESET]),
    (PolicyRequest("custom"), [PRESET]),
    (PolicyRequest("autonomous"), [LEASE]),
    (PolicyRequest(None, SECOND_MS - 1), [LEASE]),
    (PolicyRequest(None, LEASE_MS_MAX + 1), [LEASE]),
    (PolicyRequest("monitor", 119_999), [LEASE]),
    (PolicyRequest(None, 60_000, 40_000, 0, 20_001), [LEASE]),
    (PolicyRequest(None, 60_000, 60_001), [LEASE]),
    (PolicyRequest(None, 60_000, 0), [INTERVAL]),
    (PolicyRequest("monitor", None, 0, 0), [INTERVAL]),
    (PolicyRequest(None, 60_000, 20_000, 20_000), [JITTER]),
    (PolicyRequest("interactive", heartbeat_jitter_ms=1), [JITTER]),
    (PolicyRequest(None, 60_000, fail_after_ms=59_999), [FAIL]),
    (PolicyRequest(None, 60_000, fail_after_ms=365 * DAY_MS + 1), [FAIL]),
    (PolicyRequest("monitor", 20 * MINUTE_MS), [FAIL]),
    (PolicyRequest(None, 999, 1, 1, 0, 998), [LEASE, JITTER, FAIL]),
])  # fmt: skip
def test_what_contradicts_is_refused_by_its_name(request_: PolicyRequest, fields: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        resolve(request_)
    assert refused.value.code == Code.VALIDATION_FAILED
    assert [error.field for error in refused.value.errors] == fields


@pytest.mark.parametrize("request_", [
    PolicyRequest(None, SECOND_MS),
    PolicyRequest(None, LEASE_MS_MAX),
    PolicyRequest("monitor", 120_000),
    PolicyRequest(None, 60_000, 40_000, 0, 20_000),
    PolicyRequest(None, 60_000, 1, 0),
    PolicyRequest(None, 60_000, 20_000, 19_999),
    PolicyRequest(None, 60_000, fail_after_ms=60_000),
    PolicyRequest(None, 60_000, fail_after_ms=365 * DAY_MS),
])  # fmt: skip
def test_what_is_just_consistent_is_accepted(request_: PolicyRequest) -> None:
    resolve(request_)


def milliseconds(highest: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(0, highest)


@settings(derandomize=True, database=None, deadline=None)
@given(
    st.builds(
        PolicyRequest,
        st.sampled_from((None, "monitor", "crane", "interactive", "autonomous")),
        milliseconds(LEASE_MS_MAX),
        milliseconds(LEASE_MS_MAX),
        milliseconds(MINUTE_MS),
        milliseconds(MINUTE_MS),
        milliseconds(365 * DAY_MS),
        st.sampled_from((None, *OnLapse)),
    )
)
def test_a_policy_in_force_is_consistent_and_keeps_what_was_said(request_: PolicyRequest) -> None:
    try:
        policy = resolve(request_)
    except Refusal:
        return
    said = {name: value for name, value in request_._asdict().items() if value is not None}
    assert {name: getattr(policy, name) for name in said} == said
    assert policy.lease_ms >= (policy.heartbeat_interval_ms or 0) + policy.grace_ms
    assert policy.fail_after_ms is None or policy.fail_after_ms >= policy.lease_ms
    assert policy.heartbeat_jitter_ms == 0 or policy.heartbeat_jitter_ms < (policy.heartbeat_interval_ms or 0)
