"""Webhooks: made, changed, removed; and what becomes of each message that is to be sent to one.

Events become messages in the order of their numbers. How far that has come in an account is kept by the reader
`webhooks` of its event table; whoever makes messages moves it in the same transaction, so two nodes make none twice.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body
from holdfast.commands.holding import audit
from holdfast.commands.lists import Filter, ListSpec, Operator
from holdfast.commands.rows import Key, Members, Need, SetSpec
from holdfast.commands.view import Reply, View
from holdfast.domain import webhooks
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.events import EventReader, advanced
from holdfast.domain.ids import AccountId, WebhookId
from holdfast.domain.times import rfc3339
from holdfast.domain.webhook_signatures import new_secret
from holdfast.domain.webhook_targets import target_of
from holdfast.domain.webhooks import Outcome, Webhook, WebhookDelivery

READER = "webhooks"
"""The name of the reader that turns events into messages."""

JITTER = 1_000

WEBHOOKS_OF_ACCOUNT = SetSpec(
    "webhooks_of_account", Webhook, ("account_id",), order="id", limit=webhooks.WEBHOOKS_MAX + 1
)
"""Guarded by the reader's row."""

ENABLED_WEBHOOKS = SetSpec("enabled_webhooks", Webhook, ("is_enabled",), order="id", limit=10_000)

WEBHOOK_LIST = ListSpec("webhooks", (Webhook,), {}, order="id")

DELIVERY_LIST = ListSpec(
    "webhook_deliveries",
    (WebhookDelivery,),
    {
        "webhook_id": (Filter("webhook_delivery", "webhook_id"),),
        "status": (Filter("webhook_delivery", "status"),),
        "event_type": (Filter("webhook_delivery", "event_type"),),
    },
    order="event_id",
)

DUE_LIST = ListSpec(
    "due_deliveries",
    (WebhookDelivery,),
    {
        "webhook_id": (Filter("webhook_delivery", "webhook_id"),),
        "due_from": (Filter("webhook_delivery", "due_ms", Operator.FROM),),
    },
    order="due_ms",
    descending=False,
)
"""What of a webhook waits, the longest due first. Only ever its first page is read: times are not unique."""


class CreateWebhook(NamedTuple):
    """Have events sent somewhere, from now on.

    secret_entropy: random bytes, of which the secret is made. last_number: of the last event that it is not told.
    """

    url: str
    description: str | None
    event_types: tuple[str, ...]
    project_id: str | None
    session_id: str | None
    secret_entropy: bytes
    last_number: int
    allows_private: bool

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, its webhooks, and the reader that guards them."""
        return account_key(actor.account_id), reader_key(actor.account_id), _of_account(actor.account_id)

    def decide(self, view: View) -> Reply:
        """The webhook with its secret, shown this once. Raises: forbidden, validation_failed, quota_exceeded."""
        require(view.actor, KeyScope.OPERATOR)
        account_id = view.actor.account_id
        require_account(view)
        target_of(self.url, allows_private=self.allows_private)
        event_types = webhooks.check_event_types(self.event_types)
        usage = len(view.members(_of_account(account_id)))
        if usage >= webhooks.WEBHOOKS_MAX:
            raise Refusal(Code.QUOTA_EXCEEDED, what="webhooks", usage=usage, limit=webhooks.WEBHOOKS_MAX)
        if view.get(EventReader, account_id, READER) is None:
            view.put(EventReader(account_id, READER, self.last_number, view.now.wall_ms))
        secret = new_secret(self.secret_entropy)
        webhook = Webhook(
            id=WebhookId(view.mint(webhooks.ID_PREFIX)),
            account_id=account_id,
            url=self.url,
            description=self.description,
            event_types=event_types,
            project_id=self.project_id,
            session_id=self.session_id,
            secret=secret,
            previous_secret=None,
            previous_secret_expires_at_ms=None,
            is_enabled=True,
            disabled_reason=None,
            after_number=self.last_number,
            held_until_ms=None,
            failures=0,
            last_attempt_at_ms=None,
            last_success_at_ms=None,
            last_error=None,
            created_at_ms=view.now.wall_ms,
            created_by=view.actor.key_id,
        )
        view.put(webhook)
        audit(view, AuditAction.WEBHOOK_CREATED, target=webhook.id)
        return Reply({**webhook_body(webhook), "secret": secret}, created=True, is_secret=True)


class ChangeWebhook(NamedTuple):
    """Change a webhook.

    fields: pairs of a column in CHANGEABLE and its new value, None to clear it; event_types: a tuple of patterns.
    enabled: whether anything is to be sent to it; None: as it is. last_number: as for CreateWebhook.
    """

    webhook_id: WebhookId
    fields: tuple[tuple[str, Any], ...]
    enabled: bool | None
    last_number: int
    allows_private: bool

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The webhook's row."""
        return (webhook_key(self.webhook_id),)

    def decide(self, view: View) -> Reply:
        """The changed webhook. Raises: forbidden, not_found, validation_failed."""
        require(view.actor, KeyScope.OPERATOR)
        before = find_webhook(view, self.webhook_id)
        changes = dict(self.fields)
        if "url" in changes:
            target_of(changes["url"], allows_private=self.allows_private)
        if "event_types" in changes:
            changes["event_types"] = webhooks.check_event_types(changes["event_types"])
        webhook = before._replace(**changes)
        if self.enabled is not None:
            webhook = (
                webhooks.enabled(webhook, last_number=self.last_number)
                if self.enabled
                else webhooks.disabled(webhook, reason=webhooks.REASON_ASKED)
            )
        if webhook != before:
            view.put(webhook)
            audit(view, AuditAction.WEBHOOK_CHANGED, target=webhook.id)
        return Reply(webhook_body(webhook))


