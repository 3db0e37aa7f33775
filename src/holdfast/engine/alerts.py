"""The alert watch: finds sessions that an alert rule may be about, and has the engine decide each under its lock.

One node watches for all, under the claim of the job `alerts`. A pass asks the store one or two questions for each rule,
looks at a bounded number of sessions, and waits so much longer than it took that it has little more than a hundredth of
a core, however many sessions there are. Where nobody has a rule, and no webhook asks for lateness, it does nothing.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence

from holdfast.commands.alerts import (
    ENABLED_RULES,
    SCHEDULE,
    JudgeDetection,
    JudgeSessions,
    Mark,
    MarkProgress,
    reader_of,
)
from holdfast.commands.bodies import Body
from holdfast.commands.command import Command, Envelope
from holdfast.commands.jobs import Claim, ClaimJob, FinishJob
from holdfast.commands.questions import Asked, Question
from holdfast.commands.rows import Key, Members, Value
from holdfast.commands.webhooks import ENABLED_WEBHOOKS
from holdfast.domain.actor import ALERTS_KEY, Actor, KeyScope
from holdfast.domain.alerts import EVENTS, MARK_SHARE, Alert, AlertRule, AlertType, implied_late
from holdfast.domain.errors import Refusal
from holdfast.domain.events import Event, EventFilter, EventReader, EventType, Rule
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, AccountId, AlertRuleId, SessionId
from holdfast.domain.jobs import Job, is_due
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.service_time import Moment
from holdfast.domain.webhooks import Webhook, wants_type
from holdfast.engine.driver import Engine
from holdfast.engine.queries import present
from holdfast.store.port import Reader, StoreUnavailable

log = logging.getLogger(__name__)

PASS_SECONDS = 1.0
"""Between two passes, at least: so late an alert is, where there are few sessions."""

REST_SHARE = 75.0
"""How long it rests after a pass, in terms of how long the pass took; pauses, and waits for commits, left out."""

CHUNK = 50
"""Sessions in one transaction: a few milliseconds of the writer, so that beats do not wait behind a pass."""

PAUSE_SHARE = 4.0
"""How long it pauses after a transaction, in terms of how long that took: the beats that waited come first."""

FOUND_MAX = 2_000
"""Sessions that one question finds in one pass; the next pass finds the others."""

EVENTS_AT_ONCE = 500
"""Events that are looked through for late detections in one pass, for each rule."""

WATCH = Actor(DEFAULT_ACCOUNT, ALERTS_KEY, KeyScope.OPERATOR)

QUESTIONS = {
    AlertType.LATE: Question.LATE,
    AlertType.PARKED: Question.PARKED,
    AlertType.NO_PROGRESS: Question.STILL,
}


class AlertWatch:
    """A thread that watches until it is stopped. node: its name, for people to read."""

    def __init__(self, store: Reader, engine: Engine, *, node: str) -> None:
        self._store = store
        self._engine = engine
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="holdfast-alerts", daemon=True)
        self._marked_ms: dict[AlertRuleId, int] = {}
        self._after: dict[AccountId, tuple[Value, ...]] = {}
        self._paused_seconds = 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the present step and stop. What is left of a pass is for whoever claims the job next."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            began, self._paused_seconds = time.monotonic(), 0.0
            try:
                self.watch_once()
            except (Refusal, StoreUnavailable) as error:
                log.warning("alerts_postponed reason=%s", getattr(error, "code", "unavailable"))
            except Exception:
                # A watch that died would tell nobody of anything; the next pass may fare better.
                log.exception("alerts_failed")
            busy_seconds = time.monotonic() - began - self._paused_seconds
            self._stop.wait(max(PASS_SECONDS, REST_SHARE * busy_seconds))

    def watch_once(self) -> bool:
        """One pass; whether it was this node's turn. Raises: Refusal, StoreUnavailable."""
        rules = self._rules()
        if not rules:
            return False
        job = self._store.get(Key(Job, (SCHEDULE.name,)))
        if isinstance(job, Job) and not is_due(job, SCHEDULE, now=present(self._store)):
            return False
        claim_id = self._execute_one(ClaimJob(SCHEDULE, self._node))["claim_id"]
        if claim_id is None:
            return False
        claim = Claim(SCHEDULE.name, claim_id)
        try:
            for rule in rules:
                self._find(rule, claim)
            self._look_at_open(rules, claim)
        finally:
            self._execute_one(FinishJob(SCHEDULE, claim, None))
        return True

    def _rules(self) -> list[AlertRule]:
        """All rules in force.

        Where a webhook asks for lateness, one about all of its account's sessions stands for those that are about some
        of them, so that nothing is told twice.
        """
        found = self._store.find(Members(ENABLED_RULES, (True,)))
        hooks = self._store.find(Members(ENABLED_WEBHOOKS, (True,)))
        late = {
            hook.account_id for hook in hooks if isinstance(hook, Webhook) and wants_type(hook, EVENTS[AlertType.LATE])
        }
        rules = [rule for rule in found if isinstance(rule, AlertRule)]
        kept = [rule for rule in rules if not (rule.type == AlertType.LATE and rule.account_id in late)]
        return [*kept, *map(implied_late, sorted(late))]

    def _find(self, rule: AlertRule, claim: Claim) -> None:
        now = present(self._store)
        if rule.type == AlertType.DETECTION_LATE:
            self._find_detections(rule, claim)
            return
        if rule.type == AlertType.NO_PROGRESS:
            self._mark(rule, claim, now)
        at_ms = now.service_ms if rule.type == AlertType.LATE else now.service_ms - (rule.after_ms or 0)
        if rule.type == AlertType.PARKED:
            at_ms = now.wall_ms - (rule.after_ms or 0)
        found = self._store.candidates(_asked(rule, QUESTIONS[rule.type], at_ms), limit=FOUND_MAX)
        self._judge(rule, [SessionId(each.session_id) for each in found], claim)

    def _judge(self, rule: AlertRule, session_ids: Sequence[SessionId], claim: Claim) -> None:
        for start in range(0, len(session_ids), CHUNK):
            chunk = tuple(session_ids[start : start + CHUNK])
            if self._stop.is_set() or not self._execute_some(JudgeSessions(rule, chunk, claim), chunk)["is_held"]:
                return

    def _mark(self, rule: AlertRule, claim: Claim, now: Moment) -> None:
        """Note where sessions stand whose work has moved, every now and then."""
        every_ms = max(SECOND_MS, (rule.after_ms or 0) // MARK_SHARE)
        if 0 <= now.service_ms - self._marked_ms.get(rule.id, -every_ms) < every_ms:
            return
        found = self._store.candidates(_asked(rule, Question.MOVED, 0), limit=FOUND_MAX)
        marks = [Mark(SessionId(each.session_id), each.progress or 0, each.checkpoint_count) for each in found]
        for start in range(0, len(marks), CHUNK):
            chunk = tuple(marks[start : start + CHUNK])
            if self._stop.is_set():
                return
            self._execute_some(MarkProgress(rule.account_id, chunk, claim), chunk)
        if len(found) < FOUND_MAX:
            self._marked_ms[rule.id] = now.service_ms

    def _find_detections(self, rule: AlertRule, claim: Claim) -> None:
        reader = self._store.get(Key(EventReader, (rule.account_id, reader_of(rule.id))))
        after = reader.last_number if isinstance(reader, EventReader) else None
        last_number = self._store.last_event_numbers([rule.account_id]).get(rule.account_id, 0)
        found: list[Event] = []
        number = last_number
        if after is not None:
            wanted = EventFilter(EventType.STALLED.value, project_id=rule.project_id)
            page = self._store.events_after(rule.account_id, number=after, wanted=wanted, limit=EVENTS_AT_ONCE)
            found = [each for each in page.events if each.rule == Rule.LEASE_LAPSED]
            number = page.events[-1].number if len(page.events) == EVENTS_AT_ONCE else max(after, last_number)
        latest = max(found, key=_delay_ms, default=None)
        about = (
            (SessionId(latest.session_id), latest.project_id, _delay_ms(latest)) if latest else (SessionId(""), None, 0)
        )
        self._execute_one(JudgeDetection(rule, after, number, *about, claim))

    def _look_at_open(self, rules: Sequence[AlertRule], claim: Claim) -> None:
        """Look at alerts that were told, so many a pass, whether they are over."""
        by_id = {(rule.account_id, rule.id): rule for rule in rules}
        for account_id in sorted({rule.account_id for rule in rules}):
            after = self._after.pop(account_id, None)
            rows = self._store.account_rows(Alert, account_id, after=after, limit=FOUND_MAX)
            if len(rows) == FOUND_MAX:
                self._after[account_id] = rows[-1][:3]
            for rule_id, session_ids in _by_rule(rows):
                rule = by_id.get((account_id, rule_id))
                if rule is not None and rule.type != AlertType.DETECTION_LATE:
                    self._judge(rule, session_ids, claim)

    def _execute_some(self, command: Command, sessions: Sequence[object]) -> Body:
        """Carry out one part of a pass, and pause."""
        began = time.monotonic()
        body = self._execute(command, weight=len(sessions))
        done = time.monotonic()
        self._stop.wait(PAUSE_SHARE * (done - began))
        self._paused_seconds += time.monotonic() - done
        return body

    def _execute_one(self, command: Command) -> Body:
        """Carry out what concerns a row or two. It waits for a commit, of which this thread has no work."""
        began = time.monotonic()
        try:
            return self._execute(command, weight=1)
        finally:
            self._paused_seconds += time.monotonic() - began

    def _execute(self, command: Command, *, weight: int) -> Body:
        envelope = Envelope(command, WATCH, os.urandom(ENTROPY_BYTES), "alerts", weight=weight)
        return self._engine.execute_blocking(envelope).body


def _asked(rule: AlertRule, question: Question, at_ms: int) -> Asked:
    return Asked(question, rule.account_id, at_ms, rule.id, rule.project_id, rule.agent)


def _delay_ms(event: Event) -> int:
    return event.recorded_at_ms - event.at_ms


def _by_rule(rows: Sequence[object]) -> Iterator[tuple[AlertRuleId, list[SessionId]]]:
    grouped: dict[AlertRuleId, list[SessionId]] = {}
    for row in rows:
        assert isinstance(row, Alert)
        grouped.setdefault(row.rule_id, []).append(row.session_id)
    yield from grouped.items()
