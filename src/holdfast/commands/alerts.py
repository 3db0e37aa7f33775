"""Alert rules: made, changed, removed; and judged, a bounded number of sessions at a time."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body
from holdfast.commands.holding import audit, find_profile
from holdfast.commands.jobs import Claim, held_job
from holdfast.commands.lists import Filter, ListSpec
from holdfast.commands.rows import Key, Members, Need, SetSpec, profile_key, session_key
from holdfast.commands.view import Reply, View
from holdfast.domain import alerts, jobs
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.alerts import Alert, AlertRule, AlertType, ProgressMark
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.events import EventReader, Happening, advanced
from holdfast.domain.ids import AccountId, AlertRuleId, SessionId
from holdfast.domain.jobs import Job, Schedule
from holdfast.domain.lifecycle import settle
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.session import Session

READER = "alerts"
"""The name of the reader that looks for late detections."""

SCHEDULE = Schedule("alerts", SECOND_MS, 0)
"""The job under which one node judges for all; how often it really does depends on what it costs."""

RULES_OF_ACCOUNT = SetSpec("alert_rules_of_account", AlertRule, ("account_id",), order="id", limit=alerts.RULES_MAX + 1)
"""Guarded by the account's row."""

ENABLED_RULES = SetSpec("enabled_alert_rules", AlertRule, ("is_enabled",), order="id", limit=10_000)

OPEN_OF_RULE = SetSpec("open_alerts_of_rule", Alert, ("account_id", "rule_id"), order="session_id", limit=1)
"""Guarded by the rule's row."""

RULE_LIST = ListSpec("alerts", (AlertRule,), {"type": (Filter("alert_rule", "type"),)}, order="id")

OPEN_LIST = ListSpec("open_alerts", (Alert,), {"rule_id": (Filter("alert", "rule_id"),)}, order="session_id")


class CreateAlertRule(NamedTuple):
    """Have something told of sessions that their status does not say."""

    type: AlertType
    name: str | None
    after_ms: int | None
    project_id: str | None
    agent: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, which guards its rules."""
        return account_key(actor.account_id), _of_account(actor.account_id)

    def decide(self, view: View) -> Reply:
        """The rule. Raises: forbidden, validation_failed, quota_exceeded."""
        require(view.actor, KeyScope.OPERATOR)
        require_account(view)
        usage = len(view.members(_of_account(view.actor.account_id)))
        if usage >= alerts.RULES_MAX:
            raise Refusal(Code.QUOTA_EXCEEDED, what="alert rules", usage=usage, limit=alerts.RULES_MAX)
        rule = AlertRule(
            id=AlertRuleId(view.mint("alr")),
            account_id=view.actor.account_id,
            name=self.name,
            type=self.type,
            after_ms=alerts.check_after(self.type, self.after_ms),
            project_id=self.project_id,
            agent=self.agent,
            is_enabled=True,
            created_at_ms=view.now.wall_ms,
            created_by=view.actor.key_id,
        )
        view.put(rule)
        audit(view, AuditAction.ALERT_RULE_CREATED, target=rule.id)
        return Reply(rule_body(rule), created=True)


class ChangeAlertRule(NamedTuple):
    """Change a rule. fields: pairs of a column in CHANGEABLE and its new value, None to clear it."""

    rule_id: AlertRuleId
    fields: tuple[tuple[str, Any], ...]
    enabled: bool | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rule's row."""
        return (rule_key(self.rule_id),)

    def decide(self, view: View) -> Reply:
        """The changed rule. Raises: forbidden, not_found, validation_failed."""
        require(view.actor, KeyScope.OPERATOR)
        before = find_rule(view, self.rule_id)
        rule = before._replace(**dict(self.fields))
        rule = rule._replace(after_ms=alerts.check_after(rule.type, rule.after_ms))
        if self.enabled is not None:
            rule = rule._replace(is_enabled=self.enabled)
        if before.is_enabled and not rule.is_enabled:
            view.purge(Alert, column="rule_id", value=rule.id)
        if rule != before:
            view.put(rule)
            audit(view, AuditAction.ALERT_RULE_CHANGED, target=rule.id)
        return Reply(rule_body(rule))


CHANGEABLE = ("name", "after_ms", "project_id", "agent")


