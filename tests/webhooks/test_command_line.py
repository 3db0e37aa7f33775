"""Webhooks, alert rules and figures from the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast.client.api import Api, Json
from holdfast.doors.cli.main import main
from tests.support.receiver import Receiver, Reply
from tests.support.server import HOST, KEY, Server, eventually


def test_the_command_line_makes_tries_lists_and_removes(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"HOLDFAST_WEBHOOK_ALLOW_PRIVATE": "true", "HOLDFAST_WEBHOOK_TIMEOUT_SECONDS": "5"}
    with Server(f"sqlite:///{tmp_path}/holdfast.db", directory=tmp_path / "server", environ=environ) as server:
        server.start()

        def cli(*arguments: str) -> Result:
            ours = {"HOLDFAST_URL": f"http://{HOST}:{server.port}", "HOLDFAST_KEY": KEY, "COLUMNS": "200"}
            return CliRunner().invoke(main, list(arguments), env=ours)

        assert "Make one" in cli("webhook", "list").stdout
        made = cli("webhook", "add", receiver.url, "--type", "session.*", "--description", "the night shift")
        assert made.exit_code == 0, made.output
        secret = made.stdout.strip()
        (webhook,) = json.loads(cli("webhook", "list", "--json").stdout)
        assert "secret" not in webhook
        assert f"holdfast webhook test {webhook['id']}" in made.stderr

        tried = cli("webhook", "test", webhook["id"])
        assert (tried.exit_code, tried.stdout.startswith("Delivered: it answered 204")) == (0, True)
        assert receiver.received[0].verified(secret)["type"] == "webhook.test"
        receiver.answer = lambda _: Reply(404)
        refused = cli("webhook", "test", webhook["id"])
        assert (refused.exit_code, refused.stderr) == (1, "Not delivered: it answered 404.\n")
        listed = cli("webhook", "deliveries", webhook["id"]).stdout
        assert ("delivered" in listed, "pending" in listed, "it answered 404" in listed) == (True, True, True)
        (pending,) = json.loads(cli("webhook", "deliveries", webhook["id"], "--status", "pending", "--json").stdout)
        receiver.answer = lambda _: Reply()
        assert "is being sent again" in cli("webhook", "redeliver", webhook["id"], pending["id"]).stdout
        assert "failing, 1 times in a row" in cli("webhook", "show", webhook["id"]).stdout or len(receiver.received) > 2

        rotated = cli("webhook", "rotate", webhook["id"], "--overlap", "0").stdout.strip()
        assert rotated.startswith("whsec_")
        assert rotated != secret
        assert "disabled: it was disabled" in cli("webhook", "disable", webhook["id"]).stdout
        conflict = cli("webhook", "test", webhook["id"])
        assert (conflict.exit_code, f"holdfast webhook enable {webhook['id']}" in conflict.stderr) == (4, True)
        assert ": enabled" in cli("webhook", "enable", webhook["id"]).stdout
        changed = cli("webhook", "change", webhook["id"], "--type", "session.failed", "--project", "web").stdout
        assert ("session.failed" in changed, "web" in changed) == (True, True)
        assert "is removed" in cli("webhook", "remove", webhook["id"]).stdout
        assert cli("webhook", "show", webhook["id"]).exit_code == 3
        assert cli("webhook", "add", "https://169.254.169.254/latest").exit_code == 3

        assert "Make one" in cli("alert", "list").stdout
        assert "after 30 min" in cli("alert", "add", "no_progress", "--project", "web", "--name", "stuck").stdout
        (rule,) = json.loads(cli("alert", "list", "--json").stdout)
        assert "stuck" in cli("alert", "list").stdout
        assert cli("alert", "open", rule["id"]).stdout == "There are none.\n"
        assert "disabled" in cli("alert", "disable", rule["id"]).stdout
        assert cli("alert", "add", "late", "--after", "5m").exit_code == 3
        assert "is removed" in cli("alert", "remove", rule["id"]).stdout

        # A served webhook that asks for lateness is told of it, with nobody to set a rule up.
        cli("webhook", "add", receiver.url, "--type", "session.late")
        policy: Json = {"lease_seconds": 600, "heartbeat_interval_seconds": 0.5, "grace_seconds": 0}
        assert cli("stats").stdout == "No sessions started, and nothing happened to any.\n"
        api = Api(f"http://{HOST}:{server.port}", KEY, timeout_seconds=10)
        made_session = api.request("POST", "/v1/sessions", body={"agent": "claude", "policy": policy}).body
        assert isinstance(made_session, dict)
        eventually(lambda: "session.late" in receiver.types)
        short = str(made_session["id"])[-6:]
        one = cli("webhook", "add", receiver.url, "--session", short, "--json").stdout
        assert json.loads(one)["session_id"] == made_session["id"]
        api.request("POST", f"/v1/sessions/{made_session['id']}/end", body={})
        api.close()
        (line, total) = cli("stats", "--by", "agent", "--since", "1h").stdout.splitlines()[1:]
        assert ("claude" in line, "1 ended" in line, "1 ended" in total) == (True, True, True)
        assert json.loads(cli("stats", "--json").stdout)["totals"]["sessions"] == 1
        assert cli("stats", "--since", "1h", "--to", "2026-01-01T00:00:00Z").exit_code == 2
