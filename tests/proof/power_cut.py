"""A disk that may lose its power: an SQLite VFS that knows what was synced, and what a cut at any moment would leave.

A write lasts from the next sync of its file on. Of those since, a cut leaves any subset, and may tear any of them. What
SQLite itself sees is the plain file, as if there were no cut: many cuts of one run can be looked at, each by itself.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import apsw

VFS_NAME = "holdfast-power-cut"
SECTOR_BYTES = 512
LANDED_SHARE = 0.5
TORN_SHARE = 0.3


class Operation(StrEnum):
    """What SQLite asks of a file that changes it, or what a cut leaves of it."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"


class Write(NamedTuple):
    """Bytes at an offset; None: the file ends there."""

    offset: int
    data: bytes | None


class Content:
    """One file: what would be there after a cut, and the writes that might be."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.unsynced: list[Write] = []
        self.is_named = False

    def sync(self) -> None:
        for write in self.unsynced:
            _apply(self.durable, write)
        self.unsynced.clear()
        self.is_named = True

    def after_cut(self, dice: random.Random) -> bytes | None:
        """What a cut leaves; None where not even the name is left."""
        if not self.is_named and dice.random() > LANDED_SHARE:
            return None
        left = bytearray(self.durable)
        for write in self.unsynced:
            if dice.random() < LANDED_SHARE:
                _apply(left, _torn(write, dice) if dice.random() < TORN_SHARE else write)
        return bytes(left)


Image = dict[str, bytes]
"""The files that a cut left, by their names."""


class Disk:
    """All files of a run.

    before_each: called before each operation takes effect; what it raises, the operation fails with.
    """

    def __init__(self, *, before_each: Callable[["Operation"], None]) -> None:
        self.before_each = before_each
        self.contents: dict[str, Content] = {}

    def load(self, image: Image, directory: Path) -> None:
        """Begin with these files, all of them durable."""
        for name, data in image.items():
            (directory / name).write_bytes(data)
            content = self.contents[str(directory / name)] = Content()
            content.durable += data
            content.is_named = True

    def after_cut(self, dice: random.Random) -> Image:
        """What would be left if the power failed now."""
        left = {Path(path).name: content.after_cut(dice) for path, content in self.contents.items()}
        return {name: data for name, data in left.items() if data is not None}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have every connection that is opened meanwhile write to this disk."""

        def lock_alone(connection: apsw.Connection) -> None:
            # A VFS in Python has no shared memory, so the log's index has to be in the one process's own.
            connection.execute("pragma locking_mode = exclusive")

        vfs = _Vfs(self)
        apsw.connection_hooks.append(lock_alone)
        try:
            yield
        finally:
            apsw.connection_hooks.remove(lock_alone)
            vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._below = apsw.vfs_names()[0]
        super().__init__(VFS_NAME, self._below, makedefault=True)
        self._disk = disk

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802
        return _File(self._disk, self._below, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.before_each(Operation.DELETE)
        super().xDelete(filename, syncdir)
        self._disk.contents.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, below: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(below, name, flags)
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._content = Content() if path is None else disk.contents.setdefault(path, Content())
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            self._content.is_named = True

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.before_each(Operation.WRITE)
        super().xWrite(data, offset)
        self._content.unsynced.append(Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.before_each(Operation.TRUNCATE)
        super().xTruncate(newsize)
        self._content.unsynced.append(Write(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The machine's own disk need not keep anything, so it is not asked to.
        self._disk.before_each(Operation.SYNC)
        self._content.sync()


def _apply(content: bytearray, write: Write) -> None:
    if write.data is None:
        del content[write.offset :]
        return
    if len(content) < write.offset:
        content.extend(bytes(write.offset - len(content)))
    content[write.offset : write.offset + len(write.data)] = write.data


def _torn(write: Write, dice: random.Random) -> Write:
    """The write as far as it came: to some sector, or to some byte."""
    if not write.data:
        return write
    if dice.random() < 0.5:
        return write._replace(data=write.data[: SECTOR_BYTES * dice.randrange(len(write.data) // SECTOR_BYTES + 1)])
    return write._replace(data=write.data[: dice.randrange(len(write.data) + 1)])