class DeleteAlertRule(NamedTuple):
    """Tell nothing more by a rule, and forget it with its open alerts."""

    rule_id: AlertRuleId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rule's row, and that of its reader."""
        return rule_key(self.rule_id), self._reader_key(actor)

    def _reader_key(self, actor: Actor) -> Key:
        return Key(EventReader, (actor.account_id, reader_of(self.rule_id)))

    def decide(self, view: View) -> Reply:
        """Its id. Raises: forbidden, not_found."""
        require(view.actor, KeyScope.OPERATOR)
        rule = find_rule(view, self.rule_id)
        view.purge(Alert, column="rule_id", value=rule.id)
        view.delete(self._reader_key(view.actor))
        view.delete(rule_key(rule.id))
        audit(view, AuditAction.ALERT_RULE_DELETED, target=rule.id)
        return Reply({"id": rule.id, "deleted": True})


class JudgeSessions(NamedTuple):
    """Look at some sessions by one rule: tell what begins, and what is over.

    rule: as it was read; one that is kept is read anew. Each session is decided under its lock, so what changed since
    it was found is seen here, and nothing is told twice.
    """

    rule: AlertRule
    session_ids: tuple[SessionId, ...]
    claim: Claim

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The job's row, which guards the work, the rule, and all that is known of the sessions."""
        yield Key(Job, (self.claim.job,))
        yield rule_key(self.rule.id)
        for session_id in self.session_ids:
            yield session_key(session_id)
            yield self._alert_key(session_id)
            if self.rule.type == AlertType.NO_PROGRESS:
                yield Key(ProgressMark, (session_id,))

    def _alert_key(self, session_id: SessionId) -> Key:
        return Key(Alert, (self.rule.account_id, self.rule.id, session_id))

    def decide(self, view: View) -> Reply:
        """How many alerts began, and how many are over."""
        job = held_job(view, self.claim)
        rule = view.get(AlertRule, self.rule.id) or self.rule
        is_implied = rule == alerts.implied_late(rule.account_id)
        if job is None or not (rule.is_enabled and (is_implied or view.get(AlertRule, rule.id) is not None)):
            return Reply({"is_held": job is not None, "count": 0})
        found = [view.get(Session, session_id) for session_id in self.session_ids]
        view.require(*[profile_key(each.id) for each in found if each is not None])
        count = 0
        for session_id, session in zip(self.session_ids, found, strict=True):
            count += self._judge(view, rule, session_id, session)
        if count:
            view.put(jobs.advanced(job, count=count, now=view.now))
        return Reply({"is_held": True, "count": count})

    def _judge(self, view: View, rule: AlertRule, session_id: SessionId, found: Session | None) -> bool:
        key = self._alert_key(session_id)
        alert = view.get(Alert, *key.values)
        if found is None or found.account_id != rule.account_id:
            if alert is not None:
                view.delete(key)
            return alert is not None
        session = settle(found, now=view.now).session
        project_id = find_profile(view, found).project_id
        mark = view.get(ProgressMark, session_id) if rule.type == AlertType.NO_PROGRESS else None
        at_ms = alerts.since_ms(rule, session, mark, now=view.now)
        if at_ms is not None and alert is None and alerts.is_about(rule, session, project_id=project_id):
            view.put(Alert(rule.account_id, rule.id, session_id, view.now.wall_ms, view.now.wall_ms))
            happening = alerts.told(rule, session, mark, at_ms=at_ms, now=view.now)
        elif at_ms is None and alert is not None:
            view.delete(key)
            happening = alerts.resolved(rule, alert, status=str(session.status), now=view.now)
        else:
            return False
        _emit(view, rule, happening, session_id=session_id, project_id=project_id)
        return True


class Mark(NamedTuple):
    """Where a session's work stood when it was looked at."""

    session_id: SessionId
    progress: int
    checkpoint_count: int


class MarkProgress(NamedTuple):
    """Note where sessions are whose work has moved since they were last looked at."""

    account_id: AccountId
    marks: tuple[Mark, ...]
    claim: Claim

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The job's row, which guards the work, and the marks."""
        return Key(Job, (self.claim.job,)), *[Key(ProgressMark, (each.session_id,)) for each in self.marks]

    def decide(self, view: View) -> Reply:
        """How many were noted."""
        if held_job(view, self.claim) is None:
            return Reply({"is_held": False, "count": 0})
        for each in self.marks:
            mark = (each.progress, each.checkpoint_count, view.now.service_ms)
            view.put(ProgressMark(each.session_id, self.account_id, *mark))
        return Reply({"is_held": True, "count": len(self.marks)})


