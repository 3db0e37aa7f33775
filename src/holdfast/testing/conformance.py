"""What every store must do, as tests: subclass `StoreConformance`, say how a store is made, and let pytest run it.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store_factory(self, tmp_path):
            return lambda clock: MyStore(tmp_path / "store", clock=clock)

Nothing here knows a dialect; what a store cannot do is skipped, and the skip says so.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest

from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.commands.keys import CreateKey
from holdfast.commands.lists import Aged, AgeSearch, Filter, ListRequest, ListSpec, Operator
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.questions import Asked, Candidate, Question
from holdfast.commands.rows import (
    TABLES,
    Count,
    CountSpec,
    Key,
    Members,
    Need,
    Row,
    SetSpec,
    Value,
    key_of,
    session_key,
)
from holdfast.commands.starts import StartSession, TakeOver, TakeOverSession
from holdfast.commands.statistics import EventFigures, Grouping, SessionFigures, StatsAsked
from holdfast.commands.sweeping import SweepSessions
from holdfast.commands.transitions import EndSession, FailSession
from holdfast.commands.view import Changes, Emitted, Purge, Reply, View
from holdfast.domain.account import Account, opened
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.alerts import Alert, ProgressMark
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.events import Data, Event, EventFilter, EventType, Happening, Rule
from holdfast.domain.ids import AccountId, AlertRuleId, Mint, SessionId, ulid
from holdfast.domain.limits import HEARTBEAT_BATCH_MAX, ID_CHARS_MAX, NAME_CHARS_MAX, SCOPE_BYTES_MAX, STATE_BYTES_MAX
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import ClientSession, EndReason, Session, SessionProfile, Status
from holdfast.engine.batch import LOAD_ROUNDS_MAX, Outcome
from holdfast.store.port import Conflict, Store
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import ADMIN, AGENT, LEASE_MS, SCOPE, start

StoreFactory = Callable[[FakeClock], Store]

OTHER = AccountId("other")

BIGINT_MAX = 2**63 - 1
BIGINT_MIN = -(2**63)

ASTRAL = "🦊𝄞\U0010fffd"
HOSTILE = "e\u0301 é ß İ ' \" \\ % _ ? $1 {0} \n\t\r\x01\x7f\u2028\ufffe" + ASTRAL
LONG = HOSTILE * 400
"""Text that a store might change: combining and composed forms, quotes, placeholders, controls, astral characters."""

WRITTEN = [row_type for row_type in TABLES if row_type not in (ServiceState, Event)]
"""Tables that are written row by row: all but the store's clock, which is there once, and events, which get numbers."""


def changes(
    *,
    inserts: Iterable[Row] = (),
    updates: Iterable[tuple[Row, Row]] = (),
    deletes: Iterable[Key] = (),
    purges: Iterable[Purge] = (),
    emitted: Iterable[Emitted] = (),
) -> Changes:
    """What a batch leaves, most of it empty."""
    return Changes(list(inserts), list(updates), list(deletes), list(purges), list(emitted))


def write(store: Store, what: Changes, *, recorded_at_ms: int = 7) -> None:
    """Save and commit, as the engine does; nothing is kept where that fails."""
    transaction = store.begin()
    try:
        transaction.clock(is_tick=False)
        transaction.save(what, recorded_at_ms=recorded_at_ms)
        transaction.commit()
    except BaseException:
        transaction.rollback()
        raise


def load(store: Store, *needs: Need) -> View:
    """A view with these rows and sets, read within a transaction."""
    view = View(Mint())
    transaction = store.begin()
    try:
        transaction.load(needs, view)
    finally:
        transaction.rollback()
    return view


@cache
def is_nullable(row_type: type[Row], column: str) -> bool:
    """Whether a column may hold nothing."""
    return type(None) in get_args(get_type_hints(row_type)[column])


@cache
def kind_of(row_type: type[Row], column: str) -> type:
    """Whether a column holds text, a number or a truth value."""
    hint = get_type_hints(row_type)[column]
    hint = next((each for each in get_args(hint) if each is not type(None)), hint)
    hint = getattr(hint, "__supertype__", hint)
    return next(kind for kind in (bool, int, str) if issubclass(hint, kind))


def row_of(row_type: type[Row], *, text: str, number: int, truth: bool, is_sparse: bool = False) -> Any:
    """A row with these values in all of its columns; a sparse one has nothing wherever it may.

    Columns that an index may cover get short texts, since every database bounds an index's entry.
    """
    table = TABLES[row_type]
    values: dict[str, Value] = {}
    for column in table.columns:
        kind = kind_of(row_type, column)
        if is_sparse and is_nullable(row_type, column):
            values[column] = None
        elif kind is str:
            is_long = column.endswith("_json") or column in ("summary", "activity", "status_note", "status_reason")
            values[column] = text if is_long else text[:40]
        else:
            values[column] = truth if kind is bool else number
    return row_type(**values)


def variants(row_type: type[Row]) -> dict[str, Row]:
    """Rows of a type that a store might get wrong."""
    return {
        "greatest": row_of(row_type, text=LONG, number=BIGINT_MAX, truth=True),
        "least": row_of(row_type, text="", number=BIGINT_MIN, truth=False),
        "sparse": row_of(row_type, text="x", number=0, truth=False, is_sparse=True),
    }


def is_same(row: Row | None, expected: Row) -> bool:
    """Whether two rows are equal, a truth value being no number."""
    return row == expected and [value is True for value in row or ()] == [value is True for value in expected]


def session_row(session_id: str, **columns: Any) -> Session:
    """A session's row, whatever a rule might say of it."""
    row: Session = row_of(Session, text="x", number=0, truth=False, is_sparse=True)
    return row._replace(id=SessionId(session_id), account_id=AccountId("default"), **columns)


def note(session_id: str, number: int) -> Checkpoint:
    """A checkpoint's row."""
    row: Checkpoint = row_of(Checkpoint, text="x", number=0, truth=False, is_sparse=True)
    return row._replace(session_id=SessionId(session_id), number=number)


def account(account_id: str, created_at_ms: int = 0) -> Account:
    """An account's row."""
    return opened(AccountId(account_id), now_ms=created_at_ms)


def happened(account_id: str, session_id: str, event_id: str, data: dict[str, Any] | None = None) -> Emitted:
    """An event that has no number yet."""
    happening = Happening(EventType.STARTED, Rule.REQUESTED, 5, data or {})
    return Emitted(event_id, session_id, account_id, None, "key_test", "correlation-1", happening)


