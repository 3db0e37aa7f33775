"""Statements made from the descriptions in `commands.rows` and `commands.lists`, for both dialects.

What differs between the dialects is a placeholder, and how many rows go into one statement, which the stores see to.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, Union, get_args, get_origin

from holdfast.commands.rows import TABLES, CountSpec, Key, Row, SetSpec, Table, Value
from holdfast.domain.events import Event, History
from holdfast.store.port import EventPage

if TYPE_CHECKING:
    from holdfast.commands.lists import AgeSearch, ListRequest


class Dialect(NamedTuple):
    """placeholder: one bound value. contains: an expression that is true where one text holds another.

    among: one that is true where a text is an entry of a list, which is bound as JSON.
    """

    placeholder: str
    contains: str
    among: str


SQLITE = Dialect(
    "?",
    "instr(lower({column}), lower({value})) > 0",
    "{column} in (select value from json_each({value}))",
)
POSTGRES = Dialect(
    "%s",
    "position(lower({value}) in lower({column})) > 0",
    "{column} = any (array(select jsonb_array_elements_text({value}::jsonb)))",
)


@cache
def column_types(table: Table) -> dict[str, type]:
    """The plain Python type of every column: str, int or bool, whatever it is called and whether it may be null."""
    # As the class statement evaluated them; `get_type_hints` would look for names in texts, at ten times the cost.
    return {name: _plain(hint) for name, hint in table.row_type.__annotations__.items()}


def _plain(hint: Any) -> type:
    if get_origin(hint) in (Union, UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    hint = getattr(hint, "__supertype__", hint)
    for plain in (bool, int, str):
        if issubclass(hint, plain):
            return plain
    raise TypeError(f"no column type for {hint}")


@cache
def bool_positions(table: Table) -> tuple[int, ...]:
    """Where the columns stand that SQLite gives back as 0 and 1."""
    types = column_types(table)
    return tuple(position for position, name in enumerate(table.columns) if types[name] is bool)


def columns(table: Table, *, alias: str | None = None) -> str:
    """The columns of a table, for a select."""
    return ", ".join(table.columns if alias is None else [f"{alias}.{name}" for name in table.columns])


def where_key(table: Table, dialect: Dialect) -> str:
    """The condition that names one row by its key."""
    return " and ".join(f"{name} = {dialect.placeholder}" for name in table.key)


def select_members(spec: SetSpec, dialect: Dialect) -> str:
    """The rows of one set, newest first."""
    table = TABLES[spec.row_type]
    equals = " and ".join(f"{name} = {dialect.placeholder}" for name in spec.equals) or "true"
    return f"select {columns(table)} from {table.name} where {equals} order by {spec.order} desc limit {spec.limit}"


def count_rows(spec: CountSpec, dialect: Dialect) -> str:
    """How many rows there are of what is counted: the values of `equals` are bound, then those of `among`."""
    equals = " and ".join(f"{name} = {dialect.placeholder}" for name in spec.equals)
    name, values = spec.among
    among = ", ".join([dialect.placeholder] * len(values))
    return f"select count(*) from {TABLES[spec.row_type].name} where {equals} and {name} in ({among})"


def account_rows(table: Table, dialect: Dialect, *, is_first: bool) -> str:
    """Rows that an account has in a table, by key: account, the key of the last row seen, and the limit are bound."""
    keys, place = ", ".join(table.key), dialect.placeholder
    after = "" if is_first else f" and ({keys}) > ({', '.join([place] * len(table.key))})"
    return f"select {columns(table)} from {table.name} where account_id = {place}{after} order by {keys} limit {place}"


def changed_columns(before: Row, after: Row) -> tuple[int, ...]:
    """The positions at which two versions of a row differ."""
    known = _known_differences.setdefault(type(after), [])
    for positions in known:
        if _differ_just_there(before, after, positions):
            return positions
    positions = tuple([position for position, value in enumerate(after) if value != before[position]])
    if len(known) >= DIFFERENCES_KNOWN_MAX:
        known.clear()
    known.append(positions)
    return positions


DIFFERENCES_KNOWN_MAX = 4

_known_differences: dict[type[Row], list[tuple[int, ...]]] = {}
"""By which columns rows of a type differed lately. Nearly all changes are beats, which change the same few: to see that
it is these again takes a third of the time of comparing column by column."""


def _differ_just_there(before: Row, after: Row, positions: tuple[int, ...]) -> bool:
    expected = list(before)
    for position in positions:
        value = after[position]
        if value == before[position]:
            return False
        expected[position] = value
    return expected == list(after)


@cache
def bound_values(table: Table, positions: tuple[int, ...]) -> Callable[[Row], tuple[Value, ...]]:
    """Takes from a row what `update_one` binds: the columns at these positions, then the key."""
    return itemgetter(*positions, *range(len(table.key)))


def update_one(table: Table, positions: tuple[int, ...], dialect: Dialect) -> str:
    """Write some columns of one row: the new values are bound first, then the key."""
    assignments = ", ".join(f"{table.columns[position]} = {dialect.placeholder}" for position in positions)
    return f"update {table.name} set {assignments} where {where_key(table, dialect)}"


def insert_one(table: Table, dialect: Dialect) -> str:
    """Write a new row, all columns bound in order."""
    places = ", ".join([dialect.placeholder] * len(table.columns))
    return f"insert into {table.name} ({columns(table)}) values ({places})"


def by_row_type(keys: Sequence[Key]) -> dict[type[Row], list[tuple[Value, ...]]]:
    """The values of keys by the type of their rows, each in order."""
    grouped: dict[type[Row], list[tuple[Value, ...]]] = {}
    for key in keys:
        grouped.setdefault(key.row_type, []).append(key.values)
    return {row_type: sorted(values) for row_type, values in grouped.items()}


class PageQuery(NamedTuple):
    """A list's page and its total, as statements with their values."""

    page: str
    page_values: list[Value]
    total: str
    total_values: list[Value]


