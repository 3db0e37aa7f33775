"""A store on plain dicts: the port's semantics and nothing else, for tests, models and simulators.

Never here: a rule about sessions. What a row may become is decided before it reaches any store.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, cast

from holdfast.commands.lists import Aged, AgeSearch, ListPage, ListRequest
from holdfast.commands.questions import Asked, Candidate
from holdfast.commands.rows import TABLES, Count, Key, Members, Need, Row, Value, key_of
from holdfast.commands.statistics import Figures, StatsAsked
from holdfast.commands.view import Changes, View
from holdfast.domain.events import Event, EventFilter, History
from holdfast.domain.ids import AccountId
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import Session
from holdfast.store.clock import ProcessClock
from holdfast.store.events import numbered
from holdfast.store.port import Conflict, EventPage
from holdfast.store.sql import changed_columns

Tables = dict[type[Row], dict[tuple[Value, ...], Row]]


class DictStore:
    """A store in memory, for one thread. It has no lists: `page` raises NotImplementedError.

    locks_everything: False makes commands name every row before they are decided, as on a store with row locks.
    """

    def __init__(self, *, clock: ProcessClock, locks_everything: bool = True) -> None:
        self.locks_everything = locks_everything
        self.tables: Tables = {row_type: {} for row_type in TABLES}
        self.last_numbers: dict[str, int] = {}
        self.tables[ServiceState][(1,)] = ServiceState(1, clock.now_ms(), 0, "dicts", 0)
        self._clock = clock

    def copy(self, *, clock: ProcessClock) -> "DictStore":
        """Another store with the same rows, on a clock of its own: to try what would happen."""
        other = DictStore(clock=clock, locks_everything=self.locks_everything)
        other.tables = {row_type: dict(rows) for row_type, rows in self.tables.items()}
        other.last_numbers = dict(self.last_numbers)
        return other

    def begin(self) -> "DictTransaction":
        """Begin a transaction."""
        return DictTransaction(self, self._clock)

    def get(self, key: Key) -> Row | None:
        """A committed row."""
        return self.tables[key.row_type].get(key.values)

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first: found by looking at every row."""
        spec, values = members
        wanted = list(zip(spec.equals, values, strict=True))
        rows = self.tables[spec.row_type].values()
        found = [row for row in rows if all(getattr(row, column) == value for column, value in wanted)]
        found.sort(key=lambda row: getattr(row, spec.order), reverse=True)
        return list(islice(found, spec.limit))

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        spec, values = count
        name, among = spec.among
        wanted = list(zip(spec.equals, values, strict=True))
        rows = [row for row in self.tables[spec.row_type].values() if getattr(row, name) in among]
        return sum(all(getattr(row, column) == value for column, value in wanted) for row in rows)

    def account_rows(
        self, row_type: type[Row], account_id: AccountId, *, after: tuple[Value, ...] | None, limit: int
    ) -> list[Row]:
        """Committed rows that an account has in a table, by key."""
        found = [
            (key, row)
            for key, row in self.tables[row_type].items()
            if getattr(row, "account_id", None) == account_id and (after is None or cast(Any, key) > after)
        ]
        return [row for _, row in sorted(found, key=lambda each: cast(Any, each[0]))[:limit]]

    def page(self, request: ListRequest) -> ListPage:
        """Not offered."""
        raise NotImplementedError("a store on dicts has no lists")

    def events_after(self, account_id: AccountId, *, number: int, wanted: EventFilter, limit: int) -> EventPage:
        """Events of an account with a higher number."""
        rows = [row for row in self.tables[Event].values() if isinstance(row, Event) and row.account_id == account_id]
        last_number = self.last_numbers.get(account_id, 0)
        first_number = min((event.number for event in rows), default=last_number + 1)
        found = [event for event in rows if event.number > number and wanted.matches(event)]
        history = History(self.service_clock()[0].timeline, first_number, last_number)
        return EventPage(history, sorted(found, key=lambda event: event.number)[:limit])

    def last_event_numbers(self, account_ids: Sequence[str]) -> dict[str, int]:
        """The number of the last event of each of these accounts that has any."""
        return {name: self.last_numbers[name] for name in account_ids if name in self.last_numbers}

    def due_sessions(self, *, service_ms: int, wall_ms: int, limit: int) -> list[str]:
        """Ids of sessions whose next check, or whose wake, is due, longest overdue first."""
        due: list[tuple[int, str]] = []
        for row in self.tables[Session].values():
            assert isinstance(row, Session)
            if row.check_due_ms is not None and row.check_due_ms <= service_ms:
                due.append((row.check_due_ms, row.id))
            if row.wake_pending_at_ms is not None and row.wake_pending_at_ms <= wall_ms:
                due.append((row.wake_pending_at_ms, row.id))
        return [session_id for _, session_id in sorted(due)[:limit]]

    def oldest(self, search: AgeSearch, *, until_ms: int, after: Aged | None, limit: int) -> list[Aged]:
        """Rows of an age search, the oldest first, going on after one of them."""
        rows = [
            Aged(getattr(row, search.at), key_of(row))
            for row in self.tables[search.row_type].values()
            if getattr(row, search.at) is not None and all(getattr(row, name) is None for name in search.absent)
        ]
        found = sorted(_place(each) for each in rows if each.at_ms <= until_ms)
        start = () if after is None else _place(after)
        return [Aged(int(place[0]), Key(search.row_type, place[1:])) for place in found if place > start][:limit]

    def candidates(self, asked: Asked, *, limit: int) -> list[Candidate]:
        """Not offered."""
        raise NotImplementedError("a store on dicts answers no questions")

    def figures(self, asked: StatsAsked) -> Figures:
        """Not offered."""
        raise NotImplementedError("a store on dicts adds nothing up")

    def count_statuses(self) -> dict[str, int]:
        """How many sessions there are of each status."""
        return dict(Counter(str(row.status) for row in self.tables[Session].values() if isinstance(row, Session)))

    def count_overdue(self, *, service_ms: int, rows_max: int) -> dict[str, tuple[int, int, int]]:
        """Not offered."""
        raise NotImplementedError("a store on dicts counts no leases")

    def service_clock(self) -> tuple[ServiceState, int]:
        """The service state and the wall clock."""
        state = self.tables[ServiceState][(1,)]
        assert isinstance(state, ServiceState)
        return state, self._clock.now_ms()

    def reserve_spent(self) -> AbstractContextManager[None]:
        """Nothing: memory has no disk."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to let go of."""


