"""Backups: one moment of a database of either kind, as a SQLite file with a manifest.

Whatever it was made from, a backup is a Holdfast database in one SQLite file, with a table that says when it was made,
by which release, and what each table held. So it can be restored to either kind, and be looked into with any SQLite.
"""

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from holdfast import __version__
from holdfast.config import sqlite_path
from holdfast.maintenance import databases
from holdfast.maintenance.invariants import broken_invariants
from holdfast.maintenance.refusals import Failed, Refused
from holdfast.maintenance.tables import (
    Contents,
    SqliteTables,
    contents,
    copy_rows,
    differences,
    make_schema,
)
from holdfast.store.migrating import pending
from holdfast.store.sqlite_files import (
    MANIFEST_TABLE,
    SIDE_FILES,
    Damaged,
    Progress,
    applied_migrations,
    connect_to_read,
    copy,
    integrity_faults,
    is_backup,
)


class Manifest(NamedTuple):
    """What a backup says of itself."""

    made_at_ms: int
    release: str
    dialect: str
    schema: int
    timeline: str
    tables: dict[str, Contents]


class Checked(NamedTuple):
    """A backup that was found whole.

    manifest: None for a plain copy of a database, which has no checksums. broken: what does not hold of its rows, and
    did not when they were backed up.
    """

    path: Path
    schema: int
    rows: int
    manifest: Manifest | None
    broken: tuple[str, ...] = ()


@databases.in_own_words()
def back_up(database_url: str, path: Path, *, is_forced: bool, on_progress: Progress) -> Checked:
    """Write a backup of what is committed now; servers may go on meanwhile.

    Raises: Refused, Failed.
    """
    require_free_name(path, database_url, is_forced=is_forced)
    if (source_path := sqlite_path(database_url)) is not None:
        databases.require_database(source_path)
    manifests: list[Manifest] = []

    def write_manifest(connection: apsw.Connection, dialect: str) -> None:
        manifests.append(_write_manifest(connection, path, dialect, on_progress))

    def require_free() -> None:
        require_free_name(path, database_url, is_forced=is_forced)

    write_file(database_url, path, fill=write_manifest, before_replacing=require_free, on_progress=on_progress)
    (manifest,) = manifests
    return Checked(path, manifest.schema, sum(each.rows for each in manifest.tables.values()), manifest)


def write_file(
    database_url: str,
    path: Path,
    *,
    fill: Callable[[apsw.Connection, str], None] = lambda _connection, _dialect: None,
    before_replacing: Callable[[], None] = lambda: None,
    on_progress: Progress,
) -> None:
    """Write one moment of a database into a SQLite file of the same schema, which appears when it is whole.

    fill: what is changed in it before, told the kind of the source.
    """
    source_path = sqlite_path(database_url)
    try:
        if source_path is not None:
            with databases.sqlite_read(source_path) as source:
                source.connection.execute("rollback")
                copy(
                    source.connection,
                    path,
                    fill=lambda connection: fill(connection, "sqlite"),
                    before_replacing=before_replacing,
                    on_progress=on_progress,
                )
            return

        def fill_from_postgres(connection: apsw.Connection) -> None:
            with databases.postgres_read(database_url) as tables, connection:
                make_schema(connection, len(tables.ledger()), now_ms=now_ms())
                target = SqliteTables(connection)
                copied = copy_rows(tables, target, target.shapes(), on_progress)
                if faults := differences(copied, contents(target, target.shapes(), on_progress)):
                    raise Damaged(f"The copy is not what was read: {faults[0]}.")
            fill(connection, "postgres")

        copy(None, path, fill=fill_from_postgres, before_replacing=before_replacing, on_progress=on_progress)
    except Damaged as error:
        raise Failed("damaged", f"{error} `holdfast doctor --full` examines the database.") from error


@databases.in_own_words()
def check(path: Path, *, on_progress: Progress) -> Checked:
    """Read a whole backup, and find that it is what was written. Raises: Refused, Failed."""
    if not path.is_file():
        raise Refused("not_found", f"There is no file {path}.", is_passing=False)
    try:
        with closing(connect_to_read(path)) as connection:
            return _check(connection, path, on_progress)
    except apsw.CantOpenError as error:
        raise Refused("unreadable", f"{path} cannot be opened: {error}.", is_passing=False) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise Failed("damaged", f"{path} is damaged, or no backup: {error}. Take another one.") from error


def _check(connection: apsw.Connection, path: Path, on_progress: Progress) -> Checked:
    connection.execute("begin")
    on_progress("checking the file", 0, 1)
    if faults := integrity_faults(connection, is_full=True):
        raise Failed("damaged", f"{path} is damaged: {faults[0]}. Take another backup.")
    applied = applied_migrations(connection, path)
    databases.require_known_schema("sqlite", applied, str(path))
    tables = SqliteTables(connection)
    shapes = tables.shapes()
    found = contents(tables, shapes, on_progress)
    manifest = read_manifest(connection)
    if manifest is not None and (faults := differences(manifest.tables, found)):
        raise Failed("damaged", f"{path} is not what was written: {faults[0]}. Take another backup.")
    broken = () if pending("sqlite", applied) else tuple(str(each) for each in broken_invariants(tables))
    return Checked(path, len(applied), sum(each.rows for each in found.values()), manifest, broken)


def read_manifest(connection: apsw.Connection) -> Manifest | None:
    """What a backup says of itself; None where the file is no backup."""
    if not is_backup(connection):
        return None
    ((text,),) = connection.execute(f"select manifest_json from {MANIFEST_TABLE}").fetchall()
    found: dict[str, Any] = json.loads(str(text))
    tables = {name: Contents(**each) for name, each in found.pop("tables").items()}
    return Manifest(**found, tables=tables)


def _write_manifest(connection: apsw.Connection, path: Path, dialect: str, on_progress: Progress) -> Manifest:
    tables = SqliteTables(connection)
    manifest = Manifest(
        made_at_ms=now_ms(),
        release=__version__,
        dialect=dialect,
        schema=len(applied_migrations(connection, path)),
        timeline="".join(timeline for (timeline,) in tables.query("select timeline from service_state")),
        tables=contents(tables, tables.shapes(), on_progress),
    )
    document = manifest._asdict() | {"tables": {name: each._asdict() for name, each in manifest.tables.items()}}
    with connection:
        connection.execute(f"create table {MANIFEST_TABLE} (manifest_json text not null) strict")
        connection.execute(f"insert into {MANIFEST_TABLE} (manifest_json) values (?)", (json.dumps(document),))
    return manifest


def require_free_name(path: Path, database_url: str, *, is_forced: bool) -> None:
    """Raises: Refused where writing to this name would destroy something."""
    source = sqlite_path(database_url)
    if not path.parent.is_dir():
        raise Refused("not_found", f"There is no directory {path.parent}.", is_passing=False)
    if not path.exists():
        return
    if not path.is_file() or (source is not None and source.exists() and path.samefile(source)):
        raise Refused("file_exists", f"{path} is not a file that can be replaced. Choose another name.")
    if any(path.with_name(path.name + suffix).exists() for suffix in SIDE_FILES):
        raise Refused("file_exists", f"{path} is a database that somebody uses. Choose another name.")
    if not is_forced:
        raise Refused("file_exists", f"{path} is there already. Choose another name, or replace it with --force.")


def now_ms() -> int:
    """The present, by this machine."""
    return time.time_ns() // 1_000_000
