"""Looking into a server's database past the server: what its tables hold, and whether a SQLite file is sound."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg

SESSION_TABLES = ("session", "session_profile", "scope", "checkpoint", "event", "audit")
"""Everything that a holder's write could change."""

LOCK_SECONDS_MAX = 30.0

Rows = list[tuple[Any, ...]]


def read(database_url: str, query: LiteralString, values: Sequence[object] = ()) -> Rows:
    """The committed rows that a query finds; `?` stands for a value."""
    if database_url.startswith("sqlite:"):
        with closing(_open(database_url)) as connection:
            return connection.execute(query, values).fetchall()
    with psycopg.connect(database_url, autocommit=True) as connected:
        return connected.execute(query.replace("?", "%s"), values).fetchall()


def dump(database_url: str, *, about: Sequence[str]) -> dict[str, Rows]:
    """All rows that a holder's write could change and that name one of these, in an order of their own."""
    found: dict[str, Rows] = {}
    for table in SESSION_TABLES:
        query: LiteralString = f"select * from {table}"
        rows = read(database_url, query)
        found[table] = sorted((row for row in rows if not set(about).isdisjoint(row)), key=repr)
    return found


def faults_of(database_url: str) -> list[str]:
    """What `pragma integrity_check` has to say about a SQLite file; nothing about a sound one, or a PostgreSQL."""
    if not database_url.startswith("sqlite:"):
        return []
    said = [str(line) for (line,) in read(database_url, "pragma integrity_check")]
    return [] if said == ["ok"] else said


@contextmanager
def writers_kept_out(database_url: str) -> Iterator[None]:
    """Let nobody write to any session meanwhile; readers read on."""
    if database_url.startswith("sqlite:"):
        path = database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=LOCK_SECONDS_MAX)) as connection:
            connection.execute("begin immediate")
            yield
            connection.execute("rollback")
        return
    with psycopg.connect(database_url) as connected:
        connected.execute("lock table session in exclusive mode")
        yield
        connected.rollback()


def _open(database_url: str) -> sqlite3.Connection:
    path = Path(database_url.removeprefix("sqlite:///"))
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=LOCK_SECONDS_MAX)
