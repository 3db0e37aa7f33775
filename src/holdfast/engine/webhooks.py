"""The dispatcher: turns events into messages for webhooks, and has them sent.

Any number of nodes may do this for one database. Events become messages under the account's reader, which moves in the
same transaction, so none is made twice or left out. A message is claimed before it is sent and given back, delivered or
dead, afterwards; what a node had claimed as it died is due again when the claim has run out.

Who receives slowly, or not at all, has a few attempts under way at a time and no more; the others do not wait for it.
"""

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import NamedTuple, Protocol

from holdfast.commands.bodies import Body
from holdfast.commands.command import Command, Envelope
from holdfast.commands.lists import ListRequest
from holdfast.commands.rows import Members
from holdfast.commands.webhooks import (
    DUE_LIST,
    ENABLED_WEBHOOKS,
    Attempt,
    ClaimDeliveries,
    Message,
    PlanDeliveries,
    RecordAttempts,
    delivery_key,
    reader_key,
)
from holdfast.domain.actor import WEBHOOKS_KEY, Actor, KeyScope
from holdfast.domain.errors import Refusal
from holdfast.domain.events import Event, EventFilter, EventReader
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, AccountId, WebhookId
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.service_time import Moment
from holdfast.domain.webhooks import (
    CLAIM_MARGIN_MS,
    Outcome,
    Webhook,
    WebhookDelivery,
    is_held,
    secrets_in_force,
    wants,
)
from holdfast.engine.driver import Engine
from holdfast.engine.meters import REQUEST_SECONDS, Histogram
from holdfast.engine.queries import present
from holdfast.store.port import Reader, StoreUnavailable

log = logging.getLogger(__name__)

PASS_SECONDS = 0.25
"""Between two passes where nothing else wakes the dispatcher: how long an event waits, at most, on an idle node."""

IDLE_SECONDS = 1.0
"""The same where there is no webhook at all: a lookup of one row."""

EVENTS_AT_ONCE = 200
"""Events of an account that become messages in one transaction."""

MESSAGES_AT_ONCE = 256
"""Messages in one transaction: a few milliseconds of the writer, so that beats do not wait behind them."""

LOOK_MS = SECOND_MS
"""How often a webhook is looked at of which nothing is known to be due: another node, or a hand, may know better."""

UNDER_WAY_MAX = 256
"""Attempts under way on this node; each is a socket and some 100 KB."""

PER_WEBHOOK_MAX = 8
PER_FAILING_WEBHOOK_MAX = 1
FAILURES_MANY = 5
"""Attempts under way for one webhook; for one that failed so often in a row, one, so that many that do not answer leave
room for those that do."""

STOP_SECONDS = 2.0
"""How long a server that stops waits for receivers to answer; what is under way then is given back."""

DISPATCHER = Actor(DEFAULT_ACCOUNT, WEBHOOKS_KEY, KeyScope.OPERATOR)

Render = Callable[[Event], str]
"""An event as a webhook is told of it, as JSON."""


class Sending(NamedTuple):
    """A message as it goes out."""

    url: str
    message_id: str
    body: bytes
    secrets: tuple[str, ...]


class Sender(Protocol):
    """What makes the requests."""

    def start(self) -> None:
        """Begin to work."""
        ...

    def stop(self) -> None:
        """Break off what is under way."""
        ...

    def submit(self, sending: Sending) -> "Future[Outcome]":
        """Begin to send a message; what it came to."""
        ...


