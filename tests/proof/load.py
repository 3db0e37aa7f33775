"""Holders that work against a server which may die at any moment, and a ledger of what it acknowledged to them.

A request that was not answered is sent again, under the same idempotency key, until it is. So whenever the holders
rest, nothing is unknown: what the server holds must be what the ledger says, no less and no more.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.proof import database
from tests.proof.client import ANSWER_SECONDS_MAX, Answer, Body, Client, Reachable, Unanswered
from tests.proof.report import Finding, Kind

POLICY = {"lease_seconds": 600, "heartbeat_interval_seconds": 0.002, "heartbeat_jitter_seconds": 0}
"""Nobody lapses here, and no beat comes so soon after the last one that it need not be written."""

WAIT_SECONDS = 0.01
REST_SECONDS_MAX = 60.0

LIVE_STATUSES = ("active", "paused")


class Ack(NamedTuple):
    """A token that a start was answered with, and when it was asked for and told (monotonic seconds)."""

    token: int
    sent_at: float
    told_at: float


class Held:
    """A session, as the server's answers say that it is."""

    def __init__(self, session_id: str, scope: str) -> None:
        self.id = session_id
        self.scope = scope
        self.status = "active"
        self.progress = 0
        self.summaries: list[str] = []
        self.events = ["session.started"]


class Ledger:
    """Everything that was acknowledged to anybody, and every disagreement that was found."""

    def __init__(self) -> None:
        self.acks = 0
        self.keyed = 0
        self.repeated = 0
        self.replayed = 0
        self.postponed: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.sessions: dict[str, Held] = {}
        self.tokens: dict[str, list[Ack]] = {}
        self._lock = threading.Lock()

    def found(self, kind: Kind, what: str) -> None:
        """Note a disagreement."""
        with self._lock:
            self.findings.append(Finding(kind, what))

    def note(self, answer: Answer, *, is_keyed: bool, tries: int) -> None:
        """Count an acknowledgement."""
        with self._lock:
            self.acks += 1
            self.keyed += is_keyed
            self.repeated += tries > 1
            self.replayed += answer.is_replay

    def note_postponed(self, answer: Answer) -> None:
        """Count an answer that said to come again."""
        with self._lock:
            self.postponed[answer.code or ""] += 1

    def note_token(self, scope: str, ack: Ack) -> None:
        """Keep a token that was issued."""
        with self._lock:
            self.tokens.setdefault(scope, []).append(ack)

    def counts(self) -> dict[str, object]:
        """How much happened."""
        return {
            "sessions": len(self.sessions),
            "acks": self.acks,
            "sent again": self.repeated,
            "of these replayed": self.replayed,
            "told to come again": dict(self.postponed),
        }


