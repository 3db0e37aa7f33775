"""Keys, accounts and the audit from the command line."""

import json

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """An administrator's way to the server."""
    return {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY, "COLUMNS": "200"}


def test_a_key_is_made_for_a_project_and_a_time_and_rotated(cli: Cli, environ: dict[str, str]) -> None:
    made = cli("keys", "create", "--project", "web", "--expires", "90d", "--name", "ci", "--json", **environ)
    key = json.loads(made.stdout)
    assert (made.exit_code, key["project_id"], key["expires_at"] > key["created_at"]) == (0, "web", True)
    reader = environ | {"HOLDFAST_KEY": key["key"]}
    assert cli("ps", **reader).exit_code == 0
    rotated = cli("keys", "rotate", key["id"], "--overlap", "0", **environ)
    secret = rotated.stdout.splitlines()[0]
    assert "The old secret is refused from now on." in rotated.stderr
    assert cli("ps", **reader).exit_code == 3
    assert cli("ps", **environ | {"HOLDFAST_KEY": secret}).exit_code == 0
    (line,) = [each for each in cli("keys", "list", **environ).stdout.splitlines() if key["id"] in each]
    assert "web" in line
    assert "valid for" in line


@pytest.mark.parametrize("text", ["soon", "9x", "-1", "", "99999999999999d"])
def test_what_is_no_time_is_a_mistake_in_usage(text: str, cli: Cli, environ: dict[str, str]) -> None:
    assert cli("keys", "create", "--expires", text, **environ).exit_code == 2
    assert cli("keys", "rotate", "key_1", "--overlap", text, **environ).exit_code == 2


def test_keys_of_another_account_are_listed_rotated_and_revoked(cli: Cli, environ: dict[str, str]) -> None:
    cli("keys", "create", "--account", "other", "--name", "theirs", **environ)
    (theirs,) = json.loads(cli("keys", "list", "--account", "other", "--json", **environ).stdout)
    assert theirs["id"] not in cli("keys", "list", **environ).stdout
    assert cli("keys", "rotate", theirs["id"], **environ).exit_code == 3
    assert cli("keys", "rotate", theirs["id"], "--account", "other", "--overlap", "2h", **environ).exit_code == 0
    assert "old secret for" in cli("keys", "list", "--account", "other", **environ).stdout
    assert cli("keys", "revoke", theirs["id"], "--account", "other", **environ).exit_code == 0


def test_an_account_is_made_limited_suspended_exported_and_erased(cli: Cli, environ: dict[str, str]) -> None:
    made = cli("accounts", "create", "acme", "--name", "Acme", "--live-sessions", "1", **environ).stdout
    assert made == "Account acme (Acme): active, live sessions: 1 at most\n"
    assert "any number" in cli("accounts", "change", "acme", "--live-sessions", "none", **environ).stdout
    assert "any number, 0 now" in cli("accounts", "show", "acme", **environ).stdout
    assert "suspended" in cli("accounts", "suspend", "acme", "--reason", "unpaid", **environ).stdout
    assert "active" in cli("accounts", "readmit", "acme", **environ).stdout
    assert "acme" in cli("accounts", "list", **environ).stdout
    lines = [json.loads(line) for line in cli("accounts", "export", "acme", **environ).stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["account", "end"]
    assert cli("accounts", "erase", "acme", "--confirm", "acne", **environ).exit_code == 3
    assert "erasing" in cli("accounts", "erase", "acme", "--confirm", "acme", **environ).stdout


def test_the_audit_is_listed_and_verified(cli: Cli, environ: dict[str, str]) -> None:
    cli("keys", "create", **environ)
    assert "key.created" in cli("audit", "list", **environ).stdout
    verified = cli("audit", "verify", **environ)
    *_, last = verified.stdout.split()
    assert (verified.exit_code, "as they were written" in verified.stdout) == (0, True)
    assert cli("audit", "verify", "--noted", last, **environ).exit_code == 0
    number = last.partition(":")[0]
    forged = cli("audit", "verify", "--noted", f"{number}:{'0' * 64}", **environ)
    assert (forged.exit_code, "was changed" in forged.stdout) == (1, True)
