"""Commands, callers and envelopes with defaults, so that a test says only what it is about."""

import hashlib
from typing import Any

from holdfast.commands.command import Command, Envelope
from holdfast.commands.reports import ReportSession
from holdfast.commands.starts import StartSession
from holdfast.commands.view import Idempotency
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, AccountId, KeyId
from holdfast.domain.limits import DAY_MS, MINUTE_MS, SECOND_MS
from holdfast.domain.policy import OnLapse, PolicyRequest
from holdfast.domain.session import EndReason

SCOPE = "repo=holdfast"

LEASE_MS = MINUTE_MS
FAIL_AFTER_MS = 5 * MINUTE_MS

REVIVABLE = PolicyRequest(lease_ms=LEASE_MS, fail_after_ms=FAIL_AFTER_MS, on_lapse=OnLapse.REVIVABLE)
STRICT = REVIVABLE._replace(on_lapse=OnLapse.STRICT)
NEVER_FAILS = PolicyRequest(preset="crane")


def actor(account_id: str = DEFAULT_ACCOUNT, *, key_id: str = "key_test", scope: KeyScope = KeyScope.AGENT) -> Actor:
    """A caller."""
    return Actor(AccountId(account_id), KeyId(key_id), scope)


AGENT = actor()
OPERATOR = actor(key_id="key_operator", scope=KeyScope.OPERATOR)
ADMIN = actor(key_id="key_admin", scope=KeyScope.ADMIN)


def start(scope: str | None = SCOPE, **fields: Any) -> StartSession:
    """A start by `claude` as `holder-1`, with a lease of a minute; further fields as in StartSession."""
    defaults: dict[str, Any] = {"agent": "claude", "holder_id": "holder-1", "policy": REVIVABLE}
    return StartSession(scope, **(defaults | fields))


def report(client_session_id: str, **fields: Any) -> ReportSession:
    """A report of a session that ran for a second while nobody listened."""
    defaults: dict[str, Any] = {
        "scope": SCOPE,
        "agent": "claude",
        "holder_id": "holder-1",
        "started_at_ms": 1_000 * SECOND_MS,
        "ended_at_ms": 1_001 * SECOND_MS,
        "end_reason": EndReason.COMPLETED,
    }
    return ReportSession(client_session_id, **(defaults | fields))


def entropy(seed: int) -> bytes:
    """Sixteen bytes that are the same for the same seed."""
    return hashlib.sha256(b"entropy %d" % seed).digest()[:ENTROPY_BYTES]


def idempotency(key: str, command: Command, *, by: Actor) -> Idempotency:
    """By what a repeat of this command under this key is recognised."""
    where = f"{by.account_id}\0{type(command).__name__}\0{key}"
    return Idempotency(_sha256(where), _sha256(repr(command)), DAY_MS)


def envelope(
    command: Command,
    *,
    by: Actor = AGENT,
    seed: int = 0,
    key: str | None = None,
    correlation_id: str = "correlation-1",
) -> Envelope:
    """A command on its way. key: an idempotency key."""
    return Envelope(
        command, by, entropy(seed), correlation_id, None if key is None else idempotency(key, command, by=by)
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
