"""Where keys are found and left, and the machine's own id."""

import json
import stat
import threading
from pathlib import Path

import pytest

from holdfast.client.credentials import (
    Credentials,
    CredentialsInvalid,
    find_credentials,
    normalise_url,
    read_keys,
    save_key,
)
from holdfast.client.directories import config_directory, data_directory, machine_id


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://localhost:8787", "http://127.0.0.1:8787"),
        ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
        ("http://[::1]:8787", "http://127.0.0.1:8787"),
        ("http://localhost:8788", "http://127.0.0.1:8788"),
        ("https://Example.org:443/holdfast/", "https://example.org/holdfast"),
        ("http://example.org:443", "http://example.org:443"),
        ("https://me:secret@example.org", "https://example.org"),
        ("http://[2001:db8::1]:80", "http://[2001:db8::1]"),
    ],
)
def test_addresses_of_one_server_have_one_name(url: str, name: str) -> None:
    assert normalise_url(url) == name


def test_the_environment_wins_over_the_file_and_the_file_over_nothing(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert find_credentials(home) == Credentials("http://127.0.0.1:8787", None)
    save_key(config_directory(home), "http://localhost:8787", "kept")
    assert find_credentials(home) == Credentials("http://127.0.0.1:8787", "kept")
    assert find_credentials({**home, "HOLDFAST_KEY": "given"}).key == "given"
    other = {**home, "HOLDFAST_URL": "http://other:1/"}
    assert find_credentials(other) == Credentials("http://other:1", None)
    assert "kept" not in repr(find_credentials(home))


def test_a_saved_key_is_private_and_keeps_the_others(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "holdfast"
    save_key(directory, "http://one:1", "first")
    path = save_key(directory, "http://two:2", "second")
    save_key(directory, "http://one:1/", "third")

    document = json.loads(path.read_text())
    assert document == {"version": 1, "keys": {"http://one:1": "third", "http://two:2": "second"}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [entry.name for entry in directory.iterdir() if entry.suffix == ".tmp"] == []


def test_keys_saved_at_once_are_all_kept(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def save(number: int) -> None:
        barrier.wait()
        save_key(tmp_path, f"http://host:{number}", f"key-{number}")

    threads = [threading.Thread(target=save, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    kept = read_keys(tmp_path / "credentials.json")
    assert kept == {f"http://host:{number}": f"key-{number}" for number in range(1, 9)}


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    (tmp_path / "credentials.json").symlink_to(target)
    with pytest.raises(CredentialsInvalid, match="symbolic link"):
        save_key(tmp_path, "http://one:1", "key")
    assert target.read_text() == "precious"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 2, "keys": {}}', '{"version": 1, "keys": {"a": 1}}'])
def test_a_file_that_is_not_ours_is_told_when_read_and_set_aside_when_written(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    with pytest.raises(CredentialsInvalid):
        read_keys(path)

    save_key(tmp_path, "http://one:1", "key")

    assert read_keys(path) == {"http://one:1": "key"}
    (aside,) = tmp_path.glob("credentials.json.bad-*")
    assert aside.read_text() == content


def test_directories_follow_the_environment(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert config_directory(home) == tmp_path / ".config/holdfast"
    assert data_directory(home) == tmp_path / ".local/share/holdfast"
    given = {**home, "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "relative is ignored"}
    assert config_directory(given) == Path("/c/holdfast")
    assert data_directory(given) == tmp_path / ".local/share/holdfast"


def test_the_machine_has_one_id_for_ever_even_when_many_ask_first(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    found: list[str] = []

    def ask() -> None:
        barrier.wait()
        found.append(machine_id(tmp_path / "data", environ={}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert set(found) == {machine_id(tmp_path / "data", environ={})}
    assert stat.S_IMODE((tmp_path / "data/machine_id").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["machine_id"]
    assert machine_id(tmp_path / "data", environ={"HOLDFAST_MACHINE_ID": "mach_given"}) == "mach_given"


def test_a_torn_machine_id_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "machine_id").write_text("mach_12")
    made = machine_id(tmp_path, environ={})
    assert made.startswith("mach_")
    assert machine_id(tmp_path, environ={}) == made
