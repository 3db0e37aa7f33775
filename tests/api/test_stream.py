"""The event stream: what each client of it is sent, from where on, and when it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import pytest

from holdfast.commands.rows import Key
from holdfast.commands.view import Changes
from holdfast.domain.events import Event
from holdfast.engine import event_hub
from holdfast.engine.event_hub import FollowerLimits
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Message, Request, serving
from tests.api.test_events import a_life

PATIENCE_SECONDS: Final = 30.0
T = TypeVar("T")


class Block(NamedTuple):
    """One block of a stream: its fields by name, comments under an empty one."""

    fields: dict[str, str]

    @property
    def event(self) -> Json:
        """The event that it carries."""
        found: Json = json.loads(self.fields["data"])
        return found


class Stream:
    """A client of a stream. It reads as fast as it is sent to, unless it is told to `pause`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_over = False
        self.content = b""
        self._text = ""
        self._has_more = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._gone = asyncio.Event()
        self._has_body = False

    def pause(self) -> None:
        """Take nothing more for now."""
        self._reads.clear()

    def resume(self) -> None:
        """Take again what is sent."""
        self._reads.set()

    def go(self) -> None:
        """Leave."""
        self._gone.set()

    async def receive(self) -> Message:
        """The request's body, and then word that the client is gone."""
        if not self._has_body:
            self._has_body = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer, once the client reads."""
        await self._reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.content += message["body"]
            self._text += message["body"].decode()
            self.is_over = not message.get("more_body", False)
        self._has_more.set()

    async def next(self) -> Block:
        """The next block."""
        while "\n\n" not in self._text:
            assert not self.is_over, self.content
            self._has_more.clear()
            await self._has_more.wait()
        block, _, self._text = self._text.partition("\n\n")
        return Block(dict(_field(line) for line in block.split("\n")))

    async def events(self, count: int) -> list[Json]:
        """So many events, as they come; blocks that only move the cursor are passed over."""
        found: list[Json] = []
        while len(found) < count:
            block = await self.next()
            if "data" in block.fields:
                assert block.fields["id"] == block.event["cursor"]
                assert block.fields["event"] == block.event["type"]
                found.append(block.event)
        return found

    async def end(self) -> None:
        """Return once it is over."""
        while not self.is_over:
            self._has_more.clear()
            await self._has_more.wait()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value


@asynccontextmanager
async def streaming(
    account: Account, query: str = "", *, last_event_id: str | None = None, by: str = "read"
) -> AsyncIterator[Stream]:
    """A stream that is open, or was refused."""
    request = account.request("GET", f"/v1/events/stream{query}", by=by)
    if last_event_id is not None:
        request = request._replace(headers={"last-event-id": last_event_id})
    raw_path, _, query_string = request.target.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "raw_path": raw_path.encode(),
        "query_string": query_string.encode(), "headers": request.raw_headers,
    }  # fmt: skip
    stream = Stream()
    task = asyncio.ensure_future(account.server.app(scope, stream.receive, stream.send))
    try:
        while not (stream.status and stream.content):
            stream._has_more.clear()
            await stream._has_more.wait()
        yield stream
    finally:
        stream.go()
        stream.resume()
        await task


def run(account: Account, scenario: Callable[[], Awaitable[T]]) -> T:
    """Let a scenario happen on the server's loop."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await scenario()

    return account.server.loop.run_until_complete(bounded())


async def start(account: Account, **fields: Any) -> Json:
    """Start a session while streams are open."""
    response = await account.server.answer(account.request("POST", "/v1/sessions", {"agent": "claude"} | fields))
    assert response.status == 201, response
    started: Json = response.json
    return started


def test_a_stream_tells_each_event_as_the_list_has_it_from_the_present_on(account: Account) -> None:
    a_life(account)
    end = account.end_of_events()

    async def scenario() -> list[Json]:
        async with streaming(account) as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
            assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
            opening = (await stream.next()).fields
            assert 1_000 <= int(opening["retry"]) < 3_000
            assert opening.keys() == {"retry", "id"}
            assert opening["id"] == end
            for number in range(3):
                await start(account, scope=f"scope {number}")
            return await stream.events(3)

    told = run(account, scenario)
    assert told == account.get(f"/v1/events?after={end}")["items"]
    assert len(told) == 3