class Holder:
    """One client with its own sessions, on a scope that others share."""

    def __init__(self, name: str, scope: str, servers: list[Reachable], ledger: Ledger, *, seed: int) -> None:
        self._name = name
        self._scope = scope
        self._ledger = ledger
        self._clients = [Client(server, answer_seconds_max=ANSWER_SECONDS_MAX) for server in servers]
        self._random = random.Random(seed)
        self._said = 0
        self._held: Held | None = None
        self._token = 0

    def close(self) -> None:
        """Give the connections up."""
        for client in self._clients:
            client.close()

    def work(self, rest: threading.Event) -> None:
        """Say one thing after another until it is time to rest; then everything said has been answered."""
        while not rest.is_set():
            try:
                self._say_something()
            except AssertionError as error:
                self._ledger.found(Kind.WRONG, f"{self._name}: {error}")
                self._held = None

    def _say_something(self) -> None:
        held = self._held
        if held is None:
            self._start()
            return
        (verb,) = self._random.choices(
            (self._beat, self._write_checkpoint, self._pause_or_resume, self._start_again, self._end),
            weights=(40, 40, 5, 5, 10),
        )
        verb(held)

    def _start(self) -> None:
        body, ack = self._acquire()
        if body["id"] in self._ledger.sessions:
            self._ledger.found(Kind.WRONG, f"a start was given the old session {body['id']}")
        assert body["outcome"] == "created", body
        self._held = Held(body["id"], self._scope)
        self._ledger.sessions[body["id"]] = self._held
        self._ledger.note_token(self._scope, ack)

    def _start_again(self, held: Held) -> None:
        body, ack = self._acquire()
        if body["id"] != held.id:
            self._ledger.found(Kind.LOST, f"the session {held.id} was not found again by its own holder")
        held.status = "active"
        held.events.append("session.resumed")
        self._ledger.note_token(self._scope, ack)

    def _acquire(self) -> tuple[Body, Ack]:
        sent_at = time.monotonic()
        fields = {"agent": "prover", "holder_id": self._name, "scope": self._scope, "policy": POLICY}
        body = self._tell("/v1/sessions", fields)
        ack = Ack(body["fencing_token"], sent_at, time.monotonic())
        self._token = ack.token
        return body, ack

    def _beat(self, held: Held) -> None:
        progress = held.progress + 1
        self._tell(f"/v1/sessions/{held.id}/heartbeat", self._signed(progress=progress), is_keyed=False)
        held.progress = progress

    def _write_checkpoint(self, held: Held) -> None:
        number = len(held.summaries) + 1
        summary = f"{self._name} wrote {number}"
        state = {"filler": "x" * self._random.randrange(600)}
        told = self._tell(f"/v1/sessions/{held.id}/checkpoint", self._signed(summary=summary, state=state))
        held.summaries.append(summary)
        if told["number"] != number or told["summary"] != summary:
            kind = Kind.LOST if told["number"] < number else Kind.DOUBLED
            self._ledger.found(kind, f"checkpoint {number} of {held.id} became {told['number']}")
            self._held = None

    def _pause_or_resume(self, held: Held) -> None:
        verb, status = ("resume", "active") if held.status == "paused" else ("pause", "paused")
        self._tell(f"/v1/sessions/{held.id}/{verb}", self._signed())
        held.status = status
        held.events.append(f"session.{verb}d")

    def _end(self, held: Held) -> None:
        self._tell(f"/v1/sessions/{held.id}/end", self._signed())
        held.status = "ended"
        held.events.append("session.ended")
        self._held = None

    def _signed(self, **fields: Any) -> Body:
        return {"fencing_token": self._token, **fields}

    def _tell(self, path: str, body: Body, *, is_keyed: bool = True) -> Body:
        """Say it until it is answered with yes. Raises: AssertionError where the answer is no."""
        self._said += 1
        key = f"{self._name}:{self._said}" if is_keyed else None
        tries = 0
        while True:
            tries += 1
            client = self._clients[self._random.randrange(len(self._clients))]
            try:
                answer = client.post(path, body, key=key)
            except Unanswered:
                time.sleep(WAIT_SECONDS)
                continue
            if answer.status not in (503, 507):
                break
            self._ledger.note_postponed(answer)
            time.sleep(WAIT_SECONDS)
        assert answer.status in (200, 201), f"{path} was answered {answer.status} {answer.content!r}"
        self._ledger.note(answer, is_keyed=is_keyed, tries=tries)
        return answer.body


@contextmanager
def working(holders: list[Holder]) -> Iterator[None]:
    """Let the holders work, and in the end rest, each with its last word answered."""
    rest = threading.Event()
    threads = [threading.Thread(target=holder.work, args=(rest,), daemon=True) for holder in holders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        rest.set()
        deadline = time.monotonic() + REST_SECONDS_MAX
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads), "a holder waits for an answer that does not come"


def check(ledger: Ledger, database_url: str) -> None:
    """Compare all that was ever acknowledged with the tables, and note every disagreement."""
    for fault in database.faults_of(database_url):
        ledger.found(Kind.WRONG, f"integrity: {fault}")
    _check_sessions(ledger, database_url)
    _check_checkpoints(ledger, database_url)
    _check_events(ledger, database_url)
    _check_tokens(ledger, database_url)
    _check_effects(ledger, database_url)


