"""What becomes of a message: it reaches its receiver at least once, or is given up after a day and says so."""

import threading
from collections import Counter

import pytest
import standardwebhooks

from holdfast.domain.webhooks import GIVE_UP_MS
from tests.api.driver import Json
from tests.support.receiver import Received, Receiver, Reply
from tests.webhooks.conftest import Scene, sending

HOUR_MS = 3_600_000


def test_an_event_arrives_as_the_public_library_verifies_it(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    started = scene.account.start(project_id="web")
    scene.node.dispatch()

    (received,) = receiver.received
    message = received.verified(webhook["secret"])
    (event,) = [each for each in scene.account.events() if each["type"] == "session.started"]
    del event["cursor"]
    assert message == {"type": "session.started", "timestamp": event["at"], "data": event}
    assert message["data"]["session_id"] == started["id"]
    assert received.id == event["id"]
    assert received.path == "/hook?who=me"
    (delivery,) = scene.deliveries(webhook)
    assert (delivery["id"], delivery["status"], delivery["attempts"]) == (event["id"], "delivered", 1)
    assert (delivery["last_status"], delivery["next_attempt_at"], delivery["body"]) == (204, None, message)


def test_a_webhook_hears_of_what_it_asked_for_from_when_it_was_made(scene: Scene, receiver: Receiver) -> None:
    before = scene.account.start(project_id="web")
    about = {
        "all": scene.hook(receiver.url),
        "kind": scene.hook(receiver.url, event_types=["session.*"], project_id="web"),
        "one": scene.hook(receiver.url, session_id=before["id"]),
        "ends": scene.hook(receiver.url, event_types=["session.ended", "session.failed"]),
    }
    elsewhere = scene.account.start(project_id="app")
    for session in (before, elsewhere):
        assert scene.account.say("end", session).status == 200
    scene.node.dispatch()
    heard = {
        name: [(each["event_type"], each["body"]["data"]["session_id"]) for each in reversed(scene.deliveries(webhook))]
        for name, webhook in about.items()
    }
    started, ended = ("session.started", elsewhere["id"]), ("session.ended", elsewhere["id"])
    ended_before = ("session.ended", before["id"])
    assert heard == {
        "all": [("project.created", None), started, ended_before, ended],
        "kind": [ended_before],
        "one": [ended_before],
        "ends": [ended_before, ended],
    }


def test_a_message_is_tried_again_later_and_later_until_its_receiver_is_well(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    receiver.answer = lambda _: Reply(500)
    scene.account.start()
    waits = []
    for attempts in range(1, 6):
        scene.node.dispatch()
        (delivery,) = scene.deliveries(webhook)
        assert (delivery["attempts"], delivery["last_status"]) == (attempts, 500)
        assert len(receiver.received) == attempts
        waits.append(_wait_ms(scene, delivery["next_attempt_at"]))
        scene.server.serve(waits[-1] - 1)
        scene.node.dispatch()
        assert len(receiver.received) == attempts, "before its time nothing is sent"
        scene.server.serve(1)
    assert all(
        4 * base <= 5 * wait <= 6 * base
        for base, wait in zip((5_000, 20_000, 80_000, 320_000, 1_280_000), waits, strict=True)
    )
    receiver.answer = lambda _: Reply(200)
    scene.node.dispatch()
    (delivery,) = scene.deliveries(webhook)
    assert (delivery["status"], delivery["attempts"], delivery["last_error"]) == ("delivered", 6, None)
    assert {each.id for each in receiver.received} == {delivery["id"]}
    for each in receiver.received:
        each.verified(webhook["secret"])
    assert scene.read(webhook)["failures"] == 0


def test_a_message_is_given_up_after_a_day_and_can_be_sent_again_by_hand(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    receiver.answer = lambda _: Reply(503)
    scene.account.start()
    began_ms = scene.server.clock.now_ms()
    while True:
        scene.node.dispatch()
        (delivery,) = scene.deliveries(webhook)
        if delivery["status"] != "pending":
            break
        scene.server.serve(_wait_ms(scene, delivery["next_attempt_at"]))
    assert scene.server.clock.now_ms() - began_ms == GIVE_UP_MS
    assert (delivery["status"], delivery["attempts"]) == ("dead", len(receiver.received))
    assert 8 <= len(receiver.received) <= 14
    assert scene.deliveries(webhook, status="dead") == [delivery]
    scene.server.serve(GIVE_UP_MS)
    scene.node.dispatch()
    assert len(receiver.received) == delivery["attempts"], "what is dead stays dead"

    receiver.answer = lambda _: Reply(200)
    path = f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/redeliver"
    assert scene.account.call("POST", path, by="operator").json["status"] == "pending"
    scene.server.serve(1_000)
    scene.node.dispatch()
    assert scene.deliveries(webhook)[0]["status"] == "delivered"
    assert receiver.received[-1].id == delivery["id"]


def test_a_receiver_that_is_gone_is_not_asked_again_until_it_is_enabled(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    receiver.answer = lambda _: Reply(410)
    scene.account.start()
    scene.node.dispatch()
    found = scene.read(webhook)
    assert (found["enabled"], found["disabled_reason"]) == (False, "its receiver answered 410 Gone")
    assert scene.deliveries(webhook)[0]["status"] == "dead"
    scene.account.start()
    scene.node.dispatch()
    tried = scene.account.call("POST", f"/v1/webhooks/{webhook['id']}/test", by="operator")
    assert tried.told == (409, "webhook_disabled")
    assert len(receiver.received) == 1

    receiver.answer = lambda _: Reply(200)
    (way,) = tried.json["ways_out"]
    enabled = scene.account.call(way["method"], way["path"], way["body"], by="operator")
    assert (enabled.json["enabled"], enabled.json["disabled_reason"]) == (True, None)
    after = scene.account.start()
    scene.node.dispatch()
    assert [each.json["data"]["session_id"] for each in receiver.received[1:]] == [after["id"]]


def test_a_redirect_is_not_followed(scene: Scene, receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        webhook = scene.hook(receiver.url, event_types=["session.started"])
        receiver.answer = lambda _: Reply(307, (("Location", elsewhere.url),))
        scene.account.start()
        scene.node.dispatch()
        assert elsewhere.received == []
    (delivery,) = scene.deliveries(webhook)
    assert (delivery["status"], delivery["last_status"]) == ("pending", 307)
    assert "redirect" in delivery["last_error"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_quiet_has_it(scene: Scene, receiver: Receiver, status: int) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.*"])
    receiver.answer = lambda _: Reply(status, (("Retry-After", "600"),))
    session = scene.account.start()
    scene.node.dispatch()
    receiver.answer = lambda _: Reply()
    scene.account.say("end", session)
    scene.server.serve(599_999)
    scene.node.dispatch()
    assert receiver.types == ["session.started"]
    scene.server.serve(1)
    scene.node.dispatch()
    assert sorted(receiver.types) == ["session.ended", "session.started", "session.started"]
    assert {each["status"] for each in scene.deliveries(webhook)} == {"delivered"}


def test_who_receives_slowly_holds_nobody_up(scene: Scene, receiver: Receiver) -> None:
    slow_ones = threading.Semaphore(0)
    let_go = threading.Event()

    def wait(_: Received) -> Reply:
        slow_ones.release()
        assert let_go.wait(20)
        return Reply()

    with Receiver() as slow:
        slow.answer = wait
        slow_hook = scene.hook(slow.url, event_types=["session.started"])
        webhook = scene.hook(receiver.url, event_types=["session.started"])
        for _ in range(20):
            scene.account.start()
        try:
            while len(scene.deliveries(webhook, status="delivered")) < 20:
                scene.node.dispatcher._wake.clear()
                scene.node.dispatcher.dispatch_once()
                scene.node.dispatcher._wake.wait(0.05)
            assert len(receiver.received) == 20
            assert slow_ones.acquire(timeout=10), "the slow one was asked"
            assert scene.deliveries(slow_hook, status="delivered") == []
            assert len(slow.received) <= 8
        finally:
            let_go.set()
        scene.node.dispatch()
        assert len(scene.deliveries(slow_hook, status="delivered")) == 20


def test_a_receiver_that_says_nothing_or_nonsense_is_tried_again(scene: Scene, receiver: Receiver) -> None:
    hang = threading.Event()

    def say_nothing(_: Received) -> Reply:
        hang.wait(20)
        return Reply(content=b"")

    webhook = scene.hook(receiver.url, event_types=["session.started"])
    heard = {}
    answers = {
        "silence": (0.2, say_nothing),
        "nonsense": (10, lambda _: Reply(content=b"what?\r\n\r\n")),
        "nothing": (10, lambda _: Reply(content=b"")),
        "too much": (10, lambda _: Reply(content=b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000)),
        "no end": (10, lambda _: Reply(content=b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000 + b"HTTP/1.1 204 X\r\n\r\n")),
    }
    try:
        for what, (timeout_seconds, answer) in answers.items():
            receiver.answer = answer
            scene.account.start()
            with sending(scene.server, timeout_seconds=timeout_seconds) as node:
                node.dispatch()
            delivery = scene.deliveries(webhook)[0]
            heard[what] = (delivery["status"], delivery["last_status"], delivery["last_error"])
    finally:
        hang.set()
    assert heard == {
        "silence": ("pending", None, "no answer within 0.2 s"),
        "nonsense": ("pending", None, "its answer is not HTTP"),
        "nothing": ("pending", None, "it hung up without an answer"),
        "too much": ("pending", None, "its answer does not begin within 16 KiB"),
        "no end": ("pending", None, "its answer does not begin within 16 KiB"),
    }


def test_a_secret_is_changed_without_a_message_being_refused(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    path = f"/v1/webhooks/{webhook['id']}/rotate"
    rotated = scene.account.call("POST", path, {"overlap_seconds": 3600}, by="operator").json
    assert rotated["secret"] != webhook["secret"]
    scene.account.start()
    scene.node.dispatch()
    for secret in (rotated["secret"], webhook["secret"]):
        receiver.received[0].verified(secret)
    assert len(receiver.received[0].headers["webhook-signature"].split()) == 2
    scene.server.serve(HOUR_MS)
    scene.account.start()
    scene.node.dispatch()
    receiver.received[1].verified(rotated["secret"])
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        receiver.received[1].verified(webhook["secret"])


def test_what_a_node_took_on_as_it_died_another_one_sends(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    scene.account.start()
    # The attempt is made, and what came of it is noted by nobody.
    scene.node.dispatcher.dispatch_once()
    while not scene.node.dispatcher._done:
        scene.node.dispatcher._wake.wait(0.05)
    with sending(scene.server) as other:
        other.dispatch()
        assert len(receiver.received) == 1, "while the first one may still be at it, nobody else is"
        scene.server.serve(15_000)
        other.dispatch()
    assert [each.id for each in receiver.received] == [scene.deliveries(webhook)[0]["id"]] * 2
    scene.node.dispatcher.settle()
    (delivery,) = scene.deliveries(webhook)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 2)


def test_nodes_share_the_work_and_nothing_is_sent_twice(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    for _ in range(30):
        scene.account.start()
    barrier = threading.Barrier(3)
    with sending(scene.server) as second, sending(scene.server) as third:
        nodes = (scene.node, second, third)

        def work(node: object) -> None:
            barrier.wait()
            node.dispatch()  # type: ignore[attr-defined]

        threads = [threading.Thread(target=work, args=(node,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scene.node.dispatch()
    assert Counter(each.id for each in receiver.received) == {each["id"]: 1 for each in scene.deliveries(webhook)}
    assert len(receiver.received) == 30


def test_a_day_without_a_server_gives_nothing_up(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.started"])
    receiver.answer = lambda _: Reply(500)
    scene.account.start()
    scene.node.dispatch()
    scene.server.clock.advance(3 * GIVE_UP_MS)
    scene.server.sweep()
    receiver.answer = lambda _: Reply()
    scene.server.serve(10_000)
    scene.node.dispatch()
    assert scene.deliveries(webhook)[0]["status"] == "delivered"


def test_a_webhook_that_is_deleted_hears_no_more(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url)
    scene.account.start()
    assert scene.account.call("DELETE", f"/v1/webhooks/{webhook['id']}", by="operator").status == 200
    scene.account.start()
    scene.node.dispatch()
    assert receiver.received == []
    again = scene.hook(receiver.url, event_types=["session.started"])
    after = scene.account.start()
    scene.node.dispatch()
    assert [each["body"]["data"]["session_id"] for each in scene.deliveries(again)] == [after["id"]]


def test_a_test_message_tells_what_came_of_it(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url, event_types=["session.failed"])
    tried = scene.account.call("POST", f"/v1/webhooks/{webhook['id']}/test", by="operator")
    assert (tried.status, tried.json["status"], tried.json["event_type"]) == (201, "pending", "webhook.test")
    scene.node.dispatch()
    message = receiver.received[0].verified(webhook["secret"])
    assert (message["type"], message["data"]["webhook_id"]) == ("webhook.test", webhook["id"])
    path = f"/v1/webhooks/{webhook['id']}/deliveries/{tried.json['id']}"
    assert scene.account.get(path, by="operator")["status"] == "delivered"


def _wait_ms(scene: Scene, at: str) -> int:
    from holdfast.domain.times import epoch_ms

    return epoch_ms(at) - scene.server.clock.now_ms()


def test_a_secret_is_nowhere_but_in_the_first_answer(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url)
    secret = webhook["secret"].encode()
    scene.account.start()
    scene.node.dispatch()
    paths = (
        *(f"/v1/webhooks/{webhook['id']}{rest}" for rest in ("", "/deliveries")),
        *("/v1/webhooks", "/v1/audit", "/v1/events", f"/v1/accounts/{scene.account.id}/export"),
    )
    for path in paths:
        response = scene.account.call("GET", path, by="admin")
        assert (response.status, secret in response.content) == (200, False), path
        assert webhook["id"].encode() in response.content or path == "/v1/events"


def test_another_account_sees_no_webhook_and_hears_nothing(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url)
    other = scene.server.new_account()
    other.start()
    scene.node.dispatch()
    assert receiver.received == []
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries"), ("POST", "/rotate")):
        body: Json | None = {} if method == "POST" else None
        foreign = other.call(method, f"/v1/webhooks/{webhook['id']}{rest}", body, by="operator")
        unknown = other.call(method, f"/v1/webhooks/wh_none{rest}", body, by="operator")
        assert foreign.told == unknown.told == (404, "not_found"), (method, rest)


def test_an_account_has_so_many_webhooks_and_no_more(scene: Scene, receiver: Receiver) -> None:
    made = [scene.hook(receiver.url) for _ in range(50)]
    refused = scene.account.call("POST", "/v1/webhooks", {"url": receiver.url}, by="operator")
    assert (refused.told, refused.json["limit"]) == ((403, "quota_exceeded"), 50)
    scene.account.call("DELETE", f"/v1/webhooks/{made[0]['id']}", by="operator")
    scene.hook(receiver.url)
    scene.account.start()
    scene.node.dispatch()
    assert len(receiver.received) == 50


def test_what_is_no_type_of_event_is_refused(scene: Scene, receiver: Receiver) -> None:
    for wrong in ("session.stalld", "session", "*.stalled", "sess*", "", "session.[a-z]*"):
        made = scene.account.call("POST", "/v1/webhooks", {"url": receiver.url, "event_types": [wrong]}, by="operator")
        assert (made.told, made.fields) == ((422, "validation_failed"), {"event_types[0]"}), wrong