def test_a_stream_goes_on_after_any_cursor_by_header_or_query_and_the_header_is_stronger(account: Account) -> None:
    a_life(account)
    whole = account.events()

    async def scenario() -> None:
        async with streaming(account, "?after=start") as stream:
            assert await stream.events(len(whole)) == whole
        for position, event in enumerate(whole[:-1]):
            rest = whole[position + 1 :]
            async with streaming(account, last_event_id=event["cursor"]) as stream:
                assert (await stream.next()).fields["id"] == event["cursor"]
                assert await stream.events(len(rest)) == rest
        async with streaming(account, f"?after={whole[0]['cursor']}", last_event_id=whole[-2]["cursor"]) as stream:
            assert await stream.events(1) == whole[-1:]
        async with streaming(account, f"?after={whole[-2]['cursor']}", last_event_id="") as stream:
            assert await stream.events(1) == whole[-1:]

    run(account, scenario)


@pytest.mark.parametrize("filters", [
    {"type": "session.started"}, {"session_id": ""}, {"project_id": "p1"}, {"project_id": "p2", "session_id": ""},
    {"project_id": "p1", "type": "session.paused"}, {"type": "session.ended", "session_id": "", "project_id": "p1"},
])  # fmt: skip
def test_list_and_stream_are_narrowed_alike(filters: dict[str, str], account: Account) -> None:
    watched = account.start(scope={"project_id": "p1", "track": "0"})
    filters = {name: value or watched["id"] for name, value in filters.items()}
    query = "&".join(f"{name}={value}" for name, value in filters.items())

    async def say(verb: str, session: Json) -> None:
        told = {"fencing_token": session["fencing_token"]}
        request = account.request("POST", f"/v1/sessions/{session['id']}/{verb}", told)
        assert (await account.server.answer(request)).status == 200

    async def scenario() -> bytes:
        async with streaming(account, f"?after=start&{query}") as early, streaming(account) as all_of_it:
            sessions = [watched, await start(account, scope={"project_id": "p2"}), await start(account)]
            for session in sessions:
                for verb in ("pause", "end"):
                    await say(verb, session)
            await all_of_it.events(8)
            response = await account.server.answer(account.request("GET", f"/v1/events?limit=200&{query}"))
            listed: list[Json] = response.json["items"]
            assert await early.events(len(listed)) == listed
            async with streaming(account, f"?after=start&{query}") as late:
                assert await late.events(len(listed)) == listed
            return early.content

    content = run(account, scenario)
    assert content.count(b"data: ") == len(account.events(**filters))
    everything = account.events()
    wanted = [event for event in everything if all(event[name] == value for name, value in filters.items())]
    assert account.events(**filters) == wanted


@pytest.mark.parametrize("cursor", [
    "x", "====", "é", "\x7f", "%00", "A" * 1_999, "W10", "bnVsbA", "WyJ4Iiwx", "WzEsMV0", "WyJ0IiwtMV0", "WyJ0IiwiMSJd",
    "W1siYSJdLDFd", "Wy0xLDk5OTk5OTk5OTk5OTk5OTk5OTk5OTldXQ",
])  # fmt: skip
def test_a_cursor_that_is_none_is_refused(cursor: str, account: Account) -> None:
    request = Request(
        "GET", "/v1/events/stream", None, {"last-event-id": cursor.encode("latin-1")}, account.keys["read"]
    )
    assert account.server.ask(request).told == (422, "cursor_invalid")


def test_a_cursor_past_what_the_query_takes_is_refused(account: Account) -> None:
    assert account.call("GET", f"/v1/events/stream?after={'A' * 2_001}").fields == {"after"}
    assert account.call("GET", "/v1/events/stream?limit=5").fields == {"limit"}


