"""Requests: what an answer, a refusal and silence become, and what is never sent twice or shown."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast.client.api import Answer, Api, ApiRefusal, Unavailable, Unreachable
from holdfast.client.credentials import CredentialsInvalid
from tests.client.fake_server import KEY, FakeServer, Reply, problem


def test_an_answer_has_its_status_its_json_and_its_headers(server: FakeServer, api: Api) -> None:
    server.refuse("/thing?a=1+2", Reply(200, {"x": [1, None]}, {"X-Request-Id": "r1"}))

    answer = api.request("POST", "/thing", query={"a": "1 2"}, body={"b": "ü"}, idempotency_key="k" * 8)

    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, {"x": [1, None]}, "r1")
    (asked,) = server.asked
    assert (asked.body, asked.idempotency_key) == ({"b": "ü"}, "k" * 8)
    assert asked.headers["authorization"] == f"Bearer {KEY}"


def test_a_request_that_came_too_soon_is_sent_again_when_the_server_wants_it(server: FakeServer, api: Api) -> None:
    too_soon = Reply(429, {"code": "rate_limited", "detail": "Too many."}, {"Retry-After": "0"})
    server.refuse("/thing", too_soon, times=2)
    server.refuse("/thing", Reply(200, {"x": 1}, {}))

    assert api.request("POST", "/thing", body={"b": 1}).body == {"x": 1}
    assert [asked.body for asked in server.asked] == [{"b": 1}] * 3


@pytest.mark.parametrize("retry_after", [None, "60"])
def test_a_request_that_came_too_soon_is_refused_where_its_time_is_too_far_off(
    server: FakeServer, api: Api, retry_after: str | None
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    server.refuse("/thing", Reply(429, {"code": "rate_limited", "detail": "Too many."}, headers))

    with pytest.raises(ApiRefusal) as caught:
        api.request("GET", "/thing")

    assert (caught.value.code, len(server.asked)) == ("rate_limited", 1)


def test_an_answer_without_a_body_has_none(server: FakeServer, api: Api) -> None:
    server.refuse("/thing", Reply(204, None))
    assert api.request("POST", "/thing")._replace(headers={}) == Answer(204, None, {})


def test_a_refusal_carries_the_whole_problem(server: FakeServer, api: Api) -> None:
    server.refuse("/thing", problem(409, "lease_held", "It is held.", session_id="sess_1"))

    with pytest.raises(ApiRefusal) as caught:
        api.request("GET", "/thing")

    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.detail) == (409, "lease_held", "It is held.")
    assert refusal.problem["session_id"] == "sess_1"


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("nonsense", None), (None, None)])
def test_a_server_that_is_unavailable_says_when_to_come_back(
    server: FakeServer, api: Api, header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    server.refuse("/thing", Reply(503, {"code": "overloaded", "detail": "Too much."}, headers))

    with pytest.raises(Unavailable) as caught:
        api.request("GET", "/thing")

    assert caught.value.retry_after_seconds == seconds
    assert caught.value.cause == "Too much."


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: FakeServer, api: Api, status: int) -> None:
    server.refuse("/thing", Reply(status, {}, {"Location": f"{server.url}/other"}))
    with pytest.raises(ApiRefusal):
        api.request("GET", "/thing")
    assert [asked.path for asked in server.asked] == ["/thing"]


def test_one_connection_serves_many_requests_and_each_thread_has_its_own(server: FakeServer, api: Api) -> None:
    server.refuse("/thing", Reply(200, {}))
    failures: list[Exception] = []

    def ask() -> None:
        try:
            for _ in range(20):
                api.request("GET", "/thing")
        except Exception as exc:
            failures.append(exc)
        finally:
            api.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(server.asked) == 80


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(server: FakeServer, api: Api) -> None:
    server.refuse("/thing", Reply(200, {}, {"Connection": "close"}))
    for _ in range(3):
        assert api.request("POST", "/thing", body={}).status == 200
    assert len(server.asked) == 3


@contextmanager
def cutting_server() -> Iterator[tuple[str, list[bytes]]]:
    """Answers the first request of each connection, and cuts the connection at the second without an answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                requests.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                if data := connection.recv(65_536):
                    requests.append(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_cut_connection_is_retried_once_only_where_twice_is_safe() -> None:
    with cutting_server() as (url, requests):
        api = Api(url, None, timeout_seconds=20)
        api.request("GET", "/")
        assert api.request("GET", "/").status == 200
        assert len(requests) == 3
        assert api.request("POST", "/", idempotency_key="k" * 8).status == 200
        assert len(requests) == 5
        with pytest.raises(Unreachable, match="closed the connection"):
            api.request("POST", "/")
        assert len(requests) == 6
        api.close()


def test_silence_and_a_closed_port_are_the_same_to_the_caller(server: FakeServer) -> None:
    server.is_silent = True
    silent = Api(server.url, KEY, timeout_seconds=0.2)
    with pytest.raises(Unreachable, match="no answer in time"):
        silent.request("GET", "/thing")
    server.close()
    with pytest.raises(Unreachable, match="refused"):
        Api(server.url, KEY, timeout_seconds=20).request("GET", "/thing")


def test_something_else_that_listens_is_not_taken_for_holdfast() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
            connection.recv(65_536)

    thread = threading.Thread(target=greet)
    thread.start()
    with pytest.raises(Unreachable):
        Api(f"http://127.0.0.1:{listener.getsockname()[1]}", KEY, timeout_seconds=20).request("GET", "/")
    thread.join()
    listener.close()


def test_the_key_is_in_no_error_and_no_representation(server: FakeServer, api: Api) -> None:
    server.refuse("/thing", problem(401, "unauthenticated"))
    with pytest.raises(ApiRefusal) as refused:
        api.request("GET", "/thing")
    server.close()
    api.close()
    with pytest.raises(Unreachable) as away:
        api.request("GET", "/thing")
    with pytest.raises(ValueError, match="characters that a key cannot have") as bad:
        Api(server.url, f"{KEY}\r\nX: y", timeout_seconds=1)
    for said in (repr(api), *(str(error.value) + repr(error.value) for error in (refused, away, bad))):
        assert KEY not in said


@pytest.mark.parametrize("url", ["", "localhost:8787", "ftp://host", "http://", "http://host:99999", "file:///etc"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(CredentialsInvalid):
        Api(url, None, timeout_seconds=1)
