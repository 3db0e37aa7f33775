"""Copying SQLite's log into the database beside its writer, so that nobody who commits waits for all of it.

What SQLite itself does, copying within a commit, holds up that commit, and the ones behind it, for as long as it takes
to write some thousand pages here and there and to sync them: a tail of 40 ms. Here a thread copies and syncs most of
it; the writer copies the rest, which came meanwhile, and goes on at the log's beginning.
"""

import logging
import os
import threading
from contextlib import closing
from pathlib import Path

import apsw

from holdfast.store.sqlite_files import connect

log = logging.getLogger(__name__)

PASSES_MAX = 6
"""How often the thread goes over what came during its last pass before it leaves the rest to the writer."""

REST_PAGES = 256
"""So little that the writer may as well copy it."""

RETRY_SHARE = 4
"""After a copy that a reader or a full disk kept from being whole, the next waits until the log has grown by this part
of its usual length: it is only begun anew once everything in it was copied."""


class LogCopier:
    """Keeps the log of one writer connection to a length.

    path: the database. writer: its connection; `committed` is called after each of its commits, on its thread.
    pages_max: the length from which on the log is copied.
    is_broken: a sync has failed, after which no later one can be trusted: nothing may be written any more.
    """

    def __init__(self, path: Path, writer: apsw.Connection, *, pages_max: int) -> None:
        self._path = path
        self._writer = writer
        self._pages_max = pages_max
        self._due_pages = pages_max
        self._pages = 0
        self._thread: threading.Thread | None = None
        # Kept open until no connection is left: closing any descriptor of a file gives up all locks on it.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.is_broken = False
        writer.set_wal_hook(self._grown)

    def committed(self) -> None:
        """Have the log copied once it is long, and finish what has been."""
        if self._thread is not None:
            if not self._thread.is_alive():
                self._thread = None
                self._finish()
        elif self._pages >= self._due_pages:
            self._thread = threading.Thread(target=self._copy, name="holdfast-log")
            self._thread.start()

    def stop(self) -> None:
        """Wait for the thread. To be called before the writer is closed."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Let go of the file. To be called when no connection of this process to it is left."""
        os.close(self._descriptor)

    def _grown(self, _writer: apsw.Connection, _database: str, pages: int) -> int:
        if pages < self._pages:
            self._due_pages = self._pages_max
        self._pages = pages
        return apsw.SQLITE_OK

    def _copy(self) -> None:
        try:
            with closing(connect(self._path)) as connection:
                # Before its first read, a connection does not know that there is a log, and copies nothing.
                connection.execute("pragma schema_version").fetchall()
                for _ in range(PASSES_MAX):
                    pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                    # SQLite syncs the database only at the end of a whole copy: then little is left of that.
                    os.fsync(self._descriptor)
                    if self._pages - copied <= REST_PAGES or copied < pages:
                        return
        except (OSError, apsw.Error) as error:
            self._failed(error)

    def _finish(self) -> None:
        self._due_pages = self._pages + self._pages_max // RETRY_SHARE
        try:
            pages, copied = self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            self._failed(error)
            return
        if copied == pages:
            self._due_pages = self._pages_max

    def _failed(self, error: Exception) -> None:
        if isinstance(error, apsw.BusyError | apsw.FullError):
            log.warning("checkpoint_failed error=%s", error)
            return
        self.is_broken = True
        log.critical("checkpoint_failed error=%s", error)