def page_query(request: "ListRequest", dialect: Dialect) -> PageQuery:
    """The statements for one page of a list: one row more than asked for, so that the last page is known."""

    from holdfast.commands.lists import Operator

    spec = request.spec
    tables = [TABLES[row_type] for row_type in spec.row_types]
    first = tables[0]
    joins = "".join(f" join {table.name} on {table.name}.id = {first.name}.id" for table in tables[1:])
    conditions = ["true"] if spec.is_of_all else [f"{first.name}.account_id = {dialect.placeholder}"]
    values: list[Value] = [] if spec.is_of_all else [request.account_id]
    for name, value in request.filters:
        alternatives = []
        for each in spec.filters[name]:
            column = f"{each.table}.{each.column}"
            if each.operator in (Operator.PRESENT, Operator.ABSENT):
                alternatives.append(f"{column} {each.operator.value}")
                continue
            if each.operator == Operator.AMONG_FIXED:
                words = ", ".join(f"'{word}'" for word in each.fixed)
                alternatives.append(f"{column} in ({words})")
                continue
            if each.operator == Operator.CONTAINS:
                alternatives.append(dialect.contains.format(column=column, value=dialect.placeholder))
            elif each.operator == Operator.AMONG_GIVEN:
                alternatives.append(dialect.among.format(column=column, value=dialect.placeholder))
            else:
                alternatives.append(f"{column} {each.operator.value} {dialect.placeholder}")
            values.append(value)
        conditions.append("(" + " or ".join(alternatives) + ")")
    selected = ", ".join(columns(table, alias=table.name) for table in tables)
    where = " and ".join(conditions)
    total = f"select count(*) from {first.name}{joins} where {where}"
    page_values = list(values)
    order = f"{first.name}.{spec.order}"
    if request.after is not None:
        where += f" and {order} {'<' if spec.descending else '>'} {dialect.placeholder}"
        page_values.append(request.after)
    direction = " desc" if spec.descending else ""
    ordered = f"order by {order}{direction} limit {request.limit + 1}"
    page = f"select {selected} from {first.name}{joins} where {where} {ordered}"
    return PageQuery(page, page_values, total, values)


def split(tables: list[Table], values: Sequence[Any], make: Callable[[Table, Sequence[Any]], Row]) -> tuple[Row, ...]:
    """The rows of one joined line."""
    rows, start = [], 0
    for table in tables:
        rows.append(make(table, values[start : start + len(table.columns)]))
        start += len(table.columns)
    return tuple(rows)


@cache
def oldest_rows(search: "AgeSearch", dialect: Dialect, *, is_first: bool) -> str:
    """Times and keys of rows by age: the latest time, the time and key to go on after, and the limit are bound."""
    table = TABLES[search.row_type]
    place = dialect.placeholder
    order = ", ".join((search.at, *table.key))
    absent = "".join(f" and {name} is null" for name in search.absent)
    after = "" if is_first else f" and ({order}) > ({', '.join([place] * (1 + len(table.key)))})"
    return (
        f"select {order} from {table.name} where {search.at} <= {place}{absent}{after} order by {order} limit {place}"
    )


DUE_SESSIONS = """
select id from (
  select id, check_due_ms as due from session where check_due_ms is not null and check_due_ms <= {0}
  union all
  select id, wake_pending_at_ms from session where wake_pending_at_ms is not null and wake_pending_at_ms <= {0}
) as due_session
order by due, id
limit {0}
"""

COUNT_STATUSES = "select status, count(*) from session group by status order by status"

COUNT_OVERDUE = """
select status, count(*),
  sum(case when due_ms > {0} and due_ms - lease_ms + heartbeat_interval_ms + grace_ms < {0} then 1 else 0 end),
  sum(case when due_ms <= {0} then 1 else 0 end)
from (
  select status, due_ms, lease_ms, heartbeat_interval_ms, grace_ms from session
  where check_due_ms is not null and status in ('active', 'paused') limit {0}
) as leased
group by status order by status
"""
"""`domain.liveness`, counted where the rows are: reading a hundred thousand of them to count them would keep the
interpreter from serving. A test compares the two. Bound: the present three times, and the most rows to look at."""

NEXT_NUMBERS = """
insert into event_counter (account_id, last_number) values ({0}, {0})
on conflict (account_id) do update set last_number = event_counter.last_number + excluded.last_number
returning last_number
"""


@cache
def events_query(filters: tuple[str, ...], dialect: Dialect) -> str:
    """Events after a number, with these columns as filters, each behind the history that it was read from.

    The account is bound three times, then the number, the filters' values and the limit. There is one line at least;
    its event is null where none was found. One statement, so that what is gone by retention is not taken for absent.
    """
    table = TABLES[Event]
    place = dialect.placeholder
    narrowed = "".join(f" and {name} = {place}" for name in filters)
    return (
        "select history.timeline, history.first_number, history.last_number, page.* from (select timeline,"
        f" (select min(number) from event where account_id = {place}) as first_number,"
        f" (select last_number from event_counter where account_id = {place}) as last_number from service_state)"
        f" as history left join (select {columns(table)} from event where account_id = {place} and number > {place}"
        f"{narrowed} order by number limit {place}) as page on true order by page.number"
    )


def event_page(rows: Sequence[Sequence[Any]]) -> EventPage:
    """What an `events_query` found."""
    timeline, first_number, last_number = rows[0][:3]
    last_number = last_number or 0
    history = History(timeline, first_number or last_number + 1, last_number)
    return EventPage(history, [Event(*row[3:]) for row in rows if row[3] is not None])
