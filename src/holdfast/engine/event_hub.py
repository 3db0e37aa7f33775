"""Those who wait for events, and the one reader that all of them share.

Whoever follows an account stands at a number. What is committed after it is read once, however many follow, and kept
for a moment in the account's ring. A follower that falls behind the ring, because its client is slow, reads the
database by itself until it has caught up. So nothing is queued for anybody, nothing is skipped and nobody waits for
another. Commits of this node wake the reader; those of other nodes are found by looking.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

from holdfast.domain.actor import Actor
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Event, EventCursor, EventFilter, History
from holdfast.domain.ids import AccountId, KeyId
from holdfast.store.port import EventPage

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""How often the reader looks by itself: another node's commits do not wake it. Only while somebody follows."""

READ_SPACING_SECONDS = 0.005
"""Between the beginnings of two reads: under load one read finds what several batches committed."""

READ_EVENTS_MAX = 500
"""Events in one read for everybody."""

RING_EVENTS_MAX = 1_024
"""Events of an account that are kept for its followers, some hundred KB; a follower further behind reads for itself."""

TAKEN_EVENTS_MAX = 64
"""Events that a follower is handed at a time: some 40 KB on their way to a client, usually."""

WOKEN_AT_ONCE = 128
"""Followers woken in one round of the event loop: a few milliseconds, so that beats do not wait behind a crowd."""

TEND_SECONDS = 1.0
"""Between two looks at who has heard nothing for long, and at what of the rings everybody has."""

KEEP_ALIVE_SECONDS = 15.0
"""After so long without an event a follower is told that there is none: proxies close what is silent for longer."""

KEPT_ALIVE_AT_ONCE = 512
"""Followers told so in one look; those who came all at once are spread that way."""

RECHECK_SECONDS = 2.0
"""Between two looks at the keys of those who follow."""


class FollowerLimits(NamedTuple):
    """How many may follow at a time, event streams and waiting polls alike: on this node, of an account, with a key.

    on_node: fewer than connections may be open, so that streams leave room for requests.
    """

    on_node: int = 6_000
    of_account: int = 2_000
    of_key: int = 1_000


FOLLOWER_LIMITS = FollowerLimits()


class Permission(NamedTuple):
    """By what somebody may follow. credential: equal for those who were let in by the same. is_valid: asks again."""

    credential: tuple[bytes | None, ...]
    is_valid: Callable[[], Awaitable[bool]]


class Source(Protocol):
    """Where events come from. is_leaving: whether the server is about to stop, so that nobody should follow."""

    is_leaving: Callable[[], bool]

    async def events_after(
        self, account_id: AccountId, *, after: EventCursor | None, wanted: EventFilter, limit: int
    ) -> EventPage:
        """Events after a cursor. Raises: cursor_expired, unavailable."""
        ...

    async def last_event_numbers(self, account_ids: list[AccountId]) -> dict[str, int]:
        """The number of the last event of each account. Raises: unavailable."""
        ...


class Told:
    """An event that was read for everybody who follows. item, frame: what a door makes of it, once for all of them."""

    __slots__ = ("cursor", "event", "frame", "item")

    def __init__(self, event: Event, *, timeline: str) -> None:
        self.event = event
        self.cursor = EventCursor(timeline, event.number)
        self.item = b""
        self.frame = b""


