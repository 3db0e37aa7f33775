"""Verbs on whole databases: what they say, in words and as JSON, and how they end."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from holdfast.config import sqlite_path
from holdfast.store.sqlite import SqliteStore
from tests.cli.conftest import Cli
from tests.maintenance.conftest import filled


@pytest.fixture
def url(home: Path) -> str:
    """A filled database, found where a server started here would have it."""
    made = f"sqlite:///{home}/holdfast.db"
    filled(made)
    return made


def said(result: Result) -> dict[str, Any]:
    """What was printed with `--json`."""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def complained(result: Result) -> dict[str, Any]:
    """The failure that was told with `--json`."""
    document: dict[str, Any] = json.loads(result.stderr)
    return document


def test_backup_restore_and_doctor_tell_what_they_did(cli: Cli, url: str, home: Path) -> None:
    done = cli("backup", "b.db", HOLDFAST_DATABASE_URL=url)
    assert (done.exit_code, done.stdout.startswith(f"Written from {url}: ")) == (0, True)
    assert cli("backup", "--check", "b.db").stdout.startswith("Whole: ")
    target = f"sqlite:///{home}/restored.db"
    done = cli("restore", "b.db", "--database", target)
    assert done.exit_code == 0
    assert "Fencing tokens go on above" in done.stdout
    done = cli("doctor", "--database", target)
    assert (done.exit_code, "wrong" in done.stdout) == (0, False)
    assert cli("mark-restored", "--database", target).exit_code == 0


def test_everything_is_told_as_json(cli: Cli, url: str, home: Path) -> None:
    backup = said(cli("backup", "b.db", "--json", "--database", url))
    assert (backup["path"], backup["schema"] > 0, backup["broken"]) == (f"{home}/b.db", True, [])
    assert backup["manifest"]["tables"]["session"]["rows"] > 0
    assert backup.pop("database_url") == url
    assert said(cli("backup", "--check", "b.db", "--json")) == backup
    target = f"sqlite:///{home}/restored.db"
    restored = said(cli("restore", "b.db", "--json", "--database", target))
    assert (restored["database_url"], restored["rows"], restored["kept_aside"]) == (target, backup["rows"], None)
    again = said(cli("restore", "b.db", "--json", "--replace", "--database", target))
    assert Path(again["kept_aside"]).exists()
    copied = said(cli("copy", "--to", f"sqlite:///{home}/copied.db", "--json", "--database", target))
    assert copied["timeline"] == again["timeline"]
    assert said(cli("migrate", "--json", "--database", target))["migrations"] == []
    findings = said(cli("doctor", "--json", "--full", "--database", target))
    assert findings["is_wrong"] is False
    assert {"file", "lock", "disk", "integrity", "schema", "rows"} <= {each["check"] for each in findings["findings"]}


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        (("backup", "there.txt"), ("file_exists", 4)),
        (("backup", "nowhere/b.db"), ("not_found", 3)),
        (("backup", "--check", "none.db"), ("not_found", 3)),
        (("backup", "--check", "there.txt"), ("damaged", 1)),
        (("restore", "there.txt", "--replace"), ("damaged", 1)),
        (("restore", "b.db"), ("not_empty", 4)),
        (("copy", "--to", "sqlite:///there.txt"), ("not_empty", 4)),
        (("migrate", "--database", "sqlite:///none.db"), ("not_found", 3)),
        (("migrate", "--database", "sqlite:///there.txt"), ("schema_mismatch", 3)),
        (("mark-restored", "--database", "sqlite:///none.db"), ("not_found", 3)),
        (("migrate", "--database", "postgresql://nobody@127.0.0.1:1/none"), ("unreachable", 5)),
        (("backup", "c.db", "--database", "postgresql://nobody@127.0.0.1:1/none"), ("unreachable", 5)),
    ],
)
def test_a_refusal_has_a_code_a_sentence_and_changes_nothing(
    cli: Cli, url: str, home: Path, arguments: tuple[str, ...], ending: tuple[str, int]
) -> None:
    assert cli("backup", "b.db", HOLDFAST_DATABASE_URL=url).exit_code == 0
    (home / "there.txt").write_text("somebody's own text, and no database" * 100)
    before = {
        each.name: each.read_bytes() for each in home.glob("*.*") if not each.name.endswith((".lock", ".reserve"))
    }
    done = cli(*arguments, "--json", HOLDFAST_DATABASE_URL=url)
    assert (complained(done)["code"], done.exit_code) == ending
    assert done.stdout == ""
    in_words = cli(*arguments, HOLDFAST_DATABASE_URL=url)
    assert in_words.exit_code == done.exit_code
    assert in_words.stderr.strip() == complained(done)["detail"]
    after = {each.name: each.read_bytes() for each in home.glob("*.*") if not each.name.endswith((".lock", ".reserve"))}
    assert after == before


def test_a_database_to_fill_that_is_none_is_named_as_it_was_given(cli: Cli, url: str) -> None:
    done = cli("copy", "--to", "foo", "--database", url)
    assert done.exit_code == 2
    assert "Invalid value for --to: must look like sqlite:///" in done.stderr


def test_what_is_served_is_not_touched(cli: Cli, url: str) -> None:
    path = sqlite_path(url)
    assert path is not None
    store = SqliteStore(path)
    try:
        assert cli("backup", "b.db", HOLDFAST_DATABASE_URL=url).exit_code == 0
        for arguments in (("restore", "b.db", "--replace"), ("migrate",), ("mark-restored",)):
            done = cli(*arguments, "--json", HOLDFAST_DATABASE_URL=url)
            assert (done.exit_code, complained(done)["code"]) == (4, "in_use")
    finally:
        store.close()


def test_the_doctor_exits_with_one_when_something_is_wrong(cli: Cli, url: str, home: Path) -> None:
    (home / "holdfast.db").chmod(0o644)
    done = cli("doctor", "--json", "--database", url)
    assert (done.exit_code, said(done)["is_wrong"]) == (1, True)
    in_words = cli("doctor", "--database", url)
    assert in_words.exit_code == 1
    assert "chmod 600" in in_words.stdout
    assert cli("doctor", "--database", f"sqlite:///{home}/none.db").exit_code == 1


def test_a_password_is_never_told(cli: Cli, url: str) -> None:
    secret = "postgresql://somebody:hunter2@127.0.0.1:1/none"
    for arguments in (
        ("backup", "c.db", "--database", secret),
        ("copy", "--to", secret, "--database", url),
        ("restore", "b.db", "--database", secret),
        ("migrate", "--database", secret),
        ("doctor", "--database", secret),
    ):
        cli("backup", "--force", "b.db", HOLDFAST_DATABASE_URL=url)
        done = cli(*arguments)
        assert done.exit_code != 0
        assert "hunter2" not in done.output
