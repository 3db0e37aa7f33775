"""Questions about alert rules and the alerts that are open, answered from committed rows."""

from holdfast.commands.alerts import alert_body, rule_body, rule_key, rule_not_found
from holdfast.commands.bodies import Body
from holdfast.commands.lists import ListRequest
from holdfast.domain.actor import Actor
from holdfast.domain.alerts import Alert, AlertRule
from holdfast.domain.ids import AlertRuleId
from holdfast.engine.queries import Page
from holdfast.store.port import Reader


def rule(store: Reader, actor: Actor, rule_id: AlertRuleId) -> Body:
    """One rule. Raises: not_found."""
    found = store.get(rule_key(rule_id))
    if not isinstance(found, AlertRule) or found.account_id != actor.account_id:
        raise rule_not_found()
    return rule_body(found)


def rules(store: Reader, request: ListRequest) -> Page:
    """A page of rules, newest first."""
    page = store.page(request)
    items = [rule_body(row) for (row,) in page.rows if isinstance(row, AlertRule)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def open_alerts(store: Reader, actor: Actor, request: ListRequest, *, rule_id: AlertRuleId) -> Page:
    """A page of a rule's alerts that are not over, the newest session first. Raises: not_found."""
    rule(store, actor, rule_id)
    page = store.page(request)
    items = [alert_body(row) for (row,) in page.rows if isinstance(row, Alert)]
    return Page(items, None if page.is_last else items[-1]["session_id"], page.total)
