"""The thread that keeps the session alive while the command runs, and hears what the server wants."""

import random
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from holdfast.client.api import Api, ApiRefusal, Json, Unavailable, Unreachable
from holdfast.runner.keeper import steady_seconds
from holdfast.runner.messages import printable, say
from holdfast.runner.schedule import Pace, attempt_at, beat_delay, request_seconds, retry_delay
from holdfast.runner.session import Session, StartRequest, Verdict, beat, requested_stop, start, verdict

WAIT_SECONDS_MAX = 1.0
"""How late a beat may be after the machine slept: waiting does not count sleep, steady seconds do."""


class Started(NamedTuple):
    """The session began while the command was already running."""

    session: Session


class Acknowledged(NamedTuple):
    """The lease was renewed. sent_at: steady seconds before the request was sent."""

    sent_at: float


class Lost(NamedTuple):
    """The session is not this run's any more, or never may be."""

    code: str
    detail: str


class StopRequested(NamedTuple):
    """Somebody asked for this run to stop."""

    reason: str


Notice = Started | Acknowledged | Lost | StopRequested


class Heartbeat(threading.Thread):
    """Beats until it is told to end or the session is lost.

    Before the session is known to the server it tries to start it, with the same request every time.
    """

    def __init__(
        self,
        api: Api,
        request: StartRequest,
        *,
        pace: Pace,
        session: Session | None,
        first_attempt_at: float,
        is_replayed: bool,
        read_progress: Callable[[], int],
        on_tick: Callable[[], None],
        notify: Callable[[Notice], None],
    ) -> None:
        """first_attempt_at: steady seconds before the start was first sent. on_tick: called with every attempt."""
        super().__init__(name="heartbeat", daemon=True)
        self._api = api
        self._request = request
        self._pace = pace
        self._session = session
        self._first_attempt_at = first_attempt_at
        self._read_progress = read_progress
        self._on_tick = on_tick
        self._notify = notify
        self._failures = 0 if session else 1
        self._has_told_away = session is None
        self._warned_of = ""
        self._is_stop_told = False
        self._changed = threading.Event()
        self._is_ending = False
        self._is_hurried = False
        self._lease_ends_at: float | None = None
        self._due_at = steady_seconds() + self._retry_delay(None)
        if session is not None:
            self._lease_ends_at = first_attempt_at + pace.lease_seconds
            self._due_at = self._after_start(session, is_replayed=is_replayed)

    def end(self) -> None:
        """Beat no more; a request under way is not waited for."""
        self._is_ending = True
        self._changed.set()

    def hurry(self) -> None:
        """Beat now: this process was stopped for some time."""
        self._is_hurried = True
        self._changed.set()

    def run(self) -> None:
        """Beat when it is time, until the end."""
        while self._wait():
            self._on_tick()
            sent_at = steady_seconds()
            try:
                delay = self._attempt(sent_at)
            except Unreachable as exc:
                self._failures += 1
                asked = exc.retry_after_seconds if isinstance(exc, Unavailable) else None
                self._retry_after(self._retry_delay(asked))
                self._tell_away(exc.cause)
            except ApiRefusal as refusal:
                if not self._survives(refusal):
                    return
            else:
                self._tell_back()
                self._due_at = sent_at + delay

    def _wait(self) -> bool:
        """Wait until the next attempt is due; whether there is to be one."""
        while not self._is_ending:
            left = self._due_at - steady_seconds()
            if left <= 0 or self._is_hurried:
                self._is_hurried = False
                return True
            self._changed.wait(min(left, WAIT_SECONDS_MAX))
            self._changed.clear()
        return False

    def _attempt(self, sent_at: float) -> float:
        """Beat, or start; seconds until the next beat."""
        if self._session is None:
            session, is_replayed = start(self._api, self._request, timeout_seconds=request_seconds(self._pace))
            self._session = session
            counted_from = self._first_attempt_at if is_replayed else sent_at
            self._acknowledge(counted_from)
            self._notify(Started(session))
            return self._after_start(session, is_replayed=is_replayed) - sent_at
        reply = beat(self._api, self._session, progress=self._read_progress())
        self._acknowledge(sent_at)
        self._obey(reply)
        return beat_delay(reply, self._pace)

    def _after_start(self, session: Session, *, is_replayed: bool) -> float:
        """When the first beat is due: at once where the answer may be older than the lease."""
        self._obey(session.reply)
        return 0.0 if is_replayed else steady_seconds() + beat_delay(session.reply, self._pace)

    def _acknowledge(self, sent_at: float) -> None:
        self._lease_ends_at = sent_at + self._pace.lease_seconds
        self._notify(Acknowledged(sent_at))

    def _obey(self, reply: Mapping[str, Json]) -> None:
        reason = requested_stop(reply)
        if reason is not None and not self._is_stop_told:
            self._is_stop_told = True
            self._notify(StopRequested(reason))

    def _survives(self, refusal: ApiRefusal) -> bool:
        """Answer a refusal; whether there is to be another attempt."""
        match verdict(refusal, is_exclusive=self._session is not None and self._session.is_exclusive):
            case Verdict.LOST:
                self._notify(Lost(refusal.code, refusal.detail))
                return False
            case Verdict.AWAY:
                self._failures += 1
                self._retry_after(self._retry_delay(refusal.retry_after_seconds))
                self._tell_away(refusal.detail)
            case Verdict.WARN:
                self._failures += 1
                self._due_at = steady_seconds() + self._pace.interval_seconds
                if self._warned_of != refusal.code:
                    self._warned_of = refusal.code
                    say(f"WARNING: the server refuses this session: {printable(refusal.detail)} ({refusal.code}).")
                    say("The command goes on, but nobody sees it and nothing protects its scope.")
        return True

    def _retry_delay(self, asked_seconds: float | None) -> float:
        return retry_delay(self._failures, self._pace, draw=random.random(), asked_seconds=asked_seconds)

    def _retry_after(self, delay: float) -> None:
        self._due_at = attempt_at(
            steady_seconds(),
            delay,
            lease_ends_at=self._lease_ends_at,
            request_seconds=request_seconds(self._pace),
        )

    def _tell_away(self, cause: str) -> None:
        """Say once that the lease could not be renewed; shorter absences are nobody's concern."""
        is_over = self._lease_ends_at is not None and steady_seconds() >= self._lease_ends_at
        if is_over and not self._has_told_away:
            self._has_told_away = True
            say(f"{self._api.url} has not answered for a whole lease ({printable(cause)}); the command goes on.")

    def _tell_back(self) -> None:
        if self._has_told_away:
            say(f"{self._api.url} answers; the session is recorded.")
        self._failures = 0
        self._has_told_away = False
        self._warned_of = ""
