"""Alerts: told once for as long as it lasts, told when it is over, and looked for only where somebody asked."""

import random

import pytest

from holdfast.commands.questions import Asked, Question
from holdfast.commands.rows import Key, Members, SetSpec
from holdfast.domain.alerts import AlertRule, AlertType, ProgressMark, implied_late, is_at, since_ms
from holdfast.domain.events import EventFilter
from holdfast.domain.ids import AccountId, AlertRuleId
from holdfast.domain.session import Session
from holdfast.engine.alerts import AlertWatch
from holdfast.engine.queries import present
from tests.api.driver import Json
from tests.support.receiver import Receiver
from tests.webhooks.conftest import Scene

SECOND_MS = 1_000
POLICY = {"lease_seconds": 180, "heartbeat_interval_seconds": 60, "grace_seconds": 30, "heartbeat_jitter_seconds": 0}
"""Late after 90 s, lapsed after 180."""


@pytest.fixture
def watch(scene: Scene) -> AlertWatch:
    """A node's watch, which passes when it is told to."""
    return AlertWatch(scene.server.core._store, scene.server.engine, node="test")


def rule(scene: Scene, alert_type: str, **fields: object) -> Json:
    """A new rule."""
    made = scene.account.call("POST", "/v1/alerts", {"type": alert_type} | fields, by="operator")
    assert made.status == 201, made
    found: Json = made.json
    return found


def passed(scene: Scene, watch: AlertWatch, for_seconds: float = 1.1) -> None:
    """Let time pass and the watch look, twice, so that what is told twice is seen."""
    scene.server.serve(round(for_seconds * SECOND_MS))
    scene.server.sweep()
    assert watch.watch_once()
    scene.server.serve(1_100)
    assert watch.watch_once()


def told(scene: Scene) -> list[tuple[str, str]]:
    """The alerts that were told, in order, with what they are about."""
    kinds = ("session.late", "session.no_progress", "session.parked_long", "session.detected_late", "alert.resolved")
    return [(each["type"], each["session_id"]) for each in scene.account.events() if each["type"] in kinds]


def test_lateness_is_told_once_to_who_asked_for_it_and_so_is_its_end(
    scene: Scene, watch: AlertWatch, receiver: Receiver
) -> None:
    late, beating = (scene.account.start(policy=POLICY) for _ in range(2))
    scene.server.serve(88_000)
    assert not watch.watch_once(), "nobody asked"
    webhook = scene.hook(receiver.url, event_types=["session.late", "alert.resolved"])
    assert scene.account.say("heartbeat", beating).status == 200
    passed(scene, watch, 0.8)
    assert told(scene) == []
    passed(scene, watch, 1)
    passed(scene, watch)
    assert told(scene) == [("session.late", late["id"])]
    assert scene.account.say("heartbeat", late).json["status"] == "active"
    passed(scene, watch)
    assert told(scene) == [("session.late", late["id"]), ("alert.resolved", late["id"])]
    passed(scene, watch, 91)
    assert sorted(told(scene)[2:]) == sorted(("session.late", each["id"]) for each in (late, beating))
    scene.node.dispatch()
    types = [received.verified(webhook["secret"])["type"] for received in receiver.received]
    assert sorted(types) == ["alert.resolved", "session.late", "session.late", "session.late"]
    (first,) = [each for each in receiver.received if each.json["data"]["session_id"] == late["id"]][:1]
    assert first.json["data"]["data"]["alert"] == "late"
    assert scene.account.get(f"/v1/sessions/{late['id']}/explain")["because"]["type"] == "session.started"


def test_a_late_session_that_falls_silent_for_good_is_over_as_an_alert(scene: Scene, watch: AlertWatch) -> None:
    made = rule(scene, "late")
    session = scene.account.start(policy=POLICY)
    passed(scene, watch, 91)
    listed = scene.account.get(f"/v1/alerts/{made['id']}/open", by="operator")["items"]
    assert [(each["session_id"], each["rule_id"]) for each in listed] == [(session["id"], made["id"])]
    passed(scene, watch, 91)
    assert told(scene) == [("session.late", session["id"]), ("alert.resolved", session["id"])]
    (over,) = scene.account.events(type="alert.resolved")
    assert over["data"]["status"] == "stalled"
    assert scene.account.get(f"/v1/alerts/{made['id']}/open", by="operator")["items"] == []


