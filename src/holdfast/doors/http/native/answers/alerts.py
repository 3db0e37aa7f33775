"""What alert rules answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.alerts import AlertType
from holdfast.domain.errors import Code
from holdfast.domain.events import EventType
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, KeyId, NextCursor, SessionId, Total

RuleId = Annotated[str, Meta(examples=["alr_01KF5V3Z5RA1B2C3D4E5F6G7H8"])]


class AlertRule(msgspec.Struct, kw_only=True):
    """What is to be told of sessions that their status does not say."""

    id: RuleId
    type: Annotated[AlertType, Meta(examples=["no_progress"])]
    name: str | None
    after_seconds: Annotated[
        float | None, Meta(description="How long it has to last; null: the session's grace decides.", examples=[1800])
    ]
    project_id: Annotated[str | None, Meta(description="Only sessions of this project.")]
    agent: Annotated[str | None, Meta(description="Only sessions of this agent.")]
    enabled: bool
    event_type: Annotated[EventType, Meta(description="By which it is told.", examples=["session.no_progress"])]
    created_at: At
    created_by: KeyId


class AlertRuleList(msgspec.Struct):
    """A page of alert rules, newest first."""

    items: list[AlertRule]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class DeletedAlertRule(msgspec.Struct):
    """An alert rule that is gone."""

    id: RuleId
    deleted: bool


class OpenAlert(msgspec.Struct):
    """An alert that was told and is not over."""

    rule_id: RuleId
    session_id: SessionId
    opened_at: At


class OpenAlerts(msgspec.Struct):
    """A page of alerts that are not over, newest session first."""

    items: list[OpenAlert]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/alerts": Described(
        "create_alert_rule",
        {201: AlertRule},
        (Code.NOT_FOUND, Code.QUOTA_EXCEEDED),
        {"type": "no_progress", "after_seconds": 1800},
    ),
    "GET /v1/alerts": Described("list_alert_rules", {200: AlertRuleList}, (Code.CURSOR_INVALID,)),
    "GET /v1/alerts/{id}": Described("read_alert_rule", {200: AlertRule}, (Code.NOT_FOUND,)),
    "PATCH /v1/alerts/{id}": Described(
        "patch_alert_rule", {200: AlertRule}, (Code.NOT_FOUND,), {"after_seconds": 3600}
    ),
    "DELETE /v1/alerts/{id}": Described("delete_alert_rule", {200: DeletedAlertRule}, (Code.NOT_FOUND,)),
    "GET /v1/alerts/{id}/open": Described("list_open_alerts", {200: OpenAlerts}, (Code.NOT_FOUND, Code.CURSOR_INVALID)),
}