def check_over_http(ledger: Ledger, client: Client, session_ids: list[str]) -> None:
    """Compare what was acknowledged of some sessions with what the server itself says of them."""
    for session_id in session_ids:
        held = ledger.sessions[session_id]
        answer = client.get(f"/v1/sessions/{session_id}")
        if answer.status != 200:
            ledger.found(Kind.LOST, f"session {session_id} is answered {answer.status}")
            continue
        body = answer.body
        if (body["status"], body["checkpoint_count"]) != (held.status, len(held.summaries)):
            ledger.found(Kind.WRONG, f"{session_id} is said to be {body['status']}, not {held.status}")
        if (body["progress"] or 0) != held.progress:
            ledger.found(Kind.LOST, f"progress of {session_id} is said to be {body['progress']}, not {held.progress}")
        summaries = [each["summary"] for each in client.checkpoints(session_id)]
        _compare(ledger, f"checkpoints of {session_id}", found=summaries, expected=held.summaries)
        types = [each["type"] for each in client.events(path=f"/v1/sessions/{session_id}/events")]
        _compare(ledger, f"events of {session_id}", found=types, expected=held.events)


def _check_sessions(ledger: Ledger, database_url: str) -> None:
    found = {row[0]: row[1:] for row in database.read(database_url, "select id, status, progress from session")}
    for session_id in found.keys() - ledger.sessions.keys():
        ledger.found(Kind.DOUBLED, f"nobody was told of session {session_id}")
    for held in ledger.sessions.values():
        if held.id not in found:
            ledger.found(Kind.LOST, f"session {held.id}")
            continue
        status, progress = found[held.id]
        if status != held.status:
            ledger.found(Kind.LOST, f"{held.id} is {status}, and was acknowledged {held.status}")
        if (progress or 0) != held.progress:
            ledger.found(Kind.LOST, f"progress of {held.id} is {progress}, and {held.progress} was acknowledged")


def _check_checkpoints(ledger: Ledger, database_url: str) -> None:
    query = "select session_id, number, summary from checkpoint order by session_id, number"
    found: dict[str, list[tuple[int, str]]] = {}
    for session_id, number, summary in database.read(database_url, query):
        found.setdefault(session_id, []).append((number, summary))
    for held in ledger.sessions.values():
        expected = list(enumerate(held.summaries, start=1))
        _compare(ledger, f"checkpoints of {held.id}", found=found.get(held.id, []), expected=expected)


def _check_events(ledger: Ledger, database_url: str) -> None:
    rows = database.read(database_url, "select number, id, session_id, type from event order by number")
    numbers = [number for number, _, _, _ in rows]
    _compare(ledger, "event numbers", found=numbers, expected=list(range(1, len(rows) + 1)))
    if len({event_id for _, event_id, _, _ in rows}) != len(rows):
        ledger.found(Kind.DOUBLED, "an event's id")
    found: dict[str, list[str]] = {}
    for _, _, session_id, event_type in rows:
        found.setdefault(session_id, []).append(event_type)
    for held in ledger.sessions.values():
        _compare(ledger, f"events of {held.id}", found=found.get(held.id, []), expected=held.events)


def _check_tokens(ledger: Ledger, database_url: str) -> None:
    """Tokens of a scope increase: in the order of their acknowledgements wherever that order is known."""
    last: dict[str, int] = dict(database.read(database_url, "select scope, last_token from scope"))
    for scope, acks in ledger.tokens.items():
        ordered = sorted(acks)
        if len({ack.token for ack in acks}) != len(acks):
            ledger.found(Kind.DOUBLED, f"a token of {scope}")
        told_first = float("inf")
        for ack in reversed(ordered):
            if told_first < ack.sent_at:
                ledger.found(Kind.WRONG, f"token {ack.token} of {scope} was issued after a higher one")
            told_first = min(told_first, ack.told_at)
        if last.get(scope) != ordered[-1].token:
            ledger.found(Kind.WRONG, f"{scope} stands at {last.get(scope)}; {ordered[-1].token} was the last told")


def _check_effects(ledger: Ledger, database_url: str) -> None:
    ((keys,),) = database.read(database_url, "select count(*) from idempotency")
    if keys != ledger.keyed:
        kind = Kind.LOST if keys < ledger.keyed else Kind.DOUBLED
        ledger.found(kind, f"{ledger.keyed} requests were made under keys, and {keys} are on record")


def _compare(ledger: Ledger, what: str, *, found: list[Any], expected: list[Any]) -> None:
    if found == expected:
        return
    is_more = len(found) > len(expected) or len(set(found)) < len(found)
    kind = Kind.LOST if len(found) < len(expected) else Kind.DOUBLED if is_more else Kind.WRONG
    ledger.found(kind, f"{what} are {found[-5:]} ({len(found)}), not {expected[-5:]} ({len(expected)})")
