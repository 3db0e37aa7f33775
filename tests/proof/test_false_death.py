"""Nobody who beats is taken for dead, whatever happens to the server; whoever falls silent is found at once."""

import itertools
import time
from functools import partial
from pathlib import Path

from holdfast.domain.times import epoch_ms
from tests.proof.beating import LEASE_SECONDS, Beater, beating, dead_by_mistake, detection_delays_ms, fleet, hear
from tests.proof.broken_server import CLOCK_FILE, program
from tests.proof.client import Client
from tests.proof.conftest import Serve
from tests.proof.report import percentiles
from tests.support.server import eventually

FLEET = 8
AWAY_SECONDS = LEASE_SECONDS + 0.6
"""How long a server is away: longer than the lease."""

LAPSES = 300
HOUR_SECONDS = 3_600


def test_nobody_who_beats_dies_of_a_paused_or_restarted_server(
    serve: Serve, sqlite_url: str, postgres_url: str
) -> None:
    servers = [serve(sqlite_url), serve(postgres_url)]
    fleets = [fleet([server], size=FLEET) for server in servers]
    beaters = list(itertools.chain(*fleets))
    with beating(beaters):
        hear(beaters, more=1)
        for server in servers:
            server.pause()
        time.sleep(AWAY_SECONDS)
        for server in servers:
            server.resume()
        hear(beaters, more=1)
        for server in servers:
            server.kill()
        time.sleep(AWAY_SECONDS)
        for server in servers:
            server.start()
        hear(beaters)
        assert all(beater.unheard for beater in beaters), "the servers were not away"
        for server, of_server in zip(servers, fleets, strict=True):
            with Client(server) as client:
                assert dead_by_mistake(of_server, client) == []
    for server, of_server in zip(servers, fleets, strict=True):
        with Client(server) as client:
            _assert_silence_is_found(of_server, client, title=server.database_url.partition(":")[0])


def test_a_server_that_counts_the_time_in_which_it_was_away_is_caught(serve: Serve, sqlite_url: str) -> None:
    server = serve(sqlite_url, program=program("count_every_gap"))
    beaters = fleet([server], size=FLEET)
    with beating(beaters):
        hear(beaters, more=1)
        server.kill()
        time.sleep(AWAY_SECONDS)
        server.start()
        hear(beaters, more=1)
        with Client(server) as client:
            assert dead_by_mistake(beaters, client) != []


def test_nobody_who_beats_dies_when_the_servers_clock_is_set(serve: Serve, sqlite_url: str, tmp_path: Path) -> None:
    server = serve(sqlite_url, program=program("set_clock"))
    (offset,) = [directory / CLOCK_FILE for directory in tmp_path.glob("node-*")]
    beaters = fleet([server], size=FLEET)
    with beating(beaters), Client(server) as client:
        for offset_seconds in (HOUR_SECONDS, -HOUR_SECONDS):
            draft = offset.with_suffix(".draft")
            draft.write_text(str(offset_seconds))
            draft.replace(offset)
            told_at_ms = epoch_ms(client.started(None, holder_id="clock")["started_at"])
            eventually(partial(_has_jumped, client, since_ms=told_at_ms))
            hear(beaters, more=1)
        assert dead_by_mistake(beaters, client) == []
    with Client(server) as client:
        detection_delays_ms([beater.session_id for beater in beaters], client)


def test_every_lapse_is_found(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    with Client(server) as client:
        policies = [{"lease_seconds": 1 + number % 10 / 10} for number in range(LAPSES)]
        started = [
            client.started(None, holder_id=f"holder-{number}", policy=policy) for number, policy in enumerate(policies)
        ]
        delays_ms = detection_delays_ms([each["id"] for each in started], client)
        lapsed_at = {event["session_id"]: event["at"] for event in client.events(type="session.stalled")}
        assert [lapsed_at[each["id"]] for each in started] == [each["lease_expires_at"] for each in started]
    assert min(delays_ms) >= 0
    print(f"{LAPSES} lapses found, {database_url.partition(':')[0]}: {percentiles(delays_ms)}")


def _has_jumped(client: Client, *, since_ms: int) -> bool:
    now_ms = epoch_ms(client.started(None, holder_id="clock")["started_at"])
    return abs(now_ms - since_ms) > HOUR_SECONDS * 1_000 / 2


def _assert_silence_is_found(beaters: list[Beater], client: Client, *, title: str) -> None:
    """All of them fell silent just now; the last beat that each was told of is the one that counted."""
    delays_ms = detection_delays_ms([beater.session_id for beater in beaters], client)
    found = {event["session_id"]: event["data"] for event in client.events(type="session.stalled")}
    last = {beater.session_id: beater.last_heartbeat_at for beater in beaters}
    assert {session_id: data["last_heartbeat_at"] for session_id, data in found.items()} == last
    print(f"{len(beaters)} fell silent, {title}: {percentiles(delays_ms)}")
