"""Tables of either dialect as plain rows: read in the order of their keys, written, counted, and summed up.

A row is a tuple of texts, whole numbers and nulls, as SQLite keeps it; a boolean is 0 or 1. So the same rows have the
same checksum wherever they lie. What tables there are is read from the database, not from `commands.rows`: a backup
leaves nothing out because somebody forgot to name it.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import apsw
import msgspec
import psycopg

from holdfast.domain.service_time import ServiceState
from holdfast.maintenance.refusals import Failed
from holdfast.store.migrating import Migration, migrations
from holdfast.store.postgres import applied_migrations as postgres_ledger
from holdfast.store.sqlite_files import LEDGER_TABLE, MANIFEST_TABLE, Progress, apply

Values = tuple[Any, ...]

ROWS_AT_A_TIME = 2_000
"""Rows fetched or written together: a few hundred kilobytes."""

PROGRESS_ROWS = 20_000
"""Rows after which progress is told."""

STATE_COLUMNS = ", ".join(ServiceState._fields)


class TableShape(NamedTuple):
    """A table, its columns in order, and those that make its key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


class Contents(NamedTuple):
    """How many rows a table has, and the SHA-256 over all of them in the order of their keys."""

    rows: int
    sha256: str


class Tables(Protocol):
    """A database's tables, within one transaction that its caller began."""

    def rows(self, shape: TableShape) -> Iterator[Values]:
        """Every row, in the order of the keys."""
        ...

    def replace(self, shape: TableShape, rows: Iterable[Values]) -> None:
        """Have the table hold these rows and no other."""
        ...

    def query(self, text: str) -> list[Values]:
        """What a statement finds that both dialects understand."""
        ...

    def ledger(self) -> list[tuple[int, str]]:
        """The migrations that were applied, as pairs of version and SHA-256."""
        ...


class SqliteTables:
    """The tables of a SQLite file."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def shapes(self) -> list[TableShape]:
        """All tables but the ledger and a backup's manifest."""
        found = [name for (name,) in self.query("select name from sqlite_schema where type = 'table' order by name")]
        others = (LEDGER_TABLE, MANIFEST_TABLE)
        return [self._shape(name) for name in found if name not in others and not name.startswith("sqlite_")]

    def _shape(self, name: str) -> TableShape:
        described = self.query(f"select name, pk from pragma_table_info('{name}') order by cid")
        columns = tuple(column for column, _ in described)
        key = tuple(column for column, position in sorted(described, key=lambda each: each[1]) if position)
        return TableShape(name, columns, key or columns)

    def rows(self, shape: TableShape) -> Iterator[Values]:
        """Every row, in the order of the keys."""
        return iter(self.connection.execute(f"select {_names(shape.columns)} from {_name(shape.name)} {_order(shape)}"))

    def replace(self, shape: TableShape, rows: Iterable[Values]) -> None:
        """Have the table hold these rows and no other."""
        self.connection.execute(f"delete from {_name(shape.name)}")
        places = ", ".join("?" * len(shape.columns))
        self.connection.executemany(
            f"insert into {_name(shape.name)} ({_names(shape.columns)}) values ({places})", rows
        )

    def query(self, text: str) -> list[Values]:
        """What a statement finds."""
        return list(self.connection.execute(text))

    def ledger(self) -> list[tuple[int, str]]:
        """The migrations that were applied."""
        return [(version, sha256) for version, sha256 in self.query(_LEDGER)]


class PostgresTables:
    """The tables of a PostgreSQL database, as far as they are the ones of a SQLite file with the same schema."""

    def __init__(self, connection: "psycopg.Connection[Values]") -> None:
        self.connection = connection

    def rows(self, shape: TableShape) -> Iterator[Values]:
        """Every row, in the order of the keys."""
        bools = self._bool_positions(shape)
        with self.connection.cursor(f"rows_of_{shape.name}") as cursor:
            cursor.itersize = ROWS_AT_A_TIME
            for row in cursor.execute(
                _text(f"select {_names(shape.columns)} from {_name(shape.name)} {_order(shape)}")
            ):
                yield _without_bools(row, bools) if bools else row

    def replace(self, shape: TableShape, rows: Iterable[Values]) -> None:
        """Have the table hold these rows and no other, and let its sequences go on above them."""
        self.connection.execute(_text(f"delete from {_name(shape.name)}"))
        with (
            self.connection.cursor() as cursor,
            cursor.copy(_text(f"copy {_name(shape.name)} ({_names(shape.columns)}) from stdin")) as copy,
        ):
            for row in rows:
                copy.write_row(row)
        for column in shape.columns:
            query = "select pg_get_serial_sequence(%s, %s)"
            (found,) = self.connection.execute(query, (_name(shape.name), column)).fetchall()
            if found[0] is not None:
                highest = f"select setval('{found[0]}', max({_name(column)})) from {_name(shape.name)}"
                self.connection.execute(_text(highest))

    def query(self, text: str) -> list[Values]:
        """What a statement finds."""
        return self.connection.execute(_text(text)).fetchall()

    def ledger(self) -> list[tuple[int, str]]:
        """The migrations that were applied."""
        return postgres_ledger(self.connection)

    def _bool_positions(self, shape: TableShape) -> frozenset[int]:
        found = self.connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and atttypid = 'bool'::regtype",
            (_name(shape.name),),
        ).fetchall()
        return frozenset(shape.columns.index(name) for (name,) in found if name in shape.columns)


