"""Lease policies: how often a holder promises to beat, and what its silence means."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.limits import DAY_MS, LEASE_MS_MAX, LEASE_MS_MIN, MINUTE_MS, SECOND_MS


class OnLapse(StrEnum):
    """What a beat after the lease may still do."""

    REVIVABLE = "revivable"
    STRICT = "strict"


class Policy(NamedTuple):
    """A lease and its beats, in milliseconds.

    heartbeat_interval_ms: None where no beat is expected; such a session is never late, only live or lapsed.
    fail_after_ms: silence since the last beat after which a stalled session has failed; None: it never fails so.
    grace_ms decides only when a session counts as late; the lease is the one deadline.
    """

    preset: str
    lease_ms: int
    heartbeat_interval_ms: int | None
    heartbeat_jitter_ms: int
    grace_ms: int
    fail_after_ms: int | None
    on_lapse: OnLapse


class PolicyRequest(NamedTuple):
    """What a caller said of its policy; what it left out follows from the preset or from the lease."""

    preset: str | None = None
    lease_ms: int | None = None
    heartbeat_interval_ms: int | None = None
    heartbeat_jitter_ms: int | None = None
    grace_ms: int | None = None
    fail_after_ms: int | None = None
    on_lapse: OnLapse | None = None


MONITOR = Policy(
    "monitor", 180 * SECOND_MS, 60 * SECOND_MS, 5 * SECOND_MS, 60 * SECOND_MS, 15 * MINUTE_MS, OnLapse.REVIVABLE
)
CRANE = Policy("crane", 45 * MINUTE_MS, 600 * SECOND_MS, 120 * SECOND_MS, 600 * SECOND_MS, None, OnLapse.REVIVABLE)
INTERACTIVE = Policy("interactive", 28_801 * SECOND_MS, None, 0, 0, None, OnLapse.REVIVABLE)
AUTONOMOUS = "autonomous"
"""Its lease is the caller's; beats at a third of it; strict."""

CUSTOM = "custom"
"""No preset was named and a lease was given: everything else follows from that lease."""

PRESETS = {policy.preset: policy for policy in (MONITOR, CRANE, INTERACTIVE)}
PRESET_NAMES = (*PRESETS, AUTONOMOUS)


def resolve(request: PolicyRequest) -> Policy:
    """The policy in force for a request, complete and consistent.

    Raises: validation_failed naming each field that contradicts another.
    Source: native-v1, "The lease is the only deadline" and "Presets".
    """
    if request.preset is not None and request.preset not in PRESET_NAMES:
        raise _invalid("preset", f"must be one of {', '.join(PRESET_NAMES)}")
    if request.preset == AUTONOMOUS or (request.preset is None and request.lease_ms is not None):
        return _checked(_from_lease(request))
    base = PRESETS[request.preset or MONITOR.preset]
    return _checked(
        Policy(
            preset=base.preset,
            lease_ms=base.lease_ms if request.lease_ms is None else request.lease_ms,
            heartbeat_interval_ms=_given(request.heartbeat_interval_ms, base.heartbeat_interval_ms),
            heartbeat_jitter_ms=_given(request.heartbeat_jitter_ms, base.heartbeat_jitter_ms) or 0,
            grace_ms=_given(request.grace_ms, base.grace_ms) or 0,
            fail_after_ms=_given(request.fail_after_ms, base.fail_after_ms),
            on_lapse=request.on_lapse or base.on_lapse,
        )
    )


def _from_lease(request: PolicyRequest) -> Policy:
    """Whatever was not given follows from the lease."""
    if request.lease_ms is None:
        raise _invalid("lease_seconds", f"is required by the preset {request.preset}")
    given_ms = request.heartbeat_interval_ms
    interval_ms = request.lease_ms // 3 if given_ms is None else given_ms
    is_autonomous = request.preset == AUTONOMOUS
    return Policy(
        preset=AUTONOMOUS if is_autonomous else CUSTOM,
        lease_ms=request.lease_ms,
        heartbeat_interval_ms=interval_ms,
        heartbeat_jitter_ms=_given(request.heartbeat_jitter_ms, interval_ms // 12) or 0,
        grace_ms=_given(request.grace_ms, max(0, min(interval_ms, request.lease_ms - interval_ms))) or 0,
        fail_after_ms=_given(request.fail_after_ms, 5 * request.lease_ms),
        on_lapse=request.on_lapse or (OnLapse.STRICT if is_autonomous else OnLapse.REVIVABLE),
    )


def _checked(policy: Policy) -> Policy:
    errors = []
    interval_ms = policy.heartbeat_interval_ms or 0
    if not LEASE_MS_MIN <= policy.lease_ms <= LEASE_MS_MAX:
        errors.append(FieldError("policy.lease_seconds", f"must be between 1 and {LEASE_MS_MAX // SECOND_MS}"))
    elif policy.lease_ms < interval_ms + policy.grace_ms:
        errors.append(
            FieldError("policy.lease_seconds", "must not be shorter than heartbeat_interval_seconds + grace_seconds")
        )
    if policy.heartbeat_interval_ms is not None and policy.heartbeat_interval_ms < 1:
        errors.append(FieldError("policy.heartbeat_interval_seconds", "must be greater than 0"))
    if policy.heartbeat_jitter_ms and policy.heartbeat_jitter_ms >= interval_ms:
        errors.append(FieldError("policy.heartbeat_jitter_seconds", "must be smaller than heartbeat_interval_seconds"))
    if policy.fail_after_ms is not None and not policy.lease_ms <= policy.fail_after_ms <= 365 * DAY_MS:
        errors.append(FieldError("policy.fail_after_seconds", "must not be shorter than the lease, nor over 365 days"))
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(errors))
    return policy


def _given(value: int | None, otherwise: int | None) -> int | None:
    return otherwise if value is None else value


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError(f"policy.{field}", message),))
