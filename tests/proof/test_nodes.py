"""Two servers on one PostgreSQL: one truth, whoever is asked. And a second one on a SQLite file, which is refused."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.proof import database
from tests.proof.beating import detection_delays_ms
from tests.proof.broken_server import program
from tests.proof.client import Body, Client
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, check, working
from tests.proof.racing import race
from tests.proof.report import percentiles, summary
from tests.support.server import NotStarted, Server, eventually

ROUNDS = 25
LAPSES = 200
HOLDERS = 6
KILLS = 2
PAUSES = 3
LIFE_SECONDS = (0.1, 0.4)
REVOKED_SECONDS_MAX = 5.0
"""Promised are two; the rest is for a machine that is busy."""

STRICT = {"lease_seconds": 1, "on_lapse": "strict"}


class Nodes(NamedTuple):
    """Two servers on one database, and a client of each."""

    servers: list[Server]
    clients: list[Client]
    database_url: str


@pytest.fixture
def nodes(serve: Serve, postgres_url: str) -> Iterator[Nodes]:
    """Two servers on one PostgreSQL."""
    servers = [serve(postgres_url), serve(postgres_url)]
    with ExitStack() as opened:
        yield Nodes(servers, [opened.enter_context(Client(server)) for server in servers], postgres_url)


def test_every_lapse_is_recorded_once_though_both_nodes_sweep(nodes: Nodes) -> None:
    policies = [{"lease_seconds": 1 + number % 10 / 10} for number in range(LAPSES)]
    started = [
        nodes.clients[number % 2].started(None, holder_id=f"holder-{number}", policy=policy)
        for number, policy in enumerate(policies)
    ]
    delays_ms = detection_delays_ms([each["id"] for each in started], nodes.clients[0])
    print(f"{LAPSES} lapses found by two nodes: {percentiles(delays_ms)}")


def test_one_key_used_on_both_nodes_at_once_has_one_effect_and_one_answer(nodes: Nodes) -> None:
    lapsed = [
        nodes.clients[0].started(f"scope-{number}", holder_id="first", exclusive=True, policy=STRICT)
        for number in range(ROUNDS)
    ]
    eventually(lambda: nodes.clients[0].session(lapsed[-1]["id"])["liveness"] == "lapsed")
    for number, old in enumerate(lapsed):
        fresh = {"scope": f"fresh-{number}", "agent": "prover", "holder_id": "holder-1", "exclusive": True}
        session = _said_on_both(nodes, "/v1/sessions", fresh, key=f"start-{number:04}")
        signed = {"fencing_token": session["fencing_token"]}
        path = f"/v1/sessions/{session['id']}"
        written = _said_on_both(nodes, f"{path}/checkpoint", {**signed, "summary": "done"}, key=f"write-{number:04}")
        assert written["number"] == 1
        _said_on_both(nodes, f"{path}/end", signed, key=f"end-{number:04}")
        taking = {"holder_id": "second", "reason": "it is silent"}
        _said_on_both(nodes, f"/v1/sessions/{old['id']}/takeover", taking, key=f"take-{number:04}")
    counted: dict[str, int] = dict(database.read(nodes.database_url, "select type, count(*) from event group by type"))
    told = ("session.started", "session.ended", "session.taken_over")
    assert [counted[event_type] for event_type in told] == [3 * ROUNDS, ROUNDS, ROUNDS]


def test_a_cursor_goes_on_at_either_node_and_sees_every_event_once_in_order(nodes: Nodes) -> None:
    ledger = Ledger()
    holders = [
        Holder(f"holder-{number}", f"scope-{number % 2}", [*nodes.servers], ledger, seed=number)
        for number in range(HOLDERS)
    ]
    read: list[str] = []
    cursor: str | None = None
    with working(holders):
        for page in range(200):
            items, cursor = _page(nodes.clients[page % 2], cursor, limit=1 + page % 7)
            read += items
    read += [event["id"] for event in nodes.clients[1].events(after=cursor)]
    in_order = database.read(nodes.database_url, "select id from event order by number")
    assert read == [event_id for (event_id,) in in_order]
    check(ledger, nodes.database_url)
    assert ledger.findings == []
    for holder in holders:
        holder.close()


def test_a_revoked_key_is_refused_by_the_other_node_soon(nodes: Nodes) -> None:
    made = nodes.clients[0].post("/v1/keys", {"name": "short-lived", "scope": "agent"}).body
    with Client(nodes.servers[0], key=made["key"]) as here, Client(nodes.servers[1], key=made["key"]) as there:
        assert (here.get("/v1/sessions").status, there.get("/v1/sessions").status) == (200, 200)
        assert nodes.clients[0].send("DELETE", f"/v1/keys/{made['id']}").status == 200
        revoked_at = time.monotonic()
        assert here.get("/v1/sessions").status == 401
        eventually(lambda: there.get("/v1/sessions").status == 401, seconds_max=REVOKED_SECONDS_MAX)
    print(f"refused by the other node after {time.monotonic() - revoked_at:.1f} s")


def test_a_node_that_is_killed_under_load_loses_nothing_that_it_acknowledged(nodes: Nodes) -> None:
    ledger = Ledger()
    dice = random.Random(1)
    holders = [
        Holder(f"holder-{number}", f"scope-{number % 2}", [*nodes.servers], ledger, seed=number)
        for number in range(HOLDERS)
    ]
    for cycle in range(KILLS):
        victim = nodes.servers[cycle % 2]
        with working(holders):
            time.sleep(dice.uniform(*LIFE_SECONDS))
            victim.kill()
            acks = ledger.acks
            eventually(lambda acks=acks: ledger.acks > acks + HOLDERS)  # type: ignore[misc]
            victim.start()
        check(ledger, nodes.database_url)
    for holder in holders:
        holder.close()
    print(summary("one of two nodes killed", ledger.counts(), findings=ledger.findings, trials=ledger.acks))
    assert ledger.findings == []
    assert ledger.repeated > 0


def test_a_node_paused_in_the_middle_of_a_transaction_does_not_hold_up_the_other(
    serve: Serve, postgres_url: str
) -> None:
    slow, quick = serve(postgres_url, program=program("commit_late")), serve(postgres_url)
    ledger = Ledger()
    holders = [Holder(f"holder-{number}", "scope", [slow], ledger, seed=number) for number in range(HOLDERS)]
    dice = random.Random(2)
    with working(holders), Client(quick) as client:
        for number in range(PAUSES):
            time.sleep(dice.uniform(*LIFE_SECONDS))
            slow.pause()
            asked_at = time.monotonic()
            client.started(f"other-{number}", holder_id="other")
            print(f"answered {time.monotonic() - asked_at:.2f} s after the other node was paused")
            slow.resume()
    for holder in holders:
        holder.close()
    mine = {session_id for (session_id,) in database.read(postgres_url, "select id from session where scope = 'scope'")}
    assert mine == set(ledger.sessions)
    assert ledger.findings == []


def test_a_second_server_on_one_sqlite_file_is_refused(serve: Serve, sqlite_url: str, tmp_path: Path) -> None:
    first = serve(sqlite_url)
    second = Server(sqlite_url, directory=tmp_path / "second")
    with second, pytest.raises(NotStarted) as refused:
        second.start()
    assert refused.value.status == 1
    assert f"is served by another process (pid {first.pid})" in refused.value.said
    assert "Traceback" not in refused.value.said
    with Client(first) as client:
        client.started("scope", holder_id="holder-1")


def _said_on_both(nodes: Nodes, path: str, body: Body, *, key: str) -> Body:
    """Say the same under one key to both nodes at once: the one answer that both give."""
    answers = [run.answer for run in race([partial(client.post, path, body, key=key) for client in nodes.clients])]
    assert {answer.status for answer in answers} <= {200, 201}, answers
    assert answers[0].content == answers[1].content
    assert sorted(answer.is_replay for answer in answers) == [False, True]
    return answers[0].body


def _page(client: Client, cursor: str | None, *, limit: int) -> tuple[list[str], str]:
    after = "" if cursor is None else f"&after={cursor}"
    answer = client.get(f"/v1/events?limit={limit}{after}")
    assert answer.status == 200, answer
    return [event["id"] for event in answer.body["items"]], answer.body["next_cursor"]
