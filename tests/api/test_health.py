"""Whether the service says truly, to everybody and in as few words as possible, that it is well."""

import pytest

from holdfast.doors.http.native import health
from holdfast.engine.driver import QueueLimits
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Headers, Request, Server, open_store, serving

PATHS = ("/health", "/health/live", "/health/ready")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/health", b'{"status":"ok"}'),
        ("/health/live", b'{"status":"ok"}'),
        ("/health/ready", b'{"status":"ready"}'),
    ],
)
def test_health_is_open_and_says_one_word(path: str, content: bytes, server: Server) -> None:
    all_headers: list[Headers] = [{}, {"Authorization": "Bearer wrong"}, {"X-Account-Id": "no account/"}]
    for headers in all_headers:
        response = server.call("GET", path, headers=headers)
        assert (response.status, response.content) == (200, content)
        assert set(response.headers) == {
            "content-type", "content-length", "cache-control", "x-request-id", "x-correlation-id",
        }  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_health_takes_no_question(path: str, server: Server) -> None:
    response = server.call("GET", f"{path}?verbose=true")
    assert (response.status, response.fields) == (422, {"verbose"})


def test_a_server_that_is_asked_at_once_by_many_whether_it_is_ready_tells_all_of_them_the_truth(
    database_url: str,
) -> None:
    with serving(database_url, FakeClock()) as server:
        request = server.new_account().request("GET", "/health/ready")
        assert [response.status for response in server.ask_all([request] * 5)] == [200] * 5


def test_a_server_that_takes_no_writes_is_not_ready(database_url: str) -> None:
    store = open_store(database_url, FakeClock())
    with Server(store, FakeClock()).running() as server:
        account = server.new_account()
        account.start()
        server.loop.run_until_complete(server.engine.stop())
        response = server.call("GET", "/health/ready")
        assert (response.told, response.headers["retry-after"]) == ((503, "not_ready"), "1")
        assert [server.call("GET", path).status for path in ("/health", "/health/live")] == [200, 200]
        refused = account.call("POST", "/v1/sessions", {"agent": "claude"})
        assert (refused.told, refused.headers["retry-after"]) == ((503, "unavailable"), "5")
        assert len(account.get("/v1/sessions")["items"]) == 1
    store.close()


def test_readiness_is_asked_of_the_store_anew(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READY_TRUST_SECONDS", 0.0)
    store = open_store(sqlite_url, FakeClock())
    with Server(store, FakeClock()).running() as server:
        assert server.call("GET", "/health/ready").status == 200
        server.loop.run_until_complete(server.engine.stop())
        assert server.call("GET", "/health/ready").status == 503
    store.close()


def test_a_probe_leaves_nothing_behind(server: Server) -> None:
    account = server.new_account()
    end = account.end_of_events()
    assert server.call("GET", "/health/ready").status == 200
    assert (account.end_of_events(), list(account.each("/v1/sessions"))) == (end, [])


def test_where_too_much_waits_others_are_refused_before_beats(sqlite_url: str) -> None:
    store = open_store(sqlite_url, FakeClock())
    limits = QueueLimits(commands=20, beats_reserved=10)
    with Server(store, FakeClock(), limits=limits).running() as server:
        # A configured key is known without a look-up, so all of these are waiting before the first is carried out.
        session = server.ask(Request("POST", "/v1/sessions", {"agent": "claude"}, key=CONFIGURED_KEY)).json
        beat = Request("POST", f"/v1/sessions/{session['id']}/heartbeat", {}, key=CONFIGURED_KEY)
        start = Request("POST", "/v1/sessions", {"agent": "claude"}, key=CONFIGURED_KEY)
        answers = server.ask_all([*[start] * 12, *[beat] * 10])
        assert [answer.told for answer in answers] == [
            *[(201, None)] * 10, *[(503, "overloaded")] * 2, *[(200, None)] * 10,
        ]  # fmt: skip
        assert answers[10].headers["retry-after"] == "1"
        listed = server.ask(Request("GET", "/v1/sessions?include_total=true", key=CONFIGURED_KEY))
        assert listed.json["total"] == 11
    store.close()