def test_no_progress_is_told_of_who_beats_and_stands_still(scene: Scene, watch: AlertWatch) -> None:
    made = rule(scene, "no_progress", after_seconds=80, project_id="web")
    stuck, working, silent_about_it, elsewhere = (
        scene.account.start(policy=POLICY | {"lease_seconds": 10_000}, project_id=project, holder_id=holder)
        for holder, project in (("1", "web"), ("2", "web"), ("3", "web"), ("4", "app"))
    )
    scene.server.serve(2_000)
    for step in range(12):
        scene.account.say("heartbeat", stuck, progress=5)
        scene.account.say("heartbeat", working, progress=step)
        scene.account.say("heartbeat", silent_about_it)
        scene.account.say("heartbeat", elsewhere, progress=5)
        assert told(scene) == ([] if step < 9 else [("session.no_progress", stuck["id"])]), step
        scene.server.serve(10_000)
        watch.watch_once()
    (event,) = scene.account.events(type="session.no_progress")
    assert (event["data"]["progress"], event["data"]["rule_id"]) == (5, made["id"])
    scene.account.say("heartbeat", stuck, progress=6)
    passed(scene, watch, 11)
    assert told(scene)[-1] == ("alert.resolved", stuck["id"])
    # A checkpoint is progress too, and so is nothing that is said without a number.
    passed(scene, watch, 70)
    scene.account.say("checkpoint", stuck, summary="half of it")
    passed(scene, watch, 15)
    assert ("session.no_progress", stuck["id"]) not in told(scene)[2:]


def test_what_brought_a_session_into_its_state_is_told_however_many_alerts_there_were(
    scene: Scene, watch: AlertWatch
) -> None:
    rule(scene, "parked", after_seconds=1)
    session = scene.account.start()
    scene.account.say("park", session)
    path = f"/v1/alerts/{rule(scene, 'parked', after_seconds=2)['id']}"
    for number in range(55):
        scene.account.call("PATCH", path, {"enabled": bool(number % 2)}, by="operator")
        scene.server.serve(3_000)
        watch.watch_once()
    explained = scene.account.get(f"/v1/sessions/{session['id']}/explain")
    assert explained["because"]["type"] == "session.parked"
    assert len(explained["history"]) < 50 or {each["type"] for each in explained["history"]} == {"session.parked_long"}


def test_a_session_parked_for_long_is_told_of(scene: Scene, watch: AlertWatch) -> None:
    rule(scene, "parked", after_seconds=3_600, agent="claude")
    parked = scene.account.start()
    other = scene.account.call("POST", "/v1/sessions", {"agent": "codex"}).json
    for session in (parked, other):
        assert scene.account.say("park", session).status == 200
    passed(scene, watch, 3_597)
    assert told(scene) == []
    passed(scene, watch, 3)
    passed(scene, watch, 7_200)
    assert told(scene) == [("session.parked_long", parked["id"])]
    assert scene.account.say("resume", parked).status == 200
    passed(scene, watch)
    assert told(scene) == [("session.parked_long", parked["id"]), ("alert.resolved", parked["id"])]


def test_a_lapse_that_is_found_late_is_told_of_once(scene: Scene, watch: AlertWatch) -> None:
    rule(scene, "detection_late", after_seconds=5)
    sessions = [scene.account.start(policy={"lease_seconds": 100}) for _ in range(3)]
    scene.server.serve(2_000)
    assert watch.watch_once()
    scene.server.serve(102_000)
    scene.server.sweep()
    passed(scene, watch)
    assert told(scene) == [], "found 4 s after its lease, which is in time"
    for session in sessions:
        assert scene.account.say("heartbeat", session).status == 200
    scene.server.serve(106_000)
    scene.server.sweep()
    passed(scene, watch)
    (alert,) = told(scene)
    assert (alert[0], alert[1] in {each["id"] for each in sessions}) == ("session.detected_late", True)
    passed(scene, watch, 15 * 60)
    assert [each[0] for each in told(scene)] == ["session.detected_late", "alert.resolved"]


