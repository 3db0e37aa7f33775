"""Statements made from the descriptions in `commands.rows` and `commands.lists`, for both dialects.

What differs between the dialects is a placeholder, and how many rows go into one statement, which the stores see to.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import compress, count
from operator import is_not, itemgetter
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from holdfast.commands.lists import AgeSearch, ListRequest, Operator
from holdfast.commands.questions import Asked, Question
from holdfast.commands.rows import TABLES, CountSpec, Key, Row, SetSpec, Table, Value
from holdfast.commands.statistics import EventFigures, Figures, Grouping, SessionFigures, StatsAsked
from holdfast.domain.events import Event, History
from holdfast.domain.ids import ulid, ulid_at_ms
from holdfast.domain.limits import DAY_MS
from holdfast.store.port import EventPage


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
    return {name: _plain(hint) for name, hint in get_type_hints(table.row_type).items()}


def _plain(hint: Any) -> type:
    if get_origin(hint) in (Union, type(int | None)):
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
    # Most of a row is the very same object as before, which is told apart without a step of Python for each column.
    suspects = compress(count(), map(is_not, before, after))
    return tuple([position for position in suspects if before[position] != after[position]])


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


def page_query(request: ListRequest, dialect: Dialect) -> PageQuery:
    """The statements for one page of a list: one row more than asked for, so that the last page is known."""
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
            if each.operator == Operator.ONE_OF:
                words = ", ".join(f"'{word}'" for word in each.among)
                alternatives.append(f"{column} in ({words})")
                continue
            if each.operator == Operator.CONTAINS:
                alternatives.append(dialect.contains.format(column=column, value=dialect.placeholder))
            elif each.operator == Operator.AMONG:
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
def oldest_rows(search: AgeSearch, dialect: Dialect, *, is_first: bool) -> str:
    """Times and keys of rows by age: the latest time, the time and key to go on after, and the limit are bound."""
    table = TABLES[search.row_type]
    place = dialect.placeholder
    order = ", ".join((search.at, *table.key))
    absent = "".join(f" and {name} is null" for name in search.absent)
    after = "" if is_first else f" and ({order}) > ({', '.join([place] * (1 + len(table.key)))})"
    return (
        f"select {order} from {table.name} where {search.at} <= {place}{absent}{after} order by {order} limit {place}"
    )


_OPEN = "exists (select 1 from alert where alert.account_id = session.account_id and alert.rule_id = {0}"
_OPEN += " and alert.session_id = session.id)"

_MARK = "progress_mark on progress_mark.session_id = session.id"
_IS_AT = "progress_mark.progress = session.progress and progress_mark.checkpoint_count = session.checkpoint_count"

_QUESTIONS: dict[Question, tuple[str, str]] = {
    Question.LATE: (
        "",
        """session.status in ('active', 'paused') and session.due_ms > {0}
        and session.due_ms - session.lease_ms + session.heartbeat_interval_ms + session.grace_ms < {0}""",
    ),
    Question.PARKED: ("", "session.status = 'parked' and session.status_at_ms <= {0}"),
    Question.STILL: (f"join {_MARK}", f"session.status = 'active' and progress_mark.since_ms <= {{0}} and {_IS_AT}"),
    Question.MOVED: (
        f"left join {_MARK}",
        f"session.status = 'active' and session.progress is not null and not coalesce({_IS_AT}, false)",
    ),
}
"""For each question, what is joined to the sessions, and the condition."""


def candidates(asked: Asked, dialect: Dialect) -> tuple[str, list[Value]]:
    """The statement for a question, but for its limit, which is bound last, and its values."""
    joined, condition = _QUESTIONS[asked.question]
    values: list[Value] = [asked.account_id, *[asked.at_ms] * condition.count("{0}")]
    if asked.question != Question.MOVED:
        condition += f" and not {_OPEN}"
        values.append(asked.rule_id)
    if asked.project_id is not None:
        joined += " join session_profile on session_profile.id = session.id"
        condition += " and session_profile.project_id = {0}"
        values.append(asked.project_id)
    if asked.agent is not None:
        condition += " and session.agent = {0}"
        values.append(asked.agent)
    text = f"select session.id, session.progress, session.checkpoint_count from session {joined}"
    text += f" where session.account_id = {{0}} and {condition} limit {{0}}"
    return text.format(dialect.placeholder), values


_GROUPS = {
    Grouping.DAY: ("session_profile.started_at_ms / 86400000", "event.recorded_at_ms / 86400000"),
    Grouping.AGENT: ("session.agent", "session.agent"),
    Grouping.PROJECT: ("session_profile.project_id", "event.project_id"),
    Grouping.ACCOUNT: ("session.account_id", "event.account_id"),
}
"""By what sessions, and events, are grouped."""

REPORTED_WITHIN_MS = 7 * DAY_MS
"""How long after its start a session may be reported and still be counted: its id is of when it was reported."""


class Statement(NamedTuple):
    """A statement and what is bound."""

    text: str
    values: tuple[Value, ...]


def nth_session(asked: StatsAsked, dialect: Dialect) -> Statement:
    """The id of the newest session that is left out; none where none is."""
    place = dialect.placeholder
    condition, values = _sessions_of(asked, dialect, first_id=f"sess_{ulid(asked.from_at_ms, 0)}")
    text = f"select session.id from session where {condition} order by session.id desc limit 1 offset {place}"
    return Statement(text, (*values, asked.sessions_max))


def nth_event(asked: StatsAsked, dialect: Dialect) -> Statement:
    """When the newest event that is left out was recorded; none where none is."""
    place = dialect.placeholder
    text = (
        f"select recorded_at_ms from event where recorded_at_ms >= {place} and recorded_at_ms < {place}"
        f" order by recorded_at_ms desc limit 1 offset {place}"
    )
    return Statement(text, (asked.from_at_ms, asked.to_at_ms, asked.events_max))


def session_figures(asked: StatsAsked, dialect: Dialect, *, first_id: str) -> Statement:
    """Figures of sessions with this id or a later one."""
    place = dialect.placeholder
    condition, values = _sessions_of(asked, dialect, first_id=first_id)
    group = _GROUPS[asked.by][0]
    duration = "session_profile.ended_at_ms - session_profile.started_at_ms"
    text = (
        f"select {group}, session.status, session.end_reason, count(*), count(session_profile.ended_at_ms),"
        f" coalesce(sum({duration}), 0), coalesce(max({duration}), 0)"
        " from session join session_profile on session_profile.id = session.id"
        f" where {condition} and session_profile.started_at_ms >= {place} and session_profile.started_at_ms < {place}"
    )
    values = (*values, asked.from_at_ms, asked.to_at_ms)
    if asked.project_id is not None:
        text += f" and session_profile.project_id = {place}"
        values = (*values, asked.project_id)
    return Statement(f"{text} group by {group}, session.status, session.end_reason", values)


def _sessions_of(asked: StatsAsked, dialect: Dialect, *, first_id: str) -> tuple[str, tuple[Value, ...]]:
    place = dialect.placeholder
    last_id = f"sess_{ulid(asked.to_at_ms + REPORTED_WITHIN_MS, 0)}"
    if asked.account_id is None:
        return f"session.id >= {place} and session.id < {place}", (first_id, last_id)
    condition = f"session.account_id = {place} and session.id >= {place} and session.id < {place}"
    return condition, (asked.account_id, first_id, last_id)


def event_figures(asked: StatsAsked, dialect: Dialect, *, from_at_ms: int) -> Statement:
    """Figures of events recorded at this time or later."""
    place = dialect.placeholder
    group = _GROUPS[asked.by][1]
    delay = "event.recorded_at_ms - event.at_ms"
    joined = " left join session on session.id = event.session_id" if asked.by == Grouping.AGENT else ""
    text = (
        f"select {group}, event.type, event.rule, count(*), coalesce(sum({delay}), 0), coalesce(max({delay}), 0),"
        f" sum(case when {delay} <= 1000 then 1 else 0 end) from event{joined}"
        f" where event.recorded_at_ms >= {place} and event.recorded_at_ms < {place}"
    )
    values: tuple[Value, ...] = (from_at_ms, asked.to_at_ms)
    for column, value in (("account_id", asked.account_id), ("project_id", asked.project_id)):
        if value is not None:
            text += f" and event.{column} = {place}"
            values = (*values, value)
    return Statement(f"{text} group by {group}, event.type, event.rule", values)


def figures(asked: StatsAsked, dialect: Dialect, run: Callable[[Statement], Sequence[Sequence[Any]]]) -> Figures:
    """All figures. run: carries out a statement."""
    oldest_id = run(nth_session(asked, dialect))
    oldest_at = run(nth_event(asked, dialect))
    # What is left out ends with this one; those that are read begin behind it.
    first_id = f"{oldest_id[0][0]}+" if oldest_id else f"sess_{ulid(asked.from_at_ms, 0)}"
    from_at_ms = int(oldest_at[0][0]) + 1 if oldest_at else asked.from_at_ms
    sessions = run(session_figures(asked, dialect, first_id=first_id))
    events = run(event_figures(asked, dialect, from_at_ms=from_at_ms))
    return Figures(
        [SessionFigures(*each[:3], *map(int, each[3:])) for each in sessions],
        [EventFigures(*each[:3], *map(int, each[3:])) for each in events],
        ulid_at_ms(oldest_id[0][0].removeprefix("sess_")) if oldest_id else None,
        from_at_ms if oldest_at else None,
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
