"""Routes for webhooks: made, changed, tried out, and what was sent to them."""

import asyncio
import os
from typing import Annotated, Any

import msgspec

from holdfast.commands.webhooks import (
    CHANGEABLE,
    DELIVERY_LIST,
    WEBHOOK_LIST,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    Redeliver,
    RotateWebhookSecret,
    TryWebhook,
)
from holdfast.domain.actor import KeyScope
from holdfast.domain.events import Event
from holdfast.domain.ids import WebhookId
from holdfast.domain.limits import NOTE_CHARS_MAX, SECOND_MS
from holdfast.domain.times import rfc3339
from holdfast.domain.webhook_targets import URL_CHARS_MAX, is_allowed, private_address, target_of
from holdfast.domain.webhooks import (
    EVENT_TYPES_MAX,
    OVERLAP_MS_DEFAULT,
    OVERLAP_MS_MAX,
    SECRET_ENTROPY_BYTES,
    DeliveryStatus,
)
from holdfast.doors.http.bodies import OF_NAMES
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Record
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.rendering import rendered
from holdfast.doors.http.routing import Route
from holdfast.engine import queries, webhook_queries

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

RESOLVE_SECONDS = 3.0
"""How long the making of a webhook waits for its name; one that cannot be looked up yet may be used all the same."""

Url = Annotated[str, msgspec.Meta(min_length=1, max_length=URL_CHARS_MAX, pattern=OF_NAMES)]
Description = Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARS_MAX, pattern=OF_NAMES)]
EventTypes = Annotated[list[Id], msgspec.Meta(max_length=EVENT_TYPES_MAX)]


class WebhookBody(Record):
    """`POST /v1/webhooks`. `event_types`: such as `session.stalled`, `session.*` or `*`; none given: every one."""

    url: Url
    description: Description | None = None
    event_types: EventTypes = msgspec.field(default_factory=list)
    project_id: Id | None = None
    session_id: Id | None = None


class PatchWebhookBody(Record):
    """`PATCH /v1/webhooks/{id}`: what is not named stays, null clears."""

    url: Url | Unset = UNSET
    description: Description | Unset | None = UNSET
    event_types: EventTypes | Unset = UNSET
    project_id: Id | Unset | None = UNSET
    session_id: Id | Unset | None = UNSET
    enabled: bool | None = None