class Follower:
    """One who follows an account's events from a number on.

    number: it has been handed all that it wants up to this one.
    """

    def __init__(
        self, hub: "EventHub", feed: "_Feed", wanted: EventFilter, *, number: int, key_id: KeyId, permission: Permission
    ) -> None:
        self.number = number
        self.key_id = key_id
        self.permission = permission
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._hub = hub
        self._feed = feed
        self._wanted = wanted
        self._waiter: asyncio.Future[None] | None = None
        self._is_over = False
        self._is_due = False

    @property
    def cursor(self) -> EventCursor:
        """Where it stands."""
        return EventCursor(self._feed.timeline, self.number)

    @property
    def is_waiting(self) -> bool:
        """Whether it has all that there is."""
        return self._waiter is not None

    async def next(self) -> list[Told] | None:
        """The next events, once there are any; none when it is time for a sign of life; None when it is over.

        Raises: cursor_expired where it was so slow that what it needs is no longer kept; unavailable.
        """
        told: list[Told] = []
        while not (told or self._is_over or self._is_due):
            if self.number < self._feed.last_number - len(self._feed.ring):
                told = await self._caught_up()
                continue
            fresh = self._feed.after(self.number)
            if fresh:
                self.number = fresh[-1].event.number
                told = [each for each in fresh if self._wanted.matches(each.event)]
                continue
            await self._wait()
        self._is_due = False
        self.heard_at = self._loop.time()
        return None if self._is_over else told

    async def _caught_up(self) -> list[Told]:
        """What comes next, from the database: for one who is behind the ring."""
        self._hub.counts["caught_up"] += 1
        page = await self._hub.source.events_after(
            self._feed.account_id, after=self.cursor, wanted=self._wanted, limit=TAKEN_EVENTS_MAX
        )
        is_whole = len(page.events) < TAKEN_EVENTS_MAX
        last_found = page.events[-1].number if page.events else 0
        self.number = max(page.history.last_number, last_found) if is_whole else last_found
        return [Told(event, timeline=self._feed.timeline) for event in page.events]

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        self._feed.waiting.setdefault(self._wanted, set()).add(self)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._feed.forget(self, self._wanted)

    def wake(self, *, number: int, is_due: bool = False) -> None:
        """Let it look again. number: up to here there was nothing for it while it waited."""
        if self._waiter is not None and not self._waiter.done():
            self.number = max(self.number, number)
            self._is_due = is_due
            self._waiter.set_result(None)

    def end(self) -> None:
        """Hand it nothing more."""
        self._is_over = True
        self.wake(number=0)

    def leave(self) -> None:
        """Follow no longer. To be called in any case, once."""
        self._is_over = True
        self._hub.left(self, self._feed)


class _Feed:
    """What was read of one account, for those who follow it.

    ring: the last events, without a gap up to last_number. waiting: those who have all of them, by what they want.
    """

    def __init__(self, account_id: AccountId, history: History) -> None:
        self.account_id = account_id
        self.timeline = history.timeline
        self.last_number = history.last_number
        self.ring: list[Told] = []
        self.followers: set[Follower] = set()
        self.waiting: dict[EventFilter, set[Follower]] = {}

    def after(self, number: int) -> list[Told]:
        """The next few events of the ring."""
        start = number + len(self.ring) - self.last_number
        return self.ring[start : start + TAKEN_EVENTS_MAX]

    def add(self, events: list[Event]) -> None:
        """Take in the events that come next."""
        self.ring += [Told(event, timeline=self.timeline) for event in events]
        self.last_number = events[-1].number
        del self.ring[:-RING_EVENTS_MAX]

    def concerned(self, events: list[Event]) -> list[Follower]:
        """Those who wait for any of these events. Who follows one session among thousands costs the others nothing."""
        wanted = {
            EventFilter(event_type, session_id, project_id)
            for event in events
            for event_type in (None, event.type)
            for session_id in (None, event.session_id)
            for project_id in {None, event.project_id}
        }
        return [follower for each in wanted for follower in self.waiting.get(each, ())]

    def forget(self, follower: Follower, wanted: EventFilter) -> None:
        """Note that it waits no longer."""
        waiting = self.waiting.get(wanted)
        if waiting is not None:
            waiting.discard(follower)
            if not waiting:
                del self.waiting[wanted]

    def trim(self) -> None:
        """Let go of what everybody was handed."""
        numbers = [each.number for each in self.followers if not each.is_waiting]
        needed = self.last_number - min(numbers, default=self.last_number)
        del self.ring[: max(0, len(self.ring) - needed)]


