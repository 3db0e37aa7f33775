"""The tests of the seed, each said through the command line, and those that this project's contract turns round."""

import json
from typing import Any

import pytest

from holdfast.embedded import Embedded
from tests.workspace.conftest import START_AT, Checkout, autonomous

HOURS_8 = 8 * 60 * 60


def test_a_file_of_schema_2_without_a_session_id_is_read(checkout: Checkout) -> None:
    checkout.write_legacy(schema_version=2, start_count=3)
    shown = checkout.show()
    assert (shown["start_count"], shown["status"], "session_id" in shown) == (3, "stale", False)


def test_a_file_of_schema_3_keeps_its_session_id(checkout: Checkout) -> None:
    checkout.write_legacy(session_id="ses_01ABC")
    assert checkout.show()["session_id"] == "ses_01ABC"


def test_a_corrupt_file_is_an_error_that_changes_nothing(checkout: Checkout) -> None:
    path = checkout.write_legacy()
    path.write_text("{ not valid json }")
    for command in (["show"], ["start"], ["heartbeat"], ["clear"]):
        assert "failed to parse" in checkout.refused(*command, code=1)
    assert path.read_text() == "{ not valid json }"


def test_an_absent_session_id_is_left_out_of_a_report_and_a_present_one_is_not(checkout: Checkout) -> None:
    assert "session_id" not in checkout.show()
    started = checkout.interactive()
    assert checkout.show()["session_id"] == started["session_id"]


def test_a_first_start_mints_a_session_id(checkout: Checkout) -> None:
    started = checkout.interactive()
    assert started == {
        "command": "session-state-start",
        "ok": True,
        "profile": "main",
        "path": str(checkout.directory / "state.db"),
        "started_at_epoch_s": START_AT,
        "last_started_at_epoch_s": START_AT,
        "start_count": 1,
        "session_id": started["session_id"],
        "mode": "general",
        "lifecycle": "interactive",
        "owner_kind": "interactive",
        "actor_id": "interactive",
        "revision": 1,
        "fencing_token": 1,
        "reset": True,
        "warning": None,
    }
    assert started["session_id"].startswith("ses_")


def test_a_start_of_an_active_session_keeps_its_id_and_mode(checkout: Checkout) -> None:
    first = checkout.interactive("--mode", "research")
    checkout.now += 50
    second = checkout.interactive()
    assert (second["session_id"], second["mode"], second["start_count"]) == (first["session_id"], "research", 2)
    assert (second["started_at_epoch_s"], second["last_started_at_epoch_s"]) == (START_AT, START_AT + 50)
    assert (second["revision"], second["fencing_token"], second["reset"]) == (2, 2, False)


def test_a_start_of_a_stale_session_is_another_one(checkout: Checkout) -> None:
    first = checkout.interactive("--mode", "research")
    checkout.now += HOURS_8 + 1
    second = checkout.interactive()
    assert second["session_id"] != first["session_id"]
    assert (second["mode"], second["start_count"], second["revision"], second["reset"]) == ("general", 1, 2, True)


def test_a_start_over_a_row_without_a_session_id_mints_one(checkout: Checkout) -> None:
    checkout.write_legacy(schema_version=2, start_count=3)
    started = checkout.interactive()
    assert (started["start_count"], started["revision"]) == (1, 1)
    assert started["session_id"].startswith("ses_")


def test_a_start_takes_a_mode(checkout: Checkout) -> None:
    checkout.interactive("--mode", "research")
    started = checkout.interactive("--mode", "implement")
    assert (started["start_count"], started["mode"]) == (2, "implement")


def test_what_was_written_is_read(checkout: Checkout) -> None:
    checkout.write_legacy(session_id="ses_DB_RT", start_count=2, mode="research")
    again = checkout.interactive()
    assert (again["session_id"], again["start_count"], again["mode"]) == ("ses_DB_RT", 3, "research")


@pytest.mark.parametrize(("seconds", "status"), [(HOURS_8, "active"), (HOURS_8 + 1, "stale")])
def test_a_person_counts_as_away_after_more_than_8_hours(checkout: Checkout, seconds: int, status: str) -> None:
    checkout.interactive()
    checkout.now += seconds
    assert checkout.show()["status"] == status


