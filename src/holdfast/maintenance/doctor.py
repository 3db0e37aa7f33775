"""What is right and wrong with a database and where it lies, in plain words.

Every check says what it found, and where something is wrong, what to do. Nothing is changed, but for a small file that
is written beside a SQLite database to see how fast the disk is.
"""

import fcntl
import os
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from holdfast.config import sqlite_path, without_password
from holdfast.domain.limits import MINUTE_MS, SECOND_MS
from holdfast.maintenance import databases
from holdfast.maintenance.backups import now_ms
from holdfast.maintenance.invariants import broken_invariants
from holdfast.maintenance.refusals import Failed, Refused
from holdfast.maintenance.tables import PostgresTables, SqliteTables, Tables
from holdfast.store.migrating import migrations, pending
from holdfast.store.port import SchemaMismatch
from holdfast.store.sqlite_files import (
    NETWORK_FILE_SYSTEMS,
    PARTIAL,
    Progress,
    applied_migrations,
    connect_to_read,
    file_system,
    integrity_faults,
    is_backup,
    lock_path,
    reserve_path,
)

DISK_BYTES_MIN = 64 * 1024 * 1024
"""Below this a log that grows for a moment may fill the disk."""

SYNCS = 20
SYNC_MS_MAX = 20.0
"""A disk that takes longer for a sync, in the median, bounds every commit by it."""

CLOCK_DIFFERENCE_MS_MAX = 1_000
"""Nodes whose clocks are further apart from the database's give times to people that do not fit together."""

POSTGRES_VERSION_MIN = 140_000

CONNECTIONS_SHARE_MAX = 0.8


class Health(StrEnum):
    """`note`: worth knowing, and nothing to do about. `warning`: not wrong yet. `wrong`: do something."""

    FINE = "fine"
    NOTE = "note"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """What one check found."""

    check: str
    health: Health
    message: str


Findings = Iterator[Finding]


def examine(database_url: str, *, is_full: bool, on_progress: Progress) -> list[Finding]:
    """Look at everything. A check that itself fails is a finding too."""
    path = sqlite_path(database_url)
    checks = _sqlite_checks(path, is_full, on_progress) if path is not None else _postgres_checks(database_url)
    found: list[Finding] = []
    for name, check in checks:
        on_progress(f"checking {name}", 0, 1)
        try:
            with databases.in_own_words():
                found += check()
        except (Refused, Failed) as error:
            found.append(Finding(name, Health.WRONG, str(error)))
            if name in ("file", "server"):
                break
    return found


Checks = list[tuple[str, Callable[[], Findings]]]


# SQLite.


def _sqlite_checks(path: Path, is_full: bool, on_progress: Progress) -> Checks:
    return [
        ("file", lambda: _file(path)),
        ("lock", lambda: _lock(path)),
        ("disk", lambda: _disk(path)),
        ("left_overs", lambda: _left_overs(path)),
        ("integrity", lambda: _integrity(path, is_full=is_full)),
        ("rows", lambda: _sqlite_rows(path)),
    ]


def _file(path: Path) -> Findings:
    databases.require_file(path)
    about = path.stat()
    mode = stat.S_IMODE(about.st_mode)
    if mode & 0o077:
        yield Finding(
            "file", Health.WRONG, f"Others on this machine may open {path} (mode {mode:04o}). Run `chmod 600 {path}`."
        )
    elif not os.access(path, os.R_OK | os.W_OK):
        yield Finding("file", Health.WRONG, f"This user may not write to {path}. Run as its owner.")
    else:
        yield Finding("file", Health.FINE, f"{path} ({_size(about.st_size)}) is its owner's alone.")
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > max(DISK_BYTES_MIN, about.st_size):
        message = f"The log beside it has {_size(log.stat().st_size)}: something reads for very long. Find and stop it."
        yield Finding("file", Health.WARNING, message)


def _lock(path: Path) -> Findings:
    lock = lock_path(path)
    if not lock.exists():
        yield Finding("lock", Health.NOTE, "No server was ever started on it.")
        return
    with lock.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = opened.read(32).decode(errors="replace").strip()
            yield Finding("lock", Health.FINE, f"Served by process {holder}.")
            return
    yield Finding("lock", Health.NOTE, "No server has it open now.")


