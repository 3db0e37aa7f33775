"""Two nodes on one PostgreSQL behind nginx: a node is killed, the database restarts, and nobody is the worse for it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.proof import database
from tests.proof.beating import beating, dead_by_mistake, fleet, hear
from tests.proof.client import Client, Reachable, Unanswered
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, check, working
from tests.proof.own_postgres import OwnPostgres
from tests.proof.report import summary
from tests.support.nginx import Nginx, nginx
from tests.support.server import Server, eventually

FLEET = 8
HOLDERS = 6
AWAY_SECONDS = 1.0
HEALED_SECONDS_MAX = 15.0
"""Back-off ends at five seconds; the rest is for PostgreSQL's recovery and a machine that is busy."""


class Subscriber:
    """Reads events as they come, connects anew where the connection is lost, and goes on from its last cursor."""

    def __init__(self, proxy: Reachable) -> None:
        self._client = Client(proxy, answer_seconds_max=5.0)
        self._rest = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._cursor = ""
        self.event_ids: list[str] = []
        self.interruptions = 0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self, event_ids: list[str]) -> None:
        """Read until so many events have come, then stop."""
        eventually(lambda: len(self.event_ids) >= len(event_ids))
        self._rest.set()
        self._thread.join()
        self._client.close()

    def _read(self) -> None:
        while not self._rest.is_set():
            try:
                answer = self._client.get(f"/v1/events?wait_seconds=1&limit=50{self._cursor}")
            except Unanswered:
                self.interruptions += 1
                continue
            if answer.status != 200:
                assert answer.status == 503, answer
                self.interruptions += 1
                self._rest.wait(0.05)
                continue
            self.event_ids += [event["id"] for event in answer.body["items"]]
            self._cursor = f"&after={quote(answer.body['next_cursor'])}"


@pytest.fixture
def nodes(serve: Serve, postgres: OwnPostgres) -> list[Server]:
    return [serve(postgres.url), serve(postgres.url)]


@pytest.fixture
def proxy(nodes: list[Server], tmp_path: Path) -> Iterator[Nginx]:
    with nginx(tmp_path / "nginx", ports=[node.port for node in nodes]) as running:
        yield running


def test_a_killed_node_and_a_restarted_database_cost_nobody_anything(
    nodes: list[Server], proxy: Nginx, postgres: OwnPostgres
) -> None:
    ledger = Ledger()
    holders = [
        Holder(f"holder-{number}", f"scope-{number % 2}", [proxy], ledger, seed=number) for number in range(HOLDERS)
    ]
    beaters = fleet([proxy], size=FLEET)
    subscriber = Subscriber(proxy)
    subscriber.start()
    with beating(beaters), Client(proxy) as client:
        with working(holders):
            _more(ledger)
            nodes[0].kill()
            _more(ledger)
            postgres.stop()
            eventually(lambda: _is_ready(nodes[1]) is False)
            time.sleep(AWAY_SECONDS)
            postgres.start()
            back_at = time.monotonic()
            eventually(lambda: _is_ready(nodes[1]) is True, seconds_max=HEALED_SECONDS_MAX)
            healed_seconds = time.monotonic() - back_at
            _more(ledger)
            nodes[0].start()
            proxy.set_nodes([node.port for node in nodes])
            _more(ledger)
            nodes[1].kill()
            _more(ledger)
        hear(beaters)
        assert dead_by_mistake(beaters, client) == []
    check(ledger, postgres.url)
    fleets = {beater.session_id for beater in beaters}
    findings = [finding for finding in ledger.findings if not any(each in finding.what for each in fleets)]
    in_order = [event_id for (event_id,) in database.read(postgres.url, "select id from event order by number")]
    subscriber.finish(in_order)
    for holder in holders:
        holder.close()
    counts = ledger.counts() | {
        "beats": sum(beater.beats for beater in beaters),
        "events read": len(subscriber.event_ids),
        "interruptions of the subscriber": subscriber.interruptions,
        "seconds until ready again": round(healed_seconds, 1),
    }
    print(summary("two nodes behind nginx", counts, findings=findings, trials=ledger.acks))
    assert findings == []
    assert subscriber.event_ids == in_order
    assert subscriber.interruptions > 0
    assert ledger.repeated > 0


def _more(ledger: Ledger) -> None:
    """Return when a good deal more was acknowledged."""
    acks = ledger.acks
    eventually(lambda: ledger.acks > acks + 20 * HOLDERS)


def _is_ready(node: Server) -> bool | None:
    """What the node itself says; None where it says nothing."""
    with Client(node) as client:
        try:
            return client.get("/health/ready").status == 200
        except Unanswered:
            return None
