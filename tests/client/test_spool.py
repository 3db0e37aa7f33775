"""The spool: what is delivered, what is kept, and what is set aside."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.client import spool as spools
from holdfast.client.api import Api
from holdfast.client.processes import ProcessIdentity, this_place
from holdfast.client.spool import Call, Delivery, End, Entry, Spool, SpoolFull, this_process, timestamp
from tests.client.fake_server import KEY, FakeServer, Reply, problem

DEAD = ProcessIdentity(2**22 + 1, "1", this_place())
ENDED = End("2026-01-17T10:00:01.000Z", "completed", 0, None)


class Told(list[str]):
    """What the spool said to its user."""


def entry_of(server: FakeServer, name: str, *, end: End | None = ENDED) -> Entry:
    report = {"client_session_id": name, "scope": "demo", "started_at": "2026-01-17T10:00:00.000Z"}
    return Entry(name, server.url, f"key-of-{name}", this_process(), dict(report), end=end)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.json"))


def test_an_ended_session_is_reported_and_forgotten(tmp_path: Path, server: FakeServer, api: Api) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(entry_of(server, "a"))

    assert spool.deliver(api) == Delivery(delivered=1, refused=0, kept=0)

    (asked,) = server.asked
    assert (asked.path, asked.idempotency_key) == ("/v1/sessions/report", "key-of-a")
    assert asked.body == {
        "client_session_id": "a",
        "scope": "demo",
        "started_at": "2026-01-17T10:00:00.000Z",
        "ended_at": "2026-01-17T10:00:01.000Z",
        "end_reason": "completed",
        "exit_code": 0,
    }
    assert names(tmp_path) == []
    assert (tmp_path / ".deliver.lock").stat().st_mode & 0o077 == 0


def test_the_end_of_a_session_that_the_server_has_is_told_as_a_call(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    server.refuse("/sess_1/end", Reply(200, {}))
    spool = Spool(tmp_path, tell=Told().append)
    end = replace(ENDED, call=Call("/v1/sessions/sess_1/end", {"end_reason": "completed"}))
    spool.open(replace(entry_of(server, "a", end=end), session_id="sess_1"))

    assert spool.deliver(api).delivered == 1
    assert [(asked.path, asked.body) for asked in server.asked] == [
        (end.call.path, end.call.body) for _ in [0] if end.call
    ]


def test_an_open_session_is_left_alone_while_its_runner_lives(tmp_path: Path, server: FakeServer, api: Api) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(entry_of(server, "a", end=None))
    assert spool.deliver(api) == Delivery(0, 0, 0)
    assert names(tmp_path) == ["a.json"]


def test_an_open_session_whose_runner_is_dead_crashed_when_it_was_last_touched(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a", end=None), runner=DEAD))
    os.utime(tmp_path / "a.json", (1_700_000_000, 1_700_000_000))

    assert spool.deliver(api).delivered == 1
    assert server.asked[0].body["end_reason"] == "crashed"
    assert server.asked[0].body["ended_at"] == timestamp(1_700_000_000)


def test_a_reused_process_id_is_not_the_runner(tmp_path: Path, server: FakeServer, api: Api) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    another = this_process()._replace(started="1")
    spool.open(replace(entry_of(server, "a", end=None), runner=another))
    assert spool.deliver(api).delivered == 1


def test_a_runner_of_an_earlier_boot_is_dead(tmp_path: Path, server: FakeServer, api: Api) -> None:
    machine, _, namespace = this_place().split("/")
    earlier = this_process()._replace(place=f"{machine}/another-boot/{namespace}")
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a", end=None), runner=earlier))
    assert spool.deliver(api).delivered == 1


def test_a_runner_in_another_container_is_dead_only_after_a_long_silence(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    elsewhere = DEAD._replace(place=f"{this_place()}0")
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a", end=None), runner=elsewhere))
    assert spool.deliver(api).delivered == 0

    silent_since = (tmp_path / "a.json").stat().st_mtime - spools.FOREIGN_SILENCE_SECONDS - 1
    os.utime(tmp_path / "a.json", (silent_since, silent_since))
    assert spool.deliver(api).delivered == 1


def test_an_agent_tells_at_once_of_a_session_whose_runner_is_gone(tmp_path: Path, server: FakeServer, api: Api) -> None:
    server.refuse("/fail", Reply(200, {}))
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a", end=None), runner=DEAD, session_id="sess_1", fencing_token=7))
    assert spool.deliver(api, tells_of_gone=True) == Delivery(1, 0, 0)
    (asked,) = server.asked
    assert asked.path == "/v1/sessions/sess_1/fail"
    assert (asked.body["fencing_token"], asked.body["reason"]) == (7, spools.RUNNER_GONE)
    assert names(tmp_path) == []


def test_what_the_server_knows_better_of_a_dead_runner_is_forgotten_without_a_word(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    server.refuse("/fail", problem(409, "session_taken_over"), times=1)
    told = Told()
    spool = Spool(tmp_path, tell=told.append)
    spool.open(replace(entry_of(server, "a", end=None), runner=DEAD, session_id="sess_1"))
    assert spool.deliver(api, tells_of_gone=True) == Delivery(0, 0, 0)
    assert names(tmp_path) == []
    assert told == []


def test_a_dead_session_that_the_server_has_is_left_to_the_agent_and_then_to_the_server(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a", end=None), runner=DEAD, session_id="sess_1"))
    assert spool.deliver(api) == Delivery(0, 0, 0)
    assert names(tmp_path) == ["a.json"]
    silent_since = (tmp_path / "a.json").stat().st_mtime - spools.GONE_KEPT_SECONDS
    os.utime(tmp_path / "a.json", (silent_since, silent_since))
    assert spool.deliver(api) == Delivery(0, 0, 0)
    assert server.asked == []
    assert names(tmp_path) == []


def test_a_session_of_a_runner_that_cannot_be_seen_from_here_is_left_to_the_server(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    elsewhere = ProcessIdentity(1, "1", "another/machine/")
    spool.open(replace(entry_of(server, "a", end=None), runner=elsewhere, session_id="sess_1"))
    silent_since = (tmp_path / "a.json").stat().st_mtime - spools.FOREIGN_SILENCE_SECONDS - 1
    os.utime(tmp_path / "a.json", (silent_since, silent_since))
    assert spool.deliver(api, tells_of_gone=True) == Delivery(0, 0, 0)
    assert server.asked == []
    assert names(tmp_path) == []


def test_sessions_of_another_server_stay(tmp_path: Path, server: FakeServer, api: Api) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a"), url="http://another:1"))
    assert spool.deliver(api) == Delivery(0, 0, 0)
    assert names(tmp_path) == ["a.json"]


def test_a_refusal_for_good_sets_the_session_aside_and_tells(tmp_path: Path, server: FakeServer, api: Api) -> None:
    server.refuse("/report", problem(422, "validation_failed"), times=1)
    told = Told()
    spool = Spool(tmp_path, tell=told.append)
    spool.open(entry_of(server, "a"))
    spool.open(entry_of(server, "b"))

    assert spool.deliver(api) == Delivery(delivered=1, refused=1, kept=0)
    assert len(names(tmp_path / "refused")) == 1
    assert told == [
        f"moved the spooled session a.json to {tmp_path / 'refused'}: the server refuses it: validation_failed"
    ]


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_refusal_of_the_key_or_the_pace_ends_the_delivery_and_loses_nothing(
    tmp_path: Path, server: FakeServer, api: Api, status: int
) -> None:
    server.refuse("/report", problem(status, "later"))
    spool = Spool(tmp_path, tell=Told().append)
    for name in "abc":
        spool.open(entry_of(server, name))
    assert spool.deliver(api) == Delivery(delivered=0, refused=0, kept=3)
    assert len(server.asked) == 1
    assert names(tmp_path) == ["a.json", "b.json", "c.json"]


@pytest.mark.parametrize("status", [404, 500])
def test_one_session_that_cannot_be_accepted_now_does_not_hold_up_the_others(
    tmp_path: Path, server: FakeServer, api: Api, status: int
) -> None:
    server.refuse("/report", problem(status, "internal"), times=1)
    spool = Spool(tmp_path, tell=Told().append)
    for name in "ab":
        spool.open(entry_of(server, name))
    assert spool.deliver(api) == Delivery(delivered=1, refused=0, kept=1)


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_key_and_body(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    lost = [Reply(0, None, drops=True)]
    server.rules.append(lambda asked: lost.pop() if lost else None)
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(replace(entry_of(server, "a", end=None), runner=DEAD))

    assert spool.deliver(api) == Delivery(delivered=0, refused=0, kept=1)
    assert spool.deliver(api) == Delivery(delivered=1, refused=0, kept=0)
    first, second = server.asked
    assert (first.body, first.idempotency_key) == (second.body, second.idempotency_key)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"version": 1}', b'{"version": 99}', b"\xff\xfe", b'{"a":' * 5_000],
)
def test_a_torn_or_foreign_file_is_set_aside_and_the_rest_is_delivered(
    tmp_path: Path, server: FakeServer, api: Api, content: bytes
) -> None:
    told = Told()
    spool = Spool(tmp_path, tell=told.append)
    spool.open(entry_of(server, "a"))
    (tmp_path / "torn.json").write_bytes(content)
    whole = (tmp_path / "a.json").read_bytes()
    (tmp_path / "cut.json").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "copy.json").write_bytes(whole)

    assert spool.deliver(api).delivered == 1
    assert len(names(tmp_path / "bad")) == 3
    assert len(told) == 3
    assert names(tmp_path) == []


def test_two_who_deliver_at_once_report_each_session_once(tmp_path: Path, server: FakeServer) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    for number in range(20):
        spool.open(entry_of(server, f"s{number}"))
    barrier = threading.Barrier(4)
    deliveries: list[Delivery] = []

    def deliver() -> None:
        api = Api(server.url, KEY, timeout_seconds=20)
        barrier.wait()
        deliveries.append(Spool(tmp_path, tell=Told().append).deliver(api))
        api.close()

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(delivery.delivered for delivery in deliveries) == 20
    assert len(server.asked) == len(server.reports) == 20
    assert names(tmp_path) == []


def test_a_delivery_beside_another_that_holds_the_same_entry_does_no_harm(
    tmp_path: Path, server: FakeServer, api: Api
) -> None:
    spool = Spool(tmp_path, tell=Told().append)
    entry = entry_of(server, "a")
    spool.open(entry)
    assert spool.deliver_one(api, entry, timeout_seconds=20)
    assert spool.deliver_one(api, entry, timeout_seconds=20)
    assert len(server.reports) == 1


def test_a_full_spool_takes_no_more_and_drops_nothing(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "ENTRIES_MAX", 2)
    spool = Spool(tmp_path, tell=Told().append)
    spool.open(entry_of(server, "a"))
    spool.open(entry_of(server, "b"))
    with pytest.raises(SpoolFull):
        spool.open(entry_of(server, "c"))
    assert names(tmp_path) == ["a.json", "b.json"]


def test_entries_are_private(tmp_path: Path, server: FakeServer) -> None:
    spool = Spool(tmp_path / "data" / "spool", tell=Told().append)
    spool.open(entry_of(server, "a"))
    assert (tmp_path / "data/spool/a.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data/spool").stat().st_mode & 0o777 == 0o700