_LEDGER = f"select version, sha256 from {LEDGER_TABLE} order by version"


def shapes_of_schema(version: int) -> list[TableShape]:
    """The tables that a schema of this release has; they have the same names in both dialects."""
    connection = apsw.Connection(":memory:")
    make_schema(connection, version, now_ms=0)
    return SqliteTables(connection).shapes()


def make_schema(connection: apsw.Connection, version: int, *, now_ms: int) -> None:
    """Make the tables of a schema in an empty file that nobody else sees yet."""
    for migration in _up_to(version):
        apply(connection, migration, now_ms=now_ms)


def _up_to(version: int) -> list[Migration]:
    return migrations("sqlite")[:version]


def copy_rows(source: Tables, target: Tables, shapes: list[TableShape], on_progress: Progress) -> dict[str, Contents]:
    """Have the target's tables hold what the source's do; what that was."""
    copied = {}
    total = count_rows(source, shapes)
    watched = _Watched("copying rows", total, on_progress)
    for shape in shapes:
        summed = _Sum()
        target.replace(shape, summed.over(watched.over(source.rows(shape))))
        copied[shape.name] = summed.contents()
    return copied


def contents(tables: Tables, shapes: list[TableShape], on_progress: Progress) -> dict[str, Contents]:
    """What the tables hold, summed up."""
    found = {}
    watched = _Watched("checking rows", count_rows(tables, shapes), on_progress)
    for shape in shapes:
        summed = _Sum()
        for _ in summed.over(watched.over(tables.rows(shape))):
            pass
        found[shape.name] = summed.contents()
    return found


def count_rows(tables: Tables, shapes: list[TableShape]) -> int:
    """How many rows the tables have together."""
    return sum(int(tables.query(f"select count(*) from {_name(shape.name)}")[0][0]) for shape in shapes)


def differences(expected: Mapping[str, Contents], found: Mapping[str, Contents]) -> list[str]:
    """In which tables two databases differ, in words."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        one, other = expected.get(name), found.get(name)
        if one is None or other is None:
            lines.append(f"the table {name} is {'not expected' if one is None else 'missing'}")
        elif one.rows != other.rows:
            lines.append(f"{name} has {other.rows} rows instead of {one.rows}")
        elif one.sha256 != other.sha256:
            lines.append(f"rows of {name} differ")
    return lines


def service_state(tables: Tables) -> ServiceState:
    """The database's one row about itself. Raises: Failed where it is gone."""
    found = tables.query(f"select {STATE_COLUMNS} from service_state where id = 1")
    if not found:
        raise Failed("broken", "The database has lost its row about itself. `holdfast restore` makes one of a backup.")
    return ServiceState(*found[0])


def highest_token(tables: Tables) -> int:
    """The highest token that this database knows to have been issued, or not to be issued any more."""
    found = tables.query("select max(last_token) from scope union all select token_floor from service_state")
    return max(int(token or 0) for (token,) in found)


def holds_something(tables: Tables) -> bool:
    """Whether anybody has kept anything here; a database that was only just made has no account yet."""
    return any(tables.query(f"select 1 from {name} limit 1") for name in ("account", "api_key", "session", "event"))


class _Sum:
    """Sums rows up as they pass by."""

    def __init__(self) -> None:
        self._rows = 0
        self._sha256 = hashlib.sha256()
        self._encode: Callable[[Values], bytes] = msgspec.json.Encoder().encode

    def over(self, rows: Iterable[Values]) -> Iterator[Values]:
        for row in rows:
            self._rows += 1
            self._sha256.update(self._encode(row))
            self._sha256.update(b"\n")
            yield row

    def contents(self) -> Contents:
        return Contents(self._rows, self._sha256.hexdigest())


class _Watched:
    """Tells how far it has come with all rows of all tables."""

    def __init__(self, what: str, total: int, on_progress: Progress) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def over(self, rows: Iterable[Values]) -> Iterator[Values]:
        for row in rows:
            if self._done % PROGRESS_ROWS == 0:
                self._on_progress(self._what, self._done, self._total)
            self._done += 1
            yield row


def _without_bools(row: Values, positions: frozenset[int]) -> Values:
    return tuple(
        int(value) if position in positions and value is not None else value for position, value in enumerate(row)
    )


def _order(shape: TableShape) -> str:
    return f"order by {_names(shape.key)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(_name(name) for name in names)


def _name(name: str) -> str:
    return f'"{name}"'


def _text(text: str) -> bytes:
    """A statement that was put together from names of our own tables; the driver takes those as bytes only."""
    return text.encode()