def numbers(store: Store, account_id: str) -> list[int]:
    """The numbers of an account's events."""
    return [event.number for event in _events(store, account_id)]


def _events(store: Store, account_id: str) -> list[Event]:
    return store.events_after(AccountId(account_id), number=0, wanted=EventFilter(), limit=1_000).events


class PutThenRefused(NamedTuple):
    """A command that leaves a change and is refused."""

    account_id: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (Key(Account, (self.account_id,)),)

    def decide(self, view: View) -> Reply:
        """Nothing that may last."""
        view.put(account(self.account_id))
        happening = Happening(EventType.STARTED, Rule.REQUESTED, 5, {})
        view.emit((happening,), session_id="s", account_id="default", project_id=None)
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("everything", "is wrong"),))


class PutThenBroken(NamedTuple):
    """A command that leaves a change and then meets a bug."""

    account_id: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (Key(Account, (self.account_id,)),)

    def decide(self, view: View) -> Reply:
        """Nothing that may last."""
        view.put(account(self.account_id))
        raise RuntimeError("a bug in a command")


class PutBlindly(NamedTuple):
    """A command that makes a row without having looked whether there is one."""

    account_id: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """Nothing."""
        return ()

    def decide(self, view: View) -> Reply:
        """A row that may break a constraint."""
        view.put(account(self.account_id))
        return Reply({})


class PutIfAbsent(NamedTuple):
    """A command that makes an account where there is none."""

    account_id: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (Key(Account, (self.account_id,)),)

    def decide(self, view: View) -> Reply:
        """Whether there was one."""
        existing = view.get(Account, self.account_id)
        if existing is None:
            view.put(account(self.account_id, view.now.wall_ms))
        return Reply({"existed": existing is not None})


