"""Verbs about one session, against a real server."""

import json
from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.fake_server import FakeServer, Reply


def start(server: Server, scope: str, **fields: Any) -> dict[str, Any]:
    """A session on a scope, live for an hour."""
    body: dict[str, Any] = {"agent": "claude", "scope": scope, "policy": {"lease_seconds": 3600}, **fields}
    answer = server.api.request("POST", "/v1/sessions", body=body)
    assert isinstance(answer.body, dict)
    return dict(answer.body)


def read(server: Server, session_id: str) -> dict[str, Any]:
    """The session as it is."""
    body = server.api.request("GET", f"/v1/sessions/{session_id}").body
    assert isinstance(body, dict)
    return dict(body)


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """What a person exported who works with the server."""
    return {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}


def inside(session: dict[str, Any], environ: dict[str, str]) -> dict[str, str]:
    """The environment of a command inside `holdfast run`."""
    token = str(session["fencing_token"])
    return {**environ, "HOLDFAST_SESSION_ID": session["id"], "HOLDFAST_FENCING_TOKEN": token}


def test_a_session_is_named_by_its_whole_id_or_either_end_in_any_case(
    cli: Cli, server: Server, environ: dict[str, str]
) -> None:
    session_id = start(server, "names")["id"]
    names = [session_id, session_id[-6:], session_id[-8:].lower(), session_id[5:], session_id[:29], session_id.upper()]
    for name in names:
        assert json.loads(cli("show", name, "--json", **environ).stdout)["id"] == session_id


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ZZZZZZ", "There is no session whose id begins or ends with ZZZZZZ. `holdfast ps --all` lists them."),
        ("ZZZ", "Give 4 or more characters of a session's id rather than ZZZ."),
        ("sess_00000000000000000000000000", "There is no session with this id."),
        ("../keys", "There is no session with this id."),
    ],
)
def test_a_session_that_is_not_there_is_refused(name: str, sentence: str, cli: Cli, environ: dict[str, str]) -> None:
    result = cli("show", name, **environ)
    assert result.exit_code == 3
    assert result.stderr.splitlines()[0] == sentence


def test_a_part_that_two_ids_share_names_neither(cli: Cli, fake: FakeServer) -> None:
    ids = ["sess_01KAAAAAAAAAAAAAAAAA1ABCDEF", "sess_01KAAAAAAAAAAAAAAAAA2ABCDEF"]
    fake.answer = lambda _: Reply(200, {"items": [{"id": each} for each in ids], "next_cursor": None})
    result = cli("stop", "ABCDEF", "--reason", "x", HOLDFAST_URL=fake.url)
    assert result.exit_code == 3
    assert "(1ABCDEF, 2ABCDEF)" in result.stderr
    assert {asked.method for asked in fake.asked} == {"GET"}


def test_without_a_name_and_outside_a_run_a_verb_asks_for_one(cli: Cli, environ: dict[str, str]) -> None:
    result = cli("show", **environ)
    assert result.exit_code == 2
    assert "Name a session, as `holdfast ps` shows it" in result.stderr


def test_inside_a_run_an_agent_notes_progress_and_ends_without_naming_anything(
    cli: Cli, server: Server, environ: dict[str, str]
) -> None:
    session = start(server, "inside", exclusive=True)
    here = inside(session, environ)
    arguments = (
        "--summary",
        "half done",
        "--next",
        "the rest",
        "--done",
        "a",
        "--done",
        "b",
        "--state",
        '{"page": 12}',
    )
    noted = cli("checkpoint", *arguments, **here)
    assert (noted.exit_code, noted.stdout) == (0, f"Checkpoint 1 of {session['id']} is kept.\n")
    shown = [line.rstrip() for line in cli("show", **here).stdout.splitlines()]
    assert shown[0] == f"{session['id']}  claude on inside"
    assert any(line.startswith("checkpoint 1") and line.endswith("half done") for line in shown)
    assert any(line.split() == ["next", "the", "rest"] for line in shown)
    assert cli("end", **here).exit_code == 0
    assert read(server, session["id"])["end_reason"] == "completed"


