"""What a door talks to: commands in, replies out; questions in, bodies out; and who it is that asks."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from holdfast.commands.accounts import OpenAccount
from holdfast.commands.command import Command, Envelope, Render
from holdfast.commands.keys import KeyUse
from holdfast.commands.rows import Key, Members, SetSpec
from holdfast.commands.view import Idempotency, Reply
from holdfast.domain.account import Account, AccountStatus, is_there
from holdfast.domain.actor import Actor, KeyScope, may
from holdfast.domain.crane import DaySettings
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import EventCursor, EventFilter
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, AccountId, KeyId
from holdfast.domain.keys import ApiKey, is_well_formed, secret_sha256, usable_for_ms
from holdfast.domain.limits import DAY_MS, RECOVERY_ATTEMPTS_MAX
from holdfast.domain.rate_limits import RateLimits
from holdfast.engine import queries
from holdfast.engine.administration import has_account
from holdfast.engine.driver import Engine
from holdfast.engine.event_hub import FOLLOWER_LIMITS, EventHub, FollowerLimits
from holdfast.engine.meters import DoorMeters
from holdfast.engine.rate_limiter import RateLimiter
from holdfast.engine.request_log import RequestLog
from holdfast.engine.session_counts import SessionCounts
from holdfast.engine.sweeper import Sweeper
from holdfast.engine.webhooks import WebhookDispatcher
from holdfast.store.pool import READERS_MAX
from holdfast.store.port import EventPage, Reader, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

KEY_TRUST_SECONDS = 2.0
"""How long an answer about a key is believed: by then its revocation on another node is noticed here."""

KEYS_REMEMBERED_MAX = 10_000
"""Keys remembered at a time; past that all are forgotten, and asked for anew."""

KEYS_BY_SECRET = SetSpec("keys_by_secret", ApiKey, ("secret_sha256",), order="id", limit=1)
KEYS_BY_PREVIOUS_SECRET = KEYS_BY_SECRET._replace(name="keys_by_previous_secret", equals=("previous_secret_sha256",))
NEWEST_KEY = SetSpec("newest_key", ApiKey, (), order="id", limit=1)


_new: Final = tuple.__new__
"""Makes an envelope past its constructor, a function in Python with nine arguments; every write makes one."""

RANDOM_BUFFER_BYTES = 8 * 1024
"""Random bytes fetched at a time: a system call for each request costs more than most of what is done with them."""


class RandomBytes:
    """The system's random bytes, bought in bulk. For one thread; no byte is given out twice."""

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0

    def take(self, count: int) -> bytes:
        """So many bytes that nobody else gets."""
        start, end = self._start, self._start + count
        if end > len(self._buffer):
            self._buffer = os.urandom(RANDOM_BUFFER_BYTES)
            start, end = 0, count
        self._start = end
        return self._buffer[start:end]


class _Known(NamedTuple):
    """What was found out about a key. refusal: why it is refused although it is a good one."""

    actor: Actor | None
    until: float
    refusal: Refusal | None = None


class _Found(NamedTuple):
    """What the store says of a key. usable_ms: for how much longer; None: without an end. at_ms: the store's time."""

    actor: Actor | None
    usable_ms: int | None
    refusal: Refusal | None
    at_ms: int


