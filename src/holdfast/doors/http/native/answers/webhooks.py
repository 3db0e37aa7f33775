"""What webhooks and their deliveries answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.webhooks import DeliveryStatus
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, Count, KeyId, NextCursor, Total

WebhookId = Annotated[str, Meta(examples=["wh_01KF5V3Z5RQ9W8E7R6T5Y4P3N2"])]


class Webhook(msgspec.Struct, kw_only=True):
    """Where events are sent: all but its secret."""

    id: WebhookId
    url: Annotated[str, Meta(examples=["https://hooks.example.com/holdfast"])]
    description: str | None
    event_types: Annotated[list[str], Meta(examples=[["session.stalled", "session.failed"]])]
    project_id: Annotated[str | None, Meta(description="Only events of this project.")]
    session_id: Annotated[str | None, Meta(description="Only events of this session.")]
    enabled: bool
    disabled_reason: str | None
    previous_secret_expires_at: Annotated[At | None, Meta(description="Until when the secret before it signs too.")]
    failures: Annotated[int, Meta(ge=0, description="Attempts in a row that failed.")]
    last_attempt_at: At | None
    last_success_at: At | None
    last_error: str | None
    created_at: At
    created_by: KeyId


class CreatedWebhook(Webhook, kw_only=True):
    """A webhook with a new secret."""

    secret: Annotated[str, Meta(description="Shown this once.", examples=["whsec_…"])]


class DeletedWebhook(msgspec.Struct):
    """A webhook that is gone."""

    id: WebhookId
    deleted: bool


class WebhookList(msgspec.Struct):
    """A page of webhooks, newest first."""

    items: list[Webhook]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class Delivery(msgspec.Struct, kw_only=True):
    """A message to a webhook, and what became of it."""

    id: Annotated[
        str,
        Meta(description="The event's; receivers get it as `webhook-id`.", examples=["evt_01KF5V3Z5RJ2K4M6N8P0Q2R4S6"]),
    ]
    webhook_id: WebhookId
    event_type: Annotated[str, Meta(examples=["session.stalled"])]
    status: Annotated[DeliveryStatus, Meta(examples=["delivered"])]
    attempts: Count
    next_attempt_at: Annotated[At | None, Meta(description="While one is under way: when another node would try.")]
    gives_up_at: At | None
    under_way: bool
    created_at: At
    last_attempt_at: At | None
    last_status: Annotated[int | None, Meta(description="The HTTP status; null where there was no answer.")]
    last_error: str | None
    last_duration_seconds: float | None
    finished_at: At | None
    body: Annotated[Any, Meta(description="What is sent.")]


class DeliveryList(msgspec.Struct):
    """A page of deliveries, newest event first."""

    items: list[Delivery]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/webhooks": Described(
        "create_webhook",
        {201: CreatedWebhook},
        (Code.NOT_FOUND, Code.QUOTA_EXCEEDED, Code.SECRET_ALREADY_SHOWN),
        {"url": "https://hooks.example.com/holdfast", "event_types": ["session.stalled", "session.failed"]},
    ),
    "GET /v1/webhooks": Described("list_webhooks", {200: WebhookList}, (Code.CURSOR_INVALID,)),
    "GET /v1/webhooks/{id}": Described("read_webhook", {200: Webhook}, (Code.NOT_FOUND,)),
    "PATCH /v1/webhooks/{id}": Described("patch_webhook", {200: Webhook}, (Code.NOT_FOUND,), {"enabled": True}),
    "DELETE /v1/webhooks/{id}": Described("delete_webhook", {200: DeletedWebhook}, (Code.NOT_FOUND,)),
    "POST /v1/webhooks/{id}/rotate": Described(
        "rotate_webhook_secret",
        {201: CreatedWebhook},
        (Code.NOT_FOUND, Code.SECRET_ALREADY_SHOWN),
        {"overlap_seconds": 3600},
    ),
    "POST /v1/webhooks/{id}/test": Described(
        "test_webhook", {201: Delivery}, (Code.NOT_FOUND, Code.WEBHOOK_DISABLED), {}
    ),
    "GET /v1/webhooks/{id}/deliveries": Described(
        "list_deliveries", {200: DeliveryList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
    "GET /v1/webhooks/{id}/deliveries/{delivery_id}": Described("read_delivery", {200: Delivery}, (Code.NOT_FOUND,)),
    "POST /v1/webhooks/{id}/deliveries/{delivery_id}/redeliver": Described(
        "redeliver", {200: Delivery}, (Code.NOT_FOUND, Code.WEBHOOK_DISABLED), {}
    ),
}
