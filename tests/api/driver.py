"""A server without a socket: the application on a real store, called directly, in a time that the test controls."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from holdfast.domain.actor import KeyScope
from holdfast.domain.rate_limits import RateLimits
from holdfast.domain.times import rfc3339
from holdfast.doors.http.app import HttpApp
from holdfast.engine.core import Core
from holdfast.engine.driver import QueueLimits
from holdfast.engine.thread import ThreadEngine
from holdfast.engine.upkeep import Upkeep
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from tests.support.description import DESCRIPTION

CONFIGURED_KEY = "configured-for-the-tests"
"""An admin key of the default account."""

LIMITS = QueueLimits()
UNLIMITED = RateLimits(0, 0)

Json = dict[str, Any]
Headers = dict[str, str | bytes]
Message = MutableMapping[str, Any]

_account_numbers = count()


class Request(NamedTuple):
    """What is asked. body: an object to send as JSON, or bytes as they are; None sends none. key: None sends none."""

    method: str
    target: str
    body: Json | bytes | None = None
    headers: Headers | None = None
    key: str | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as they arrive: lower-case names, bytes."""
        headers: Headers = {}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        if self.body is not None:
            headers |= {"content-type": "application/json", "content-length": str(len(self.content))}
        headers |= {name.lower(): value for name, value in (self.headers or {}).items()}
        return [(name.encode(), _bytes(value)) for name, value in headers.items()]


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


class Response(NamedTuple):
    """What is answered. headers: by lower-case name."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.content)

    @property
    def code(self) -> str | None:
        """The code of a problem; None where it is none."""
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return str(self.json["code"]) if is_problem else None

    @property
    def told(self) -> tuple[int, str | None]:
        """The status and the problem's code: what most tests compare."""
        return self.status, self.code

    @property
    def fields(self) -> set[str]:
        """The fields that a 422 names."""
        return {error["field"] for error in self.json["errors"]}


class Server:
    """The application and all beneath it, but no sweeper: tests sweep when they want to."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        *,
        trusts_everybody: bool = False,
        opens_accounts: bool = True,
        is_local: bool = False,
        limits: QueueLimits = LIMITS,
        rate_limits: RateLimits = UNLIMITED,
    ) -> None:
        self.store = store
        self.clock = clock
        self.caller = Caller(store, clock)
        self.engine = ThreadEngine(store, limits=limits, on_fatal=lambda: None)
        self.core = Core(
            store,
            self.engine,
            configured_keys={CONFIGURED_KEY: KeyScope.ADMIN},
            trusts_everybody=trusts_everybody,
            opens_accounts=opens_accounts,
            rate_limits=rate_limits,
            shares_limits=not store.locks_everything,
            monotonic=lambda: clock.now_ms() / 1_000,
        )
        self.upkeep = Upkeep(self.core)
        self.app = HttpApp(
            self.core,
            on_start=self._start,
            on_stop=self._stop,
            local_hosts_only=trusts_everybody,
            is_local=trusts_everybody or is_local,
        )
        self.loop = asyncio.new_event_loop()

    async def _start(self) -> None:
        self.engine.start()

    async def _stop(self) -> None:
        await self.engine.stop()
        self.core.close()

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Start and stop, as the server's lifespan does."""
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        gone = asyncio.Event()
        ready = asyncio.Event()

        async def receive() -> Message:
            message = next(messages)
            if message["type"] == "lifespan.shutdown":
                ready.set()
                await gone.wait()
            return message

        async def send(_message: Message) -> None:
            return

        life = self.loop.create_task(self.app({"type": "lifespan"}, receive, send))
        self.loop.run_until_complete(ready.wait())
        self.loop.run_until_complete(self.core.request_log.hear_clock())
        try:
            yield self
        finally:
            gone.set()
            self.loop.run_until_complete(life)
            self.loop.close()

    def call(
        self, method: str, target: str, body: Json | bytes | None = None, headers: Headers | None = None
    ) -> Response:
        """What is answered to a caller without a key, unless the headers have one."""
        return self.ask(Request(method, target, body, headers))

    def ask(self, request: Request) -> Response:
        """What is answered to a request."""
        return self.loop.run_until_complete(self.answer(request))

    def ask_all(self, requests: Sequence[Request]) -> list[Response]:
        """What is answered to requests that are all under way at once, in their order."""
        return self.together([self.answer(request) for request in requests])

    def together(self, answers: Sequence[Awaitable[Response]]) -> list[Response]:
        """Let all of these happen at once."""

        async def gathered() -> list[Response]:
            return list(await asyncio.gather(*answers))

        return self.loop.run_until_complete(gathered())

    async def answer(self, request: Request, *, receive: Callable[[], Awaitable[Message]] | None = None) -> Response:
        """What is answered. receive: where the body comes from, if not from the request."""
        raw_path, _, query = request.target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "raw_path": raw_path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": request.raw_headers,
        }
        sent: list[Message] = []
        arriving: Iterator[Message] = iter([{"type": "http.request", "body": request.content, "more_body": False}])

        async def whole() -> Message:
            # Who has said all leaves, once the answer goes on without end.
            return next(arriving, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive or whole, send)
        start, *parts = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        response = Response(start["status"], headers, b"".join(part["body"] for part in parts))
        DESCRIPTION.check(request.method, raw_path, response.status, headers, response.content)
        return response

    def flush_log(self) -> None:
        """Have the request log written, which no test waits a second for."""
        self.loop.run_until_complete(self.core.request_log.flush())

    def serve(self, for_ms: int) -> None:
        """Let time pass while a server runs; nobody sweeps."""
        self.caller.serve(for_ms)

    def sweep(self) -> None:
        """Let the sweeper pass."""
        self.caller.sweep()

    def now(self, *, plus_ms: int = 0) -> str:
        """The present as people read it, or a time relative to it."""
        return rfc3339(self.clock.now_ms() + plus_ms)

    def new_account(self) -> "Account":
        """An account of the test's own, with a key of every scope."""
        account_id = f"account-{next(_account_numbers)}"
        keys = {"configured": CONFIGURED_KEY}
        made = self.ask_all(
            [
                Request(
                    "POST", "/v1/keys", {"name": scope, "scope": scope, "account_id": account_id}, key=CONFIGURED_KEY
                )
                for scope in KeyScope
            ]
        )
        for scope, response in zip(KeyScope, made, strict=True):
            assert response.status == 201, response
            keys[scope.value] = response.json["key"]
        return Account(self, account_id, keys, {})