class DictTransaction:
    """One transaction: what it saves takes effect as it commits."""

    def __init__(self, store: DictStore, clock: ProcessClock) -> None:
        self._store = store
        self._clock = clock
        self._puts: list[Row] = []
        self._deletes: list[Key] = []
        self._last_numbers: dict[str, int] = {}

    def load(self, needs: Iterable[Need], view: View) -> None:
        """Put rows and sets into the view."""
        for need in needs:
            if isinstance(need, Key):
                view.add_row(need, self._store.get(need))
            elif isinstance(need, Count):
                view.add_count(need, self._store.count(need))
            else:
                view.add_members(need, self._store.find(need))

    def clock(self, *, is_tick: bool) -> tuple[ServiceState, int]:
        """The service state and the wall clock."""
        now_ms = self._clock.tick_ms() if is_tick else self._clock.now_ms()
        return self._store.service_clock()[0], now_ms

    def save(self, changes: Changes, *, recorded_at_ms: int) -> None:
        """Get everything ready to be committed. Raises: Conflict."""
        keys = [key_of(row) for row in changes.inserts]
        if len(set(keys)) < len(keys) or any(self._store.get(key) is not None for key in keys):
            raise Conflict
        self._puts += changes.inserts
        for before, after in changes.updates:
            stored = self._store.get(key_of(after))
            if stored is not None:
                self._puts.append(_with_changes(stored, before, after))
        self._deletes += changes.deletes
        for purge in changes.purges:
            rows = [*self._store.tables[purge.row_type].values(), *self._puts]
            self._deletes += [
                key_of(row) for row in rows if type(row) is purge.row_type and getattr(row, purge.column) == purge.value
            ]
        self._puts += numbered(changes.emitted, last_numbers=self._take_numbers, recorded_at_ms=recorded_at_ms)

    def _take_numbers(self, counts: Mapping[str, int]) -> dict[str, int]:
        taken = self._store.last_numbers
        self._last_numbers = {account: taken.get(account, 0) + count for account, count in counts.items()}
        return self._last_numbers

    def commit(self) -> None:
        """Let what was saved take effect."""
        tables = self._store.tables
        for row in self._puts:
            tables[type(row)][key_of(row).values] = row
        for key in self._deletes:
            tables[key.row_type].pop(key.values, None)
        self._store.last_numbers.update(self._last_numbers)

    def rollback(self) -> None:
        """Forget what was saved."""
        self._puts, self._deletes, self._last_numbers = [], [], {}


def _place(aged: Aged) -> tuple[Any, ...]:
    return (aged.at_ms, *aged.key.values)


def _with_changes(stored: Row, before: Row, after: Row) -> Row:
    """The stored row with the columns in which two versions of it differ."""
    values = list(stored)
    for position in changed_columns(before, after):
        values[position] = after[position]
    made: Row = type(stored)._make(values)  # type: ignore[attr-defined]
    return made
