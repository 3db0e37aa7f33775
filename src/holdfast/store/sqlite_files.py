"""SQLite's file as a file: who has it, how it is copied while it is served, and its schema.

A copy is written under another name and gets its own once it is whole and on the disk; whoever is killed on the way
leaves what was there before.
"""

import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from holdfast.store.migrating import LEDGER, Migration, pending
from holdfast.store.port import SchemaMismatch, StoreFull, StoreInUse

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 5_000
"""How long a connection waits for another one's lock. Only backups and other tools ever hold one."""

LOCK_SECONDS_MAX = 1.0
"""How long to wait for the file: the writer of a server that was killed finishes its transaction first."""

LOCK_RETRY_SECONDS = 0.01

PAGE_BYTES = 1_024
"""A beat dirties one page, and every dirty page is written whole to the log at each commit. Rows are a few hundred
bytes, so small pages write a quarter of what SQLite's usual 4 KiB do; with random beats that is most of a commit."""

COPIED_PAGES = 4_096
"""Pages in one step of a copy, after which its progress is told: 4 MiB."""

RESERVE_BYTES = 2 * 1024 * 1024
"""What is kept back of the disk, so that something can be deleted when it is full: the log of one large delete."""

RESERVE_FREE_BYTES_MIN = 2 * RESERVE_BYTES
"""A disk that is nearly full already is left alone."""

PARTIAL = ".partial"
"""What a copy's name ends with until it is whole."""

MANIFEST_TABLE = "backup_manifest"
"""The table that only backups have: what each table held, and its checksum."""

LEDGER_TABLE = "schema_migration"

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, and what belongs to that file alone."""

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4"}
    | {"ncpfs", "smb2", "smb3", "smbfs", "virtiofs"}
)
"""Where locks and syncs may mean less than SQLite needs them to."""

Progress = Callable[[str, int, int], None]
"""Told of work that takes long: what is done, how much of it, and how much there is."""


class Damaged(Exception):
    """A file, or a copy of one, is not what it should be; the message says what was found."""


def ignore_progress(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def lock(path: Path, *, server_pid: int) -> int:
    """Keep other servers off the file, by an open descriptor. Raises: StoreInUse.

    server_pid: who is named to others who want the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    gives_up_at = time.monotonic() + LOCK_SECONDS_MAX
    while not _is_locked(descriptor):
        if time.monotonic() >= gives_up_at:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreInUse(
                f"{path} is served by another process (pid {holder}). Stop that one, or name another file with "
                "--database."
            )
        time.sleep(LOCK_RETRY_SECONDS)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{server_pid}\n".encode(), 0)
    return descriptor


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep_reserve(path: Path, *, free_bytes_min: int) -> None:
    """Keep some of the disk back beside a file, where there is as much free, and unless it is kept already."""
    reserve = reserve_path(path)
    if reserve.exists() or shutil.disk_usage(path.parent).free < max(free_bytes_min, RESERVE_BYTES):
        return
    descriptor = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Written, since not every system can allocate what is not.
        os.write(descriptor, bytes(RESERVE_BYTES))
    except OSError as error:
        log.warning("reserve_not_kept error=%s", error)
        reserve.unlink()
    finally:
        os.close(descriptor)


def release_reserve(path: Path) -> None:
    """Give back what was kept."""
    reserve_path(path).unlink(missing_ok=True)


def reserve_path(path: Path) -> Path:
    """The file that keeps some of the disk back."""
    return path.with_name(path.name + ".reserve")


def lock_path(path: Path) -> Path:
    """The file whose lock says that a process has this one."""
    return path.with_name(path.name + ".lock")


def file_system(path: Path) -> str:
    """The kind of file system that a path lies on, as the system calls it; empty where it does not say."""
    import psutil  # Of all that a server imports, only this needs it, and once.

    resolved = path.resolve()
    found = [
        (len(each.mountpoint), each.fstype)
        for each in psutil.disk_partitions(all=True)
        if resolved.is_relative_to(each.mountpoint)
    ]
    return max(found)[1] if found else ""


