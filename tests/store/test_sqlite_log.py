"""SQLite's log is copied beside the writer: it stays short, and what fails there is not passed over."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from holdfast.commands.notes import WriteCheckpoint
from holdfast.domain.ids import SessionId
from holdfast.store.port import CommitUnknown
from holdfast.store.sqlite import SqliteStore
from holdfast.store.sqlite_files import PAGE_BYTES, connect
from holdfast.store.sqlite_log import RETRY_SHARE, LogCopier
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import start

LOG_PAGES = 400
SUMMARY = "where the work stands " * 20
"""A text that has its place on one page, so that it can be found in a file."""


class AtOnce:
    """In the place of a thread: does what the thread would do while it is started."""

    def __init__(self, *, target: Callable[[], None], name: str) -> None:
        self._target = target
        self.name = name

    def start(self) -> None:
        self._target()

    def is_alive(self) -> bool:
        return False

    def join(self) -> None:
        """Wait for nothing."""


class Writing:
    """One session that notes where it is, again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        clock = FakeClock()
        self.store = SqliteStore(path, clock=clock, log_pages=LOG_PAGES)
        self.caller = Caller(self.store, clock)
        body = self.caller.accepted(start("scope")).body
        self.session_id = SessionId(body["id"])

    def write(self, count: int) -> None:
        for _ in range(count):
            self.caller.accepted(WriteCheckpoint(self.session_id, None, SUMMARY))

    def copies_in_database(self) -> int:
        return self.path.read_bytes().count(SUMMARY.encode())

    def log_pages(self) -> int:
        return self.path.with_name(self.path.name + "-wal").stat().st_size // PAGE_BYTES


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    with patch("holdfast.store.sqlite_log.threading.Thread", AtOnce):
        writing = Writing(tmp_path / "holdfast.db")
        with closing(writing.store):
            yield writing


def test_what_the_log_holds_is_copied_by_the_thread_and_the_log_stays_short(writing: Writing) -> None:
    writing.write(10)
    assert writing.copies_in_database() == 0
    with patch.object(LogCopier, "_finish"):
        writing.write(40)
    assert writing.copies_in_database() > 10
    writing.write(300)
    assert writing.copies_in_database() > 250
    assert writing.log_pages() < 2 * LOG_PAGES


def test_a_reader_that_stays_keeps_the_log_and_then_it_is_begun_anew(writing: Writing) -> None:
    passes: list[LogCopier] = []
    copy = LogCopier._copy

    def noted(copier: LogCopier) -> None:
        passes.append(copier)
        copy(copier)

    with patch.object(LogCopier, "_copy", noted):
        with closing(connect(writing.path)) as reader:
            reader.execute("begin")
            reader.execute("select count(*) from session").fetchall()
            writing.write(300)
        long = writing.log_pages()
        assert long > 5 * LOG_PAGES
        assert len(passes) < long / (LOG_PAGES // RETRY_SHARE) + 2
        passes.clear()
        writing.write(60)
        assert writing.log_pages() <= long + LOG_PAGES
        assert writing.copies_in_database() > 300
        assert 1 <= len(passes) <= 4


def test_after_a_sync_that_failed_beside_the_writer_nothing_is_acknowledged(writing: Writing) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with patch("holdfast.store.sqlite_log.os.fsync", fail):
        while not writing.store._copier.is_broken:
            writing.write(1)
    with pytest.raises(CommitUnknown) as raised:
        writing.write(1)
    assert raised.value.is_fatal


def test_a_real_thread_copies_while_the_writer_goes_on(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "holdfast.db")
    with closing(writing.store):
        writing.write(400)
        assert writing.log_pages() < 10 * LOG_PAGES
    assert writing.copies_in_database() == 400