class Account(NamedTuple):
    """A tenant of a server. keys: by scope. ends: how far its lists were read."""

    server: Server
    id: str
    keys: dict[str, str]
    ends: dict[str, str]

    def request(
        self, method: str, target: str, body: Json | bytes | None = None, *, by: str = "agent", **headers: str
    ) -> Request:
        """A request with a key of this account; a header's name is given with `_` for `-`."""
        named: Headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return Request(method, target, body, named, self.keys[by])

    def call(
        self, method: str, target: str, body: Json | bytes | None = None, *, by: str = "agent", **headers: str
    ) -> Response:
        """What is answered to a request with a key of this account."""
        return self.server.ask(self.request(method, target, body, by=by, **headers))

    def get(self, target: str, *, by: str = "agent") -> Json:
        """What is found at a path, where something is."""
        response = self.call("GET", target, by=by)
        assert response.status == 200, response
        found: Json = response.json
        return found

    def start(self, **fields: Any) -> Json:
        """The reply to a start by `claude`, which must be accepted."""
        response = self.call("POST", "/v1/sessions", {"agent": "claude"} | fields)
        assert response.status in (200, 201), response
        started: Json = response.json
        return started

    def say(self, verb: str, session: Json, *, by: str = "agent", **fields: Any) -> Response:
        """What is answered to a holder's verb, said with the session's token unless another is given."""
        token = {"fencing_token": session["fencing_token"]} if verb != "stop" else {}
        said = {name: value for name, value in (token | fields).items() if value is not ...}
        return self.call("POST", f"/v1/sessions/{session['id']}/{verb}", said, by=by)

    def session(self, session_id: str) -> Json:
        """A session as it is read."""
        return self.get(f"/v1/sessions/{session_id}")

    def events(self, **filters: str) -> list[Json]:
        """All events of the account, in order."""
        return list(self.each("/v1/events", "after", **filters))

    def end_of_events(self) -> str:
        """The cursor behind the account's last event."""
        cursor = self.ends.get("events", "")
        while True:
            page = self.get("/v1/events?limit=200" + (f"&after={cursor}" if cursor else ""))
            if page["next_cursor"] == cursor:
                return cursor
            cursor = self.ends["events"] = page["next_cursor"]

    def each(self, path: str, cursor_name: str = "cursor", *, by: str = "admin", **query: str) -> Iterator[Json]:
        """Every row of a list, page after page."""
        cursor: str | None = None
        while True:
            given = query | ({} if cursor is None else {cursor_name: cursor})
            page = self.get(path + "?" + "&".join(f"{name}={quote(value)}" for name, value in given.items()), by=by)
            yield from page["items"]
            if page["next_cursor"] in (None, cursor) or not page["items"]:
                return
            cursor = page["next_cursor"]


def open_store(url: str, clock: FakeClock) -> Store:
    """The store that a URL names, on this clock."""
    if url.startswith("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")), clock=clock)
    return PostgresStore(url, clock=clock)


@contextmanager
def serving(url: str, clock: FakeClock, *, trusts_everybody: bool = False) -> Iterator[Server]:
    """A server on the database at a URL, for as long as the test needs it."""
    store = open_store(url, clock)
    try:
        with Server(store, clock, trusts_everybody=trusts_everybody).running() as server:
            yield server
    finally:
        store.close()
