"""Lists as data: from which tables, which columns, which filters, in which order. The stores make SQL of it."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.commands.rows import Key, Row, Value
from holdfast.domain.ids import AccountId


class Operator(StrEnum):
    """How a filter compares a column with a given value."""

    EQUALS = "="
    BEFORE = "<"
    FROM = ">="
    CONTAINS = "contains"
    PRESENT = "is not null"
    ABSENT = "is null"
    AMONG_GIVEN = "among"
    """One of several: the value is a list of texts, as JSON."""
    AMONG_FIXED = "in"
    """One of the filter's own words, whatever the value."""


class Filter(NamedTuple):
    """One filter that a list allows: the column it looks at, by table name, and how.

    fixed: for `AMONG_FIXED`, the words; they are written into the statement, so that it can use an index on these rows.
    """

    table: str
    column: str
    operator: Operator = Operator.EQUALS
    fixed: tuple[str, ...] = ()


class ListSpec(NamedTuple):
    """A list: row types that share the key column, allowed filters by name, and the unique column that orders it.

    row_types: joined on their first key column; the first one has `account_id`, by which every list is filtered.
    is_of_all: a list for administrators, of what belongs to no account in particular.
    """

    name: str
    row_types: tuple[type[Row], ...]
    filters: dict[str, tuple[Filter, ...]]
    order: str
    descending: bool = True
    is_of_all: bool = False


class ListRequest(NamedTuple):
    """One page that somebody asked for.

    filters: pairs of a filter's name and its value; all have to hold.
    after: the order column's value on the last row of the page before; None: from the start.
    with_total: count all rows of the filter too.
    """

    spec: ListSpec
    account_id: AccountId
    filters: tuple[tuple[str, Value], ...]
    after: Value
    limit: int
    with_total: bool = False


class ListPage(NamedTuple):
    """Rows in order, one tuple of joined rows each; `is_last`: none follow. total: None unless asked for."""

    rows: list[tuple[Row, ...]]
    is_last: bool
    total: int | None


class AgeSearch(NamedTuple):
    """Rows by how old they are, the oldest first, whatever their account.

    at: the column with their time, by which and then by their key they are indexed; rows without a time are left out.
    absent: columns in which these rows have nothing.
    """

    row_type: type[Row]
    at: str
    absent: tuple[str, ...] = ()


class Aged(NamedTuple):
    """A row that an age search found, and its time."""

    at_ms: int
    key: Key