def test_the_token_of_a_run_is_not_sent_for_another_session(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    own, other = start(server, "own"), start(server, "other", exclusive=True)
    refused = cli("end", other["id"], **inside(own, environ))
    assert refused.exit_code == 4
    assert "every write must carry its fencing token" in refused.stderr
    assert "--token N" in refused.stderr
    given = cli("end", other["id"], "--token", str(other["fencing_token"]), **inside(own, environ))
    assert given.exit_code == 0
    assert read(server, other["id"])["end_reason"] == "manual"


@pytest.mark.parametrize(
    ("state", "wrong"),
    [("{", "is not JSON"), ("NaN", "is not JSON"), ("@/nonexistent", "cannot read /nonexistent: No such file")],
)
def test_a_state_that_is_no_json_is_a_wrong_usage(state: str, wrong: str, cli: Cli, environ: dict[str, str]) -> None:
    result = cli("checkpoint", "ABCDEF", "--summary", "x", "--state", state, **environ)
    assert result.exit_code == 2
    assert wrong in result.stderr


def test_a_beat_renews_and_says_until_when(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = start(server, "beats")
    result = cli("heartbeat", "--activity", "tests", **inside(session, environ))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{session['id']} is active; its lease lapses at ")
    cli("stop", session["id"], "--reason", "wrong branch", **environ)
    assert "It is asked to stop: wrong branch" in cli("heartbeat", **inside(session, environ)).stdout


def test_a_live_session_is_taken_over_by_force_only_and_leaves_what_it_knew(
    cli: Cli, server: Server, environ: dict[str, str]
) -> None:
    old = start(server, "taken", exclusive=True)
    cli("checkpoint", "--summary", "half done", **inside(old, environ))
    refused = cli("takeover", old["id"], "--reason", "it hangs", **environ)
    assert refused.exit_code == 4
    assert f'  holdfast takeover {old["id"]} --reason "WHY" --force   (with an operator\'s key)' in refused.stderr
    taken = cli("takeover", old["id"], "--reason", "it hangs", "--force", "--holder-id", "anna", **environ)
    assert taken.exit_code == 0
    lines = taken.stdout.splitlines()
    new_id = lines[0].split()[0]
    assert lines[0] == f"{new_id}  took over from {old['id']}"
    assert lines[1] == f"Its fencing token is {old['fencing_token'] + 1}, its lease 1 h."
    assert any(line.startswith("checkpoint 1") and line.endswith("half done") for line in lines)
    assert f"  export HOLDFAST_SESSION_ID={new_id} HOLDFAST_FENCING_TOKEN={old['fencing_token'] + 1}" in lines
    assert read(server, new_id)["holder_id"] == "anna"
    assert read(server, old["id"])["taken_over_by"] == new_id


def test_explain_says_the_rule_who_and_when(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = start(server, "explained")
    server.api.request("POST", f"/v1/sessions/{session['id']}/fail", body={"reason": "out of \u2603"})
    lines = [line.rstrip() for line in cli("explain", session["id"], **environ).stdout.splitlines()]
    assert lines[0] == f"{session['id']}  claude on explained"
    assert lines[1].startswith("failed: out of \u2603")
    assert "why      somebody asked for it: out of \u2603" in lines
    assert "rule     requested" in lines
    assert any(line.split()[3:5] == ["started", "somebody"] for line in lines if line.endswith(lines[4].split()[1]))


def test_stop_resume_and_archive_answer_with_the_session(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = start(server, "verbs")
    stopped = cli("stop", session["id"], "--reason", "wrong branch", **environ)
    assert stopped.stdout.splitlines()[1].endswith(", asked to stop")
    server.api.request("POST", f"/v1/sessions/{session['id']}/park", body={})
    assert cli("resume", session["id"], **environ).stdout.splitlines()[1].startswith("active, beat ")
    refused = cli("archive", session["id"], **environ)
    assert refused.exit_code == 4
    assert f"  holdfast end {session['id']}" in refused.stderr
    cli("end", session["id"], "--reason", "cleared", **environ)
    archived = cli("archive", session["id"], "--json", **environ)
    assert json.loads(archived.stdout)["archived_at"] is not None


def test_every_verb_answers_in_json(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    here = inside(start(server, "json"), environ)
    session_id = here["HOLDFAST_SESSION_ID"]
    for arguments in (
        ("show",),
        ("explain",),
        ("heartbeat",),
        ("checkpoint", "--summary", "x"),
        ("resume",),
        ("stop", session_id, "--reason", "x"),
        ("takeover", session_id, "--reason", "x", "--force"),
        ("archive", session_id),
        ("ps",),
        ("keys", "list"),
        ("config",),
    ):
        result = cli(*arguments, "--json", **here)
        assert (result.exit_code, result.stderr) == (0, ""), arguments
        json.loads(result.stdout)


def test_a_key_is_printed_alone_and_revoked_by_its_id(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    created = cli("keys", "create", "--scope", "read", "--name", "dashboard", **environ)
    key, key_id = created.stdout.strip(), created.stderr.split()[3].rstrip(",")
    reader = {**environ, "HOLDFAST_KEY": key}
    assert cli("ps", **reader).exit_code == 0
    refused = cli("keys", "list", **reader)
    assert refused.exit_code == 3
    assert refused.stderr.startswith("This needs a key with the scope admin.\n")
    listed = cli("keys", "list", **environ).stdout
    assert key not in listed
    assert [line.split()[:4] for line in listed.splitlines() if key_id in line] == [
        [key_id, "dashboard", "read", "default"]
    ]
    assert cli("keys", "revoke", key_id, **environ).stdout == f"Key {key_id} is revoked.\n"
    assert cli("ps", **reader).exit_code == 3


def test_a_fence_passes_only_the_current_token(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    """The scope holds what a query has to encode, and is asked about as the run has it in its environment."""
    session = start(server, "repo=github.com%2Facme%2Fweb", exclusive=True)
    own = {**inside(session, environ), "HOLDFAST_SCOPE": session["scope"]}
    assert cli("fence", **own).exit_code == 0
    stale = cli("fence", "--token", str(session["fencing_token"] + 1), **own)
    assert (stale.exit_code, "not the current" in stale.stderr or "stale" in stale.stderr) == (4, True), stale.stderr
    assert cli("fence", **environ).exit_code == 2
