"""What the engine asks of a store, and what a store may answer other than rows.

One port, three implementations: SQLite, PostgreSQL, and plain dicts (`holdfast.testing`), which has no lists.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from holdfast.commands.rows import Count, Key, Members, Need, Row, Value
from holdfast.commands.view import Changes, View
from holdfast.domain.events import Event, EventFilter, History
from holdfast.domain.ids import AccountId
from holdfast.domain.service_time import ServiceState

if TYPE_CHECKING:
    from holdfast.commands.lists import Aged, AgeSearch, ListPage, ListRequest
    from holdfast.commands.questions import Asked, Candidate
    from holdfast.commands.statistics import Figures, StatsAsked


class Conflict(Exception):
    """Another writer was in the way; nothing was written, and the batch may be tried again."""


class StoreFull(Exception):
    """There is no room to write; nothing was written."""


class StoreUnavailable(Exception):
    """The store cannot be reached, and nothing was written."""


class CommitUnknown(Exception):
    """The store was asked to commit and did not say whether it did.

    is_fatal: it must not be written to again before it was opened anew.
    """

    def __init__(self, *, is_fatal: bool) -> None:
        super().__init__("the outcome of a commit is unknown")
        self.is_fatal = is_fatal


class SchemaMismatch(Exception):
    """The database has a schema that this release does not serve; the message says what to do."""


class StoreInUse(Exception):
    """Another process writes to this SQLite file; the message says which."""


class EventPage(NamedTuple):
    """Some events in order, and the history as it was at the instant they were read."""

    history: History
    events: list[Event]


class Transaction(Protocol):
    """One transaction of the writer. Rows that it loads stay as they are until it ends."""

    def load(self, needs: Iterable[Need], view: View) -> None:
        """Lock the rows and put them into the view, all in one pass in the order of tables and keys."""
        ...

    def clock(self, *, is_tick: bool) -> tuple[ServiceState, int]:
        """The service state and the store's wall clock (epoch ms), read now; locked if it is to be ticked."""
        ...

    def save(self, changes: Changes, *, recorded_at_ms: int) -> None:
        """Write everything, events last, numbered. Raises: Conflict, StoreFull."""
        ...

    def commit(self) -> None:
        """Make it last. Raises: Conflict, StoreFull, CommitUnknown."""
        ...

    def rollback(self) -> None:
        """Undo everything and let go of every lock."""
        ...


class Reader(Protocol):
    """What is committed in a database. Reads do not pass through the engine and may come from any thread."""

    def get(self, key: Key) -> Row | None:
        """A committed row."""
        ...

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first."""
        ...

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        ...

    def account_rows(
        self, row_type: type[Row], account_id: AccountId, *, after: tuple[Value, ...] | None, limit: int
    ) -> list[Row]:
        """Committed rows that an account has in a table which has `account_id`, by key, behind the key `after`."""
        ...

    def page(self, request: "ListRequest") -> "ListPage":
        """One page of a list."""
        ...

    def events_after(self, account_id: AccountId, *, number: int, wanted: EventFilter, limit: int) -> EventPage:
        """Events of an account with a higher number."""
        ...

    def last_event_numbers(self, account_ids: Sequence[str]) -> dict[str, int]:
        """The number of the last event of each of these accounts that has any."""
        ...

    def due_sessions(self, *, service_ms: int, wall_ms: int, limit: int) -> list[str]:
        """Ids of sessions whose next check, or whose wake, is due, longest overdue first."""
        ...

    def candidates(self, asked: "Asked", *, limit: int) -> "list[Candidate]":
        """Some of the sessions that an alert rule may be about."""
        ...

    def figures(self, asked: "StatsAsked") -> "Figures":
        """Figures of sessions and events, added up."""
        ...

    def oldest(self, search: "AgeSearch", *, until_ms: int, after: "Aged | None", limit: int) -> "list[Aged]":
        """Rows of an age search whose time is not after `until_ms`, in order, going on after one of them."""
        ...

    def count_statuses(self) -> dict[str, int]:
        """How many sessions there are of each status, in all accounts."""
        ...

    def count_overdue(self, *, service_ms: int, rows_max: int) -> dict[str, tuple[int, int, int]]:
        """Of sessions with a running lease, by status: how many were looked at, are late, and have lapsed.

        At most rows_max are looked at, in all accounts.
        """
        ...

    def service_clock(self) -> tuple[ServiceState, int]:
        """The service state and the wall clock as a reader sees them."""
        ...

    def close(self) -> None:
        """Let go of every connection and lock."""
        ...


class Writable(Protocol):
    """A database as far as a batch is concerned.

    locks_everything: a transaction keeps every other writer out from its beginning on, so further rows can be loaded
    at any time; otherwise all rows have to be locked in one pass.
    """

    locks_everything: bool

    def begin(self) -> Transaction:
        """Begin a transaction of the writer. Only ever called from one thread. Raises: StoreUnavailable."""
        ...

    def reserve_spent(self) -> AbstractContextManager[None]:
        """Let something be deleted meanwhile though there is no room to write, where the store keeps some back."""
        ...


class Store(Writable, Reader, Protocol):
    """A database that one engine writes to and any number of readers read."""
