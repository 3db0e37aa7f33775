"""Webhooks: where events are sent, which ones, how they are signed, and when an attempt that failed is made again.

A delivery is one message for one webhook: an event, or a test. Its times run in service time, so that a server that was
down gives nothing up that it could not have sent.
Source: the Standard Webhooks specification (names of headers, the form of secrets and signatures).
"""

import re
from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.events import Event, EventType
from holdfast.domain.ids import AccountId, KeyId, WebhookId
from holdfast.domain.limits import DAY_MS, HOUR_MS, SECOND_MS
from holdfast.domain.service_time import Moment

WEBHOOKS_MAX = 50
"""Webhooks of an account: each event is looked at once for each of them."""

EVENT_TYPES_MAX = 50

ID_PREFIX = "wh"
SECRET_ENTROPY_BYTES = 32

TEST_TYPE = "webhook.test"
"""The type of a message that tells of nothing but itself."""

EVERYTHING = "*"

FIRST_RETRY_MS = 5 * SECOND_MS
RETRY_FACTOR = 4
RETRY_MS_MAX = 6 * HOUR_MS
GIVE_UP_MS = DAY_MS
"""Attempts are made 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, and then every 6 hours after the one before, and a last one
24 hours after the first; each a fifth earlier or later, so that what failed together does not come back together."""

HOLD_MS_MAX = HOUR_MS
"""For how long a receiver may ask for quiet: longer than that, it is asked again."""

GONE = 410
"""The status by which a receiver says that it wants nothing more."""

REASON_GONE = "its receiver answered 410 Gone"
REASON_ASKED = "it was disabled"