def test_a_cursor_of_another_history_or_from_before_what_is_kept_is_gone(account: Account, sqlite_url: str) -> None:
    for _ in range(3):
        account.start()
    whole = account.events()
    with serving(sqlite_url, FakeClock()) as elsewhere:
        there = elsewhere.new_account()
        there.start()
        foreign = there.end_of_events()
    store = account.server.store
    transaction = store.begin()
    transaction.clock(is_tick=False)
    gone = [Key(Event, (account.id, number)) for number in (1, 2)]
    transaction.save(Changes([], [], gone, [], []), recorded_at_ms=0)
    transaction.commit()
    ahead = _cursor_ahead(whole[-1]["cursor"])
    for cursor in (foreign, whole[0]["cursor"], ahead):
        request = account.request("GET", "/v1/events/stream", last_event_id=cursor)
        assert account.server.ask(request).told == (410, "cursor_expired")
        assert account.call("GET", f"/v1/events?after={cursor}").told == (410, "cursor_expired")
    assert account.get(f"/v1/events?after={whole[1]['cursor']}")["items"] == whole[2:]
    assert account.get("/v1/events?after=start")["items"] == account.events() == whole[2:]

    async def scenario() -> None:
        async with streaming(account, last_event_id=whole[1]["cursor"]) as stream:
            assert await stream.events(1) == whole[2:]

    run(account, scenario)


def _cursor_ahead(cursor: str) -> str:
    from holdfast.doors.http.native.paging import decoded, encoded

    timeline, number = decoded(cursor, length=2)
    assert isinstance(number, int)
    return encoded([timeline, number + 1])


def test_nobody_hears_of_another_account(account: Account, other: Account) -> None:
    async def scenario() -> None:
        async with streaming(account) as stream, streaming(other) as theirs:
            await start(other)
            await start(account, scope="mine")
            assert [event["data"]["scope"] for event in await stream.events(1)] == ["mine"]
            assert len(await theirs.events(1)) == 1
            assert stream.content.count(b"data: ") == 1

    run(account, scenario)


def test_a_crowd_shares_one_reader_and_one_encoding(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    core = account.server.core
    reads = 0
    read = core.events_after

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*args, **kwargs)

    async def scenario() -> list[list[Json]]:
        nonlocal reads
        opened = [streaming(account) for _ in range(40)]
        streams = [await each.__aenter__() for each in opened]
        assert core.events.followers == 40
        monkeypatch.setattr(core, "events_after", counted)
        for number in range(5):
            await start(account, scope=f"scope {number}")
        found = [await stream.events(5) for stream in streams]
        assert 1 <= reads <= 5
        for each in opened:
            await each.__aexit__(None, None, None)
        return found

    told = run(account, scenario)
    assert told == [account.events()] * 40
    assert core.events.followers == 0


def test_a_slow_reader_misses_nothing_and_holds_nobody_up(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "RING_EVENTS_MAX", 4)
    monkeypatch.setattr(event_hub, "TAKEN_EVENTS_MAX", 3)
    hub = account.server.core.events
    before = hub.counts["caught_up"]

    async def scenario() -> tuple[list[Json], list[Json]]:
        async with streaming(account) as slow, streaming(account) as quick:
            slow.pause()
            told = []
            for number in range(30):
                await start(account, scope=f"scope {number}")
                told += await quick.events(1)
            assert slow.content.count(b"data: ") == 0
            slow.resume()
            return told, await slow.events(30)

    quick, slow = run(account, scenario)
    assert quick == slow == account.events()
    assert hub.counts["caught_up"] > before


