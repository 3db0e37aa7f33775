"""Machines from the command line: a table, one of them, maintenance, and what is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from holdfast.client.api import Json
from tests.cli.conftest import ADMIN_KEY, Cli, Server

_numbers = count()


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """An administrator's way to the server."""
    return {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY, "COLUMNS": "200"}


@pytest.fixture
def machine(server: Server) -> Iterator[str]:
    """A machine with two slots and a session in the first."""
    machine_id = f"mach_{next(_numbers):032x}"
    slots: list[Json] = [{"label": "gpu", "cpu": 0.5, "memory_mb": 512}, {"status": "disabled"}, {}]
    server.api.request("POST", "/v1/machines", body={"machine_id": machine_id, "hostname": "build-7", "slots": slots})
    begun = server.api.request("POST", "/v1/sessions", body={"agent": "claude", "machine_id": machine_id}).body
    assert isinstance(begun, dict)
    yield machine_id
    server.api.request("POST", f"/v1/sessions/{begun['id']}/end", body={})
    server.api.request("DELETE", f"/v1/machines/{machine_id}")


def test_machines_are_listed_with_who_is_in_their_slots(cli: Cli, environ: dict[str, str], machine: str) -> None:
    for verb in (("machine", "list"), ("ps", "--machines"), ("machine", "list", "--available")):
        titles, line = cli(*verb, **environ).stdout.splitlines()
        assert titles.split() == ["ID", "HOST", "STATUS", "SLOTS", "SESSIONS", "BEAT"]
        assert line.startswith(f"{machine}  build-7  online  1 of 3 free  1:")
        assert [each["id"] for each in json.loads(cli(*verb, "--json", **environ).stdout)] == [machine]
    assert "No machine is like that." in cli("machine", "list", "--status", "offline", **environ).stdout
    assert cli("machine", "list", "--status", "online", "--available", **environ).exit_code == 2
    assert cli("ps", "--machines", "--all", **environ).exit_code == 2


def test_one_is_shown_slot_by_slot_under_any_of_its_names(cli: Cli, environ: dict[str, str], machine: str) -> None:
    for name in (machine, machine[-6:], "build-7"):
        head, titles, *slots = cli("machine", "show", name, **environ).stdout.splitlines()
        assert head.startswith(f"{machine}  online  build-7, beat ")
        assert titles.split()[:2] == ["SLOT", "STATUS"]
        assert [line.split()[:2] for line in slots] == [["1", "taken"], ["2", "disabled"], ["3", "free"]]
        assert slots[0].endswith("0.5 cpu, 512 MB  gpu")
    assert json.loads(cli("machine", "show", "--json", HOLDFAST_MACHINE_ID=machine, **environ).stdout)["id"] == machine
    missing = cli("machine", "show", "nowhere", **environ)
    assert (missing.exit_code, "holdfast machine list" in missing.stderr) == (3, True)


def test_in_maintenance_and_back_and_forgotten_when_empty(cli: Cli, environ: dict[str, str], machine: str) -> None:
    told = cli("machine", "maintenance", "build-7", "--reason", "new disks", **environ)
    assert told.stdout == f"Machine {machine} is in maintenance.\n"
    assert "maintenance for" in cli("machine", "list", **environ).stdout
    assert cli("machine", "online", "build-7", **environ).stdout == f"Machine {machine} is online.\n"
    refused = cli("machine", "remove", "build-7", **environ)
    assert (refused.exit_code, f"holdfast machine show {machine}" in refused.stderr) == (4, True)


@pytest.mark.parametrize("restart", ["always", "on-failure:0", "on-failure:x", "no:1"])
def test_what_is_no_restart_is_a_mistake_in_usage(restart: str, cli: Cli, environ: dict[str, str]) -> None:
    assert cli("machine", "up", "--restart", restart, "--", "true", **environ).exit_code == 2


def test_whoever_works_in_a_checkout_without_a_server_is_listed_too(
    cli: Cli, environ: dict[str, str], home: Path
) -> None:
    assert "without a server" not in cli("ps", "--machines", **environ).stdout
    checkout = home / "checkout"
    checkout.mkdir()
    command = [sys.executable, "-m", "holdfast", "session-state", "start"]
    subprocess.run(command, cwd=checkout, env={"HOME": str(home), "PATH": os.environ["PATH"]}, check=True)
    listed = cli("ps", "--machines", **environ).stdout
    assert "ready" in listed.partition("without a server")[2]
    alone = cli("ps", "--machines", **{**environ, "HOLDFAST_URL": "http://127.0.0.1:9"})
    assert (alone.exit_code, "ready" in alone.stdout.partition("without a server")[2]) == (0, True)
    assert "No Holdfast server answers" in alone.stderr
    assert cli("ps", "--machines", "--json", **{**environ, "HOLDFAST_URL": "http://127.0.0.1:9"}).exit_code == 5