class WebhookMeters:
    """What was counted: attempts by what they came to, and how long receivers took."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter({"delivered": 0, "failed": 0})
        self.seconds = Histogram(REQUEST_SECONDS)
        self.under_way = 0


class _Claimed(NamedTuple):
    webhook_id: WebhookId
    event_id: str
    claim_id: str


class WebhookDispatcher:
    """A thread that dispatches until it is stopped.

    render: what is sent of an event. timeout_ms: how long an attempt may take; a claim lasts a little longer.
    """

    def __init__(self, store: Reader, engine: Engine, sender: Sender, *, render: Render, timeout_ms: int) -> None:
        self._store = store
        self._engine = engine
        self._sender = sender
        self._render = render
        self._lease_ms = timeout_ms + CLAIM_MARGIN_MS
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="holdfast-webhooks", daemon=True)
        self._done: deque[tuple[_Claimed, Future[Outcome]]] = deque()
        self._under_way: Counter[WebhookId] = Counter()
        self._turn = 0
        self._positions: dict[AccountId, int | None] = {}
        self._look_at_ms: dict[WebhookId, int] = {}
        self._is_used = False
        self.meters = WebhookMeters()

    def start(self) -> None:
        """Begin to dispatch."""
        self._sender.start()
        self._thread.start()

    def stop(self) -> None:
        """Wait a moment for what is under way, give the rest back, and stop."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + STOP_SECONDS
        while self._under_way.total() and time.monotonic() < deadline:
            self._settle_quietly()
            self._wake.clear()
            if self._under_way.total() and not self._done:
                self._wake.wait(max(0.0, deadline - time.monotonic()))
        self._sender.stop()
        self._settle_quietly()

    def _serve(self) -> None:
        while not self._stop.is_set():
            wait_seconds = IDLE_SECONDS
            self._wake.clear()
            try:
                wait_seconds = 0.0 if self.dispatch_once() else PASS_SECONDS if self._is_used else IDLE_SECONDS
            except (Refusal, StoreUnavailable) as error:
                log.warning("webhooks_postponed reason=%s", getattr(error, "code", "unavailable"))
            except Exception:
                # A dispatcher that died would leave every receiver in the dark; the next pass may fare better.
                log.exception("webhooks_failed")
            if wait_seconds:
                self._wake.wait(wait_seconds)

    def _settle_quietly(self) -> None:
        try:
            self.settle()
        except (Refusal, StoreUnavailable) as error:
            # What is not noted is sent again when its claim has run out.
            log.warning("webhook_attempts_unrecorded reason=%s", getattr(error, "code", "unavailable"))

    def dispatch_once(self) -> bool:
        """One pass; whether there is more to do at once. Raises: Refusal, StoreUnavailable."""
        self.settle()
        found = self._store.find(Members(ENABLED_WEBHOOKS, (True,)))
        webhooks = [each for each in found if isinstance(each, Webhook)]
        self._is_used = bool(webhooks or self._under_way.total())
        self._look_at_ms = {each.id: self._look_at_ms[each.id] for each in webhooks if each.id in self._look_at_ms}
        by_account = _by_account(webhooks)
        last_numbers = self._store.last_event_numbers(list(by_account))
        is_more = False
        for account_id, of_account in by_account.items():
            last_number = last_numbers.get(account_id, 0)
            if last_number == self._positions.get(account_id):
                continue
            try:
                is_more |= self._plan(account_id, of_account, last_number)
            except Refusal as refusal:
                # What ails one account is not to keep the others waiting.
                log.warning("webhooks_unplanned account=%s code=%s", account_id, refusal.code)
        is_more |= self._send(webhooks)
        return is_more

    # From events to messages.

    def _plan(self, account_id: AccountId, webhooks: Sequence[Webhook], last_number: int) -> bool:
        """Make messages of an account's next events; whether there are more."""
        reader = self._store.get(reader_key(account_id))
        if not isinstance(reader, EventReader) or last_number <= reader.last_number:
            self._positions[account_id] = last_number
            return False
        # What was committed before any of them was made, or while all of them were disabled, concerns none of them.
        start = max(reader.last_number, min(each.after_number for each in webhooks))
        page = self._store.events_after(account_id, number=start, wanted=EventFilter(), limit=EVENTS_AT_ONCE)
        if not page.events:
            self._move(account_id, reader, last_number, [])
            return False
        messages: list[Message] = []
        number = page.events[0].number - 1
        for event in page.events:
            wanting = [webhook for webhook in webhooks if wants(webhook, event)]
            if messages and len(messages) + len(wanting) > MESSAGES_AT_ONCE:
                break
            number = event.number
            if wanting:
                body = self._render(event)
                messages += [Message(webhook.id, event.id, event.type, body) for webhook in wanting]
        self._move(account_id, reader, number, messages)
        return number < last_number

    def _move(self, account_id: AccountId, reader: EventReader, number: int, messages: list[Message]) -> None:
        command = PlanDeliveries(account_id, reader.last_number, number, tuple(messages))
        reply = self._execute(command, weight=max(1, len(messages)))
        self._positions[account_id] = reply["number"]
        for message in messages:
            self._look_at_ms.pop(message.webhook_id, None)

    # From messages to attempts.

    def _send(self, webhooks: Sequence[Webhook]) -> bool:
        """Begin attempts, of each webhook as many as it may have; whether more could begin at once."""
        now = present(self._store)
        began = 0
        # Whoever is first in line is another one each time, so that those at its end have their turn too.
        self._turn += 1
        start = self._turn % max(1, len(webhooks))
        for webhook in (*webhooks[start:], *webhooks[:start]):
            free = min(self._free(webhook), UNDER_WAY_MAX - self._under_way.total())
            is_due = now.service_ms >= self._look_at_ms.get(webhook.id, 0)
            if free <= 0 or not is_due or is_held(webhook, now=now):
                continue
            try:
                began += self._begin(webhook, now, limit=free)
            except Refusal as refusal:
                log.warning("webhook_unsent webhook=%s code=%s", webhook.id, refusal.code)
        self.meters.under_way = self._under_way.total()
        return began > 0

    def _free(self, webhook: Webhook) -> int:
        limit = PER_FAILING_WEBHOOK_MAX if webhook.failures >= FAILURES_MANY else PER_WEBHOOK_MAX
        return limit - self._under_way[webhook.id]

    def _begin(self, webhook: Webhook, now: Moment, *, limit: int) -> int:
        filters = (("due_from", 0), ("webhook_id", webhook.id))
        page = self._store.page(ListRequest(DUE_LIST, webhook.account_id, filters, None, limit))
        waiting = [row for (row,) in page.rows if isinstance(row, WebhookDelivery)]
        due = {row.event_id: row for row in waiting if (row.due_ms or 0) <= now.service_ms}
        if len(due) < limit:
            next_ms = min((row.due_ms or 0 for row in waiting if row.event_id not in due), default=None)
            look_at_ms = now.service_ms + LOOK_MS
            self._look_at_ms[webhook.id] = look_at_ms if next_ms is None else min(next_ms, look_at_ms)
        if not due:
            return 0
        keys = tuple(delivery_key(webhook.id, event_id) for event_id in due)
        reply = self._execute(ClaimDeliveries(keys, self._lease_ms), weight=len(keys))
        secrets = secrets_in_force(webhook, now_ms=now.wall_ms)
        for _, event_id in reply["taken"]:
            sending = Sending(webhook.url, event_id, due[event_id].body_json.encode(), secrets)
            self._under_way[webhook.id] += 1
            claimed = _Claimed(webhook.id, event_id, reply["claim_id"])
            self._sender.submit(sending).add_done_callback(partial(self._end, claimed))
        return len(reply["taken"])

    def _end(self, claimed: _Claimed, future: "Future[Outcome]") -> None:
        self._done.append((claimed, future))
        self._wake.set()

    def settle(self) -> None:
        """Note what attempts came to that are over. Raises: Refusal, StoreUnavailable; then it is tried again."""
        over = [self._done.popleft() for _ in range(min(len(self._done), MESSAGES_AT_ONCE))]
        if not over:
            return
        attempts = tuple(Attempt(*claimed, _outcome(future)) for claimed, future in over)
        try:
            self._execute(RecordAttempts(attempts), weight=len(attempts))
        except Refusal:
            self._done.extendleft(reversed(over))
            raise
        for each in attempts:
            self._under_way[each.webhook_id] -= 1
            if each.outcome is not None:
                self.meters.attempts["delivered" if each.outcome.is_success else "failed"] += 1
                self.meters.seconds.add(each.outcome.duration_ms / SECOND_MS)
        self._under_way += Counter()
        self.meters.under_way = self._under_way.total()

    def _execute(self, command: Command, *, weight: int) -> Body:
        envelope = Envelope(command, DISPATCHER, os.urandom(ENTROPY_BYTES), "webhooks", weight=weight)
        return self._engine.execute_blocking(envelope).body


def _outcome(future: "Future[Outcome]") -> Outcome | None:
    """What an attempt came to; None where it was broken off."""
    try:
        return future.result()
    except CancelledError:
        return None
    except Exception as error:
        log.exception("webhook_attempt_failed")
        return Outcome(None, type(error).__name__, 0)


def _by_account(webhooks: Sequence[Webhook]) -> dict[AccountId, list[Webhook]]:
    grouped: dict[AccountId, list[Webhook]] = {}
    for webhook in webhooks:
        grouped.setdefault(webhook.account_id, []).append(webhook)
    return grouped