@pytest.fixture
def broken(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout with a blocking escalation, in which every command breaks in the middle of its transaction."""
    checkout.interactive()
    checkout.say("escalation", "add", "--reason", "keep me", "--blocking", "--path", str(checkout.root))

    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("holdfast.commands.workspace_starts.forget", breaks)
    return checkout


def test_a_failure_inside_a_command_leaves_session_and_escalations(broken: Checkout) -> None:
    before = broken.rows()
    assert broken.ask("clear").code == 1
    assert broken.rows() == before


def test_a_legacy_escalation_outlives_a_command_that_fails(broken: Checkout) -> None:
    old = {"id": "esc_LEGACY_KEEP", "kind": "blocking", "reason": "survives", "created_at_epoch_s": 1_700_000_000}
    path = broken.directory / "escalation_state.json"
    path.write_text(json.dumps({"schema_version": 1, "entries": [old]}))
    assert broken.ask("clear").code == 1
    assert not path.exists()
    assert path.with_name(path.name + ".migrated").exists()
    listed = broken.say("escalation", "list", "--path", str(broken.root), "--json").report["escalations"]
    assert [each["reason"] for each in listed] == ["survives", "keep me"]


def test_a_connection_goes_on_after_a_failure(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast.commands.workspaces import BeatWorkspace

    checkout.interactive()
    database = Embedded(str(checkout.directory / "state.db"), creates=False)
    try:
        with monkeypatch.context() as broken:
            broken.setattr("holdfast.commands.workspaces.activity_of", lambda _: 1 / 0)
            assert getattr(database.run(BeatWorkspace("workspace=main")), "code", None) == "internal"
        assert database.run(BeatWorkspace("workspace=main")).body["revision"] == 2  # type: ignore[union-attr]
    finally:
        database.close()


def test_a_command_that_succeeds_is_kept(checkout: Checkout) -> None:
    checkout.interactive()
    checkout.say("escalation", "add", "--reason", "either", "--path", str(checkout.root))
    assert checkout.done("clear")["cleared"] is True
    assert checkout.show()["status"] == "missing"
    assert checkout.say("escalation", "list", "--path", str(checkout.root), "--json").report["escalations"] == []


def test_clearing_an_active_session_of_another_says_so_and_not_to_take_it_over(checkout: Checkout) -> None:
    checkout.autonomous("worker-1")
    error = checkout.refused("clear", "--actor-id", "other")
    assert error == "actor `other` is not authorized to clear the active autonomous session owned by `worker-1`"


def test_clearing_a_stale_session_of_another_points_at_takeover(checkout: Checkout) -> None:
    checkout.autonomous("worker-1", lease=1)
    checkout.now += 1
    assert checkout.refused("clear", "--actor-id", "other") == (
        "actor `other` is not authorized to clear the stale autonomous session owned by `worker-1`; use `holdfast "
        "session-state takeover --actor-id <actor-id> --reason <reason>` to reclaim the lease for a different actor, "
        "or retry `clear` with the owner or supervisor actor-id"
    )


LACKING: dict[str, dict[str, Any]] = {
    "lease": {"session_id": "ses_OLD", "last_heartbeat_at_epoch_s": 1},
    "id": {"lease_ttl_secs": 60, "last_heartbeat_at_epoch_s": 1},
}


@pytest.mark.parametrize("lacks", LACKING)
def test_a_row_that_lacks_something_can_be_taken_over_as_its_refusal_says(checkout: Checkout, lacks: str) -> None:
    owned = {"schema_version": 4, "owner_kind": "runtime_worker", "owner_id": "gone", "revision": 7}
    checkout.write_legacy(**owned, **LACKING[lacks])
    error = checkout.ask("clear", "--actor-id", "other").report["error"]
    assert "takeover --actor-id <actor-id> --reason <reason>" in error
    more = ["--lease-seconds", "60"] if lacks == "lease" else []
    assert ("--lease-seconds <seconds>" in error) == bool(more)
    taken = checkout.done("takeover", "--actor-id", "other", "--reason", "nobody is left", *more)
    assert taken["prior_session_id"] == LACKING[lacks].get("session_id")
    assert (taken["prior_actor_id"], taken["actor_id"], taken["revision"]) == ("gone", "other", 8)


def test_a_row_without_a_lease_is_not_taken_over_without_one(checkout: Checkout) -> None:
    checkout.write_legacy(owner_kind="runtime_worker", owner_id="gone", session_id="ses_OLD")
    said = checkout.ask("takeover", "--actor-id", "other", "--reason", "why")
    assert said.report["code"] == "takeover_without_lease"


def test_a_refusal_never_puts_what_somebody_calls_himself_into_a_command(checkout: Checkout) -> None:
    checkout.autonomous("worker-1", lease=1)
    checkout.now += 1
    said = checkout.ask("clear", "--actor-id", "foo; rm -rf /")
    assert "--actor-id <actor-id> --reason <reason>" in said.report["error"]
    assert "--actor-id foo" not in said.report["error"] + said.report["suggestion"]


@pytest.mark.parametrize("actor", ["worker-1", "supervisor"])
@pytest.mark.parametrize("is_stale", [False, True])
def test_owner_and_supervisor_may_clear_stale_or_not(checkout: Checkout, actor: str, is_stale: bool) -> None:
    checkout.autonomous("worker-1", "--supervisor-id", "supervisor", lease=10)
    checkout.now += 10 if is_stale else 0
    assert checkout.done("clear", "--actor-id", actor)["cleared_revision"] == 2


@pytest.mark.parametrize("actor", ["worker-1", "supervisor"])
def test_owner_and_supervisor_may_clear_without_a_usable_clock(checkout: Checkout, actor: str) -> None:
    checkout.autonomous("worker-1", "--supervisor-id", "supervisor", lease=1)
    checkout.now = -5.0
    assert "active autonomous session" in checkout.refused("clear", "--actor-id", "other")
    assert checkout.done("clear", "--actor-id", actor)["cleared"] is True


def test_ids_are_shown_escaped_in_refusals(checkout: Checkout) -> None:
    checkout.done(*autonomous("owner\nFAKE\x1b[2Jlog", lease=1))
    checkout.now += 1
    error = checkout.refused("clear", "--actor-id", "attacker\nroot")
    assert r"attacker\nroot" in error
    assert r"owner\nFAKE\x1b[2Jlog" in error
    assert "\n" not in error
    assert "\x1b" not in error
