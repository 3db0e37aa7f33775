"""A database that goes away: nothing is accepted meanwhile, nobody dies of it, and everything heals by itself."""

import time

from tests.proof.beating import LEASE_SECONDS, beating, dead_by_mistake, fleet, hear
from tests.proof.client import Client
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, check, working
from tests.proof.own_postgres import OwnPostgres
from tests.proof.report import summary
from tests.support.server import eventually

FLEET = 8
HOLDERS = 6
AWAY_SECONDS = LEASE_SECONDS + 0.6
RESTARTS = 2
BLINK_SECONDS = 0.3


def test_nobody_who_beats_dies_of_a_database_that_was_away_or_frozen(serve: Serve, postgres: OwnPostgres) -> None:
    server = serve(postgres.url)
    beaters = fleet([server], size=FLEET)
    with beating(beaters), Client(server) as client:
        hear(beaters, more=1)
        postgres.stop()
        eventually(lambda: all(beater.unheard for beater in beaters))
        refused = client.start("scope", holder_id="holder-1")
        assert (refused.status, refused.code) == (503, "unavailable")
        assert client.get("/health/ready").status == 503
        time.sleep(AWAY_SECONDS)
        postgres.start()
        hear(beaters, more=1)
        told = [answer for beater in beaters for answer in beater.unheard if answer is not None]
        assert {answer.code for answer in told} <= {"unavailable", "outcome_unknown"}
        assert {answer.status for answer in told} == {503}
        eventually(lambda: client.get("/health/ready").status == 200)
        postgres.freeze()
        time.sleep(AWAY_SECONDS)
        postgres.thaw()
        hear(beaters)
        eventually(lambda: client.get("/v1/sessions").status == 200)
        assert dead_by_mistake(beaters, client) == []


def test_a_database_that_crashes_under_load_loses_and_doubles_nothing(serve: Serve, postgres: OwnPostgres) -> None:
    server = serve(postgres.url)
    ledger = Ledger()
    holders = [
        Holder(f"holder-{number}", f"scope-{number % 2}", [server], ledger, seed=number) for number in range(HOLDERS)
    ]
    for _ in range(RESTARTS):
        with working(holders):
            acks = ledger.acks
            eventually(lambda acks=acks: ledger.acks > acks + 10 * HOLDERS)  # type: ignore[misc]
            postgres.stop()
            time.sleep(BLINK_SECONDS)
            postgres.start()
            acks = ledger.acks
            eventually(lambda acks=acks: ledger.acks > acks + 10 * HOLDERS)  # type: ignore[misc]
        check(ledger, postgres.url)
    for holder in holders:
        holder.close()
    print(summary("PostgreSQL crashed", ledger.counts(), findings=ledger.findings, trials=ledger.acks))
    assert ledger.findings == []
    assert set(ledger.postponed) <= {"unavailable", "outcome_unknown"}
    assert ledger.postponed