CHANGEABLE = ("url", "description", "event_types", "project_id", "session_id")


class DeleteWebhook(NamedTuple):
    """Send nothing more to a webhook, and forget it. What was sent to it is deleted when it is old enough."""

    webhook_id: WebhookId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The webhook's row, the account's other webhooks, and the reader that guards them."""
        return reader_key(actor.account_id), webhook_key(self.webhook_id), _of_account(actor.account_id)

    def decide(self, view: View) -> Reply:
        """Its id. Raises: forbidden, not_found."""
        require(view.actor, KeyScope.OPERATOR)
        webhook = find_webhook(view, self.webhook_id)
        view.delete(webhook_key(webhook.id))
        if not view.members(_of_account(webhook.account_id)):
            view.delete(reader_key(webhook.account_id))
        audit(view, AuditAction.WEBHOOK_DELETED, target=webhook.id)
        return Reply({"id": webhook.id, "deleted": True})


class RotateWebhookSecret(NamedTuple):
    """Give a webhook a new secret; messages carry a signature by the present one too, for the overlap."""

    webhook_id: WebhookId
    overlap_ms: int
    secret_entropy: bytes

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The webhook's row."""
        return (webhook_key(self.webhook_id),)

    def decide(self, view: View) -> Reply:
        """The webhook with its new secret, shown this once. Raises: forbidden, not_found."""
        require(view.actor, KeyScope.OPERATOR)
        secret = new_secret(self.secret_entropy)
        before = find_webhook(view, self.webhook_id)
        webhook = webhooks.rotated(before, new=secret, overlap_ms=self.overlap_ms, now_ms=view.now.wall_ms)
        view.put(webhook)
        audit(view, AuditAction.WEBHOOK_ROTATED, target=webhook.id)
        return Reply({**webhook_body(webhook), "secret": secret}, created=True, is_secret=True)


