"""`GET /metrics`: what it counts, who may ask, and that its page lists exactly what it has."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.domain.events import EventType
from holdfast.domain.liveness import liveness
from holdfast.domain.session import Session, Status
from holdfast.doors.http.native.webhooks import message_of
from holdfast.doors.http.outgoing import Sender
from holdfast.engine import session_counts
from holdfast.engine.queries import present
from holdfast.engine.session_counts import count_sessions
from holdfast.engine.sweeper import Sweeper
from holdfast.engine.webhooks import WebhookDispatcher
from holdfast.store.port import StoreUnavailable
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Account, Request, Server, open_store, serving
from tests.support.stores import rows_of

yaml = pytest.importorskip("yaml")

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(server: Server) -> Samples:
    """All samples, by name and labels."""
    response = server.ask(Request("GET", "/metrics", key=CONFIGURED_KEY))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"holdfast_{name}", tuple(sorted(labels.items()))), 0.0)


def rise(server: Server, before: Samples, name: str, **labels: str) -> float:
    return value(scrape(server), name, **labels) - value(before, name, **labels)


def test_requests_are_counted_by_route_and_class(account: Account) -> None:
    server = account.server
    before = scrape(server)
    account.start()
    account.call("POST", "/v1/sessions", {})
    account.call("GET", "/v1/nothing/here")
    after = scrape(server)
    route = {"method": "POST", "route": "/v1/sessions"}
    for status in ("2xx", "4xx"):
        name = {"name": "http_requests_total", **route, "status": status}
        assert value(after, **name) - value(before, **name) == 1
    assert rise(server, before, "http_request_duration_seconds_count", **route) == 2
    assert rise(server, before, "http_request_duration_seconds_bucket", **route, le="+Inf") == 2
    assert rise(server, before, "http_requests_total", method="", route="(none)", status="4xx") == 1
    assert rise(server, before, "http_errors_total", code="validation_failed") == 1


def test_heartbeats_and_replays_are_counted(account: Account) -> None:
    server = account.server
    session = account.start()
    before = scrape(server)
    account.say("heartbeat", session)
    account.say("heartbeat", session, fencing_token=999)
    batch = {"heartbeats": [{"session_id": session["id"]}, {"session_id": "none"}]}
    account.call("POST", "/v1/heartbeats", batch)
    for _ in range(2):
        account.call("POST", "/v1/sessions", {"agent": "a"}, Idempotency_Key="a-metric-counts")
    assert rise(server, before, "heartbeats_accepted_total") == 2
    assert rise(server, before, "heartbeats_refused_total", code="fencing_token_stale") == 1
    assert rise(server, before, "heartbeats_refused_total", code="not_found") == 1
    assert rise(server, before, "idempotency_hits_total") == 1
    beats = {"method": "POST", "route": "/v1/sessions/{id}/heartbeat"}
    assert rise(server, before, "http_requests_total", **beats, status="2xx") == 1


def test_stalls_and_false_alarms_are_counted_with_the_delay_of_their_detection(database_url: str) -> None:
    clock = FakeClock()
    store = open_store(database_url, clock)
    with Server(store, clock).running() as server:
        sweeper = Sweeper(store, server.engine)
        account = server.new_account()
        session = account.start(policy={"lease_seconds": 10})
        server.serve(10_400)
        sweeper.sweep_once()
        account.say("heartbeat", session)
        samples = scrape(server)
        assert value(samples, "sessions_stalled_total") == 1
        assert value(samples, "sessions_reactivated_total") == 1
        assert value(samples, "events_total", type="session.stalled") == 1
        assert value(samples, "events_total", type="session.deleted") == 0
        assert value(samples, "detection_delay_seconds_count") == 1
        assert 0.39 < value(samples, "detection_delay_seconds_sum") < 0.5
    store.close()


def test_recoveries_are_counted_and_for_how_long_the_node_has_served(database_url: str) -> None:
    clock = FakeClock()
    store = open_store(database_url, clock)
    with Server(store, clock).running() as server:
        server.core.sweeper = Sweeper(store, server.engine)
        account = server.new_account()
        session = account.start()
        for _ in range(3):
            account.say("fail", session, reason="it crashed")
            session = account.call("POST", f"/v1/sessions/{session['id']}/recover", {}).json
        account.say("fail", session, reason="it crashed")
        before = value(scrape(server), "ready_seconds_total")
        server.core.sweeper.sweep_once()
        samples = scrape(server)
        assert value(samples, "recoveries_total", outcome="recovered") == 3
        assert value(samples, "recoveries_total", outcome="quarantined") == 1
        assert before == 0 < value(samples, "ready_seconds_total") < 10
    store.close()


def test_sessions_are_counted_as_the_domain_sees_them(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(database_url, FakeClock()) as server:
        account = server.new_account()
        policies = [
            {"lease_seconds": 30, "heartbeat_interval_seconds": 10, "grace_seconds": 5},
            {"lease_seconds": 60, "heartbeat_interval_seconds": 10, "grace_seconds": 5},
            {"lease_seconds": 600},
            "interactive",
        ]
        for policy in policies:
            for verb in (None, "pause", "park", "end", "fail"):
                session = account.start(policy=policy)
                if verb is not None:
                    account.say(verb, session, **({"reason": "why"} if verb == "fail" else {}))
        counted = {}
        # Both sides of: late at 15 s, lapsed at 30 s and 60 s.
        for wait_ms in (0, 15_000, 1, 14_998, 1, 29_999, 1):
            server.serve(wait_ms)
            now = present(server.store)
            expected: dict[tuple[str, str | None], int] = {}
            for row in rows_of(server.store, Session):
                alive = liveness(row, now=now)
                place = (str(row.status), None if alive is None else alive.value)
                expected[place] = expected.get(place, 0) + 1
            counted = {(each.status.value, each.liveness and each.liveness.value): each.sessions
                       for each in count_sessions(server.store) if each.sessions}  # fmt: skip
            assert counted == expected
        assert {status for status, _ in counted} == {"active", "paused", "parked", "ended", "failed"}
        monkeypatch.setattr(session_counts, "LEASED_MAX", 3)
        many = {each.status: each for each in count_sessions(server.store)}
        assert (many[Status.ACTIVE].liveness, many[Status.ACTIVE].sessions) == (None, 4)


def test_sessions_are_not_counted_again_at_each_scrape(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(database_url, FakeClock()) as server:
        account = server.new_account()
        account.start()
        assert value(scrape(server), "sessions", status="active", liveness="live") == 1
        account.start()
        assert value(scrape(server), "sessions", status="active", liveness="live") == 1
        monkeypatch.setattr(session_counts, "TRUST_SECONDS", 0.0)
        monkeypatch.setattr(server.core.session_counts, "_trusted_until", 0.0)
        assert value(scrape(server), "sessions", status="active", liveness="live") == 2


def test_a_store_that_cannot_be_read_is_told_and_what_it_said_before_is_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(database_url, FakeClock()) as server:
        samples = scrape(server)
        assert value(samples, "store_up") == 1
        assert any(name == "holdfast_sessions" for name, _ in samples)

        def away() -> None:
            raise StoreUnavailable

        monkeypatch.setattr(server.store, "service_clock", away)
        samples = scrape(server)
        assert ("holdfast_store_up", ()) in samples
        assert value(samples, "store_up") == 0
        assert not any(name == "holdfast_sessions" for name, _ in samples)


def test_who_may_ask(account: Account, database_url: str) -> None:
    assert account.call("GET", "/metrics", by="read").status == 200
    assert account.server.call("GET", "/metrics").told == (401, "unauthorized")
    store = open_store(database_url, FakeClock())
    with Server(store, FakeClock(), is_local=True).running() as server:
        for headers, status in (
            ({"Host": "127.0.0.1:8787"}, 200),
            ({"Host": "localhost"}, 200),
            ({"Host": "elsewhere.example"}, 401),
            ({"Host": "localhost", "Origin": "http://elsewhere.example"}, 401),
            ({"Host": "localhost", "X-Forwarded-For": "192.0.2.1"}, 401),
            ({"Host": "localhost", "Forwarded": "for=192.0.2.1"}, 401),
        ):
            assert server.call("GET", "/metrics", headers=dict(headers)).status == status, headers
    store.close()


def dispatcher(server: Server) -> WebhookDispatcher:
    """One that has not begun to work."""
    sender = Sender(timeout_seconds=1, allows_private=False)
    return WebhookDispatcher(server.store, server.engine, sender, render=message_of, timeout_ms=1_000)


def exported(server: Server) -> set[str]:
    """The names of all samples that a server has."""
    server.core.sweeper = Sweeper(server.store, server.engine)
    server.core.webhooks = dispatcher(server)
    try:
        response = server.ask(Request("GET", "/metrics", key=CONFIGURED_KEY))
    finally:
        server.core.sweeper = server.core.webhooks = None
    families = list(text_string_to_metric_families(response.content.decode()))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, ("",))}


@pytest.mark.parametrize("name", ["prometheus-rules.yaml", "grafana-dashboard.json"])
def test_what_is_shipped_for_watching_names_only_metrics_that_there_are(name: str, server: Server) -> None:
    text = (PAGE.parent.parent / "deploy" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:holdfast|process)_[a-z_]+", text))
    assert len(named) > 8
    assert named - exported(server) - {"holdfast_node", "holdfast_job"} == set()


def test_the_rules_for_prometheus_are_well_formed() -> None:
    document = yaml.safe_load((PAGE.parent.parent / "deploy" / "prometheus-rules.yaml").read_text(encoding="utf-8"))
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        for opening, closing in ("()", "[]", "{}"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing), rule["alert"]
        assert re.search(r"[<>=]=? ?[\d.]+|absent|unless", rule["expr"]), rule["alert"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s")), rule["alert"]
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_the_dashboard_is_one() -> None:
    board = json.loads((PAGE.parent.parent / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert all(target["expr"] for target in panel["targets"]), panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
    squares = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(set(squares)) == len(squares), "panels lie over each other"


def test_the_page_lists_every_metric_and_no_other(account: Account) -> None:
    server = account.server
    server.core.sweeper = Sweeper(server.store, server.engine)
    server.core.webhooks = dispatcher(server)
    server.core.meters.wire_refusals = lambda: {"malformed": 1}
    try:
        account.call("GET", "/v1/nothing/here")
        account.say("heartbeat", account.start(), fencing_token=999)
        response = server.ask(Request("GET", "/metrics", key=CONFIGURED_KEY))
    finally:
        server.core.sweeper = server.core.webhooks = None
    families = [
        family for family in text_string_to_metric_families(response.content.decode()) if family.name[:8] == "holdfast"
    ]
    told = {
        (
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            ", ".join(sorted({name for sample in family.samples for name in sample.labels} - {"le"})),
            family.documentation,
        )
        for family in families
    }
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {(name, kind, labels.replace("`", "").replace("–", ""), about) for name, kind, labels, about in rows}
    assert listed == told
    assert {each.value for each in EventType} == {
        sample.labels["type"] for family in families if family.name == "holdfast_events" for sample in family.samples
    }