class EventHub:
    """All who follow, on this node.

    listen: has a function called on the event loop after each commit of this node that may have changed something.
    followers: how many there are now.
    counts: since the start: `refused`, for being too many; `caught_up`, reads for a single follower that was behind.
    """

    def __init__(
        self,
        source: Source,
        *,
        listen: Callable[[Callable[[], None]], None],
        limits: FollowerLimits,
    ) -> None:
        self.source = source
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self._listen = listen
        self._feeds: dict[AccountId, _Feed] = {}
        self.followers = 0
        self._by_key: Counter[KeyId] = Counter()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._tended_at = 0.0
        self._is_away = False

    def follow(
        self, actor: Actor, history: History, wanted: EventFilter, *, number: int, permission: Permission
    ) -> Follower:
        """One who is handed all that the actor's account has after a number. It has to `leave` in the end.

        history: as it was read a moment ago. Raises: too_many_streams.
        """
        feed = self._feeds.get(actor.account_id)
        limits = self.limits
        if (
            self.followers >= limits.on_node
            or (feed is not None and len(feed.followers) >= limits.of_account)
            or self._by_key[actor.key_id] >= limits.of_key
        ):
            self.counts["refused"] += 1
            later = (WayOut(Action.REPEAT_LATER),)
            raise Refusal(Code.TOO_MANY_STREAMS, retry_after_ms=5_000, ways_out=later)
        if feed is None:
            feed = self._feeds[actor.account_id] = _Feed(actor.account_id, history)
        follower = Follower(self, feed, wanted, number=number, key_id=actor.key_id, permission=permission)
        feed.followers.add(follower)
        self.followers += 1
        self._by_key[actor.key_id] += 1
        if not self._tasks:
            self._listen(self._news.set)
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._serve()), loop.create_task(self._recheck())]
        return follower

    def left(self, follower: Follower, feed: _Feed) -> None:
        """Note that somebody follows no longer. What nobody follows is not read."""
        feed.followers.discard(follower)
        self.followers -= 1
        self._by_key[follower.key_id] -= 1
        if not self._by_key[follower.key_id]:
            del self._by_key[follower.key_id]
        if not feed.followers and self._feeds.get(feed.account_id) is feed:
            del self._feeds[feed.account_id]
        if not self.followers:
            self.close()

    def close(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            began_at = loop.time()
            try:
                await self._tend()
                await self._read()
                self._is_away = False
            except Refusal as refusal:
                if not self._is_away:
                    log.warning("events_unread code=%s", refusal.code)
                self._is_away = True
            except Exception:
                # Streams without a reader would be silent for good; the next look may fare better.
                log.exception("event_reader_failed")
            await asyncio.sleep(max(0.0, began_at + READ_SPACING_SECONDS - loop.time()))
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _read(self) -> None:
        """Read what is new in any account that is followed, and wake those whom it concerns."""
        numbers = await self.source.last_event_numbers(list(self._feeds))
        for feed in list(self._feeds.values()):
            last_number = numbers.get(feed.account_id, 0)
            while feed.followers and feed.last_number != last_number:
                if not await self._read_one(feed):
                    self._end(feed.followers)
                    self._feeds.pop(feed.account_id, None)
                    break
                if feed.last_number > last_number:
                    break

    async def _read_one(self, feed: _Feed) -> bool:
        """Read on in one account; False where its history was replaced, or something of it is no longer kept."""
        before = feed.last_number
        after = EventCursor(feed.timeline, before)
        try:
            page = await self.source.events_after(
                feed.account_id, after=after, wanted=EventFilter(), limit=READ_EVENTS_MAX
            )
        except Refusal as refusal:
            if refusal.code == Code.CURSOR_EXPIRED:
                return False
            raise
        last_number = page.events[-1].number if page.events else page.history.last_number
        if last_number - before != len(page.events):
            # Followers find their place in the ring by counting, so it must not have a gap.
            return False
        if page.events:
            feed.add(page.events)
            await self._wake(feed.concerned(page.events), number=before)
        return True

    async def _wake(self, followers: list[Follower], *, number: int) -> None:
        for start in range(0, len(followers), WOKEN_AT_ONCE):
            for follower in followers[start : start + WOKEN_AT_ONCE]:
                follower.wake(number=number)
            await asyncio.sleep(0)

    async def _tend(self) -> None:
        """End everybody's following when the server stops; give signs of life; let go of what everybody has."""
        if self.source.is_leaving():
            for feed in self._feeds.values():
                self._end(feed.followers)
        now = asyncio.get_running_loop().time()
        if now - self._tended_at < TEND_SECONDS:
            return
        self._tended_at = now
        left = KEPT_ALIVE_AT_ONCE
        for feed in list(self._feeds.values()):
            feed.trim()
            due = [each for each in feed.followers if each.is_waiting and now - each.heard_at >= KEEP_ALIVE_SECONDS]
            for follower in due[:left]:
                follower.wake(number=feed.last_number, is_due=True)
            left = max(0, left - len(due))
            await asyncio.sleep(0)

    async def _recheck(self) -> None:
        """End the following of those whose key does not let them follow any more."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            by_credential: dict[tuple[bytes | None, ...], list[Follower]] = {}
            for feed in self._feeds.values():
                for follower in feed.followers:
                    by_credential.setdefault(follower.permission.credential, []).append(follower)
            for followers in by_credential.values():
                try:
                    is_valid = await followers[0].permission.is_valid()
                except Exception:
                    # Nobody else looks at the keys of those who follow, so this must go on; and who cannot be looked
                    # at may connect again.
                    log.exception("recheck_failed")
                    is_valid = False
                if not is_valid:
                    self._end(followers)

    def _end(self, followers: Iterable[Follower]) -> None:
        for follower in list(followers):
            follower.end()
