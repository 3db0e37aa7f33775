"""Routes for alert rules, and for the alerts that are open."""

from typing import Annotated

import msgspec

from holdfast.commands.alerts import OPEN_LIST, RULE_LIST, ChangeAlertRule, CreateAlertRule, DeleteAlertRule
from holdfast.domain.actor import KeyScope
from holdfast.domain.alerts import AFTER_MS_MAX, AFTER_MS_MIN, AlertType
from holdfast.domain.ids import AlertRuleId
from holdfast.domain.limits import SECOND_MS
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Name, Record, ms
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import alert_queries

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

After = Annotated[float, msgspec.Meta(ge=AFTER_MS_MIN // SECOND_MS, le=AFTER_MS_MAX // SECOND_MS)]


class AlertBody(Record):
    """`POST /v1/alerts`. `after_seconds`: how long it has to last; not for `late`."""

    type: AlertType
    name: Name | None = None
    after_seconds: After | None = None
    project_id: Id | None = None
    agent: Name | None = None


class PatchAlertBody(Record):
    """`PATCH /v1/alerts/{id}`: what is not named stays, null clears; without `after_seconds` the default is back."""

    name: Name | Unset | None = UNSET
    after_seconds: After | Unset | None = UNSET
    project_id: Id | Unset | None = UNSET
    agent: Name | Unset | None = UNSET
    enabled: bool | None = None


class AlertsQuery(ListQuery):
    """`GET /v1/alerts`."""

    type: AlertType | None = None


def _rule_id(call: Call) -> AlertRuleId:
    return AlertRuleId(call.ids[0])


async def create(call: Call) -> Answer:
    """Have something told of sessions that their status does not say, as an event, once for as long as it lasts."""
    body: AlertBody = call.body
    command = CreateAlertRule(body.type, body.name, ms(body.after_seconds), body.project_id, body.agent)
    return answered(await call.execute(command))


async def patch(call: Call) -> Answer:
    """Change a rule, disable it, or enable it again."""
    body: PatchAlertBody = call.body
    after_ms = UNSET if body.after_seconds is UNSET else ms(body.after_seconds)
    given = {"name": body.name, "after_ms": after_ms, "project_id": body.project_id, "agent": body.agent}
    fields = tuple((name, value) for name, value in given.items() if value is not UNSET)
    return answered(await call.execute(ChangeAlertRule(_rule_id(call), fields, body.enabled)))


async def delete(call: Call) -> Answer:
    """Tell nothing more by a rule, and forget it with its open alerts."""
    return answered(await call.execute(DeleteAlertRule(_rule_id(call))))


async def read(call: Call) -> Answer:
    """One rule."""
    return Answer(200, await call.core.read(alert_queries.rule, call.actor, _rule_id(call)))


async def list_rules(call: Call) -> Answer:
    """The account's rules, newest first."""
    query: AlertsQuery = call.query
    filters: dict[str, str | int | bool | None] = {"type": None if query.type is None else query.type.value}
    request = list_request(RULE_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(alert_queries.rules, request), request))


async def list_open(call: Call) -> Answer:
    """Sessions for which a rule's alert was told and is not over."""
    request = list_request(OPEN_LIST, call.actor.account_id, call.query, {"rule_id": call.ids[0]})
    page = await call.core.read(alert_queries.open_alerts, call.actor, request, rule_id=_rule_id(call))
    return Answer(200, page_body(page, request))


ROUTES = [
    Route("POST", "/v1/alerts", create, KeyScope.OPERATOR, body=AlertBody, is_mutating=True),
    Route("GET", "/v1/alerts", list_rules, KeyScope.OPERATOR, query=AlertsQuery),
    Route("GET", "/v1/alerts/{id}", read, KeyScope.OPERATOR),
    Route("PATCH", "/v1/alerts/{id}", patch, KeyScope.OPERATOR, body=PatchAlertBody, is_mutating=True),
    Route("DELETE", "/v1/alerts/{id}", delete, KeyScope.OPERATOR, is_mutating=True),
    Route("GET", "/v1/alerts/{id}/open", list_open, KeyScope.OPERATOR, query=ListQuery),
]