class DeliveryStatus(StrEnum):
    """What became of a message. Dead: it was given up; it can be sent again by hand."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Webhook(NamedTuple):
    """Where events of an account are sent.

    event_types: patterns such as `session.*`, with spaces between them. project_id, session_id: only events of these.
    previous_secret: signs too, until previous_secret_expires_at_ms.
    after_number: only events with a higher number concern it: those from when it was made, or enabled again, on.
    held_until_ms: in service time; before then nothing is sent, because its receiver asked for that.
    failures: attempts in a row that failed.
    """

    id: WebhookId
    account_id: AccountId
    url: str
    description: str | None
    event_types: str
    project_id: str | None
    session_id: str | None
    secret: str
    previous_secret: str | None
    previous_secret_expires_at_ms: int | None
    is_enabled: bool
    disabled_reason: str | None
    after_number: int
    held_until_ms: int | None
    failures: int
    last_attempt_at_ms: int | None
    last_success_at_ms: int | None
    last_error: str | None
    created_at_ms: int
    created_by: KeyId


class WebhookDelivery(NamedTuple):
    """One message for one webhook.

    event_id: the event's id, or a test's: what receivers know the message by. body_json: what is sent, byte for byte.
    due_ms: in service time, when it is tried next; while a node tries, when that node's claim ends; None: it is over.
    give_up_ms: in service time, when the last attempt is made.
    claim_id: of the attempt that is under way.
    """

    webhook_id: WebhookId
    event_id: str
    account_id: AccountId
    event_type: str
    body_json: str
    status: DeliveryStatus
    attempts: int
    due_ms: int | None
    give_up_ms: int
    claim_id: str | None
    created_at_ms: int
    last_attempt_at_ms: int | None
    last_status: int | None
    last_error: str | None
    last_duration_ms: int | None
    finished_at_ms: int | None


class Outcome(NamedTuple):
    """What an attempt came to. status: the HTTP status; None where there was no answer; then error says why.

    retry_after_ms: how long the receiver wants quiet.
    """

    status: int | None
    error: str | None
    duration_ms: int
    retry_after_ms: int | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300


def is_webhook_id(text: str) -> bool:
    """Whether an id is one of a webhook."""
    return text.startswith(f"{ID_PREFIX}_")


def secrets_in_force(webhook: Webhook, *, now_ms: int) -> tuple[str, ...]:
    """The secrets that sign now: after a rotation, for the overlap, both. now_ms: wall clock."""
    expires_at_ms = webhook.previous_secret_expires_at_ms
    if webhook.previous_secret is None or expires_at_ms is None or now_ms >= expires_at_ms:
        return (webhook.secret,)
    return webhook.secret, webhook.previous_secret


def rotated(webhook: Webhook, *, new: str, overlap_ms: int, now_ms: int) -> Webhook:
    """The webhook with a new secret; the present one signs too for the overlap, one before that no more."""
    return webhook._replace(
        secret=new,
        previous_secret=webhook.secret if overlap_ms else None,
        previous_secret_expires_at_ms=now_ms + overlap_ms if overlap_ms else None,
    )


def check_event_types(patterns: tuple[str, ...]) -> str:
    """Patterns as they are kept. Raises: validation_failed for one that no event can ever match."""
    kinds = {each.split(".")[0] + ".*" for each in EventType}
    known = {EVERYTHING, *EventType, *kinds}
    errors = tuple(
        FieldError(f"event_types[{position}]", f"{_shown(pattern)} is no type of event; see GET /v1/events, or use *")
        for position, pattern in enumerate(patterns)
        if pattern not in known
    )
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    return " ".join(dict.fromkeys(patterns)) or EVERYTHING


def _shown(text: str) -> str:
    return repr(text[:64])


def wants_type(webhook: Webhook, event_type: str) -> bool:
    """Whether a webhook is about events of a type."""
    kind = event_type.split(".", maxsplit=1)[0] + ".*"
    return not {EVERYTHING, kind, event_type}.isdisjoint(webhook.event_types.split())


def wants(webhook: Webhook, event: Event) -> bool:
    """Whether an event is to be sent to a webhook."""
    return (
        webhook.is_enabled
        and webhook.account_id == event.account_id
        and event.number > webhook.after_number
        and webhook.project_id in (None, event.project_id)
        and webhook.session_id in (None, event.session_id)
        and wants_type(webhook, event.type)
    )


def planned(webhook: Webhook, *, message_id: str, event_type: str, body_json: str, now: Moment) -> WebhookDelivery:
    """A message, to be sent at once."""
    return WebhookDelivery(
        webhook_id=webhook.id,
        event_id=message_id,
        account_id=webhook.account_id,
        event_type=event_type,
        body_json=body_json,
        status=DeliveryStatus.PENDING,
        attempts=0,
        due_ms=now.service_ms,
        give_up_ms=now.service_ms + GIVE_UP_MS,
        claim_id=None,
        created_at_ms=now.wall_ms,
        last_attempt_at_ms=None,
        last_status=None,
        last_error=None,
        last_duration_ms=None,
        finished_at_ms=None,
    )


def sent_again(delivery: WebhookDelivery, *, now: Moment) -> WebhookDelivery:
    """A message that is to be sent again, as if it were new; attempts go on being counted."""
    return delivery._replace(
        status=DeliveryStatus.PENDING,
        due_ms=now.service_ms,
        give_up_ms=now.service_ms + GIVE_UP_MS,
        claim_id=None,
        finished_at_ms=None,
    )


def claimed(delivery: WebhookDelivery, *, claim_id: str, lease_ms: int, now: Moment) -> WebhookDelivery | None:
    """The message while a node tries to send it; None where there is nothing to try now.

    A node that dies meanwhile leaves it due when the lease ends, so a receiver may hear it twice and never not at all.
    """
    if delivery.due_ms is None or delivery.due_ms > now.service_ms:
        return None
    return delivery._replace(claim_id=claim_id, due_ms=now.service_ms + lease_ms, attempts=delivery.attempts + 1)


def attempted(delivery: WebhookDelivery, outcome: Outcome, *, jitter: int, now: Moment) -> WebhookDelivery:
    """The message after an attempt: over, or due again. jitter: from -1000 to 1000, of a fifth of the wait."""
    after = delivery._replace(
        claim_id=None,
        last_attempt_at_ms=now.wall_ms,
        last_status=outcome.status,
        last_error=outcome.error,
        last_duration_ms=outcome.duration_ms,
    )
    if outcome.is_success:
        return after._replace(status=DeliveryStatus.DELIVERED, due_ms=None, finished_at_ms=now.wall_ms)
    if outcome.status == GONE or now.service_ms >= delivery.give_up_ms:
        return after._replace(status=DeliveryStatus.DEAD, due_ms=None, finished_at_ms=now.wall_ms)
    wait_ms = min(FIRST_RETRY_MS * RETRY_FACTOR ** min(delivery.attempts - 1, 10), RETRY_MS_MAX)
    wait_ms = max(wait_ms + wait_ms * jitter // 5_000, outcome.retry_after_ms or 0)
    return after._replace(due_ms=min(now.service_ms + wait_ms, delivery.give_up_ms))


def heard(webhook: Webhook, outcome: Outcome, *, now: Moment) -> Webhook:
    """The webhook after an attempt to send something to it."""
    if outcome.is_success:
        return webhook._replace(
            failures=0,
            held_until_ms=None,
            last_error=None,
            last_attempt_at_ms=now.wall_ms,
            last_success_at_ms=now.wall_ms,
        )
    failed = webhook._replace(
        failures=webhook.failures + 1, last_attempt_at_ms=now.wall_ms, last_error=outcome.error or "it failed"
    )
    if outcome.status == GONE:
        return disabled(failed, reason=REASON_GONE)
    if outcome.retry_after_ms is not None:
        held_until_ms = now.service_ms + min(outcome.retry_after_ms, HOLD_MS_MAX)
        return failed._replace(held_until_ms=max(held_until_ms, webhook.held_until_ms or 0))
    return failed


def is_held(webhook: Webhook, *, now: Moment) -> bool:
    """Whether its receiver asked for quiet."""
    return webhook.held_until_ms is not None and now.service_ms < webhook.held_until_ms


def disabled(webhook: Webhook, *, reason: str) -> Webhook:
    """The webhook, to which nothing is sent."""
    return webhook._replace(is_enabled=False, disabled_reason=reason) if webhook.is_enabled else webhook


def enabled(webhook: Webhook, *, last_number: int) -> Webhook:
    """The webhook, to which events after this number are sent."""
    if webhook.is_enabled:
        return webhook
    return webhook._replace(
        is_enabled=True, disabled_reason=None, after_number=last_number, held_until_ms=None, failures=0
    )


def require_enabled(webhook: Webhook) -> None:
    """Raises: webhook_disabled."""
    if not webhook.is_enabled:
        reason = webhook.disabled_reason
        ways_out = (WayOut(Action.ENABLE_WEBHOOK, target=webhook.id),)
        raise Refusal(Code.WEBHOOK_DISABLED, webhook_id=webhook.id, reason=reason, ways_out=ways_out)


def retry_after_ms(text: str, *, now_seconds: int, date_seconds: int | None) -> int | None:
    """How long a Retry-After header asks to wait; None where it cannot be read. date_seconds: of its date."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return int(text) * SECOND_MS
    return None if date_seconds is None else max(0, date_seconds - now_seconds) * SECOND_MS


CLAIM_MARGIN_MS = 5 * SECOND_MS
"""How much longer than an attempt its claim lasts: time to record what came of it."""

OVERLAP_MS_DEFAULT = DAY_MS
OVERLAP_MS_MAX = 30 * DAY_MS
