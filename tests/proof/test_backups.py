"""Backups of a server under load, and what a restore of one means to those who were there before."""

import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import apsw

from holdfast.maintenance.backups import check
from holdfast.maintenance.invariants import broken_invariants
from holdfast.maintenance.tables import SqliteTables
from tests.proof.client import Body, Client
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, working
from tests.proof.load import check as check_ledger
from tests.proof.report import percentiles
from tests.support.command_line import environment, run
from tests.support.server import PROGRAM, Server, eventually

HOLDERS = 6
BACKUPS = 4
KILLS = 8
ACKS_BEFORE = 200
KILL_SECONDS = (0.2, 0.9)
"""Importing takes the first third of a second; the rest is a backup's own work."""

BEAT_MS_MAX = 5_000
"""No beat waits for a backup; what is allowed is what a busy machine with two cores may take anyway."""


def test_backups_under_load_hold_all_that_was_acknowledged_before_and_break_nothing(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    server = serve(database_url)
    ledger = Ledger()
    holders = [Holder(f"holder-{number}", "scope", [server], ledger, seed=number) for number in range(HOLDERS)]
    beaters: list[str] = []
    with working(holders), _beating(server, beaters) as delays_ms:
        eventually(lambda: ledger.acks > ACKS_BEFORE)
        for number in range(BACKUPS):
            acknowledged = {each.id: list(each.summaries) for each in list(ledger.sessions.values())}
            acks = ledger.acks
            done = run(tmp_path, "backup", f"backup-{number}", "--database", database_url, "--json")
            assert done.code == 0, done.complained
            assert ledger.acks > acks, "nobody worked meanwhile"
            _require_whole_and_containing(tmp_path / f"backup-{number}", acknowledged)
        eventually(lambda: len(delays_ms) > 0)
    for holder in holders:
        holder.close()
    check_ledger(ledger, database_url)
    assert [each for each in ledger.findings if not any(beater in each.what for beater in beaters)] == []
    print(f"{len(delays_ms)} beats while {BACKUPS} backups were made: {percentiles(delays_ms)}")
    assert max(delays_ms) < BEAT_MS_MAX


@contextmanager
def _beating(server: Server, ids: list[str]) -> Iterator[list[int]]:
    """Beat one session after the other meanwhile; how long each beat took, in milliseconds."""
    delays_ms: list[int] = []
    is_over = threading.Event()

    def beat() -> None:
        with Client(server) as client:
            # One that is beaten more often than once a second is answered without a write.
            sessions = [client.started(None, holder_id=f"beater-{number}") for number in range(50)]
            ids.extend(session["id"] for session in sessions)
            while not is_over.is_set():
                for session in sessions:
                    began = time.monotonic()
                    path = f"/v1/sessions/{session['id']}/heartbeat"
                    assert client.post(path, {"fencing_token": session["fencing_token"]}).status == 200
                    delays_ms.append(int((time.monotonic() - began) * 1_000))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield delays_ms
    finally:
        is_over.set()
        thread.join()


def _require_whole_and_containing(path: Path, acknowledged: dict[str, list[str]]) -> None:
    checked = check(path, on_progress=lambda _what, _done, _total: None)
    assert checked.broken == ()
    with closing(apsw.Connection(str(path))) as connection:
        tables = SqliteTables(connection)
        assert broken_invariants(tables) == []
        kept = {session_id for (session_id,) in tables.query("select id from session")}
        summaries: dict[str, list[str]] = {}
        for session_id, summary in tables.query("select session_id, summary from checkpoint order by number"):
            summaries.setdefault(session_id, []).append(summary)
    for session_id, told in acknowledged.items():
        assert session_id in kept
        assert summaries.get(session_id, [])[: len(told)] == told


def test_backups_that_are_killed_leave_nothing_under_their_name_and_the_server_alone(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    server = serve(database_url)
    ledger = Ledger()
    dice = random.Random(1)
    holders = [Holder(f"holder-{number}", "scope", [server], ledger, seed=number) for number in range(2)]
    whole = 0
    with working(holders):
        eventually(lambda: ledger.acks > ACKS_BEFORE)
        for _ in range(KILLS):
            command = [*PROGRAM, "backup", str(tmp_path / "backup"), "--force", "--database", database_url]
            process = subprocess.Popen(
                command, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            with suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(*KILL_SECONDS))
            process.kill()
            process.wait()
            if (tmp_path / "backup").exists():
                check(tmp_path / "backup", on_progress=lambda _what, _done, _total: None)
                whole += 1
        done = run(tmp_path, "backup", "backup", "--force", "--database", database_url)
        assert done.code == 0, done.complained
    print(f"a backup was killed {KILLS} times; a whole one was there after {whole}")
    for holder in holders:
        holder.close()
    check_ledger(ledger, database_url)
    assert ledger.findings == []


def test_after_a_restore_no_token_repeats_and_an_old_cursor_is_gone(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    server = serve(database_url)
    with Client(server) as client:
        alive = client.started("scope", holder_id="alive")
        tokens = [alive["fencing_token"]]
        old_cursor = client.get("/v1/events").body["next_cursor"]
        assert run(tmp_path, "backup", "backup", "--database", database_url).code == 0
        lost = [client.started("scope", holder_id=f"lost-{number}") for number in range(5)]
        tokens += [each["fencing_token"] for each in lost]
        assert client.get(f"/v1/events?after={old_cursor}").status == 200
    refused = run(tmp_path, "restore", "backup", "--replace", "--database", database_url)
    assert refused.code == 4
    assert "served" in refused.complained
    server.kill()
    eventually(lambda: run(tmp_path, "restore", "backup", "--replace", "--database", database_url).code == 0)
    server.start()
    with Client(server) as client:
        gone = client.get(f"/v1/events?after={old_cursor}")
        assert (gone.status, gone.code) == (410, "cursor_expired")
        assert client.get("/v1/events").status == 200
        assert client.get(f"/v1/sessions/{lost[0]['id']}").status == 404
        _beat(client, alive)
        again = client.started("scope", holder_id="again")
        assert again["fencing_token"] > max(tokens)
        assert client.session(alive["id"])["status"] == "active"


def _beat(client: Client, session: Body) -> None:
    path = f"/v1/sessions/{session['id']}/heartbeat"
    assert client.post(path, {"fencing_token": session["fencing_token"]}).status == 200
