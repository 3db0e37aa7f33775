"""Many clients that want the same thing at the same moment, of one server and of two on one database."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.proof import database
from tests.proof.client import Answer, Body, Client
from tests.proof.racing import Run, in_flight_together, race
from tests.proof.report import bound_95
from tests.support.postgres import PostgresServer
from tests.support.server import Server, eventually

RACERS = 8
ROUNDS = 50
ROUNDS_WITH_OLD_TOKEN = 4
PARTS = int(os.environ.get("HOLDFAST_PROOF_CYCLES", "200")) // 10
"""How many times fifty rounds the long test has."""

ROUNDS_FROM_BEFORE = 10
"""Rounds in which everybody asks from before the lapse on, so that the race is for the very moment."""

STRICT = {"lease_seconds": 1, "on_lapse": "strict"}
REVIVABLE = {"lease_seconds": 1, "on_lapse": "revivable"}
LASTING = {"lease_seconds": 600}


class Arena(NamedTuple):
    """Eight clients, spread over the servers of one database, and one more to prepare and to look.

    name: of the test, so that no two of them meet on a scope.
    """

    clients: list[Client]
    judge: Client
    database_url: str
    name: str


@pytest.fixture(scope="module", params=["sqlite", "postgres", "two nodes"])
def stadium(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """One server on each kind of store, and two servers on one PostgreSQL."""
    directory = tmp_path_factory.mktemp("races")
    with ExitStack() as opened:
        database_url = f"sqlite:///{directory}/holdfast.db"
        if request.param != "sqlite":
            postgres_server: PostgresServer = request.getfixturevalue("postgres_server")
            database_url = opened.enter_context(postgres_server.database())
        servers = [
            opened.enter_context(Server(database_url, directory=directory / f"node-{number}"))
            for number in range(2 if request.param == "two nodes" else 1)
        ]
        for server in servers:
            server.start()
        clients = [opened.enter_context(Client(servers[number % len(servers)])) for number in range(RACERS)]
        yield Arena(clients, opened.enter_context(Client(servers[0])), database_url, "")


@pytest.fixture
def arena(stadium: Arena, request: pytest.FixtureRequest) -> Arena:
    """The servers, for one test."""
    return stadium._replace(name=request.function.__name__)


def test_one_of_many_racing_takeovers_of_a_lapsed_session_wins(arena: Arena) -> None:
    _race_for_lapsed_sessions(arena, rounds=ROUNDS)


@pytest.mark.proof
def test_one_of_many_racing_takeovers_wins_again_and_again(arena: Arena) -> None:
    for part in range(PARTS):
        _race_for_lapsed_sessions(arena._replace(name=f"{arena.name}-{part}"), rounds=ROUNDS)


def _race_for_lapsed_sessions(arena: Arena, *, rounds: int) -> None:
    lapsed = [_started(arena, f"{arena.name}-{number}", policy=STRICT) for number in range(rounds)]
    eventually(lambda: all(arena.judge.session(each["id"])["liveness"] == "lapsed" for each in lapsed))
    together = []
    for number, old in enumerate(lapsed):
        runs = race([partial(_take_over, client, old, as_=racer) for racer, client in enumerate(arena.clients)])
        together.append(in_flight_together(runs))
        winner = _only_winner(runs)
        _assert_succeeds(arena, old, winner)
        if number < ROUNDS_WITH_OLD_TOKEN:
            _assert_old_token_is_useless(arena, old, winner)
    print(f"{rounds} rounds of {RACERS}, at least {min(together)} at once; 95 % bound {bound_95(rounds)} per round")
    assert max(together) > 1


def test_one_of_many_that_ask_from_before_the_lapse_on_wins_and_none_before_it(arena: Arena) -> None:
    held = [_started(arena, f"{arena.name}-{number}", policy=STRICT) for number in range(ROUNDS_FROM_BEFORE)]

    def until_decided(client: Client, as_: int) -> list[Answer]:
        decided: list[Answer] = []
        for old in held:
            answer = _take_over(client, old, as_=as_)
            while answer.status == 409 and answer.body.get("session_id") == old["id"] and answer.code == "lease_held":
                answer = _take_over(client, old, as_=as_)
            decided.append(answer)
        return decided

    told: list[list[Answer]] = [[] for _ in arena.clients]

    def run(racer: int, client: Client) -> Answer:
        told[racer] = until_decided(client, racer)
        return told[racer][-1]

    race([partial(run, racer, client) for racer, client in enumerate(arena.clients)])
    for number, old in enumerate(held):
        winner = _only_winner([Run(answers[number], 0, 0) for answers in told])
        _assert_succeeds(arena, old, winner)
        assert winner["started_at"] >= old["lease_expires_at"]


def test_of_takeovers_and_the_old_holders_beat_exactly_one_succeeds(arena: Arena) -> None:
    lapsed = [_started(arena, f"{arena.name}-{number}", policy=REVIVABLE) for number in range(ROUNDS)]
    eventually(lambda: all(arena.judge.session(each["id"])["liveness"] == "lapsed" for each in lapsed))
    beats = 0
    for old in lapsed:
        takers = [partial(_take_over, client, old, as_=racer) for racer, client in enumerate(arena.clients[1:])]
        beat, *taken = [run.answer for run in race([partial(_beat, arena.clients[0], old), *takers])]
        winners = [answer.body for answer in taken if answer.status == 201]
        if beat.status == 200 and winners:
            # On a machine that stood still for a second, the lease that the beat renewed is over again.
            assert winners[0]["started_at"] >= beat.body["lease_expires_at"]
        elif beat.status != 200:
            assert beat.code == "session_taken_over", beat
        beats += beat.status == 200
        assert len(winners) <= 1, taken
        assert winners or beat.status == 200, (beat, taken)
        assert _holders(arena, old["scope"]) == [winners[0]["id"] if winners else old["id"]]
    print(f"the beat won {beats} of {len(lapsed)} races")


def test_racing_starts_of_one_identity_get_one_session(arena: Arena) -> None:
    for number in range(ROUNDS // 2):
        scope = f"{arena.name}-{number}"
        start: Callable[[Client], Answer] = partial(_start, scope=scope, holder_id="holder-1", exclusive=True)
        runs = race([partial(start, client) for client in arena.clients])
        assert sorted(run.answer.status for run in runs) == [200] * (RACERS - 1) + [201], [run.answer for run in runs]
        assert len({run.answer.body["id"] for run in runs}) == 1
        tokens = sorted(run.answer.body["fencing_token"] for run in runs)
        assert tokens == list(range(tokens[0], tokens[0] + RACERS))
        current = [token for token in tokens if _fence(arena.judge, scope, token).status == 200]
        assert current == tokens[-1:]


def test_one_of_racing_exclusive_starts_of_different_identities_wins(arena: Arena) -> None:
    for number in range(ROUNDS // 2):
        scope = f"{arena.name}-{number}"
        runs = race(
            [
                partial(_start, client, scope=scope, holder_id=f"holder-{racer}", exclusive=True)
                for racer, client in enumerate(arena.clients)
            ]
        )
        assert sorted(run.answer.status for run in runs) == [201] + [409] * (RACERS - 1), [run.answer for run in runs]
        assert {run.answer.code for run in runs} == {None, "lease_held"}
        (winner,) = [run.answer.body for run in runs if run.answer.status == 201]
        assert _holders(arena, scope) == [winner["id"]]


def _started(arena: Arena, scope: str, *, policy: Body) -> Body:
    return arena.judge.started(scope, holder_id="first", exclusive=True, policy=policy)


def _start(client: Client, *, scope: str, holder_id: str, exclusive: bool) -> Answer:
    return client.start(scope, holder_id=holder_id, exclusive=exclusive, policy=LASTING)


def _take_over(client: Client, old: Body, *, as_: int) -> Answer:
    """Take over by either of the two ways."""
    body: Body = {"holder_id": f"racer-{as_}", "policy": LASTING}
    if as_ % 2:
        return client.post(f"/v1/sessions/{old['id']}/takeover", {**body, "reason": "it is silent"})
    taken = {"scope": old["scope"], "agent": "prover", "exclusive": True, "take_over": {"reason": "it is silent"}}
    return client.post("/v1/sessions", {**body, **taken})


def _beat(client: Client, old: Body) -> Answer:
    return client.post(f"/v1/sessions/{old['id']}/heartbeat", {"fencing_token": old["fencing_token"]})


def _fence(client: Client, scope: str, token: int) -> Answer:
    return client.get(f"/v1/fence?scope={scope}&token={token}")


def _holders(arena: Arena, scope: str) -> list[str]:
    query = "select id from session where held_scope = ? and taken_over_by is null"
    return [session_id for (session_id,) in database.read(arena.database_url, query, (scope,))]


def _only_winner(runs: list[Run]) -> Body:
    """The one that got the scope; everybody else was refused, with a code that says why."""
    winners = [run.answer.body for run in runs if run.answer.status == 201]
    losers = [run.answer for run in runs if run.answer.status != 201]
    assert len(winners) == 1, [run.answer for run in runs]
    assert {loser.status for loser in losers} <= {409}, losers
    assert {loser.code for loser in losers} <= {"lease_held", "session_taken_over"}, losers
    return winners[0]


def _assert_succeeds(arena: Arena, old: Body, winner: Body) -> None:
    assert winner["outcome"] == "taken_over"
    assert winner["took_over_from"] == old["id"]
    assert winner["fencing_token"] > old["fencing_token"]
    assert _holders(arena, old["scope"]) == [winner["id"]]
    assert _fence(arena.judge, old["scope"], winner["fencing_token"]).status == 200
    assert _fence(arena.judge, old["scope"], old["fencing_token"]).code == "fencing_token_stale"
    types = [each["type"] for each in arena.judge.events(session_id=old["id"])]
    assert types.count("session.taken_over") == 1, types


OLD_WRITES: dict[str, Body] = {
    "heartbeat": {"progress": 99, "activity": "still here"},
    "checkpoint": {"summary": "too late"},
    "pause": {},
    "resume": {},
    "park": {"reason": "later"},
    "stall": {},
    "end": {},
    "fail": {"reason": "it broke"},
}


def _assert_old_token_is_useless(arena: Arena, old: Body, winner: Body) -> None:
    """Whatever is said under the old token, to the old session or to the new one, is refused and changes nothing."""
    about = (old["id"], winner["id"], old["scope"])
    before = database.dump(arena.database_url, about=about)
    for session_id, codes in (
        (old["id"], {"session_taken_over", "session_ended"}),
        (winner["id"], {"fencing_token_stale"}),
    ):
        path = f"/v1/sessions/{session_id}"
        said = {
            verb: client.post(f"{path}/{verb}", _signed(old, body))
            for client, (verb, body) in zip(arena.clients, OLD_WRITES.items(), strict=True)
        }
        said["patch"] = arena.judge.send("PATCH", path, _signed(old, {"branch": "main"}))
        for verb, answer in said.items():
            assert answer.status == 409, (verb, answer)
            assert answer.code in codes, (verb, answer)
    assert database.dump(arena.database_url, about=about) == before


def _signed(old: Body, body: dict[str, Any]) -> Body:
    return {**body, "fencing_token": old["fencing_token"]}