def test_a_rule_is_changed_disabled_and_deleted(scene: Scene, watch: AlertWatch) -> None:
    made = rule(scene, "parked", name="night")
    path = f"/v1/alerts/{made['id']}"
    assert (made["after_seconds"], made["event_type"]) == (86_400, "session.parked_long")
    session = scene.account.start()
    scene.account.say("park", session)
    changed = scene.account.call("PATCH", path, {"after_seconds": 60, "name": None}, by="operator").json
    assert (changed["after_seconds"], changed["name"]) == (60, None)
    passed(scene, watch, 61)
    assert len(told(scene)) == 1
    assert scene.account.call("PATCH", path, {"enabled": False}, by="operator").json["enabled"] is False
    assert not watch.watch_once()
    assert scene.account.get(f"{path}/open", by="operator")["items"] == []
    scene.account.call("PATCH", path, {"enabled": True}, by="operator")
    passed(scene, watch)
    assert [each[0] for each in told(scene)] == ["session.parked_long"] * 2, "a new start is a new episode"
    assert scene.account.call("DELETE", path, by="operator").json == {"id": made["id"], "deleted": True}
    assert scene.account.call("GET", path, by="operator").status == 404


@pytest.mark.parametrize("body", [{"type": "late", "after_seconds": 5}, {"type": "parked", "after_seconds": 0}, {}])
def test_a_rule_that_makes_no_sense_is_refused(scene: Scene, body: Json) -> None:
    assert scene.account.call("POST", "/v1/alerts", body, by="operator").told == (422, "validation_failed")


def test_two_nodes_tell_nothing_twice_and_one_goes_on_where_the_other_died(scene: Scene, watch: AlertWatch) -> None:
    rule(scene, "late")
    session = scene.account.start(policy=POLICY | {"lease_seconds": 3_600})
    other = AlertWatch(scene.server.core._store, scene.server.engine, node="other")
    scene.server.serve(91_000)
    assert watch.watch_once()
    assert not other.watch_once(), "it is not due again yet"
    scene.server.serve(1_100)
    assert other.watch_once()
    assert told(scene) == [("session.late", session["id"])]


def test_what_the_store_finds_is_what_the_rule_says(scene: Scene, watch: AlertWatch) -> None:
    """Questions are compared in SQL and decided in the domain: over sessions in many states, they agree."""
    chosen = random.Random(7)
    rules = [rule(scene, kind, after_seconds=40) for kind in ("no_progress", "parked")]
    for number in range(30):
        session = scene.account.start(
            policy=POLICY | {"grace_seconds": chosen.randrange(60)}, client_session_id=f"s{number}"
        )
        scene.server.serve(1_500)
        for verb in chosen.choices(
            ["heartbeat", "heartbeat", "pause", "park", "stall", "end", "checkpoint"], k=chosen.randrange(3)
        ):
            told_with: Json = {"progress": chosen.randrange(3)} if verb == "heartbeat" else {}
            told_with = {"summary": "x"} if verb == "checkpoint" else told_with
            scene.account.say(verb, session, **told_with)
        scene.server.serve(chosen.randrange(7_000))
        if number % 3 == 0:
            watch.watch_once()
    store, account_id = scene.server.core._store, AccountId(scene.account.id)
    rows = store.find(Members(SetSpec("all", Session, ("account_id",), order="id", limit=99), (account_id,)))
    sessions = [row for row in rows if isinstance(row, Session)]
    now = present(store)
    by_type = {each["type"]: AlertRuleId(each["id"]) for each in rules}
    asked = {
        AlertType.LATE: (Question.LATE, now.service_ms),
        AlertType.NO_PROGRESS: (Question.STILL, now.service_ms - 40_000),
        AlertType.PARKED: (Question.PARKED, now.wall_ms - 40_000),
    }
    sizes = {}
    for alert_type, (question, at_ms) in asked.items():
        kept = store.get(Key(AlertRule, (by_type.get(alert_type, ""),)))
        by = kept if isinstance(kept, AlertRule) else implied_late(account_id)
        marks = {each.id: store.get(Key(ProgressMark, (each.id,))) for each in sessions}
        expected = {each.id for each in sessions if since_ms(by, each, _mark(marks[each.id]), now=now) is not None}
        unasked = AlertRuleId("nobody's")
        found = store.candidates(Asked(question, account_id, at_ms, unasked, None, None), limit=99)
        assert {each.session_id for each in found} == expected, alert_type
        sizes[alert_type] = len(expected)
    moved = store.candidates(Asked(Question.MOVED, account_id, 0, AlertRuleId(""), None, None), limit=99)
    assert {each.session_id for each in moved} == {
        each.id
        for each in sessions
        if each.status == "active"
        and each.progress is not None
        and not ((mark := _mark(store.get(Key(ProgressMark, (each.id,))))) and is_at(mark, each))
    }
    assert all(sizes.values()), sizes
    assert store.events_after(account_id, number=0, wanted=EventFilter(), limit=1).events


def _mark(row: object) -> ProgressMark | None:
    return row if isinstance(row, ProgressMark) else None