class FollowChain(NamedTuple):
    """A command that learns from each row which one it needs next."""

    first: str
    length: int

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The first."""
        return (Key(ClientSession, (actor.account_id, self.first)),)

    def decide(self, view: View) -> Reply:
        """Where the chain ends."""
        name = self.first
        for _ in range(self.length):
            link = view.get(ClientSession, view.actor.account_id, name)
            assert link is not None
            name = link.session_id
        return Reply({"last": name})


class StoreConformance:
    """The suite. A subclass gives the fixture `store_factory`."""

    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        """Makes a new, empty store whose wall clock is the one given."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The store's wall clock."""
        return FakeClock()

    @pytest.fixture
    def store(self, store_factory: StoreFactory, clock: FakeClock) -> Iterator[Store]:
        """A new, empty store."""
        made = store_factory(clock)
        yield made
        made.close()

    @pytest.fixture
    def caller(self, store: Store, clock: FakeClock) -> Caller:
        """Somebody who sends commands to it."""
        return Caller(store, clock)

    # Rows.

    @pytest.mark.parametrize("row_type", WRITTEN, ids=lambda row_type: row_type.__name__)
    def test_a_row_comes_back_as_it_was_written(self, store: Store, row_type: type[Row]) -> None:
        rows = variants(row_type)
        write(store, changes(inserts=rows.values()))
        view = load(store, *(key_of(row) for row in rows.values()))
        for name, row in rows.items():
            key = key_of(row)
            assert is_same(store.get(key), row), name
            assert is_same(view.get(key.row_type, *key.values), row), name

    @pytest.mark.parametrize("row_type", WRITTEN, ids=lambda row_type: row_type.__name__)
    def test_an_updated_row_comes_back_as_it_was_updated(self, store: Store, row_type: type[Row]) -> None:
        table = TABLES[row_type]
        rows = variants(row_type)
        for before in rows.values():
            write(store, changes(inserts=[before]))
            for other in rows.values():
                fields = {column: getattr(other, column) for column in table.columns if column not in table.key}
                after = before._replace(**fields)  # type: ignore[attr-defined]
                if after != before:
                    write(store, changes(updates=[(before, after)]))
                    assert is_same(store.get(key_of(before)), after)
                    write(store, changes(updates=[(after, before)]))
            write(store, changes(deletes=[key_of(before)]))

    def test_an_update_writes_only_the_columns_that_changed(self, store: Store) -> None:
        stored = session_row("s1", agent="stored", activity="stored", revision=1)
        write(store, changes(inserts=[stored]))
        known = stored._replace(agent="not what is stored", activity="nor this")
        write(store, changes(updates=[(known, known._replace(revision=2, activity=None))]))
        assert store.get(session_key(stored.id)) == stored._replace(revision=2, activity=None)

    def test_many_rows_of_many_shapes_are_written_at_once(self, store: Store) -> None:
        rows = [session_row(f"s{number:04}", revision=number) for number in range(HEARTBEAT_BATCH_MAX)]
        write(store, changes(inserts=reversed(rows)))
        shapes: list[dict[str, Any]] = [{"activity": "x"}, {"revision": -1}, {"exclusive": True, "held_scope": "y"}]
        after = [row._replace(**shapes[number % 3]) for number, row in enumerate(rows)]
        write(store, changes(updates=zip(rows, after, strict=True)))
        view = load(store, *(session_key(row.id) for row in rows))
        assert [view.get(Session, row.id) for row in rows] == after

    def test_texts_at_their_limits_can_be_written(self, store: Store) -> None:
        # Code points that no database compresses, so that the index entries are as long as they can be.
        text = "".join(chr(0x20000 + 7919 * number % 40_000) for number in range(1_000))
        scope, name, holder = text[: SCOPE_BYTES_MAX // 4], text[-NAME_CHARS_MAX:], text[:ID_CHARS_MAX]
        session = session_row("s1", scope=scope, held_scope=scope, agent=name, holder_id=holder)
        row = Scope(AccountId(holder), scope, 1, 1)
        named = ClientSession(AccountId(holder), holder, session.id)
        rows = [session._replace(account_id=AccountId(holder)), row, named]
        write(store, changes(inserts=rows))
        assert [store.get(key_of(each)) for each in rows] == rows

    def test_a_text_of_megabytes_comes_back(self, store: Store) -> None:
        row: Checkpoint = row_of(Checkpoint, text="x", number=0, truth=False, is_sparse=True)
        row = row._replace(state_json=HOSTILE * (STATE_BYTES_MAX // 8))
        write(store, changes(inserts=[row]))
        assert store.get(key_of(row)) == row

    def test_a_deleted_row_is_gone(self, store: Store) -> None:
        gone, kept = account("gone"), account("kept")
        write(store, changes(inserts=[gone, kept]))
        write(store, changes(deletes=[key_of(gone)]))
        assert [store.get(key_of(gone)), store.get(key_of(kept))] == [None, kept]
        write(store, changes(inserts=[gone]))
        assert store.get(key_of(gone)) == gone

    def test_a_purge_deletes_what_belongs_to_a_parent_and_nothing_else(self, store: Store) -> None:
        mine, others = [note("s1", 1), note("s1", 2)], [note("s2", 1)]
        write(store, changes(inserts=[*mine, *others]))
        write(store, changes(inserts=[note("s1", 3)], purges=[Purge(Checkpoint, "session_id", "s1")]))
        assert [store.get(key_of(row)) for row in (*mine, note("s1", 3))] == [None, None, None]
        assert [store.get(key_of(row)) for row in others] == others

    def test_an_unknown_key_loads_as_absent(self, store: Store) -> None:
        view = load(store, Key(Account, ("nobody",)), session_key(SessionId("")), session_key(SessionId("")))
        assert view.get(Account, "nobody") is None
        assert view.get(Session, "") is None
        assert store.get(Key(Account, ("nobody",))) is None

    def test_keys_are_compared_byte_by_byte(self, store: Store) -> None:
        names = ["e\u0301", "\u00e9", "E", "e", "e ", " e", "ﬁ", "fi", ASTRAL, "\uffff", "I", "i", "ı", "İ"]
        write(store, changes(inserts=[account(name, number) for number, name in enumerate(names)]))
        found = [store.get(Key(Account, (name,))) for name in names]
        assert found == [account(name, number) for number, name in enumerate(names)]

    def test_nothing_is_written_without_a_commit(self, store: Store) -> None:
        write(store, changes(inserts=[account("kept", 1)], emitted=[happened("default", "s1", "e1")]))
        transaction = store.begin()
        transaction.clock(is_tick=False)
        everything = changes(
            inserts=[account("new")],
            updates=[(account("kept", 1), account("kept", 2))],
            emitted=[happened("default", "s1", "e2"), happened("another", "s1", "e3")],
        )
        transaction.save(everything, recorded_at_ms=7)
        transaction.rollback()
        assert store.get(Key(Account, ("new",))) is None
        assert store.get(Key(Account, ("kept",))) == account("kept", 1)
        write(store, changes(emitted=[happened("default", "s1", "e4"), happened("another", "s1", "e5")]))
        assert (numbers(store, "default"), numbers(store, "another")) == ([1, 2], [1])

    def test_a_transaction_loads_what_was_committed_and_nothing_else(self, store: Store) -> None:
        first = session_row("s1", activity="first")
        second = first._replace(activity="second")
        key = key_of(first)

        def loaded() -> Row | None:
            return load(store, key).get(Session, "s1")

        def try_in_vain(what: Changes) -> None:
            transaction = store.begin()
            transaction.load([key], View(Mint()))
            transaction.clock(is_tick=False)
            transaction.save(what, recorded_at_ms=7)
            transaction.rollback()

        assert loaded() is None
        try_in_vain(changes(inserts=[first]))
        assert loaded() is None
        write(store, changes(inserts=[first]))
        assert loaded() == first
        try_in_vain(changes(updates=[(first, second)]))
        try_in_vain(changes(deletes=[key]))
        assert loaded() == first
        write(store, changes(updates=[(first, second)]))
        assert loaded() == second
        write(store, changes(deletes=[key]))
        assert loaded() is None
        write(store, changes(inserts=[second]))
        assert loaded() == second

    @pytest.mark.parametrize("row_type", WRITTEN, ids=lambda row_type: row_type.__name__)
    def test_a_second_row_of_one_key_is_a_conflict_and_nothing_is_written(
        self, store: Store, row_type: type[Row]
    ) -> None:
        first = row_of(row_type, text="first", number=1, truth=False)
        table = TABLES[row_type]
        fields = {column: getattr(first, column) for column in table.key}
        second = row_of(row_type, text="second", number=2, truth=True)._replace(**fields)
        write(store, changes(inserts=[first]))
        with pytest.raises(Conflict):
            write(store, changes(inserts=[account("neighbour"), second]))
        assert store.get(key_of(first)) == first
        assert store.get(Key(Account, ("neighbour",))) is None
        write(store, changes(inserts=[account("neighbour")]))

    def test_what_was_acknowledged_is_read_by_every_thread(self, store: Store) -> None:
        with ThreadPoolExecutor(4) as threads:
            for number in range(20):
                write(store, changes(inserts=[account(f"a{number}")]))
                found = list(threads.map(lambda _, key=f"a{number}": store.get(Key(Account, (key,))), range(4)))
                assert found == [account(f"a{number}")] * 4

    # Sets.

    HELD = SetSpec("held", Session, ("account_id", "held_scope", "exclusive"), order="id", limit=3)

    def test_a_set_has_the_newest_of_its_members_first(self, store: Store) -> None:
        rows = [session_row(f"s{number}", held_scope="x", exclusive=number % 2 == 0) for number in range(10)]
        strangers = [
            session_row("t1", held_scope="y", exclusive=True),
            session_row("t2", held_scope=None, exclusive=True),
            session_row("t3", held_scope="x", exclusive=True)._replace(account_id=AccountId("another")),
        ]
        write(store, changes(inserts=[*rows, *strangers]))
        for is_exclusive, expected in ((True, ["s8", "s6", "s4"]), (False, ["s9", "s7", "s5"])):
            members = Members(self.HELD, ("default", "x", is_exclusive))
            assert [row.id for row in load(store, members).members(members)] == expected
            assert [row[0] for row in store.find(members)] == expected

    def test_several_sets_are_loaded_at_once(self, store: Store) -> None:
        rows = [session_row(f"s{number}", held_scope=f"x{number % 3}", exclusive=False) for number in range(9)]
        write(store, changes(inserts=rows))
        sets = [
            Members(self.HELD, ("default", f"x{number}", is_exclusive))
            for number in range(4)
            for is_exclusive in (True, False)
        ]
        view = load(store, *sets, *(session_key(row.id) for row in rows))
        found = {members.values[1:]: [row.id for row in view.members(members)] for members in sets}
        assert found == {
            ("x0", False): ["s6", "s3", "s0"],
            ("x1", False): ["s7", "s4", "s1"],
            ("x2", False): ["s8", "s5", "s2"],
            **{(f"x{number}", True): [] for number in range(4)},
            ("x3", False): [],
        }

    def test_rows_are_counted_and_what_was_changed_since_counts_as_it_is_now(self, store: Store) -> None:
        rows = [session_row(f"s{number}", status=status) for number, status in enumerate(("active", "active", "ended"))]
        write(store, changes(inserts=[*rows, session_row("other", status="active")._replace(account_id=OTHER)]))
        live = Count(CountSpec("live", Session, ("account_id",), ("status", ("active", "paused"))), ("default",))
        assert store.count(live) == 2
        view = load(store, live, *[key_of(row) for row in rows])
        assert view.count(live) == 2
        view.put(rows[0]._replace(status=Status.ENDED))
        assert view.count(live) == 1
        view.keep()
        view.put(rows[2]._replace(status=Status.PAUSED))
        view.put(session_row("new", status="active"))
        assert view.count(live) == 3
        view.drop()
        view.delete(key_of(rows[1]))
        assert view.count(live) == 0

    def test_an_accounts_rows_are_read_by_key_from_where_the_last_reading_ended(self, store: Store) -> None:
        def note(session_id: str, number: int, account_id: AccountId) -> Checkpoint:
            row: Checkpoint = row_of(Checkpoint, text="x", number=0, truth=False, is_sparse=True)
            return row._replace(session_id=SessionId(session_id), number=number, account_id=account_id)

        mine = [note(f"s{number // 3}", number % 3, AccountId("default")) for number in range(8)]
        write(store, changes(inserts=[*reversed(mine), note("s1", 9, OTHER), note("s0", 9, OTHER)]))
        found: list[Row] = []
        while page := store.account_rows(
            Checkpoint, AccountId("default"), after=key_of(found[-1]).values if found else None, limit=3
        ):
            found += page
        assert found == mine

    def test_an_updated_row_leaves_one_set_and_joins_another(self, store: Store) -> None:
        shared, alone = (Members(self.HELD, ("default", "x", is_exclusive)) for is_exclusive in (False, True))
        row = session_row("s1", held_scope="x", exclusive=False)
        write(store, changes(inserts=[row]))
        write(store, changes(updates=[(row, row._replace(exclusive=True))]))
        assert [store.find(shared), store.find(alone)] == [[], [row._replace(exclusive=True)]]
        write(store, changes(updates=[(row._replace(exclusive=True), row._replace(exclusive=True, held_scope=None))]))
        assert [store.find(shared), store.find(alone)] == [[], []]

    # Events.

    def test_events_are_numbered_per_account_without_gaps_in_the_order_of_commits(self, store: Store) -> None:
        write(store, changes(emitted=[happened("a", "s1", "e1"), happened("b", "s2", "e2"), happened("a", "s3", "e3")]))
        write(store, changes(emitted=[happened("b", "s2", "e4")]))
        write(store, changes(emitted=[happened("a", "s1", "e5")]))
        found = {name: _events(store, name) for name in "abc"}
        assert {name: [(event.number, event.id) for event in events] for name, events in found.items()} == {
            "a": [(1, "e1"), (2, "e3"), (3, "e5")],
            "b": [(1, "e2"), (2, "e4")],
            "c": [],
        }

    def test_an_event_comes_back_as_it_was_written(self, store: Store) -> None:
        data: Data = {"text": HOSTILE, "number": 2**53 - 1, "truth": True, "nothing": None}
        happening = Happening(EventType.TAKEN_OVER, Rule.TAKEN_OVER, BIGINT_MAX, data)
        emitted = Emitted("e1", HOSTILE[:40], "default", HOSTILE[:20], HOSTILE, LONG, happening)
        write(store, changes(emitted=[emitted]), recorded_at_ms=BIGINT_MIN)
        (event,) = _events(store, "default")
        expected = Event(
            account_id=AccountId("default"),
            number=1,
            id=event.id,
            type=EventType.TAKEN_OVER,
            rule=Rule.TAKEN_OVER,
            session_id=HOSTILE[:40],
            at_ms=BIGINT_MAX,
            recorded_at_ms=BIGINT_MIN,
            actor=HOSTILE,
            correlation_id=LONG,
            data_json=event.data_json,
            project_id=HOSTILE[:20],
        )
        assert (event, event.id, json.loads(event.data_json)) == (expected, "e1", data)

    def test_events_are_read_after_a_number_by_type_session_and_project(self, store: Store) -> None:
        emitted = []
        for number, (event_type, session_id, project_id) in enumerate(
            (event_type, session_id, project_id)
            for _ in range(3)
            for event_type in (EventType.STARTED, EventType.ENDED)
            for session_id, project_id in (("s1", None), ("s2", "p2"))
        ):
            happening = Happening(event_type, Rule.REQUESTED, 5, {})
            emitted.append(Emitted(f"e{number}", session_id, "a", project_id, "key_test", "correlation-1", happening))
        write(store, changes(emitted=emitted))

        def found(number: int, limit: int, **wanted: str) -> list[int]:
            page = store.events_after(AccountId("a"), number=number, wanted=EventFilter(**wanted), limit=limit)
            return [each.number for each in page.events]

        assert found(0, 100) == list(range(1, 13))
        assert found(4, 3) == [5, 6, 7]
        assert found(12, 100) == []
        assert found(0, 100, type="session.ended") == [3, 4, 7, 8, 11, 12]
        assert found(3, 2, session_id="s1") == [5, 7]
        assert found(0, 100, type="session.started", session_id="s2") == [2, 6, 10]
        assert found(0, 100, type="session.ended", session_id="nobody") == []
        assert found(0, 100, project_id="p2", type="session.ended") == [4, 8, 12]
        assert found(0, 100, project_id="p1") == []

    def test_a_page_of_events_tells_which_there_are_at_that_instant(self, store: Store) -> None:
        def history(account_id: str) -> tuple[int, int]:
            found = store.events_after(AccountId(account_id), number=0, wanted=EventFilter(), limit=0).history
            assert found.timeline == store.service_clock()[0].timeline
            return found.first_number, found.last_number

        write(store, changes(emitted=[happened("a", "s1", f"e{number}") for number in range(5)]))
        write(store, changes(emitted=[happened("b", "s2", "e5")]))
        assert (history("a"), history("b"), history("c")) == ((1, 5), (1, 1), (1, 0))
        assert store.last_event_numbers(["a", "c"]) == {"a": 5}
        assert store.last_event_numbers(["a", "b"]) == {"a": 5, "b": 1}
        assert store.last_event_numbers([]) == {}
        write(store, changes(deletes=[Key(Event, ("a", number)) for number in (1, 2)]))
        assert history("a") == (3, 5)
        write(store, changes(deletes=[Key(Event, ("a", number)) for number in (3, 4, 5)]))
        assert (history("a"), history("b")) == ((6, 5), (1, 1))

    # What is due.

    def test_due_sessions_are_found_longest_overdue_first(self, store: Store) -> None:
        rows = [
            session_row("s1", check_due_ms=300),
            session_row("s2", check_due_ms=100),
            session_row("s3", check_due_ms=301),
            session_row("s4", check_due_ms=None),
            session_row("s5", wake_pending_at_ms=200),
            session_row("s6", wake_pending_at_ms=900),
            session_row("s7", wake_pending_at_ms=901),
            session_row("s0", check_due_ms=100),
        ]
        write(store, changes(inserts=rows))
        assert store.due_sessions(service_ms=300, wall_ms=900, limit=10) == ["s0", "s2", "s5", "s1", "s6"]
        assert store.due_sessions(service_ms=300, wall_ms=900, limit=3) == ["s0", "s2", "s5"]
        assert store.due_sessions(service_ms=99, wall_ms=199, limit=10) == []

    def test_old_rows_are_found_oldest_first_and_after_one_of_them(self, store: Store) -> None:
        rows = [
            session_row("s1", status_at_ms=300),
            session_row("s2", status_at_ms=100),
            session_row("s3", status_at_ms=301),
            session_row("s4", status_at_ms=100, held_scope="x"),
            session_row("s5", status_at_ms=100, archived_at_ms=7),
            session_row("s0", status_at_ms=100)._replace(account_id=AccountId("another")),
        ]
        write(store, changes(inserts=rows))
        search = AgeSearch(Session, "status_at_ms", absent=("held_scope", "archived_at_ms"))
        found = store.oldest(search, until_ms=300, after=None, limit=10)
        assert found == [Aged(100, session_key(SessionId(name))) for name in ("s0", "s2")] + [
            Aged(300, session_key(SessionId("s1")))
        ]
        assert store.oldest(search, until_ms=300, after=None, limit=2) == found[:2]
        assert store.oldest(search, until_ms=300, after=found[0], limit=10) == found[1:]
        assert store.oldest(search, until_ms=99, after=None, limit=10) == []
        archived = AgeSearch(Session, "archived_at_ms")
        assert store.oldest(archived, until_ms=7, after=None, limit=9) == [Aged(7, session_key(SessionId("s5")))]
        write(store, changes(emitted=[happened("a", "s1", "e1"), happened("a", "s1", "e2")]), recorded_at_ms=5)
        (first, second) = store.oldest(AgeSearch(Event, "recorded_at_ms"), until_ms=5, after=None, limit=9)
        assert (first, second) == (Aged(5, Key(Event, ("a", 1))), Aged(5, Key(Event, ("a", 2))))
        assert store.oldest(AgeSearch(Event, "recorded_at_ms"), until_ms=5, after=first, limit=9) == [second]

    def test_many_rows_of_several_tables_are_deleted_at_once(self, store: Store) -> None:
        kept = [session_row("s0"), account("a0")]
        gone = [*(session_row(f"s{number}") for number in range(1, 9)), *(account(f"a{number}") for number in (1, 2))]
        notes = [note(f"s{number}", 1) for number in range(4)]
        write(store, changes(inserts=[*kept, *gone, *notes]))
        purges = [Purge(Checkpoint, "session_id", f"s{number}") for number in (1, 2, 7)]
        write(store, changes(deletes=[key_of(row) for row in (*gone, session_row("absent"))], purges=purges))
        assert [store.get(key_of(row)) for row in (*kept, *gone)] == [*kept, *[None] * len(gone)]
        assert [store.get(key_of(row)) is None for row in notes] == [False, True, True, False]

    # Lists.

    LIST = ListSpec(
        "conformance",
        (Session, SessionProfile),
        {
            "status": (Filter("session", "status"),),
            "venture": (Filter("session_profile", "venture"),),
            "before": (Filter("session", "last_heartbeat_at_ms", Operator.BEFORE),),
            "from": (Filter("session", "last_heartbeat_at_ms", Operator.FROM),),
            "q": (
                Filter("session", "agent", Operator.CONTAINS),
                Filter("session_profile", "branch", Operator.CONTAINS),
            ),
        },
        order="id",
    )

    @pytest.fixture
    def listed(self, store: Store) -> Store:
        """A store with lists and something to list; a store without lists skips the test."""
        try:
            store.page(ListRequest(self.LIST, AccountId("default"), (), None, 1))
        except NotImplementedError as error:
            pytest.skip(f"{type(store).__name__}: {error}")
        rows: list[Row] = []
        for number in range(7):
            session = session_row(
                f"s{number}",
                status="active" if number % 2 else "ended",
                last_heartbeat_at_ms=number * 100,
                agent=["100%", "100_", "a\\b", "Ümlaut", "x", "x", "x"][number],
            )
            profile = row_of(SessionProfile, text="y", number=0, truth=False)
            fields = {"id": session.id, "account_id": session.account_id, "venture": f"v{number // 4}", "branch": None}
            rows += [session, profile._replace(**fields)]
        another = AccountId("another")
        stranger = session_row("s9", status="active", agent="x")._replace(account_id=another)
        profile = row_of(SessionProfile, text="y", number=0, truth=False)
        rows += [stranger, profile._replace(id=stranger.id, account_id=another)]
        write(store, changes(inserts=rows))
        return store

    def listed_ids(self, store: Store, *filters: tuple[str, Value], after: str | None = None, limit: int = 100) -> str:
        """The numbers of the sessions on one page, and a full stop where none follow."""
        page = store.page(ListRequest(self.LIST, AccountId("default"), filters, after, limit, with_total=True))
        for session, profile in page.rows:
            assert isinstance(session, Session)
            assert isinstance(profile, SessionProfile)
            assert session.id == profile.id
        found = "".join(str(session[0]).removeprefix("s") for session, _ in page.rows)
        return f"{found}{'.' if page.is_last else ''} of {page.total}"

    def test_a_list_has_the_rows_of_its_account_newest_first(self, listed: Store) -> None:
        assert self.listed_ids(listed) == "6543210. of 7"

    def test_a_list_is_narrowed_by_all_of_its_filters(self, listed: Store) -> None:
        assert self.listed_ids(listed, ("status", "active")) == "531. of 3"
        assert self.listed_ids(listed, ("status", "active"), ("venture", "v0")) == "31. of 2"
        assert self.listed_ids(listed, ("before", 300)) == "210. of 3"
        assert self.listed_ids(listed, ("from", 300)) == "6543. of 4"
        assert self.listed_ids(listed, ("from", 100), ("before", 300), ("status", "ended")) == "2. of 1"
        assert self.listed_ids(listed, ("status", "' or 1=1 --")) == ". of 0"

    def test_a_search_finds_its_text_as_it_stands(self, listed: Store) -> None:
        assert self.listed_ids(listed, ("q", "0%")) == "0. of 1"
        assert self.listed_ids(listed, ("q", "_")) == "1. of 1"
        assert self.listed_ids(listed, ("q", "\\")) == "2. of 1"
        assert self.listed_ids(listed, ("q", "MLAUT")) == "3. of 1"
        assert self.listed_ids(listed, ("q", "X")) == "654. of 3"

    def test_pages_are_complete_and_the_last_one_knows_it(self, listed: Store) -> None:
        assert self.listed_ids(listed, limit=3) == "654 of 7"
        assert self.listed_ids(listed, after="s4", limit=3) == "321 of 7"
        assert self.listed_ids(listed, after="s1", limit=3) == "0. of 7"
        assert self.listed_ids(listed, limit=7) == "6543210. of 7"
        assert self.listed_ids(listed, after="s3", limit=3) == "210. of 7"
        assert self.listed_ids(listed, after="s0", limit=3) == ". of 7"

    def test_a_list_can_have_the_oldest_first_and_leave_the_total_out(self, listed: Store) -> None:
        spec = self.LIST._replace(descending=False)
        page = listed.page(ListRequest(spec, AccountId("default"), (), "s1", 2))
        assert ([row[0] for row, _ in page.rows], page.is_last, page.total) == (["s2", "s3"], False, None)

    # Questions and figures.

    @pytest.fixture
    def answering(self, store: Store) -> Store:
        """A store that answers questions; one that does not skips the test."""
        try:
            store.candidates(self.asked(Question.LATE, 0), limit=1)
        except NotImplementedError as error:
            pytest.skip(f"{type(store).__name__}: {error}")
        return store

    def asked(self, question: Question, at_ms: int, **narrowed: str) -> Asked:
        """A question about the account `default`."""
        rule_id = AlertRuleId(narrowed.get("rule_id", "rule"))
        project_id, agent = narrowed.get("project_id"), narrowed.get("agent")
        return Asked(question, AccountId("default"), at_ms, rule_id, project_id, agent)

    def found(self, store: Store, question: Question, at_ms: int, **narrowed: str) -> str:
        """The numbers of the sessions that a question finds."""
        found = store.candidates(self.asked(question, at_ms, **narrowed), limit=100)
        return "".join(sorted(each.session_id.removeprefix("s") for each in found))

    def test_sessions_are_found_whose_beat_is_overdue(self, answering: Store) -> None:
        leased = {"due_ms": 1_000, "lease_ms": 900, "heartbeat_interval_ms": 300, "grace_ms": 200}
        rows = [
            session_row("s0", status="active", **leased),
            session_row("s1", status="paused", **leased),
            session_row("s2", status="stalled", **leased),
            session_row("s3", status="active", **leased)._replace(account_id=OTHER),
            session_row("s4", status="active", agent="codex", **leased),
        ]
        write(answering, changes(inserts=rows))
        found = [self.found(answering, Question.LATE, at_ms) for at_ms in (600, 601, 999, 1_000)]
        assert found == ["", "014", "014", ""]
        assert self.found(answering, Question.LATE, 700, agent="codex") == "4"
        assert len(answering.candidates(self.asked(Question.LATE, 700), limit=2)) == 2

    def test_sessions_are_found_that_are_parked_for_long_and_have_no_alert_open(self, answering: Store) -> None:
        rows: list[Row] = []
        for number in range(4):
            session = session_row(f"s{number}", status="parked", status_at_ms=number * 100)
            profile = row_of(SessionProfile, text="y", number=0, truth=False)
            about = {"id": session.id, "account_id": session.account_id, "project_id": f"p{number % 2}"}
            rows += [session, profile._replace(**about)]
        rows.append(Alert(AccountId("default"), AlertRuleId("rule"), SessionId("s1"), 1, 1))
        write(answering, changes(inserts=rows))
        assert self.found(answering, Question.PARKED, 200) == "02"
        assert self.found(answering, Question.PARKED, 200, rule_id="another") == "012"
        assert self.found(answering, Question.PARKED, 300, rule_id="another", project_id="p1") == "13"

    def test_sessions_are_found_whose_work_moved_or_stands_still(self, answering: Store) -> None:
        rows: list[Row] = []
        for number, (progress, marked) in enumerate([(5, 5), (6, 5), (7, None), (None, None)]):
            rows.append(session_row(f"s{number}", status="active", progress=progress, checkpoint_count=2))
            if marked is not None:
                rows.append(ProgressMark(SessionId(f"s{number}"), AccountId("default"), marked, 2, 400))
        write(answering, changes(inserts=rows))
        assert [self.found(answering, Question.STILL, at_ms) for at_ms in (399, 400)] == ["", "0"]
        moved = answering.candidates(self.asked(Question.MOVED, 0), limit=100)
        assert sorted(moved) == [Candidate("s1", 6, 2), Candidate("s2", 7, 2)]

    FROM_MS = 1_768_600_000_000

    def test_figures_add_up_sessions_and_events_of_a_time(self, answering: Store) -> None:
        rows: list[Row] = []
        for number, (agent, status, at_ms, ended_ms) in enumerate(
            [("a", "ended", 0, 5_000), ("a", "ended", 10, 1_010), ("b", "active", 20, None), ("b", "active", -1, None)]
        ):
            started_at_ms = self.FROM_MS + at_ms
            session = session_row(f"sess_{ulid(started_at_ms, number)}", agent=agent, status=status, end_reason=None)
            profile = row_of(SessionProfile, text="y", number=0, truth=False)
            about = {"id": session.id, "account_id": session.account_id, "project_id": "p"}
            ended_at_ms = None if ended_ms is None else self.FROM_MS + ended_ms
            rows += [session, profile._replace(**about, started_at_ms=started_at_ms, ended_at_ms=ended_at_ms)]
        emitted = [happened("default", str(rows[0][0]), f"e{number}") for number in range(3)]
        write(answering, changes(inserts=rows, emitted=emitted), recorded_at_ms=self.FROM_MS)
        to_ms = self.FROM_MS + 1_000
        asked = StatsAsked(Grouping.AGENT, AccountId("default"), None, self.FROM_MS, to_ms, 100, 100)
        figures = answering.figures(asked)
        assert sorted(figures.sessions) == [
            SessionFigures("a", "ended", None, 2, 2, 6_000, 5_000),
            SessionFigures("b", "active", None, 1, 0, 0, 0),
        ]
        delay_ms = self.FROM_MS - 5
        assert figures.events == [
            EventFigures("a", "session.started", "requested", 3, 3 * delay_ms, delay_ms, 0),
        ]
        assert (figures.sessions_from_at_ms, figures.events_from_at_ms) == (None, None)
        elsewhere = answering.figures(asked._replace(account_id=OTHER))
        assert (elsewhere.sessions, elsewhere.events) == ([], [])
        everybody = answering.figures(asked._replace(account_id=None, by=Grouping.ACCOUNT))
        assert sum(each.sessions for each in everybody.sessions) == 3
        newest = answering.figures(asked._replace(sessions_max=1, events_max=2))
        assert ([each.group for each in newest.sessions], newest.events) == (["b"], [])
        assert (newest.sessions_from_at_ms, newest.events_from_at_ms) == (self.FROM_MS + 10, self.FROM_MS + 1)

    # The clock.

    def test_a_new_store_begins_at_the_present(self, store: Store, clock: FakeClock) -> None:
        state, now_at_ms = store.service_clock()
        assert (state.last_tick_at_ms, state.paused_ms, state.token_floor) == (clock.now_ms(), 0, 0)
        assert state.timeline
        assert now_at_ms == clock.now_ms()

    def test_the_clock_is_read_anew_each_time_and_a_tick_lasts(self, store: Store, clock: FakeClock) -> None:
        transaction = store.begin()
        first, began_at_ms = transaction.clock(is_tick=False)
        clock.advance(700)
        second, now_at_ms = transaction.clock(is_tick=True)
        assert (second, now_at_ms) == (first, began_at_ms + 700)
        ticked = first._replace(last_tick_at_ms=now_at_ms, paused_ms=BIGINT_MAX, token_floor=BIGINT_MAX)
        transaction.save(changes(updates=[(first, ticked)]), recorded_at_ms=now_at_ms)
        transaction.commit()
        assert store.service_clock() == (ticked, now_at_ms)

    def test_a_wall_clock_that_was_set_is_taken_over_by_a_tick_only(self, store: Store, clock: FakeClock) -> None:
        began_at_ms = clock.now_ms()
        clock.jump(3_600_000)
        transaction = store.begin()
        assert transaction.clock(is_tick=False)[1] == began_at_ms
        assert transaction.clock(is_tick=True)[1] == began_at_ms + 3_600_000
        transaction.rollback()

    # Batches.

    def test_a_refusal_and_a_bug_discard_the_changes_of_their_own_commands_only(
        self, store: Store, caller: Caller
    ) -> None:
        outcomes = caller.do_all(
            PutIfAbsent("first"),
            PutThenRefused("refused"),
            PutIfAbsent("second"),
            PutThenBroken("broken"),
            PutIfAbsent("third"),
        )
        assert [codes(outcome) for outcome in outcomes] == [None, "validation_failed", None, "internal", None]
        found = [
            store.get(Key(Account, (name,))) is not None for name in ("first", "second", "third", "refused", "broken")
        ]
        assert found == [True, True, True, False, False]
        assert numbers(store, "default") == []

    def test_a_batch_that_is_all_refused_changes_nothing(self, store: Store, caller: Caller) -> None:
        caller.do_all(PutThenRefused("refused"), PutThenBroken("broken"))
        assert [store.get(Key(Account, (name,))) for name in ("refused", "broken")] == [None, None]

    def test_a_constraint_that_one_command_breaks_does_not_fail_its_neighbours(
        self, store: Store, caller: Caller
    ) -> None:
        caller.accepted(PutIfAbsent("taken"))
        outcomes = caller.do_all(PutIfAbsent("first"), PutBlindly("taken"), PutIfAbsent("second"))
        assert [codes(outcome) for outcome in outcomes] == [None, "busy", None]
        assert all(store.get(Key(Account, (name,))) for name in ("first", "taken", "second"))

    def test_a_batch_sees_what_its_earlier_commands_did(self, store: Store, caller: Caller) -> None:
        first, again, other, beat = caller.do_all(
            start(exclusive=True), start(exclusive=True), start(holder_id="holder-2"), PutIfAbsent("x")
        )
        assert isinstance(first, Reply)
        assert isinstance(again, Reply)
        assert (again.body["id"], again.body["outcome"]) == (first.body["id"], "resumed")
        assert again.body["fencing_token"] == first.body["fencing_token"] + 1
        assert (codes(other), codes(beat)) == ("lease_held", None)
        assert numbers(store, "default") == [1, 2]

    def test_a_set_that_is_needed_late_has_what_earlier_commands_of_the_batch_left(
        self, store: Store, caller: Caller
    ) -> None:
        old = caller.accepted(start(exclusive=True)).body
        caller.accepted(FailSession(old["id"], old["fencing_token"], "it broke"))
        newcomer, taker = caller.do_all(
            start(holder_id="holder-2"), TakeOverSession(old["id"], None, "holder-3", "it failed")
        )
        assert isinstance(newcomer, Reply)
        assert codes(taker) == "lease_held"

    def test_duplicates_in_one_batch_have_one_effect_and_one_answer(self, store: Store, caller: Caller) -> None:
        begun = caller.accepted(start()).body
        note = WriteCheckpoint(begun["id"], None, f"half of it: {HOSTILE}")
        first, second, third = caller.send([caller.wrap(note, key="key-0001") for _ in range(3)])
        assert isinstance(first, Reply)
        assert isinstance(second, Reply)
        assert (first.is_replay, second.is_replay) == (False, True)
        assert (second.body, second.created) == (first.body, first.created)
        assert third == second
        again = caller.accepted(note, key="key-0001")
        assert again == second
        session = store.get(session_key(begun["id"]))
        assert isinstance(session, Session)
        assert session.checkpoint_count == 1

    def test_a_key_that_was_used_for_another_body_is_refused(self, caller: Caller) -> None:
        caller.accepted(start(agent="claude"), key="key-0001")
        assert codes(caller.do(start(agent="codex"), key="key-0001")) == "idempotency_key_reused"

    def test_a_key_is_its_account_s_own(self, caller: Caller) -> None:
        first = caller.accepted(start(), key="key-0001")
        stranger = AGENT._replace(account_id=AccountId("another"))
        second = caller.accepted(start(), by=stranger, key="key-0001")
        assert not second.is_replay
        assert second.body["id"] != first.body["id"]

    def test_a_refusal_is_decided_anew_under_the_same_key(self, caller: Caller) -> None:
        holder = caller.accepted(start(exclusive=True)).body
        newcomer = start(holder_id="holder-2", exclusive=True)
        assert codes(caller.do(newcomer, key="key-0001")) == "lease_held"
        caller.accepted(EndSession(holder["id"], holder["fencing_token"], EndReason.COMPLETED))
        first = caller.accepted(newcomer, key="key-0001")
        assert (first.is_replay, first.body["outcome"]) == (False, "created")
        assert caller.accepted(newcomer, key="key-0001").body == first.body

    def test_a_secret_is_not_kept_for_a_repeat(self, store: Store, caller: Caller) -> None:
        command = CreateKey("ci", KeyScope.AGENT, None, bytes(32))
        reply = caller.accepted(command, by=ADMIN, key="key-0001")
        assert codes(caller.do(command, by=ADMIN, key="key-0001")) == "secret_already_shown"
        for row_type in TABLES:
            for row in store.find(Members(SetSpec("all", row_type, (), order=TABLES[row_type].key[0], limit=99), ())):
                assert reply.body["key"] not in str(row)

    def test_rows_that_lead_to_one_another_are_loaded_however_many_rounds_it_takes(
        self, store: Store, caller: Caller
    ) -> None:
        links = [
            ClientSession(AGENT.account_id, f"link{number}", SessionId(f"link{number + 1}"))
            for number in range(LOAD_ROUNDS_MAX)
        ]
        write(store, changes(inserts=links))
        first, second = caller.do_all(FollowChain("link0", LOAD_ROUNDS_MAX), PutIfAbsent("neighbour"))
        assert isinstance(first, Reply)
        assert first.body == {"last": f"link{LOAD_ROUNDS_MAX}"}
        assert codes(second) is None

    @pytest.mark.parametrize("command", [
        start(None, client_session_id="c1"),
        start(None, client_session_id="c1", exclusive=True),
        start(None, client_session_id="c1", supersede=True),
        start(SCOPE, exclusive=True, holder_id="holder-9", supersede=True, force=True, reason="everybody out"),
    ])  # fmt: skip
    def test_no_start_needs_more_rounds_than_there_are(self, caller: Caller, command: StartSession) -> None:
        caller.accepted(start(client_session_id="c1"))
        for number in range(2, 8 if command.force else 2):
            caller.accepted(start(holder_id=f"holder-{number}"))
        caller.accepted(command, by=ADMIN)

    @pytest.mark.parametrize("command", [
        start(SCOPE, client_session_id="c1"),
        start(SCOPE, holder_id="holder-9", client_session_id="c1"),
        start(None, client_session_id="c1", take_over=TakeOver("mine now")),
    ])  # fmt: skip
    def test_nor_does_one_within_a_project_in_an_account_that_has_a_limit(
        self, store: Store, caller: Caller, command: StartSession
    ) -> None:
        bound = AGENT._replace(project_id="p1")
        limited = opened(AGENT.account_id, now_ms=0)._replace(live_sessions_max=20)
        write(store, changes(inserts=[limited]))
        first = caller.accepted(start(SCOPE, client_session_id="c1"), by=bound)
        for number in range(2, 9):
            others = AGENT._replace(project_id=f"p{number}") if number % 2 else bound
            caller.accepted(start(SCOPE, holder_id=f"holder-{number}"), by=others)
        caller.accepted(WriteCheckpoint(first.body["id"], None, "half of it"), by=bound)
        caller.accepted(command, by=bound)

    def test_beats_and_a_sweep_of_more_lapsed_sessions_than_there_are_rounds_are_carried_out(
        self, caller: Caller
    ) -> None:
        ids = [SessionId(caller.accepted(start(f"scope {number}")).body["id"]) for number in range(2 * LOAD_ROUNDS_MAX)]
        caller.serve(LEASE_MS)
        swept = caller.accepted(SweepSessions(tuple(ids[: LOAD_ROUNDS_MAX + 1]))).body
        assert (swept["changed"], swept["examined"]) == (LOAD_ROUNDS_MAX + 1,) * 2
        beaten = caller.accepted(HeartbeatBatch(tuple(Heartbeat(session_id) for session_id in ids))).body
        assert [result["reactivated"] for result in beaten["results"]] == [True] * len(ids)

    def test_a_lone_beat_writes_no_event_and_is_not_moved_back(self, store: Store, caller: Caller) -> None:
        begun = caller.accepted(start()).body
        before = store.get(session_key(begun["id"]))
        assert isinstance(before, Session)
        caller.serve(5_000)
        caller.accepted(Heartbeat(begun["id"]))
        after = store.get(session_key(begun["id"]))
        assert before.due_ms is not None
        assert after == before._replace(
            due_ms=before.due_ms + 5_000, last_heartbeat_at_ms=before.last_heartbeat_at_ms + 5_000
        )
        assert numbers(store, "default") == [1]


def codes(outcome: Outcome) -> str | None:
    """The code of a refusal; None for a reply."""
    return str(outcome.code) if isinstance(outcome, Refusal) else None