class Core:
    """The engine, the store's readers, and the keys, for any number of doors.

    configured_keys: keys that are valid only as long as they are configured, and never stored.
    trusts_everybody: every caller is the default account's operator (`--no-auth`).
    rate_limits: what a key may do in a minute. shares_limits: other nodes may count as well.
    monotonic: the seconds by which all that is remembered here is timed.
    is_leaving: whether the server is about to stop, so that nobody should wait for news any longer; whoever wires a
    server sets it.
    idempotency_keep_ms: for how long an answer is given again. keeps: how long each kind of row is kept, by its name.
    day: what holds at the Crane door.
    Whoever wires a server sets them; None: for ever.
    recovery_attempts_max: how often work is recovered before a person has to look; whoever wires a server sets it.
    sweeper, webhooks: those of this node, whoever wires a server sets them; None where none runs here.
    allows_private_webhooks: whether webhooks may lead into the operator's own networks. look_up: the addresses of a
    host, by which a webhook's URL is checked when it is made; None: only as far as the URL itself tells.
    """

    def __init__(
        self,
        store: Reader,
        engine: Engine,
        *,
        configured_keys: Mapping[str, KeyScope],
        trusts_everybody: bool,
        opens_accounts: bool,
        rate_limits: RateLimits,
        shares_limits: bool,
        follower_limits: FollowerLimits = FOLLOWER_LIMITS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._engine = engine
        self.random = RandomBytes()
        self._readers = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="holdfast-reader")
        self._known: dict[str, _Known] = {}
        self._times_forgotten = 0
        self._configured = {
            secret_sha256(key): Actor(DEFAULT_ACCOUNT, _configured_id(scope), scope)
            for key, scope in configured_keys.items()
        }
        self._trusts_everybody = trusts_everybody
        self._opens_accounts = opens_accounts
        self._monotonic = monotonic
        self._accounts_known: dict[AccountId, float] = {}
        self._used_at_ms: dict[KeyId, int] = {}
        self.limiter = RateLimiter(rate_limits, is_shared=shares_limits, now=monotonic)
        self.meters = DoorMeters()
        self.request_log = RequestLog(store, engine)
        self.session_counts = SessionCounts(store)
        self.sweeper: Sweeper | None = None
        self.webhooks: WebhookDispatcher | None = None
        self.allows_private_webhooks = False
        self.look_up: Callable[[str, int], Awaitable[list[str]]] | None = None
        self.started_at = time.monotonic()
        self.is_leaving: Callable[[], bool] = lambda: False
        self.events = EventHub(self, listen=engine.listen, limits=follower_limits)
        self.idempotency_keep_ms: int | None = DAY_MS
        self.day = DaySettings()
        self.keeps: Mapping[str, int | None] = {}
        self.recovery_attempts_max = RECOVERY_ATTEMPTS_MAX

    def execute(
        self,
        command: Command,
        actor: Actor,
        *,
        correlation_id: str,
        idempotency: Idempotency | None = None,
        is_beat: bool = False,
        weight: int = 1,
        size_bytes: int = 0,
        render: Render | None = None,
    ) -> Awaitable[Reply]:
        """Carry out a command; when the reply is there, it is durable. Raises: Refusal."""
        entropy = self.random.take(ENTROPY_BYTES)
        return self._engine.execute(
            _new(Envelope, (command, actor, entropy, correlation_id, idempotency, is_beat, weight, size_bytes, render))
        )

    async def read(self, query: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Answer a question from committed rows. Raises: Refusal."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, lambda: query(self._store, *args, **kwargs))
        except StoreUnavailable as error:
            later = (WayOut(Action.REPEAT_LATER),)
            raise Refusal(Code.UNAVAILABLE, retry_after_ms=1_000, ways_out=later) from error

    async def compute(self, function: Callable[[], T]) -> T:
        """What a function gives that takes too long for the event loop and needs no store."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def events_after(
        self, account_id: AccountId, *, after: EventCursor | None, wanted: EventFilter, limit: int
    ) -> EventPage:
        """Events of an account after a cursor. Raises: cursor_expired, unavailable."""
        return await self.read(queries.events, account_id, after=after, wanted=wanted, limit=limit)

    async def last_event_numbers(self, account_ids: list[AccountId]) -> dict[str, int]:
        """The number of the last event of each account. Raises: unavailable."""
        return await self.read(_last_event_numbers, account_ids)

    def remembered(self, key: str) -> Actor | None:
        """Whose key this is, if that was found out a moment ago: the answer of most requests, without waiting."""
        known = self._known.get(key)
        return known.actor if known is not None and self._monotonic() < known.until else None

    async def authenticate(self, key: str | None) -> Actor | None:
        """Whose key this is; None if it is nobody's, or not good any more. Raises: account_suspended."""
        if key is None:
            operator = Actor(DEFAULT_ACCOUNT, KeyId("key_none"), KeyScope.OPERATOR)
            return operator if self._trusts_everybody else None
        known = self._known.get(key)
        if known is not None and self._monotonic() < known.until:
            if known.refusal is not None:
                raise known.refusal
            return known.actor
        times_forgotten = self._times_forgotten
        actor = self._configured.get(secret_sha256(key))
        is_worth_remembering = actor is not None or is_well_formed(key)
        trusted_seconds, refusal = KEY_TRUST_SECONDS, None
        if actor is None and is_worth_remembering:
            found = await self.read(_found, key)
            actor, refusal = found.actor, found.refusal
            if found.usable_ms is not None:
                trusted_seconds = min(trusted_seconds, found.usable_ms / 1_000)
            if actor is not None:
                self._used_at_ms[actor.key_id] = found.at_ms
        if actor is None and refusal is None and self._trusts_everybody:
            return await self.authenticate(None)
        # A key that was revoked while it was being looked up must not be believed for two more seconds, and one that
        # cannot be a key must not take up room: it may be as long as a header.
        if is_worth_remembering and times_forgotten == self._times_forgotten:
            if len(self._known) >= KEYS_REMEMBERED_MAX:
                self._known.clear()
            self._known[key] = _Known(actor, self._monotonic() + trusted_seconds, refusal)
        if refusal is not None:
            raise refusal
        return actor

    def forget_keys(self) -> None:
        """Ask about every key and account anew: one was revoked, rotated, suspended or erased."""
        self._times_forgotten += 1
        self._known.clear()
        self._accounts_known.clear()

    def take_key_uses(self) -> list[KeyUse]:
        """When keys were last looked up, each as of its latest time, since this was last asked."""
        used, self._used_at_ms = self._used_at_ms, {}
        return [KeyUse(key_id, at_ms) for key_id, at_ms in used.items()]

    async def acting_for(self, actor: Actor, account_id: AccountId, *, correlation_id: str) -> Actor | None:
        """The actor in an account that the request names; None where there is none for it.

        Only an operator may act for another account; one that it names for the first time is opened.
        """
        if account_id == actor.account_id:
            return actor
        if not may(actor, KeyScope.OPERATOR):
            return None
        if self._monotonic() >= self._accounts_known.get(account_id, 0.0):
            times_forgotten = self._times_forgotten
            if not await self.read(has_account, account_id):
                if not self._opens_accounts:
                    return None
                await self.execute(OpenAccount(account_id), actor, correlation_id=correlation_id)
            if times_forgotten == self._times_forgotten:
                if len(self._accounts_known) >= KEYS_REMEMBERED_MAX:
                    self._accounts_known.clear()
                self._accounts_known[account_id] = self._monotonic() + KEY_TRUST_SECONDS
        return actor._replace(account_id=account_id)

    @property
    def engine(self) -> Engine:
        """The engine, to look at."""
        return self._engine

    @property
    def is_writable(self) -> bool:
        """Whether the engine takes commands."""
        return self._engine.is_writable

    def close(self) -> None:
        """Let the readers go."""
        self.events.close()
        self._readers.shutdown(wait=True, cancel_futures=True)


def _configured_id(scope: KeyScope) -> KeyId:
    return KeyId("key_configured" if scope == KeyScope.ADMIN else f"key_configured_{scope.value}")


def has_keys(store: Reader) -> bool:
    """Whether any key was ever made in this database."""
    return bool(store.find(Members(NEWEST_KEY, ())))


def _last_event_numbers(store: Reader, account_ids: list[AccountId]) -> dict[str, int]:
    return store.last_event_numbers(account_ids)


def _found(store: Reader, key: str) -> _Found:
    """What the store says of a key, looked up by its present secret, else by the one before its rotation."""
    sha256, now_ms = secret_sha256(key), store.service_clock()[1]
    for spec in (KEYS_BY_SECRET, KEYS_BY_PREVIOUS_SECRET):
        for found in store.find(Members(spec, (sha256,))):
            assert isinstance(found, ApiKey)
            usable_ms = usable_for_ms(found, sha256=sha256, now_ms=now_ms)
            account = store.get(Key(Account, (found.account_id,)))
            is_closed = isinstance(account, Account) and not is_there(account)
            if usable_ms == 0 or is_closed:
                continue
            if isinstance(account, Account) and account.status == AccountStatus.SUSPENDED:
                refusal = Refusal(Code.ACCOUNT_SUSPENDED, account_id=found.account_id)
                return _Found(None, usable_ms, refusal, now_ms)
            actor = Actor(found.account_id, found.id, KeyScope(found.scope), found.project_id)
            return _Found(actor, usable_ms, None, now_ms)
    return _Found(None, None, None, now_ms)