def warn_of_network(path: Path) -> None:
    """Log it where a file lies on a network's file system."""
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        log.warning("database_on_network_file_system kind=%s path=%s", kind, path)


def connect(path: Path) -> apsw.Connection:
    """A connection to a file that is there."""
    return configured(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE))


def connect_to_read(path: Path) -> apsw.Connection:
    """A connection that writes nothing into the file; beside it, it may make what readers of a log need."""
    connection = connect(path)
    connection.execute("pragma query_only = on")
    return connection


def configured(connection: apsw.Connection) -> apsw.Connection:
    """The connection with what every one of ours is set to."""
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Without this, a statement with a partial index is planned anew for every value that is bound to it: ten times the
    # cost of the lookup itself.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return connection


def copy(
    source: apsw.Connection | None,
    target: Path,
    *,
    fill: Callable[[apsw.Connection], None] = lambda _: None,
    before_replacing: Callable[[], None] = lambda: None,
    on_progress: Progress = ignore_progress,
) -> None:
    """Write a file that holds what the source has committed; it appears under its name when it is whole and durable.

    The source is read in one transaction, so the copy is one moment's state, and whoever writes meanwhile goes on
    writing; only their log grows until the copy is done.

    source: None to begin with an empty file. fill: what is changed in the copy before anybody sees it.
    before_replacing: called last, when only the new name is lacking.
    Raises: StoreInUse where another copy to this name is being written, StoreFull, Damaged, and what the calls raise.
    """
    partial = target.with_name(target.name + PARTIAL)
    descriptor = _own_partial(partial)
    try:
        with closing(configured(apsw.Connection(str(partial)))) as connection:
            connection.execute("pragma synchronous = off")  # Synced as a whole, below.
            if source is None:
                connection.execute(f"pragma page_size = {PAGE_BYTES}")
            else:
                _copy_pages(source, connection, on_progress)
                connection.execute("pragma journal_mode = delete")
            fill(connection)
            on_progress("checking", 0, 1)
            if faults := integrity_faults(connection, is_full=True):
                raise Damaged(f"The copy is not sound: {faults[0]}")
        os.fsync(descriptor)
        before_replacing()
        partial.replace(target)
        sync_directory(target.parent)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, apsw.FullError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            raise StoreFull(f"There is not enough room for {target}. Make some, or choose another place.") from error
        raise
    finally:
        os.close(descriptor)


