"""Bringing a database's schema up to this release's."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from holdfast.config import sqlite_path, without_password
from holdfast.maintenance import databases
from holdfast.maintenance.backups import now_ms
from holdfast.store import postgres, sqlite_files
from holdfast.store.migrating import pending
from holdfast.store.sqlite import configure_writer
from holdfast.store.sqlite_files import Progress


class Migrated(NamedTuple):
    """The schema before and after, what was or would be applied, and where the old file was copied to."""

    schema_before: int
    schema_after: int
    migrations: tuple[str, ...]
    copied_to: Path | None
    was_applied: bool


@databases.in_own_words()
def migrate(database_url: str, *, is_dry_run: bool, on_progress: Progress) -> Migrated:
    """Bring the schema up, all or nothing; a dry run only says what that would take.

    Raises: Refused, Failed.
    """
    path = sqlite_path(database_url)
    if path is None:
        return _migrate_postgres(database_url, is_dry_run=is_dry_run)
    if is_dry_run:
        with databases.sqlite_read(path) as tables:
            return _planned("sqlite", tables.ledger(), path, is_dry_run=True)
    with databases.sqlite_locked(path), closing(sqlite_files.connect(path)) as connection:
        configure_writer(connection, path)
        applied = sqlite_files.applied_migrations(connection, path)
        databases.require_known_schema("sqlite", applied, str(path))
        plan = _planned("sqlite", applied, path, is_dry_run=False)
        sqlite_files.migrate(connection, path, now_ms=now_ms(), on_progress=on_progress)
        return plan


def _migrate_postgres(database_url: str, *, is_dry_run: bool) -> Migrated:
    with databases.connected(database_url) as connection, connection.transaction():
        # Nodes of the release before go on meanwhile. A change that waits for one of them must not make all wait.
        connection.execute(f"set local lock_timeout = {databases.LOCK_TIMEOUT_MS}".encode())
        postgres.lock_schema(connection)
        applied = postgres.applied_migrations(connection)
        databases.require_known_schema("postgres", applied, without_password(database_url))
        if not is_dry_run:
            postgres.migrate(connection, upgrades=True)
        return _planned("postgres", applied, None, is_dry_run=is_dry_run)


def _planned(dialect: str, applied: list[tuple[int, str]], path: Path | None, *, is_dry_run: bool) -> Migrated:
    lacking = pending(dialect, applied)
    copied = None
    if lacking and path is not None:
        copied = sqlite_files.schema_copy_path(path, schema=len(applied))
    names = tuple(f"{each.version:04d}_{each.name}" for each in lacking)
    return Migrated(len(applied), len(applied) + len(lacking), names, copied, not is_dry_run)