class RotateSecretBody(Record):
    """`POST /v1/webhooks/{id}/rotate`. `overlap_seconds`: for how long messages are signed by both secrets."""

    overlap_seconds: Annotated[float, msgspec.Meta(ge=0, le=OVERLAP_MS_MAX // SECOND_MS)] = (
        OVERLAP_MS_DEFAULT // SECOND_MS
    )


class SendBody(Record):
    """`POST …/test` and `…/redeliver`: nothing."""


class DeliveriesQuery(ListQuery):
    """`GET /v1/webhooks/{id}/deliveries`."""

    status: DeliveryStatus | None = None
    event_type: Id | None = None


def message_of(event: Event) -> str:
    """What a webhook is sent of an event: what `GET /v1/events` lists of it, in the envelope of Standard Webhooks."""
    told = {"type": str(event.type), "timestamp": rfc3339(event.at_ms), "data": queries.event_body(event)}
    return rendered(told).decode()


def _webhook_id(call: Call) -> WebhookId:
    return WebhookId(call.ids[0])


async def create(call: Call) -> Answer:
    """Have events sent somewhere from now on; its secret is shown this once."""
    body: WebhookBody = call.body
    await _check_name(call, body.url)
    command = CreateWebhook(
        url=body.url,
        description=body.description,
        event_types=tuple(body.event_types),
        project_id=body.project_id,
        session_id=body.session_id,
        secret_entropy=os.urandom(SECRET_ENTROPY_BYTES),
        last_number=await _last_number(call),
        allows_private=call.core.allows_private_webhooks,
    )
    return answered(await call.execute(command))


async def patch(call: Call) -> Answer:
    """Change a webhook, disable it, or enable it again: then it is told what happens from now on."""
    body: PatchWebhookBody = call.body
    given: dict[str, Any] = {name: getattr(body, name) for name in CHANGEABLE}
    if body.event_types is not UNSET:
        given["event_types"] = tuple(body.event_types)
    fields = tuple((name, value) for name, value in given.items() if value is not UNSET)
    if body.url is not UNSET:
        await _check_name(call, body.url)
    last_number, allows_private = await _last_number(call), call.core.allows_private_webhooks
    command = ChangeWebhook(_webhook_id(call), fields, body.enabled, last_number, allows_private)
    return answered(await call.execute(command))


async def delete(call: Call) -> Answer:
    """Send nothing more to a webhook, and forget it."""
    return answered(await call.execute(DeleteWebhook(_webhook_id(call))))


async def rotate(call: Call) -> Answer:
    """Give a webhook a new secret, shown this once; messages are signed by both for the overlap."""
    body: RotateSecretBody = call.body
    overlap_ms = round(body.overlap_seconds * SECOND_MS)
    entropy = os.urandom(SECRET_ENTROPY_BYTES)
    return answered(await call.execute(RotateWebhookSecret(_webhook_id(call), overlap_ms, entropy)))


async def test(call: Call) -> Answer:
    """Send a message that tells of nothing; the delivery tells what came of it, a moment later."""
    return answered(await call.execute(TryWebhook(_webhook_id(call))))


async def redeliver(call: Call) -> Answer:
    """Send a message again, under the id that it had."""
    return answered(await call.execute(Redeliver(_webhook_id(call), call.ids[1])))


async def read(call: Call) -> Answer:
    """One webhook, without its secret."""
    return Answer(200, await call.core.read(webhook_queries.webhook, call.actor, _webhook_id(call)))


async def list_webhooks(call: Call) -> Answer:
    """The account's webhooks, newest first."""
    request = list_request(WEBHOOK_LIST, call.actor.account_id, call.query, {})
    return Answer(200, page_body(await call.core.read(webhook_queries.webhooks, request), request))


async def list_deliveries(call: Call) -> Answer:
    """What was sent to a webhook, or is to be sent, the newest event first."""
    query: DeliveriesQuery = call.query
    filters: dict[str, str | int | bool | None] = {
        "webhook_id": call.ids[0],
        "status": None if query.status is None else query.status.value,
        "event_type": query.event_type,
    }
    request = list_request(DELIVERY_LIST, call.actor.account_id, query, filters)
    page = await call.core.read(webhook_queries.deliveries, call.actor, request, webhook_id=_webhook_id(call))
    return Answer(200, page_body(page, request))


async def read_delivery(call: Call) -> Answer:
    """One delivery: what was sent, how often it was tried, and what came of it."""
    found = await call.core.read(
        webhook_queries.delivery, call.actor, webhook_id=_webhook_id(call), event_id=call.ids[1]
    )
    return Answer(200, found)


async def _last_number(call: Call) -> int:
    account_id = call.actor.account_id
    return (await call.core.last_event_numbers([account_id])).get(account_id, 0)


async def _check_name(call: Call, url: str) -> None:
    """Refuse a URL whose name leads inside already now; at each attempt it is looked up and checked anew.

    Raises: validation_failed.
    """
    allows_private = call.core.allows_private_webhooks
    target = target_of(url, allows_private=allows_private)
    if call.core.look_up is None:
        return
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            addresses = await call.core.look_up(target.host, target.port)
    except (OSError, TimeoutError):
        return
    if any(not is_allowed(address, allows_private=allows_private) for address in addresses):
        raise private_address()


ROUTES = [
    Route("POST", "/v1/webhooks", create, KeyScope.OPERATOR, body=WebhookBody, is_mutating=True),
    Route("GET", "/v1/webhooks", list_webhooks, KeyScope.OPERATOR, query=ListQuery),
    Route("GET", "/v1/webhooks/{id}", read, KeyScope.OPERATOR),
    Route("PATCH", "/v1/webhooks/{id}", patch, KeyScope.OPERATOR, body=PatchWebhookBody, is_mutating=True),
    Route("DELETE", "/v1/webhooks/{id}", delete, KeyScope.OPERATOR, is_mutating=True),
    Route("POST", "/v1/webhooks/{id}/rotate", rotate, KeyScope.OPERATOR, body=RotateSecretBody, is_mutating=True),
    Route("POST", "/v1/webhooks/{id}/test", test, KeyScope.OPERATOR, body=SendBody, is_mutating=True),
    Route("GET", "/v1/webhooks/{id}/deliveries", list_deliveries, KeyScope.OPERATOR, query=DeliveriesQuery),
    Route("GET", "/v1/webhooks/{id}/deliveries/{delivery_id}", read_delivery, KeyScope.OPERATOR),
    Route(
        "POST",
        "/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver",
        redeliver,
        KeyScope.OPERATOR,
        body=SendBody,
        is_mutating=True,
    ),
]
