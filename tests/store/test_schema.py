"""The schema as each dialect has it: it holds the rows' fields, and changes only together with its snapshot."""

from pathlib import Path

import apsw
import psycopg
import pytest

from holdfast.commands.rows import TABLES, Table
from holdfast.config import sqlite_path
from holdfast.store.migrating import migrations
from holdfast.store.postgres import PostgresStore
from holdfast.store.sql import column_types
from holdfast.store.sqlite import SqliteStore

SNAPSHOTS = Path(__file__).parent / "schema"

PLAIN_TYPES = {
    "sqlite": {str: "text", int: "integer", bool: "integer"},
    "postgres": {str: "text", int: "bigint", bool: "boolean"},
}

POSTGRES_LINES = """
select 'column ' || table_name || ' ' || lpad(ordinal_position::text, 2, '0') || ' ' || column_name || ' ' || data_type
  || case when is_nullable = 'NO' then ' not null' else '' end || coalesce(' collate ' || collation_name, '')
from information_schema.columns where table_schema = 'public'
union all
select 'index ' || indexdef from pg_indexes where schemaname = 'public'
order by 1
"""


def _sqlite_lines(url: str) -> list[str]:
    path = sqlite_path(url)
    assert path is not None
    SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    found = connection.execute("select type, name, sql from sqlite_master where sql is not null order by type, name")
    return [f"{kind} {name}: {' '.join(sql.split())}" for kind, name, sql in found]


def _postgres_lines(url: str) -> list[str]:
    PostgresStore(url).close()
    with psycopg.connect(url) as connection:
        return [line for (line,) in connection.execute(POSTGRES_LINES)]


def _compare(lines: list[str], name: str) -> None:
    """A changed schema takes a new migration, and a snapshot renewed by deleting it and running this test."""
    snapshot = SNAPSHOTS / f"{name}.txt"
    text = "\n".join(lines) + "\n"
    if not snapshot.exists():
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(text, encoding="utf-8")
        pytest.fail(f"{snapshot.name} was missing and has been written; look at it and commit it")
    assert text == snapshot.read_text(encoding="utf-8")


def test_the_sqlite_schema_is_its_snapshot(sqlite_url: str) -> None:
    _compare(_sqlite_lines(sqlite_url), "sqlite")


def test_the_postgres_schema_is_its_snapshot(postgres_url: str) -> None:
    _compare(_postgres_lines(postgres_url), "postgres")


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_row_has_the_fields_that_its_table_has_columns(table: Table, sqlite_url: str, postgres_url: str) -> None:
    path = sqlite_path(sqlite_url)
    assert path is not None
    SqliteStore(path).close()
    PostgresStore(postgres_url).close()
    types = column_types(table)
    described = apsw.Connection(str(path)).execute(f"select name, type from pragma_table_info('{table.name}')")
    assert [(name, kind.lower()) for name, kind in described] == [
        (name, PLAIN_TYPES["sqlite"][types[name]]) for name in table.columns
    ]
    query = (
        "select column_name, data_type from information_schema.columns where table_name = %s order by ordinal_position"
    )
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(query, (table.name,)).fetchall() == [
            (name, PLAIN_TYPES["postgres"][types[name]]) for name in table.columns
        ]


BEFORE_PROJECTS = """
insert into event
  (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json)
values ('a', 1, 'e1', 't', 'r', 's1', 0, 0, 'k', 'c', '{}'), ('a', 2, 'e2', 't', 'r', 's2', 0, 0, 'k', 'c', '{}'),
  ('a', 3, 'e3', 't', 'r', 'gone', 0, 0, 'k', 'c', '{}')
"""
PROFILES = """
insert into session_profile
  (id, account_id, preset, project_id, started_at_ms, late, reported_late, key_id, correlation_id)
values ('s1', 'a', 'p', 'project-1', 0, {false}, {false}, 'k', 'c'),
  ('s2', 'a', 'p', null, 0, {false}, {false}, 'k', 'c')
"""
PROJECTS = "select id, project_id from event order by number"


def test_events_of_before_get_the_project_of_their_session(postgres_url: str) -> None:
    sqlite = apsw.Connection(":memory:")
    first, second, *_ = migrations("sqlite")
    for statement in (first.sql, BEFORE_PROJECTS, PROFILES.format(false="0"), second.sql):
        sqlite.execute(statement)
    with psycopg.connect(postgres_url) as postgres:
        first, second, *_ = migrations("postgres")
        for statement in (first.sql, BEFORE_PROJECTS, PROFILES.format(false="false"), second.sql):
            postgres.execute(statement)
        found = postgres.execute(PROJECTS).fetchall()
    assert list(sqlite.execute(PROJECTS)) == found == [("e1", "project-1"), ("e2", None), ("e3", None)]
