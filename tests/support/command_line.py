"""The command line as a process of its own, in an environment of a test's."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.server import PROGRAM

COMMAND_SECONDS_MAX = 120.0


class Done(NamedTuple):
    """A command that ended."""

    code: int
    said: str
    complained: str

    @property
    def document(self) -> dict[str, Any]:
        """What it printed with `--json`."""
        found: dict[str, Any] = json.loads(self.said)
        return found


def environment(home: Path) -> Mapping[str, str]:
    """Nothing of whoever runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}


def run(home: Path, *arguments: str) -> Done:
    """Run `holdfast …` until it ends."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)
