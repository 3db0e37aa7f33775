"""What a SIGKILL at any moment would leave of a directory: its files before each change that a piece of work makes.

A kill keeps whatever the process had told the system, so a copy of the files between two changes is what it leaves.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.proof.power_cut import Disk

CHANGING = frozenset({"os.rename", "os.link", "os.remove", "os.truncate"})
"""What Python is heard doing to files besides SQLite's own writing."""


class Kills:
    """images: what was left at each moment, in order; the last is what was left when the work was done."""

    def __init__(self, directory: Path, images: Path) -> None:
        self.images: list[Path] = []
        self.is_watching = False
        self._directory = directory
        self._images = images

    def take(self, *_: object) -> None:
        """Keep what is there now."""
        self.is_watching = False
        image = self._images / f"{len(self.images)}"
        shutil.copytree(self._directory, image, ignore=shutil.ignore_patterns("*.reserve"))
        self.images.append(image)
        self.is_watching = True


_watched: list[Kills] = []


def _hear(event: str, _arguments: tuple[object, ...]) -> None:
    if event in CHANGING and _watched and _watched[-1].is_watching:
        _watched[-1].take()


_hooked: list[bool] = []


@contextmanager
def kills_in(directory: Path, images: Path) -> Iterator[Kills]:
    """Look at a directory before each change that is made meanwhile, in this process."""
    if not _hooked:
        sys.addaudithook(_hear)  # For good: there is no way to take one back.
        _hooked.append(True)
    kills = Kills(directory, images)
    images.mkdir()
    _watched.append(kills)
    try:
        with Disk(before_each=kills.take).in_use():
            kills.is_watching = True
            yield kills
            kills.take()
    finally:
        kills.is_watching = False
        _watched.remove(kills)