class TryWebhook(NamedTuple):
    """Send a message that tells of nothing but itself."""

    webhook_id: WebhookId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The webhook's row."""
        return (webhook_key(self.webhook_id),)

    def decide(self, view: View) -> Reply:
        """The delivery, which is under way. Raises: forbidden, not_found, webhook_disabled."""
        require(view.actor, KeyScope.OPERATOR)
        webhook = find_webhook(view, self.webhook_id)
        webhooks.require_enabled(webhook)
        message = {
            "type": webhooks.TEST_TYPE,
            "timestamp": rfc3339(view.now.wall_ms),
            "data": {"webhook_id": webhook.id, "message": "This is a test; nothing happened."},
        }
        delivery = webhooks.planned(
            webhook,
            message_id=view.mint("evt"),
            event_type=webhooks.TEST_TYPE,
            body_json=json.dumps(message, separators=(",", ":")),
            now=view.now,
        )
        view.put(delivery)
        return Reply(delivery_body(delivery, service_offset_ms=_offset(view)), created=True)


class Redeliver(NamedTuple):
    """Send a message again, whatever became of it; receivers know it by the same id."""

    webhook_id: WebhookId
    event_id: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The webhook's row, and the delivery's."""
        return webhook_key(self.webhook_id), delivery_key(self.webhook_id, self.event_id)

    def decide(self, view: View) -> Reply:
        """The delivery, which is under way. Raises: forbidden, not_found, webhook_disabled."""
        require(view.actor, KeyScope.OPERATOR)
        webhook = find_webhook(view, self.webhook_id)
        delivery = view.get(WebhookDelivery, self.webhook_id, self.event_id)
        if delivery is None:
            raise delivery_not_found()
        webhooks.require_enabled(webhook)
        delivery = webhooks.sent_again(delivery, now=view.now)
        view.put(delivery)
        return Reply(delivery_body(delivery, service_offset_ms=_offset(view)))


class Message(NamedTuple):
    """An event for one webhook, as it is to be sent."""

    webhook_id: WebhookId
    event_id: str
    event_type: str
    body_json: str


class PlanDeliveries(NamedTuple):
    """Have an account's events sent: those behind a number, up to another one.

    after: where the reader has to stand; another node may have been faster.
    """

    account_id: AccountId
    after: int
    number: int
    messages: tuple[Message, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The reader's row, and those of the webhooks and of the deliveries."""
        yield reader_key(self.account_id)
        for each in self.messages:
            yield webhook_key(each.webhook_id)
            yield delivery_key(each.webhook_id, each.event_id)

    def decide(self, view: View) -> Reply:
        """Where the reader stands, and how many messages were made; none where it stood elsewhere."""
        reader = view.get(EventReader, self.account_id, READER)
        if reader is None or reader.last_number != self.after:
            return Reply({"number": None if reader is None else reader.last_number, "count": 0})
        count = 0
        for each in self.messages:
            webhook = view.get(Webhook, each.webhook_id)
            is_new = view.get(WebhookDelivery, each.webhook_id, each.event_id) is None
            if webhook is None or not webhook.is_enabled or not is_new:
                continue
            count += 1
            view.put(
                webhooks.planned(
                    webhook,
                    message_id=each.event_id,
                    event_type=each.event_type,
                    body_json=each.body_json,
                    now=view.now,
                )
            )
        view.put(advanced(reader, number=self.number, now_ms=view.now.wall_ms))
        return Reply({"number": self.number, "count": count})


class ClaimDeliveries(NamedTuple):
    """Take it on to send some messages, for as long as an attempt may take."""

    keys: tuple[Key, ...]
    lease_ms: int

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of the deliveries."""
        return self.keys

    def decide(self, view: View) -> Reply:
        """The claim, and which deliveries it is about: those that were still due."""
        claim_id = view.mint("claim")
        taken = []
        for key in self.keys:
            delivery = view.get(WebhookDelivery, *key.values)
            claimed = delivery and webhooks.claimed(delivery, claim_id=claim_id, lease_ms=self.lease_ms, now=view.now)
            if claimed is not None:
                view.put(claimed)
                taken.append(list(key.values))
        return Reply({"claim_id": claim_id, "taken": taken})


class Attempt(NamedTuple):
    """What an attempt under a claim came to. is_over: False where it was never made, as when a node stops."""

    webhook_id: WebhookId
    event_id: str
    claim_id: str
    outcome: Outcome | None


class RecordAttempts(NamedTuple):
    """Note what attempts came to. An attempt whose claim another node has taken over since changes nothing."""

    attempts: tuple[Attempt, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of the webhooks and the deliveries."""
        for each in self.attempts:
            yield webhook_key(each.webhook_id)
            yield delivery_key(each.webhook_id, each.event_id)

    def decide(self, view: View) -> Reply:
        """How many were noted."""
        count = 0
        for each in self.attempts:
            delivery = view.get(WebhookDelivery, each.webhook_id, each.event_id)
            if delivery is None or delivery.claim_id != each.claim_id:
                continue
            count += 1
            if each.outcome is None:
                given_back = delivery._replace(claim_id=None, due_ms=view.now.service_ms)
                view.put(given_back._replace(attempts=delivery.attempts - 1))
                continue
            view.put(webhooks.attempted(delivery, each.outcome, jitter=view.jitter_ms(JITTER), now=view.now))
            webhook = view.get(Webhook, each.webhook_id)
            if webhook is not None:
                view.put(webhooks.heard(webhook, each.outcome, now=view.now))
        return Reply({"count": count})


