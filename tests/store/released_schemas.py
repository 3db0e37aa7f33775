"""Databases as earlier releases left them: their migrations, and rows written down as SQL when they were released.

`released/0001.sql` goes into the tables of schema 1, `0002.sql` into those of schema 2, where there is one, and so on.
The database of schema N has the rows of all files up to N, carried along by the migrations between. A released file is
not edited.
"""

from contextlib import closing
from pathlib import Path

import apsw
import psycopg

from holdfast.config import sqlite_path
from holdfast.store.migrating import LEDGER, Migration, migrations

RELEASED = Path(__file__).parent / "released"

SCHEMAS = range(1, len(migrations("sqlite")) + 1)


def make(url: str, *, schema: int) -> None:
    """Make a database of an earlier schema, with rows in it."""
    path = sqlite_path(url)
    if path is None:
        with psycopg.connect(url) as connection:
            for statement in _statements("postgres", schema):
                connection.execute(statement.encode())
        return
    with closing(apsw.Connection(str(path))) as opened:
        opened.execute("pragma journal_mode = wal")
        opened.execute("begin exclusive")
        for statement in _statements("sqlite", schema):
            opened.execute(statement)
        opened.execute("commit")
    path.chmod(0o600)


def _statements(dialect: str, schema: int) -> list[str]:
    statements = [LEDGER.format(integer="integer" if dialect == "sqlite" else "bigint")]
    for migration in migrations(dialect)[:schema]:
        statements += [migration.sql, _line(migration)]
        rows = RELEASED / f"{migration.version:04d}.sql"
        if rows.exists():
            statements.append(rows.read_text(encoding="utf-8"))
    return statements


def _line(migration: Migration) -> str:
    values = f"({migration.version}, '{migration.name}', '{migration.sha256}', 0)"
    return f"insert into schema_migration (version, name, sha256, applied_at_ms) values {values}"
