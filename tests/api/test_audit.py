"""The audit's chain: whatever is changed, removed or inserted behind the service's back is found, and named."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw
import psycopg
import pytest
import rfc8785

from holdfast.commands.auditing import CutAudit
from holdfast.config import sqlite_path
from holdfast.domain.audit import AuditRecord
from holdfast.domain.ids import AccountId, AuditId
from holdfast.engine.sweeper import SWEEPER
from holdfast.store.migrating import migrations
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Server, open_store
from tests.support.stores import rows_in_account

RECORDS = 8


def furnished(account: Account) -> list[AuditRecord]:
    """An audit of some records."""
    before = len(rows_in_account(account.server.store, AuditRecord, account.id))
    for number in range(before, RECORDS):
        session = account.start(scope=f"scope-{number}")
        assert account.say("stop", session, reason=f"reason {number}").status == 200
    found = rows_in_account(account.server.store, AuditRecord, account.id)
    return sorted(found, key=lambda record: record.number)


def verified(account: Account, query: str = "") -> Json:
    """What a verification says."""
    return account.get(f"/v1/audit/verify{query}", by="operator")


def behind_its_back(url: str, statement: str, values: dict[str, object]) -> None:
    """Change the database as somebody would who has its password."""
    path = sqlite_path(url)
    if path is not None:
        connection = apsw.Connection(str(path))
        connection.execute(statement, values)
        connection.close()
        return
    with psycopg.connect(url) as postgres:
        pattern = statement
        for name in values:
            pattern = pattern.replace(f":{name}", f"%({name})s")
        postgres.execute(pattern.encode(), values)


class Tampering(NamedTuple):
    """What somebody does to the fourth record, and what a verification is to say."""

    statement: str
    kind: str
    number: int


FOURTH = "where account_id = :account and number = 4"

TAMPERINGS = {
    "a reason": Tampering(f"update audit set reason = 'another' {FOURTH}", "changed", 4),
    "who": Tampering(f"update audit set key_id = 'key_another' {FOURTH}", "changed", 4),
    "when": Tampering(f"update audit set at_ms = at_ms + 1 {FOURTH}", "changed", 4),
    "a hash": Tampering(f"update audit set sha256 = 'x' {FOURTH}", "changed", 4),
    "a link": Tampering(f"update audit set previous_sha256 = 'x' {FOURTH}", "changed", 4),
    "removed": Tampering(f"delete from audit {FOURTH}", "removed", 4),
    "the first ones": Tampering("delete from audit where account_id = :account and number < 4", "removed", 1),
    "the last ones": Tampering("delete from audit where account_id = :account and number >= 4", "removed", 4),
    "all": Tampering("delete from audit where account_id = :account", "removed", 1),
    "the account of one": Tampering(f"update audit set account_id = 'other' {FOURTH}", "removed", 4),
    "one behind the end": Tampering(
        "insert into audit select 'aud_z', account_id, at_ms, key_id, action, target, reason, correlation_id, "
        "data_json, number + 100, previous_sha256, sha256 from audit " + FOURTH,
        "inserted",
        104,
    ),
    "one before the beginning": Tampering(
        "insert into audit select 'aud_0', account_id, at_ms, key_id, action, target, reason, correlation_id, "
        "data_json, number - 4, previous_sha256, sha256 from audit " + FOURTH,
        "inserted",
        0,
    ),
}


@pytest.fixture
def own(database_url: str) -> "Own":
    return Own(database_url)


class Own(NamedTuple):
    """A server on a database that this test alone may spoil."""

    url: str

    def run(self, test: Callable[[Account], None]) -> None:
        """Run a test on an account of the server."""
        store = open_store(self.url, FakeClock())
        try:
            with Server(store, FakeClock()).running() as server:
                test(server.new_account())
        finally:
            store.close()


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_done_to_a_record_is_found_and_named(name: str, own: Own) -> None:
    tampering = TAMPERINGS[name]

    def test(account: Account) -> None:
        records = furnished(account)
        assert verified(account)["intact"] is True
        behind_its_back(own.url, tampering.statement, {"account": account.id})
        found = verified(account)
        assert (found["intact"], found["flaw"]["kind"], found["flaw"]["number"]) == (
            False,
            tampering.kind,
            tampering.number,
        )
        named = {records[3].id, None, "aud_z", "aud_0"}
        assert found["flaw"]["id"] in named

    own.run(test)


def test_a_record_that_was_changed_together_with_its_hash_is_found_by_the_next_one(own: Own) -> None:
    def test(account: Account) -> None:
        record = furnished(account)[3]
        forged = record._replace(reason="another")
        sha256 = hashlib.sha256(rfc8785.dumps(_listed(forged))).hexdigest()
        statement = f"update audit set reason = 'another', sha256 = :sha256 {FOURTH}"
        behind_its_back(own.url, statement, {"account": account.id, "sha256": sha256})
        assert verified(account)["flaw"] == {"kind": "changed", "number": 4, "id": record.id}

    own.run(test)


def test_a_chain_that_was_written_anew_is_found_by_what_was_noted_elsewhere(account: Account) -> None:
    furnished(account)
    head = verified(account)["head"]
    session = account.start(scope="later")
    account.say("stop", session, reason="later")
    noted = f"?number={head['number']}&sha256="
    assert verified(account, noted + head["sha256"])["intact"] is True
    assert verified(account, noted + "0" * 64)["flaw"]["number"] == head["number"]
    assert verified(account, "?number=999&sha256=" + "0" * 64)["flaw"] == {
        "kind": "removed", "number": 999, "id": None,
    }  # fmt: skip


@pytest.mark.parametrize("query", ["?number=1", "?sha256=" + "0" * 64, "?number=1&sha256=nonsense"])
def test_half_a_note_is_refused(query: str, account: Account) -> None:
    assert account.call("GET", f"/v1/audit/verify{query}", by="operator").status == 422


def _listed(record: AuditRecord) -> Json:
    """A record as it is hashed, made here once more from what the documentation says."""
    fields = record._asdict()
    fields["at"] = f"{_rfc3339(fields.pop('at_ms'))}"
    fields["data"] = json.loads(fields.pop("data_json"))
    fields["action"] = str(fields["action"])
    del fields["sha256"]
    return fields


def _rfc3339(at_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_caller_can_check_the_chain_from_the_list_alone(account: Account) -> None:
    furnished(account)
    previous = ""
    for record in reversed(list(account.each("/v1/audit"))):
        said = {name: value for name, value in record.items() if name != "sha256"}
        assert record["previous_sha256"] == previous
        previous = hashlib.sha256(rfc8785.dumps(said)).hexdigest()
        assert record["sha256"] == previous
    assert verified(account)["head"]["sha256"] == previous


def test_records_of_one_batch_and_of_many_have_numbers_without_gaps(account: Account) -> None:
    sessions = [account.start(scope=f"scope-{number}") for number in range(30)]
    path = "/v1/sessions/{}/stop"
    account.server.ask_all(
        [account.request("POST", path.format(each["id"]), {"reason": "enough"}) for each in sessions]
    )
    records = furnished(account)
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert verified(account)["verified"] == len(records)


def test_a_cut_for_age_leaves_an_anchor_and_takes_nothing_but_the_oldest(account: Account) -> None:
    records = furnished(account)
    now_ms = account.server.clock.now_ms()
    core = account.server.core

    def cut(ids: list[AuditId], before_at_ms: int) -> int:
        command = CutAudit(AccountId(account.id), tuple(ids), before_at_ms)
        reply = account.server.loop.run_until_complete(core.execute(command, SWEEPER, correlation_id="cut"))
        deleted: int = reply.body["deleted"]
        return deleted

    assert cut([records[1].id, records[2].id], now_ms + 1) == 0
    assert cut([each.id for each in records], records[0].at_ms) == 0
    assert cut([each.id for each in records[:3]], now_ms + 1) == 3
    found = verified(account)
    assert (found["intact"], found["cut"]) == (True, {"number": 3, "sha256": records[2].sha256})
    assert found["verified"] == len(records) - 3
    known = f"?number=3&sha256={records[2].sha256}"
    assert verified(account, known)["intact"] is True


def test_records_that_are_older_than_the_chain_are_numbered_by_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.db"
    connection = apsw.Connection(str(path))
    first = migrations("sqlite")[0]
    connection.execute(
        "create table schema_migration (version integer not null primary key, name text not null, "
        "sha256 text not null, applied_at_ms integer not null)"
    )
    connection.execute(first.sql)
    connection.execute("insert into schema_migration values (?, ?, ?, 0)", (first.version, first.name, first.sha256))
    connection.execute("insert into service_state values (1, 0, 0, 'timeline', 0)")
    connection.execute("insert into account values ('default', 0)")
    for number in range(5):
        values = (f"aud_{number}", "default", number, "key", "key.created", "target", None, "c", "{}")
        connection.execute("insert into audit values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.close()
    store = SqliteStore(path, clock=FakeClock())
    with Server(store, FakeClock()).running() as server:
        account = Account(server, "default", {"operator": "configured-for-the-tests"}, {})
        found = verified(account)
        assert (found["intact"], found["verified"], found["unchained"]) == (True, 0, 5)
        account.call("POST", "/v1/keys", {}, by="operator")
        found = verified(account)
        assert (found["intact"], found["verified"], found["unchained"]) == (True, 1, 5)
        behind_its_back(f"sqlite:///{path}", "delete from audit where number = 2 and account_id = :a", {"a": "default"})
        assert verified(account)["flaw"] == {"kind": "removed", "number": 2, "id": None}
    store.close()
