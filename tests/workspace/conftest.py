"""A checkout in which commands are carried out in this process, at a time that a test sets."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from holdfast.doors.workspace.main import main

START_AT = 1_800_000_000


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON of it."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Checkout:
    """A git repository's directory, or another, and a clock."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.now = float(START_AT)
        self._capsys = capsys

    @property
    def directory(self) -> Path:
        """Where the profile `main` is kept."""
        return self.root / ".git" / "holdfast" / "main"

    def say(self, *arguments: str) -> Said:
        """Carry out a command line in text."""
        self._capsys.readouterr()
        code = main([*arguments])
        out, err = self._capsys.readouterr()
        return Said(code, out, err)

    def ask(self, *arguments: str) -> Said:
        """Carry out a `session-state` command and have JSON answered."""
        verb, *rest = arguments
        return self.say("session-state", verb, "--path", str(self.root), "--json", *rest)

    def done(self, *arguments: str) -> dict[str, Any]:
        """The report of a command that must succeed."""
        said = self.ask(*arguments)
        assert said.code == 0, said
        return said.report

    def refused(self, *arguments: str, code: int = 3) -> str:
        """The error of a command that must be refused, and changes nothing."""
        before = self.rows()
        said = self.ask(*arguments)
        assert said.code == code, said
        assert said.report["ok"] is False
        assert self.rows() == before
        return str(said.report["error"])

    def show(self, *arguments: str) -> dict[str, Any]:
        """What there is."""
        return self.done("show", *arguments)

    def interactive(self, *arguments: str) -> dict[str, Any]:
        """A person starts."""
        return self.done("start", *arguments)

    def autonomous(self, actor: str = "a", *arguments: str, lease: int = 60) -> dict[str, Any]:
        """An agent starts."""
        return self.done(*autonomous(actor, lease=lease), *arguments)

    def write_legacy(self, **fields: Any) -> Path:
        """Leave a session file of an older kind."""
        row = {"schema_version": 3, "started_at_epoch_s": START_AT - 100, "last_started_at_epoch_s": START_AT - 50}
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "session_state.json"
        path.write_text(json.dumps({**row, "start_count": 1, **fields}))
        return path

    def rows(self) -> list[Any]:
        """Every row of every table of the rules."""
        database = self.directory / "state.db"
        if not database.exists():
            return []
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return [
                list(connection.execute(f"select * from {table} order by 1, 2, 3"))
                for table in ("workspace", "workspace_entry", "scope", "session", "session_profile", "event", "audit")
            ]
        finally:
            connection.close()

    def count(self, table: str) -> int:
        """How many rows a table has."""
        connection = apsw.Connection(str(self.directory / "state.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return len(connection.execute(f"select 1 from {table}").fetchall())
        finally:
            connection.close()


def autonomous(actor: str = "a", *, lease: int = 60) -> list[str]:
    """An agent's start as a command line."""
    return ["start", "--lifecycle", "autonomous", "--actor-id", actor, "--lease-seconds", str(lease)]


@pytest.fixture
def checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A repository in which nobody has started."""
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    made = Checkout(root, capsys)
    monkeypatch.setattr(time, "time", lambda: made.now)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("HOLDFAST_PROFILE", "HOLDFAST_SESSION_STATE", "HOLDFAST_FENCING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return made