def _own_partial(partial: Path) -> int:
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _is_locked(descriptor):
        os.close(descriptor)
        raise StoreInUse(f"Another process is writing {partial}. Wait for it, or choose another name.")
    # Whoever began it before was killed.
    _remove(partial, keeping_itself=True)
    os.ftruncate(descriptor, 0)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _remove(path: Path, *, keeping_itself: bool = False) -> None:
    for suffix in SIDE_FILES if keeping_itself else ("", *SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _copy_pages(source: apsw.Connection, target: apsw.Connection, on_progress: Progress) -> None:
    # A transaction of the source's own keeps a write by somebody else from beginning the copy anew.
    source.execute("begin")
    try:
        source.execute("select count(*) from sqlite_schema").fetchall()
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(COPIED_PAGES)
                on_progress("copying pages", backup.page_count - backup.remaining, backup.page_count)
    finally:
        source.execute("rollback")


def integrity_faults(connection: apsw.Connection, *, is_full: bool) -> list[str]:
    """What SQLite finds wrong with a file; nothing where it is sound."""
    try:
        pragma = "pragma integrity_check" if is_full else "pragma quick_check"
        said = [str(line) for (line,) in connection.execute(pragma)]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [str(error)]
    return [] if said == ["ok"] else said


def sync_directory(directory: Path) -> None:
    """Make the names in a directory last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def applied_migrations(connection: apsw.Connection, path: Path) -> list[tuple[int, str]]:
    """The ledger of a file, as pairs of version and SHA-256; nothing where the file is new.

    Raises: SchemaMismatch where the file is somebody else's.
    """
    try:
        found = connection.execute("select name from sqlite_schema where type = 'table'")
        names = {str(name) for (name,) in found if not str(name).startswith("sqlite_")}
    except apsw.NotADBError as error:
        raise SchemaMismatch(f"{path} is not a Holdfast database.") from error
    if not names:
        return []
    if LEDGER_TABLE not in names:
        raise SchemaMismatch(f"{path} is not a Holdfast database: it holds other tables.")
    found = connection.execute(f"select version, sha256 from {LEDGER_TABLE} order by version")
    return [(int(version), str(sha256)) for version, sha256 in found]


def is_backup(connection: apsw.Connection) -> bool:
    """Whether the file was written by `holdfast backup`, and is no database to be served."""
    return bool(connection.execute("select 1 from sqlite_schema where name = ?", (MANIFEST_TABLE,)).fetchall())


def refuse_backup(connection: apsw.Connection, path: Path) -> None:
    """Raises: SchemaMismatch where the file is a backup, from which tokens would be issued a second time."""
    if is_backup(connection):
        raise SchemaMismatch(
            f"{path} is a backup. `holdfast restore {path}` makes a database of it; where it was put in the place of "
            "one by hand, run `holdfast mark-restored` first."
        )


def migrate(connection: apsw.Connection, path: Path, *, now_ms: int, on_progress: Progress = ignore_progress) -> int:
    """Bring the schema up to this release's, all or nothing; how many migrations that took.

    A file that holds something is copied first, as `FILE.schema-0001` by the schema it has.
    Raises: SchemaMismatch, StoreFull.
    """
    applied = applied_migrations(connection, path)
    lacking = pending("sqlite", applied)
    if not lacking:
        return 0
    if applied:
        copied = schema_copy_path(path, schema=len(applied))
        copy(connection, copied, on_progress=on_progress)
        log.info("database_copied schema=%d path=%s", len(applied), copied)
    return upgrade(connection, path, now_ms=now_ms, on_progress=on_progress)


def upgrade(connection: apsw.Connection, path: Path, *, now_ms: int, on_progress: Progress = ignore_progress) -> int:
    """The same without a copy, for a file that is one itself or holds nothing yet."""
    connection.execute("begin exclusive")
    try:
        applied = applied_migrations(connection, path)
        lacking = pending("sqlite", applied)
        for number, migration in enumerate(lacking, 1):
            on_progress(f"migrating to {migration.version:04d}_{migration.name}", number, len(lacking))
            apply(connection, migration, now_ms=now_ms)
        if not applied:
            begin_history(connection, now_ms=now_ms)
    except BaseException as error:
        connection.execute("rollback")
        if isinstance(error, apsw.FullError):
            raise StoreFull(f"There is not enough room to migrate {path}. Make some, and try again.") from error
        raise
    connection.execute("commit")
    return len(lacking)


def schema_copy_path(path: Path, *, schema: int) -> Path:
    """Where a file is copied to before its schema is left behind."""
    return path.with_name(f"{path.name}.schema-{schema:04d}")


def apply(connection: apsw.Connection, migration: Migration, *, now_ms: int) -> None:
    """Carry out a migration, and write it into the ledger."""
    connection.execute(LEDGER.format(integer="integer"))
    connection.execute(migration.sql)
    connection.execute(
        f"insert into {LEDGER_TABLE} (version, name, sha256, applied_at_ms) values (?, ?, ?, ?)",
        (migration.version, migration.name, migration.sha256, now_ms),
    )


def begin_history(connection: apsw.Connection, *, now_ms: int) -> None:
    """The first row of a new database: its clock, and the name of its history."""
    connection.execute(
        "insert into service_state (id, last_tick_at_ms, paused_ms, timeline, token_floor) values (1, ?, 0, ?, 0)",
        (now_ms, os.urandom(8).hex()),
    )