class JudgeDetection(NamedTuple):
    """Look at lapses that were found since: tell of the one found latest, if it was late enough.

    after: where the reader has to stand; None: it is new. number: where it stands then.
    delay_ms: of the lapse that was found latest, which session_id had; 0 where there was none.
    """

    rule: AlertRule
    after: int | None
    number: int
    session_id: SessionId
    project_id: str | None
    delay_ms: int
    claim: Claim

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The job's row, the rule, its open alert and the reader."""
        yield Key(Job, (self.claim.job,))
        yield rule_key(self.rule.id)
        yield Key(EventReader, (self.rule.account_id, reader_of(self.rule.id)))
        yield Members(OPEN_OF_RULE, (self.rule.account_id, self.rule.id))

    def decide(self, view: View) -> Reply:
        """How many alerts began or are over."""
        account_id = self.rule.account_id
        name = reader_of(self.rule.id)
        rule = view.get(AlertRule, self.rule.id)
        reader = view.get(EventReader, account_id, name)
        is_mine = held_job(view, self.claim) is not None and (reader and reader.last_number) == self.after
        if rule is None or not rule.is_enabled or not is_mine:
            return Reply({"count": 0})
        reader = reader or EventReader(account_id, name, self.number, view.now.wall_ms)
        view.put(advanced(reader, number=self.number, now_ms=view.now.wall_ms))
        opened: list[Alert] = view.members(Members(OPEN_OF_RULE, (account_id, rule.id)))
        is_late = self.delay_ms >= (rule.after_ms or 0) > 0
        now_ms = view.now.wall_ms
        if is_late and opened:
            view.put(opened[0]._replace(seen_at_ms=now_ms))
        elif is_late:
            view.put(Alert(account_id, rule.id, self.session_id, now_ms, now_ms))
            happening = alerts.told_of_detection(rule, at_ms=now_ms, delay_ms=self.delay_ms)
            _emit(view, rule, happening, session_id=self.session_id, project_id=self.project_id)
        elif opened and now_ms - opened[0].seen_at_ms >= alerts.DETECTION_QUIET_MS:
            view.delete(Key(Alert, (account_id, rule.id, opened[0].session_id)))
            happening = alerts.resolved(rule, opened[0], status="in time", now=view.now)
            _emit(view, rule, happening, session_id=opened[0].session_id, project_id=None)
        return Reply({"count": int(is_late)})


def reader_of(rule_id: AlertRuleId) -> str:
    """The name of the reader that looks for late detections by a rule."""
    return f"{READER}:{rule_id}"


def rule_key(rule_id: AlertRuleId) -> Key:
    """The row of a rule."""
    return Key(AlertRule, (rule_id,))


def find_rule(view: View, rule_id: AlertRuleId) -> AlertRule:
    """A rule of the actor's account. Raises: not_found, the same for a foreign one as for none."""
    rule = view.get(AlertRule, rule_id)
    if rule is None or rule.account_id != view.actor.account_id:
        raise rule_not_found()
    return rule


def rule_not_found() -> Refusal:
    """The answer for a rule that there is not."""
    return Refusal(Code.NOT_FOUND, what="alert rule")


def rule_body(rule: AlertRule) -> Body:
    """A rule as operators see it."""
    return {
        "id": rule.id,
        "type": str(rule.type),
        "name": rule.name,
        "after_ms": rule.after_ms,
        "project_id": rule.project_id,
        "agent": rule.agent,
        "enabled": rule.is_enabled,
        "event_type": str(alerts.EVENTS[rule.type]),
        "created_at_ms": rule.created_at_ms,
        "created_by": rule.created_by,
    }


def alert_body(alert: Alert) -> Body:
    """An alert that is not over."""
    return {"rule_id": alert.rule_id, "session_id": alert.session_id, "opened_at_ms": alert.opened_at_ms}


def _emit(view: View, rule: AlertRule, happening: Happening, *, session_id: str, project_id: str | None) -> None:
    view.emit((happening,), session_id=session_id, account_id=rule.account_id, project_id=project_id)


def _of_account(account_id: AccountId) -> Members:
    return Members(RULES_OF_ACCOUNT, (account_id,))