def reader_key(account_id: AccountId) -> Key:
    """The row that tells how far an account's events have become messages."""
    return Key(EventReader, (account_id, READER))


def webhook_key(webhook_id: WebhookId) -> Key:
    """The row of a webhook."""
    return Key(Webhook, (webhook_id,))


def delivery_key(webhook_id: WebhookId, event_id: str) -> Key:
    """The row of a delivery."""
    return Key(WebhookDelivery, (webhook_id, event_id))


def find_webhook(view: View, webhook_id: WebhookId) -> Webhook:
    """A webhook of the actor's account. Raises: not_found, the same for a foreign one as for none."""
    webhook = view.get(Webhook, webhook_id)
    if webhook is None or webhook.account_id != view.actor.account_id:
        raise webhook_not_found()
    return webhook


def webhook_not_found() -> Refusal:
    """The answer for a webhook that there is not."""
    return Refusal(Code.NOT_FOUND, what="webhook")


def delivery_not_found() -> Refusal:
    """The answer for a delivery that there is not, or not any more."""
    return Refusal(Code.NOT_FOUND, what="delivery")


def webhook_body(webhook: Webhook) -> Body:
    """A webhook as operators see it: all but its secrets."""
    return {
        "id": webhook.id,
        "url": webhook.url,
        "description": webhook.description,
        "event_types": webhook.event_types.split(),
        "project_id": webhook.project_id,
        "session_id": webhook.session_id,
        "enabled": webhook.is_enabled,
        "disabled_reason": webhook.disabled_reason,
        "previous_secret_expires_at_ms": webhook.previous_secret_expires_at_ms,
        "failures": webhook.failures,
        "last_attempt_at_ms": webhook.last_attempt_at_ms,
        "last_success_at_ms": webhook.last_success_at_ms,
        "last_error": webhook.last_error,
        "created_at_ms": webhook.created_at_ms,
        "created_by": webhook.created_by,
    }


def delivery_body(delivery: WebhookDelivery, *, service_offset_ms: int) -> Body:
    """A delivery as operators see it. service_offset_ms: from service time to the wall clock."""
    return {
        "id": delivery.event_id,
        "webhook_id": delivery.webhook_id,
        "event_type": delivery.event_type,
        "status": str(delivery.status),
        "attempts": delivery.attempts,
        "next_attempt_at_ms": None if delivery.due_ms is None else delivery.due_ms + service_offset_ms,
        "gives_up_at_ms": None if delivery.due_ms is None else delivery.give_up_ms + service_offset_ms,
        "under_way": delivery.claim_id is not None,
        "created_at_ms": delivery.created_at_ms,
        "last_attempt_at_ms": delivery.last_attempt_at_ms,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "last_duration_ms": delivery.last_duration_ms,
        "finished_at_ms": delivery.finished_at_ms,
        "body_json": delivery.body_json,
    }


def _of_account(account_id: AccountId) -> Members:
    return Members(WEBHOOKS_OF_ACCOUNT, (account_id,))


def _offset(view: View) -> int:
    return view.now.wall_ms - view.now.service_ms
