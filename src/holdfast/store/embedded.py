"""A SQLite file that processes open for one command each: no lock of a server's, no threads, no clock of its own.

SQLite's own lock keeps writers apart for as long as one decides. Service time is the machine's wall clock in whole
seconds, since nobody is there to tick while no command runs.
"""

import os
import time
from contextlib import AbstractContextManager, nullcontext

import apsw

from holdfast.commands.rows import Count, Key, Members, Row
from holdfast.domain.service_time import ServiceState
from holdfast.store.port import StoreUnavailable
from holdfast.store.sqlite_rows import (
    CommittedSessions,
    SqliteTransaction,
    load_count,
    load_members,
    load_row,
    service_state,
)

BUSY_TIMEOUT_MS = 30_000
"""How long a command waits for others: each takes some milliseconds, and there may be hundreds at once."""

PRAGMAS = "pragma synchronous = full; pragma foreign_keys = on; pragma temp_store = memory"
"""The log is as short as SQLite leaves it: whoever closes last copies it into the file, and it is gone."""

SECOND_MS = 1_000

_MIGRATIONS = os.path.join(os.path.dirname(__file__), "migrations", "sqlite")


class MachineSeconds:
    """The machine's clock, as it is."""

    def now_ms(self) -> int:
        """The present; never before the epoch, whatever the machine says."""
        return max(0, int(time.time() * SECOND_MS))

    tick_ms = now_ms


class EmbeddedTransaction(SqliteTransaction):
    """A transaction whose service time is wall time."""

    def clock(self, *, is_tick: bool) -> tuple[ServiceState, int]:
        """A state that needs no tick, in which a lease of so many seconds ends when its last second does."""
        now_ms = self._clock.now_ms()
        state = service_state(self._connection)
        return state._replace(last_tick_at_ms=now_ms, paused_ms=now_ms % SECOND_MS), now_ms


class EmbeddedStore:
    """The writer of one file, for one process and one command.

    path: the file. It is made, with mode 0600, where there is none and `creates`.
    Raises: SchemaMismatch, StoreFull, OSError: of these FileNotFoundError where there is none.
    """

    locks_everything = True

    def __init__(self, path: str, *, creates: bool, clock: MachineSeconds | None = None) -> None:
        self._clock = clock or MachineSeconds()
        if creates:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            self._connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        except apsw.CantOpenError:
            os.stat(path)  # Says so where it is not there, or where nobody may look.
            if not os.access(path, os.R_OK):
                import errno

                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path) from None
            raise
        self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        try:
            if not self._is_current():
                self._migrate(path)
            self._connection.execute(PRAGMAS)
        except apsw.BusyError as error:
            raise StoreUnavailable from error

    def begin(self) -> EmbeddedTransaction:
        """Begin a write transaction, which keeps other writers out."""
        try:
            self._connection.execute("begin immediate")
        except apsw.BusyError as error:
            raise StoreUnavailable from error
        return EmbeddedTransaction(self._connection, self._clock, CommittedSessions(self._connection))

    def get(self, key: Key) -> Row | None:
        """A committed row."""
        return load_row(self._connection, key)

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first."""
        return load_members(self._connection, members)

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        return load_count(self._connection, count)

    def service_clock(self) -> tuple[ServiceState, int]:
        """The service state and the wall clock, as a transaction would read them."""
        return EmbeddedTransaction(self._connection, self._clock, CommittedSessions(self._connection)).clock(
            is_tick=False
        )

    def reserve_spent(self) -> AbstractContextManager[None]:
        """Nothing is kept back here."""
        return nullcontext()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _is_current(self) -> bool:
        """Whether the ledger has as many migrations as this release; which they were is checked when one is lacking."""
        # Hashing them all would take longer than the command.
        released = sum(name.endswith(".sql") for name in os.listdir(_MIGRATIONS))
        try:
            applied = self._connection.execute("select count(*) from schema_migration").fetchall()[0][0]
        except apsw.SQLError:
            return False
        return bool(applied == released)

    def _migrate(self, path: str) -> None:
        import fcntl
        from pathlib import Path

        from holdfast.store.sqlite_files import migrate

        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # The kind of journal cannot be changed while somebody else does it.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._connection.execute("pragma journal_mode = wal").fetchall()
            migrate(self._connection, Path(path), now_ms=self._clock.now_ms())
        finally:
            os.close(descriptor)
