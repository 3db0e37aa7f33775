"""Backups: of either kind of database, whole or not there, and found out when they are damaged."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.maintenance.backups import back_up, check
from holdfast.maintenance.refusals import Failed, Refused
from holdfast.maintenance.restoring import restore
from tests.maintenance.conftest import MakeUrl, filled, held, path_of, silent, without_state
from tests.support.kills import kills_in


@pytest.mark.parametrize("to", ["sqlite", "postgres"])
def test_a_backup_of_either_kind_restored_to_either_kind_has_every_row(
    database_url: str, make_url: MakeUrl, tmp_path: Path, to: str
) -> None:
    before = filled(database_url)
    written = back_up(database_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    checked = check(tmp_path / "backup", on_progress=silent)
    assert checked == written
    assert checked.rows > sum(len(rows) for rows in before.values())  # Counters of events are no rows of commands.
    target = make_url(to)
    restored = restore(tmp_path / "backup", target, may_replace=False, on_progress=silent)
    assert restored.rows == checked.rows
    assert without_state(held(target)) == without_state(before)


def test_backups_of_the_same_rows_in_both_kinds_have_the_same_checksums(make_url: MakeUrl, tmp_path: Path) -> None:
    manifests = []
    for kind in ("sqlite", "postgres"):
        url = make_url(kind)
        filled(url)
        manifest = back_up(url, tmp_path / kind, is_forced=False, on_progress=silent).manifest
        assert manifest is not None
        assert manifest.dialect == kind
        # Each database draws its own timeline.
        manifests.append({name: found for name, found in manifest.tables.items() if name != "service_state"})
    assert manifests[0] == manifests[1]
    empty = {name for name, found in manifests[0].items() if not found.rows}
    of_servers = {"event_reader", "job", "key_usage", "request_count", "request_log"}
    assert empty <= of_servers, "of which none ran"


def test_a_backup_is_for_its_owner_alone_and_leaves_nothing_else(filled_url: str, tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.mkdir()
    back_up(filled_url, directory / "backup", is_forced=False, on_progress=silent)
    check(directory / "backup", on_progress=silent)
    assert [each.name for each in directory.iterdir()] == ["backup"]
    assert stat.S_IMODE((directory / "backup").stat().st_mode) == 0o600


def test_a_backup_replaces_nothing_unless_it_is_forced_to(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url)
    there = tmp_path / "there"
    there.write_text("precious")
    with pytest.raises(Refused, match="--force") as refused:
        back_up(sqlite_url, there, is_forced=False, on_progress=silent)
    assert (refused.value.code, there.read_text()) == ("file_exists", "precious")
    back_up(sqlite_url, there, is_forced=True, on_progress=silent)
    check(there, on_progress=silent)


def test_a_backup_never_takes_the_name_of_the_database(sqlite_url: str) -> None:
    before = filled(sqlite_url)
    with pytest.raises(Refused, match="another name"):
        back_up(sqlite_url, path_of(sqlite_url), is_forced=True, on_progress=silent)
    assert held(sqlite_url) == before


def test_a_byte_that_changed_in_a_backup_is_found(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url)
    backup = tmp_path / "backup"
    back_up(sqlite_url, backup, is_forced=False, on_progress=silent)
    content = backup.read_bytes()
    # In the middle of a text, where SQLite itself has no way to see it.
    backup.write_bytes(content.replace(b"holder-1", b"holder-7", 1))
    with pytest.raises(Failed, match="not what was written"):
        check(backup, on_progress=silent)
    backup.write_bytes(content[: len(content) // 2])
    with pytest.raises(Failed, match="damaged"):
        check(backup, on_progress=silent)
    backup.write_bytes(b"no database at all, and longer than a header of SQLite would be: " * 10)
    with pytest.raises(Failed, match="damaged"):
        check(backup, on_progress=silent)


def test_a_plain_copy_of_a_file_is_checked_without_checksums(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url)
    shutil.copy(path_of(sqlite_url), tmp_path / "copy")
    assert check(tmp_path / "copy", on_progress=silent).manifest is None


def test_rows_that_break_an_invariant_are_told_and_restored_all_the_same(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url)
    with closing(sqlite3.connect(path_of(sqlite_url))) as connection, connection:
        connection.execute("update scope set last_token = 0, last_exclusive_token = 0")
    back_up(sqlite_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    (told,) = check(tmp_path / "backup", on_progress=silent).broken
    assert told.startswith("No session has a token above its scope's counter. That does not hold for sess_")
    target = f"sqlite:///{tmp_path}/restored.db"
    assert restore(tmp_path / "backup", target, may_replace=False, on_progress=silent).warnings == (told,)


def test_a_backup_is_not_served_as_a_database(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url)
    backup = tmp_path / "backup"
    back_up(sqlite_url, backup, is_forced=False, on_progress=silent)
    content = backup.read_bytes()
    with pytest.raises(Exception, match="holdfast restore"):
        held(f"sqlite:///{backup}")
    with pytest.raises(Refused, match="holdfast restore"):
        back_up(f"sqlite:///{backup}", tmp_path / "another", is_forced=False, on_progress=silent)
    assert backup.read_bytes() == content


def test_a_backup_that_is_killed_anywhere_is_whole_or_not_there(filled_url: str, tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.mkdir()
    with kills_in(directory, tmp_path / "images") as kills:
        expected = back_up(filled_url, directory / "backup", is_forced=False, on_progress=silent)
    whole = 0
    for image in kills.images:
        if (image / "backup").exists():
            assert check(image / "backup", on_progress=silent)._replace(path=expected.path) == expected
            whole += 1
    print(f"a backup was killed at {len(kills.images)} moments; it was there after {whole}")
    assert 0 < whole < len(kills.images)
    # Whatever was left, the next one is not in its way.
    halfway = kills.images[len(kills.images) // 2]
    assert (halfway / "backup.partial").exists()
    back_up(filled_url, halfway / "backup", is_forced=False, on_progress=silent)
    check(halfway / "backup", on_progress=silent)
    assert [each.name for each in halfway.iterdir()] == ["backup"]