def _disk(path: Path) -> Findings:
    usage = shutil.disk_usage(path.parent)
    size = path.stat().st_size
    if usage.free < DISK_BYTES_MIN:
        yield Finding("disk", Health.WRONG, f"Only {_size(usage.free)} are free beside {path}. Make room.")
    elif usage.free < size + DISK_BYTES_MIN:
        message = f"{_size(usage.free)} are free: not enough to copy the database before its next migration."
        yield Finding("disk", Health.WARNING, message)
    else:
        yield Finding("disk", Health.FINE, f"{_size(usage.free)} are free.")
    if not reserve_path(path).exists():
        yield Finding(
            "disk", Health.NOTE, "Nothing is kept back for deleting on a full disk; the next start does that."
        )
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        message = (
            f"It lies on a network's file system ({kind}), where locks and syncs may not hold. Move it to a disk of "
            "this machine, or use PostgreSQL."
        )
        yield Finding("disk", Health.WARNING, message)
    median_ms, longest_ms = _sync_ms(path.parent)
    message = f"A sync takes {median_ms:.1f} ms, the longest of {SYNCS} took {longest_ms:.1f} ms."
    if median_ms > SYNC_MS_MAX:
        yield Finding("disk", Health.WARNING, f"{message} Every commit waits for one: use a faster disk.")
    else:
        yield Finding("disk", Health.FINE, message)


def _sync_ms(directory: Path) -> tuple[float, float]:
    took = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".holdfast-doctor-") as file:
        for _ in range(SYNCS):
            began = time.monotonic()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            took.append((time.monotonic() - began) * SECOND_MS)
    return statistics.median(took), max(took)


def _left_overs(path: Path) -> Findings:
    copies = sorted([*path.parent.glob(f"{path.name}.schema-*"), *path.parent.glob(f"{path.name}.replaced-*")])
    copies = [each for each in copies if not each.name.endswith(PARTIAL)]
    if copies:
        total = sum(each.stat().st_size for each in copies)
        names = ", ".join(each.name for each in copies)
        message = (
            f"Copies from before a migration or a restore take {_size(total)}: {names}. Delete what you do not need."
        )
        yield Finding("left_overs", Health.NOTE, message)
    partial = path.with_name(path.name + PARTIAL)
    if partial.exists():
        message = f"{partial} is what a killed restore or copy left, unless one runs now. It may be deleted."
        yield Finding("left_overs", Health.NOTE, message)


def _integrity(path: Path, *, is_full: bool) -> Findings:
    connection = connect_to_read(path)
    try:
        faults = integrity_faults(connection, is_full=is_full)
    finally:
        connection.close()
    if faults:
        message = f"The file is damaged: {faults[0]} ({len(faults)} faults). Stop the server and restore a backup."
        yield Finding("integrity", Health.WRONG, message)
    else:
        how = "all pages and indexes" if is_full else "all pages; `--full` checks indexes too"
        yield Finding("integrity", Health.FINE, f"The file is sound ({how}).")


def _sqlite_rows(path: Path) -> Findings:
    connection = connect_to_read(path)
    try:
        connection.execute("begin")
        if is_backup(connection):
            message = "This is a backup. `holdfast restore` makes a database of it; `holdfast mark-restored` in place."
            yield Finding("schema", Health.WRONG, message)
        tables = SqliteTables(connection)
        yield from _rows(tables, "sqlite", applied_migrations(connection, path), now_at_ms=now_ms())
    finally:
        connection.close()


# PostgreSQL.


def _postgres_checks(database_url: str) -> Checks:
    return [("server", lambda: _postgres_server(database_url)), ("rows", lambda: _postgres_rows(database_url))]