def test_streams_end_where_events_are_gone_that_nobody_has_read_and_go_on_from_their_cursor(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = account.server.core
    read = core.last_event_numbers
    held = asyncio.Event()

    async def held_up(account_ids: Any) -> dict[str, int]:
        await held.wait()
        return await read(account_ids)

    def delete(*numbers: int) -> None:
        transaction = account.server.store.begin()
        transaction.clock(is_tick=False)
        gone = [Key(Event, (account.id, number)) for number in numbers]
        transaction.save(Changes([], [], gone, [], []), recorded_at_ms=0)
        transaction.commit()

    async def scenario() -> list[Json]:
        monkeypatch.setattr(core, "last_event_numbers", held_up)
        async with streaming(account) as stream:
            cursor = (await stream.next()).fields["id"]
            for number in range(4):
                await start(account, scope=f"scope {number}")
            delete(2)
            held.set()
            await stream.end()
            assert stream.content.count(b"data: ") == 0
        async with streaming(account, last_event_id=cursor) as stream:
            found = await stream.events(3)
            await start(account, scope="one more")
            return found + await stream.events(1)

    assert run(account, scenario) == account.events()


def test_a_client_that_leaves_is_followed_up_by_nobody(account: Account) -> None:
    hub = account.server.core.events

    async def scenario() -> None:
        async with streaming(account) as stream:
            assert hub.followers == 1
            await start(account)
            await stream.events(1)
        assert hub.followers == 0

    run(account, scenario)


def test_streams_end_in_good_order_when_the_server_stops(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with streaming(account) as stream:
            await start(account)
            await stream.events(1)
            waiting = asyncio.ensure_future(
                account.server.answer(
                    account.request("GET", "/v1/events?after=start&type=session.ended&wait_seconds=60")
                )
            )
            monkeypatch.setattr(account.server.core, "is_leaving", lambda: True)
            await stream.end()
            assert stream.content.endswith(b"\n\n")
            assert (await waiting).json["items"] == []

    run(account, scenario)


def test_a_stream_ends_when_its_key_is_revoked_and_others_go_on(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "RECHECK_SECONDS", 0.01)
    key = account.call("POST", "/v1/keys", {"name": "short-lived", "scope": "read"}, by="admin").json
    short_lived = Account(account.server, account.id, {"read": key["key"]}, {})

    async def scenario() -> None:
        async with streaming(short_lived) as revoked, streaming(account) as stream:
            assert (
                await account.server.answer(account.request("DELETE", f"/v1/keys/{key['id']}", by="admin"))
            ).status == 200
            await revoked.end()
            await start(account)
            await stream.events(1)
            assert not stream.is_over
            assert revoked.content.count(b"data: ") == 0

    run(account, scenario)


def test_one_who_hears_nothing_is_told_so_and_how_far_nothing_was(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "KEEP_ALIVE_SECONDS", 0.02)
    monkeypatch.setattr(event_hub, "TEND_SECONDS", 0.0)
    monkeypatch.setattr(event_hub, "POLL_SECONDS", 0.01)

    async def scenario() -> str:
        async with streaming(account, "?type=session.ended") as stream:
            await stream.next()
            while b"\n:\n" not in stream.content:
                stream._has_more.clear()
                await stream._has_more.wait()
            await start(account)
            block = await stream.next()
            assert block.fields.keys() - {":"} == {"id"}
            return block.fields["id"]

    assert run(account, scenario) == account.end_of_events()


def test_only_so_many_may_follow(account: Account, other: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = account.server.core.events
    monkeypatch.setattr(hub, "limits", FollowerLimits(on_node=4, of_account=3, of_key=2))
    too_many = (429, "too_many_streams")

    async def refused(who: Account, by: str) -> bool:
        stream = await who.server.answer(who.request("GET", "/v1/events/stream", by=by))
        poll = await who.server.answer(who.request("GET", "/v1/events?wait_seconds=60&type=session.ended", by=by))
        assert stream.headers["retry-after"] == "5"
        return stream.told == poll.told == too_many

    async def scenario() -> None:
        async with streaming(account), streaming(account):
            assert await refused(account, "read")
            async with streaming(account, by="agent"):
                assert await refused(account, "agent")
                async with streaming(other):
                    assert await refused(other, "read")
                async with streaming(other):
                    pass
            async with streaming(account, by="agent"):
                pass

    run(account, scenario)
    assert hub.followers == 0
    assert hub.counts["refused"] >= 6


def test_who_may_not_read_may_not_follow(account: Account) -> None:
    assert account.server.call("GET", "/v1/events/stream").told == (401, "unauthorized")
    forged = Request("GET", "/v1/events/stream", key=account.keys["read"], headers={"x-account-id": "another"})
    assert account.server.ask(forged).told == (404, "not_found")


def test_another_node_s_events_are_heard(postgres_url: str) -> None:
    clock = FakeClock()
    with serving(postgres_url, clock) as here, serving(postgres_url, clock) as there:
        mine = here.new_account()
        theirs = Account(there, mine.id, mine.keys, {})

        async def opened() -> tuple[Any, Stream]:
            context = streaming(mine)
            return context, await context.__aenter__()

        context, stream = run(mine, opened)
        started = theirs.start()
        (told,) = run(mine, lambda: stream.events(1))
        run(mine, lambda: context.__aexit__(None, None, None))
        assert told["session_id"] == started["id"]
