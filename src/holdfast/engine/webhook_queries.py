"""Questions about webhooks and what was sent to them, answered from committed rows."""

from holdfast.commands.bodies import Body
from holdfast.commands.lists import ListRequest
from holdfast.commands.webhooks import (
    delivery_body,
    delivery_key,
    delivery_not_found,
    webhook_body,
    webhook_key,
    webhook_not_found,
)
from holdfast.domain.actor import Actor
from holdfast.domain.ids import WebhookId
from holdfast.domain.webhooks import Webhook, WebhookDelivery
from holdfast.engine.queries import Page, present
from holdfast.store.port import Reader


def webhook(store: Reader, actor: Actor, webhook_id: WebhookId) -> Body:
    """One webhook. Raises: not_found."""
    return webhook_body(_find(store, actor, webhook_id))


def webhooks(store: Reader, request: ListRequest) -> Page:
    """A page of webhooks, newest first."""
    page = store.page(request)
    items = [webhook_body(row) for (row,) in page.rows if isinstance(row, Webhook)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def deliveries(store: Reader, actor: Actor, request: ListRequest, *, webhook_id: WebhookId) -> Page:
    """A page of what was sent to a webhook, newest first. Raises: not_found."""
    _find(store, actor, webhook_id)
    offset_ms = _offset(store)
    page = store.page(request)
    found = [row for (row,) in page.rows if isinstance(row, WebhookDelivery)]
    items = [delivery_body(row, service_offset_ms=offset_ms) for row in found]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def delivery(store: Reader, actor: Actor, *, webhook_id: WebhookId, event_id: str) -> Body:
    """One delivery. Raises: not_found."""
    _find(store, actor, webhook_id)
    found = store.get(delivery_key(webhook_id, event_id))
    if not isinstance(found, WebhookDelivery):
        raise delivery_not_found()
    return delivery_body(found, service_offset_ms=_offset(store))


def _find(store: Reader, actor: Actor, webhook_id: WebhookId) -> Webhook:
    found = store.get(webhook_key(webhook_id))
    if not isinstance(found, Webhook) or found.account_id != actor.account_id:
        raise webhook_not_found()
    return found


def _offset(store: Reader) -> int:
    now = present(store)
    return now.wall_ms - now.service_ms