def _postgres_server(database_url: str) -> Findings:
    with databases.connected(database_url) as connection:
        tables = PostgresTables(connection)
        before_ms = now_ms()
        there_ms = databases.postgres_now_ms(connection)
        here_ms = (before_ms + now_ms()) // 2
        settings = {str(name): str(value) for name, value in tables.query("select name, setting from pg_settings")}
        version = settings["server_version"]
        shown = without_password(database_url)
        if int(settings["server_version_num"]) < POSTGRES_VERSION_MIN:
            yield Finding("server", Health.WRONG, f"{shown} is PostgreSQL {version}. Holdfast needs 14 or later.")
        else:
            yield Finding("server", Health.FINE, f"{shown} answers; it is PostgreSQL {version}.")
        yield from _postgres_settings(settings)
        yield from _postgres_connections(tables, int(settings["max_connections"]))
        difference_ms = abs(there_ms - here_ms)
        message = f"Its clock and this machine's are {difference_ms} ms apart."
        if difference_ms > CLOCK_DIFFERENCE_MS_MAX:
            message += " Leases go by the database's alone; set both by NTP all the same."
            yield Finding("clock", Health.WARNING, message)
        else:
            yield Finding("clock", Health.FINE, message)


def _postgres_settings(settings: dict[str, str]) -> Findings:
    lost = [name for name in ("fsync", "full_page_writes") if settings[name] != "on"]
    if lost:
        message = f"{' and '.join(lost)} is off: a crash of its machine loses or breaks data. Turn it on."
        yield Finding("settings", Health.WRONG, message)
    if settings["server_encoding"] != "UTF8":
        message = f"Its encoding is {settings['server_encoding']}; texts need UTF8. Make a database with that."
        yield Finding("settings", Health.WRONG, message)
    if settings["synchronous_commit"] == "off":
        message = "synchronous_commit is off by default there; Holdfast turns it on for its own commits."
        yield Finding("settings", Health.NOTE, message)
    if not lost:
        yield Finding("settings", Health.FINE, "What was committed survives a crash of its machine.")


def _postgres_connections(tables: Tables, most: int) -> Findings:
    query = (
        "select count(*), count(*) filter (where application_name = "
        f"'{databases.NODE_APPLICATION}') from pg_stat_activity where backend_type = 'client backend'"
    )
    ((all_of_them, ours),) = tables.query(query)
    message = f"{all_of_them} of {most} connections are taken, {ours} of them by Holdfast's nodes."
    if all_of_them > most * CONNECTIONS_SHARE_MAX:
        yield Finding("connections", Health.WARNING, f"{message} A node takes up to ten: raise max_connections.")
    else:
        yield Finding("connections", Health.FINE, message)


def _postgres_rows(database_url: str) -> Findings:
    with databases.postgres_read(database_url) as tables:
        now_at_ms = databases.postgres_now_ms(tables.connection)
        yield from _rows(tables, "postgres", tables.ledger(), now_at_ms=now_at_ms)


# Both.


def _rows(tables: Tables, dialect: str, applied: list[tuple[int, str]], *, now_at_ms: int) -> Findings:
    try:
        lacking = pending(dialect, applied)
    except SchemaMismatch as error:
        yield Finding("schema", Health.WRONG, str(error))
        return
    if not applied:
        yield Finding("schema", Health.NOTE, "It is empty: `holdfast serve` makes a database of it.")
        return
    if lacking:
        message = (
            f"It has schema {len(applied)}; this release serves {len(migrations(dialect))}. Run `holdfast migrate`."
        )
        yield Finding("schema", Health.WARNING, f"{message} Rows are checked after that.")
        return
    yield Finding("schema", Health.FINE, f"It has schema {len(applied)}, which this release serves.")
    for last_tick_at_ms, paused_ms in tables.query("select last_tick_at_ms, paused_ms from service_state"):
        yield _service_time(now_at_ms - last_tick_at_ms, paused_ms)
    broken = broken_invariants(tables)
    for each in broken:
        yield Finding(each.invariant.name, Health.WRONG, f"{each} Keep a backup, and report this.")
    if not broken:
        yield Finding("rows", Health.FINE, "Tokens, holders, checkpoints, tasks and events fit together.")


def _service_time(since_ms: int, paused_ms: int) -> Finding:
    if since_ms < -CLOCK_DIFFERENCE_MS_MAX:
        message = f"It was last served {_length(-since_ms)} from now, by this clock. Set the clock."
        return Finding("service_time", Health.WARNING, message)
    message = f"Served {_length(since_ms)} ago; {_length(paused_ms)} of pauses are not counted as anybody's silence."
    return Finding("service_time", Health.FINE, message)


def _length(ms: int) -> str:
    if ms < MINUTE_MS:
        return f"{ms / SECOND_MS:.1f} s"
    hours, minutes = divmod(ms // MINUTE_MS, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
