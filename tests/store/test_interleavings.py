"""Several nodes on one database at the same moment: who wins, and that everybody else hears so.

Two ways to prove that all were in flight. A barrier lets no transaction go on before every one has reached the same
point. A gate holds one transaction, its rows locked, until the database itself says that another one waits for it.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any, Final, NamedTuple

import psycopg
import pytest

from holdfast.commands.beginning import About
from holdfast.commands.command import Command
from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.commands.machines import GivenSlot, RegisterMachine, Said
from holdfast.commands.notes import PatchSession, WriteCheckpoint
from holdfast.commands.recovery import RecoverSession
from holdfast.commands.starts import StartSession, TakeOverSession
from holdfast.commands.sweeping import SweepSessions
from holdfast.commands.transitions import EndSession, StopSession
from holdfast.commands.view import Reply
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.events import EventFilter
from holdfast.domain.ids import MachineId
from holdfast.domain.limits import MINUTE_MS
from holdfast.domain.machine import Slot
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import EndReason, Session
from holdfast.engine.batch import Outcome
from holdfast.store.port import Store, Transaction
from holdfast.store.postgres import PostgresStore
from holdfast.testing.caller import SWEEPER, Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import AGENT, LEASE_MS, OPERATOR, REVIVABLE, STRICT, start
from tests.support.stores import events_of, numbers_of, rows_of, session_of, strictly, told

NODES: Final = 4
ROUNDS: Final = 10
WAIT_SECONDS_MAX: Final = 20.0
POLL_SECONDS: Final = 0.005

Pause = Callable[[], object]


class Paused:
    """A store whose first transaction stops at a point of our choice; the others run through."""

    locks_everything = False

    def __init__(self, store: Store, *, begun: Pause | None = None, loaded: Pause | None = None,
                 decided: Pause | None = None) -> None:  # fmt: skip
        self._store = store
        self._pauses: dict[str, Pause | None] = {"begun": begun, "loaded": loaded, "decided": decided}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def begin(self) -> Transaction:
        """Begin, and stop there if asked to."""
        transaction = self._store.begin()
        self.at("begun")
        return PausedTransaction(transaction, self)

    def at(self, point: str) -> None:
        """Stop here, once."""
        pause, self._pauses[point] = self._pauses[point], None
        if pause is not None:
            pause()


class PausedTransaction:
    """One transaction of such a store."""

    def __init__(self, transaction: Transaction, store: Paused) -> None:
        self._transaction = transaction
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def load(self, *args: Any) -> None:
        """Load, and stop afterwards if asked to."""
        self._transaction.load(*args)
        self._store.at("loaded")

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Stop if asked to, when all is decided and the rows are locked, then save."""
        self._store.at("decided")
        self._transaction.save(*args, **kwargs)


class Nodes(NamedTuple):
    """Nodes on one database, which go by one clock."""

    callers: list[Caller]
    clock: FakeClock
    threads: ThreadPoolExecutor
    url: str

    @property
    def store(self) -> Store:
        """The first node's store, for whatever no race is about."""
        return self.callers[0].store

    def accepted(self, command: Command) -> dict[str, Any]:
        """What the first node answers."""
        return self.callers[0].accepted(command).body

    def together(self, *commands: Command, key: str | None = None, point: str = "begun") -> list[Outcome]:
        """The outcomes of commands, one on each node; none goes past the point before all have reached it."""
        barrier = Barrier(len(commands))
        return self.all_of(
            *[
                self.send(number, command, key=key, **{point: lambda: barrier.wait(WAIT_SECONDS_MAX)})
                for number, command in enumerate(commands)
            ]
        )

    def send(self, number: int, command: Command, *, key: str | None = None, **pauses: Pause) -> "Future[Outcome]":
        """Send a command through a node, on a thread."""
        caller = self.callers[number]
        envelope = caller.wrap(command, by=SWEEPER if isinstance(command, SweepSessions) else OPERATOR, key=key)
        paused = Caller(Paused(caller.store, **pauses), self.clock)
        paused.mint = caller.mint
        return self.threads.submit(lambda: paused.send([envelope])[0])

    def all_of(self, *sent: "Future[Outcome]") -> list[Outcome]:
        """The outcomes of everything that was sent."""
        return [future.result(WAIT_SECONDS_MAX) for future in sent]

    def one_after_the_other(
        self, first: Command, second: Command, *, meanwhile: Callable[[], object] = lambda: None
    ) -> list[Outcome]:
        """Two commands, of which the second waits for a row that the first has locked, and has decided about."""
        has_decided, may_go_on = Event(), Event()

        def hold() -> None:
            has_decided.set()
            assert may_go_on.wait(WAIT_SECONDS_MAX)

        one = self.send(0, first, decided=hold)
        assert has_decided.wait(WAIT_SECONDS_MAX), "the first command has nothing to save"
        other = self.send(1, second)
        self.wait_until_one_waits()
        meanwhile()
        may_go_on.set()
        return self.all_of(one, other)

    def wait_until_one_waits(self) -> None:
        """Return when the database says that a transaction waits for a lock of another."""
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        with psycopg.connect(self.url, autocommit=True) as connection:
            for _ in range(int(WAIT_SECONDS_MAX / POLL_SECONDS)):
                if connection.execute(query).fetchone() == (1,):
                    return
                Event().wait(POLL_SECONDS)
        pytest.fail("the second transaction did not wait for the first")

    def deadlocks(self) -> int:
        """How many deadlocks the database has seen."""
        query = "select deadlocks from pg_stat_database where datname = current_database()"
        with psycopg.connect(self.url, autocommit=True) as connection:
            (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)


@pytest.fixture
def nodes(postgres_url: str) -> Iterator[Nodes]:
    clock = FakeClock()
    stores = [PostgresStore(postgres_url, clock=clock) for _ in range(NODES)]
    callers = [Caller(store, clock) for store in stores]
    for number, caller in enumerate(callers):
        for _ in range(number * 10_000):
            caller.wrap(SweepSessions(()))
    with ThreadPoolExecutor(NODES + 1) as threads:
        yield Nodes(callers, clock, threads, postgres_url)
    for store in stores:
        store.close()


def codes(outcomes: list[Outcome]) -> list[str]:
    """How each came out, sorted: `ok` or the code of the refusal."""
    return sorted("ok" if isinstance(outcome, Reply) else str(outcome.code) for outcome in outcomes)


def body_of(outcome: Outcome) -> dict[str, Any]:
    """The body of a reply."""
    assert isinstance(outcome, Reply), outcome
    return outcome.body


@pytest.mark.parametrize("point", ["begun", "loaded"])
def test_two_starts_of_one_identity_get_one_session(nodes: Nodes, point: str) -> None:
    for number in range(ROUNDS):
        command = start(f"repo={number}", exclusive=True)
        first, second = (body_of(outcome) for outcome in nodes.together(command, command, point=point))
        assert first["id"] == second["id"]
        assert sorted([first["outcome"], second["outcome"]]) == ["created", "resumed"]
        assert sorted([first["fencing_token"], second["fencing_token"]]) == [1, 2]
        assert sorted(told(nodes.store, first["id"])) == ["resumed", "started"]
    assert len(rows_of(nodes.store, Session)) == ROUNDS


@pytest.mark.parametrize("point", ["begun", "loaded"])
def test_of_many_exclusive_starts_one_wins(nodes: Nodes, point: str) -> None:
    for number in range(ROUNDS):
        starts = [start(f"repo={number}", holder_id=f"holder-{node}", exclusive=True) for node in range(NODES)]
        outcomes = nodes.together(*starts, point=point)
        assert codes(outcomes) == ["lease_held"] * (NODES - 1) + ["ok"]
    assert len(rows_of(nodes.store, Session)) == ROUNDS


def test_of_many_takeovers_one_wins(nodes: Nodes) -> None:
    for number in range(ROUNDS):
        old = nodes.accepted(start(f"repo={number}", exclusive=True))
        nodes.callers[0].serve(LEASE_MS)
        takers = [TakeOverSession(old["id"], None, f"holder-{node}", "it is silent") for node in range(NODES)]
        outcomes = nodes.together(*takers)
        assert codes(outcomes) == ["ok"] + ["session_taken_over"] * (NODES - 1)
        (winner,) = (outcome.body["id"] for outcome in outcomes if isinstance(outcome, Reply))
        assert session_of(nodes.store, old["id"]).taken_over_by == winner
        assert told(nodes.store, old["id"]) == ["started", "stalled", "taken_over"]
        assert body_of(nodes.callers[0].do(Heartbeat(winner, 2)))["status"] == "active"


def test_of_many_recoveries_one_begins_a_session_and_its_holder_gets_it_each_time(nodes: Nodes) -> None:
    for number in range(ROUNDS):
        old = nodes.accepted(start(f"repo={number}", exclusive=bool(number % 2)))
        nodes.callers[0].serve(LEASE_MS)
        racers = [RecoverSession(old["id"], f"holder-{node % 2}", 3) for node in range(NODES)]
        outcomes = nodes.together(*racers)
        assert codes(outcomes) == ["ok"] * 2 + ["session_recovered"] * 2
        replies = [outcome for outcome in outcomes if isinstance(outcome, Reply)]
        assert sorted(reply.created for reply in replies) == [False, True]
        assert {(reply.body["id"], reply.body["fencing_token"]) for reply in replies} == {(replies[0].body["id"], 2)}
        assert session_of(nodes.store, old["id"]).taken_over_by == replies[0].body["id"]
        assert told(nodes.store, old["id"]) == ["started", "stalled", "recovered"]
    assert len(rows_of(nodes.store, Session)) == 2 * ROUNDS


def test_a_beat_that_came_first_is_seen_by_the_recovery_that_waited_for_it(nodes: Nodes) -> None:
    body = nodes.accepted(start(exclusive=True))
    nodes.callers[0].serve(LEASE_MS)
    recovery = RecoverSession(body["id"], "holder-2", 3)
    beat, recovered = nodes.one_after_the_other(Heartbeat(body["id"], body["fencing_token"]), recovery)
    assert body_of(beat)["reactivated"]
    assert codes([recovered]) == ["lease_held"]


def test_sharers_that_make_a_scope_at_once_get_a_token_each(nodes: Nodes) -> None:
    for number in range(ROUNDS):
        starts = [start(f"repo={number}", holder_id=f"holder-{node}") for node in range(NODES)]
        outcomes = nodes.together(*starts, point="loaded")
        assert sorted(body_of(outcome)["fencing_token"] for outcome in outcomes) == [1, 2, 3, 4]
    assert {scope.last_token for scope in rows_of(nodes.store, Scope)} == {NODES}


def test_a_beat_that_came_first_is_seen_by_the_sweep_that_waited_for_it(nodes: Nodes) -> None:
    body = nodes.accepted(start(exclusive=True, policy=STRICT))
    nodes.callers[0].serve(LEASE_MS - 1)
    swept = nodes.one_after_the_other(
        Heartbeat(body["id"], body["fencing_token"]),
        SweepSessions((body["id"],)),
        meanwhile=lambda: nodes.clock.advance(1),
    )
    assert [body_of(swept[1])["changed"], told(nodes.store, body["id"])] == [0, ["started"]]
    assert session_of(nodes.store, body["id"]).status == "active"


def test_a_sweep_that_came_first_is_seen_by_the_beat_that_waited_for_it(nodes: Nodes) -> None:
    for policy, ends in ((STRICT, ["stalled"]), (REVIVABLE, ["stalled", "reactivated"])):
        body = nodes.accepted(start(f"repo={policy.on_lapse}", exclusive=True, policy=policy))
        nodes.callers[0].serve(LEASE_MS)
        beat = Heartbeat(body["id"], body["fencing_token"])
        swept, beaten = nodes.one_after_the_other(SweepSessions((body["id"],)), beat)
        assert body_of(swept)["changed"] == 1
        assert codes([beaten]) == ["lease_expired" if policy is STRICT else "ok"]
        assert told(nodes.store, body["id"]) == ["started", *ends]


def test_beats_and_sweeps_at_once_tell_each_change_once(nodes: Nodes) -> None:
    for number in range(ROUNDS):
        body = nodes.accepted(start(f"repo={number}", exclusive=True))
        nodes.callers[0].serve(LEASE_MS)
        beat, sweep = Heartbeat(body["id"], body["fencing_token"]), SweepSessions((body["id"],))
        outcomes = nodes.together(beat, sweep, beat, sweep)
        assert codes(outcomes) == ["ok"] * 4
        assert told(nodes.store, body["id"]) == ["started", "stalled", "reactivated"]


def test_a_takeover_that_came_first_is_seen_by_the_beat_that_waited_for_it(nodes: Nodes) -> None:
    body = nodes.accepted(start(exclusive=True))
    nodes.callers[0].serve(LEASE_MS)
    taker = TakeOverSession(body["id"], None, "holder-2", "it is silent")
    taken, beaten = nodes.one_after_the_other(taker, Heartbeat(body["id"], body["fencing_token"]))
    assert codes([taken, beaten]) == ["ok", "session_taken_over"]


def test_a_beat_that_came_first_is_seen_by_the_takeover_that_waited_for_it(nodes: Nodes) -> None:
    body = nodes.accepted(start(exclusive=True))
    nodes.callers[0].serve(LEASE_MS - 1)
    beaten, taken = nodes.one_after_the_other(
        Heartbeat(body["id"], body["fencing_token"]),
        TakeOverSession(body["id"], None, "holder-2", "it is silent"),
        meanwhile=lambda: nodes.clock.advance(1),
    )
    assert codes([beaten, taken]) == ["lease_held", "ok"]
    assert isinstance(taken, Refusal)
    assert told(nodes.store, body["id"]) == ["started"]


def test_an_end_that_came_first_is_seen_by_the_start_that_waited_for_it(nodes: Nodes) -> None:
    body = nodes.accepted(start(exclusive=True))
    end = EndSession(body["id"], body["fencing_token"], EndReason.COMPLETED)
    ended, started = nodes.one_after_the_other(end, start(holder_id="holder-2", exclusive=True))
    assert codes([ended, started]) == ["ok", "ok"]
    assert body_of(started)["fencing_token"] == 2


def test_the_clock_is_read_after_the_row_is_locked(nodes: Nodes) -> None:
    body = nodes.accepted(start(exclusive=True, policy=STRICT))
    nodes.callers[0].serve(LEASE_MS - 1)
    stopped, beaten = nodes.one_after_the_other(
        StopSession(body["id"], "it costs too much"),
        Heartbeat(body["id"], body["fencing_token"]),
        meanwhile=lambda: nodes.clock.advance(1),
    )
    assert codes([stopped, beaten]) == ["lease_expired", "ok"]


@pytest.mark.parametrize("point", ["begun", "loaded"])
def test_duplicates_on_two_nodes_have_one_effect_and_one_answer(nodes: Nodes, point: str) -> None:
    for number in range(ROUNDS):
        command = start(None, agent=f"agent-{number}")
        first, second = nodes.together(command, command, key=f"key-{number}", point=point)
        assert isinstance(first, Reply)
        assert isinstance(second, Reply)
        assert strictly(first.body) == strictly(second.body)
        assert sorted([first.is_replay, second.is_replay]) == [False, True]
    assert len(rows_of(nodes.store, Session)) == ROUNDS


def test_duplicate_checkpoints_on_two_nodes_are_one(nodes: Nodes) -> None:
    body = nodes.accepted(start())
    for number in range(ROUNDS):
        note = WriteCheckpoint(body["id"], None, f"note {number}")
        first, second = nodes.together(note, note, key=f"key-{number}")
        assert strictly(body_of(first)) == strictly(body_of(second))
        assert body_of(first)["number"] == number + 1


def test_checkpoints_from_several_nodes_are_numbered_without_gaps(nodes: Nodes) -> None:
    body = nodes.accepted(start())
    numbers = []
    for number in range(ROUNDS):
        notes = [WriteCheckpoint(body["id"], None, f"note {number} of {node}") for node in range(NODES)]
        numbers += [body_of(outcome)["number"] for outcome in nodes.together(*notes)]
    assert sorted(numbers) == list(range(1, ROUNDS * NODES + 1))


def test_events_are_numbered_in_the_order_in_which_they_can_be_read(nodes: Nodes) -> None:
    is_over = Event()

    def read() -> list[str]:
        seen: list[str] = []
        while not is_over.is_set():
            store = nodes.callers[-1].store
            found = store.events_after(AGENT.account_id, number=len(seen), wanted=EventFilter(), limit=1_000).events
            assert [event.number for event in found] == list(range(len(seen) + 1, len(seen) + len(found) + 1))
            seen += [event.id for event in found]
        return seen

    reader = nodes.threads.submit(read)
    for number in range(ROUNDS):
        starts = [start(f"repo={number}-{node}") for node in range(NODES)]
        assert codes(nodes.together(*starts)) == ["ok"] * NODES
    is_over.set()
    seen = reader.result(WAIT_SECONDS_MAX)
    assert numbers_of(nodes.store, AGENT.account_id) == list(range(1, ROUNDS * NODES + 1))
    assert len(set(seen)) == len(seen)


def test_a_gap_is_added_once_however_many_nodes_see_it(nodes: Nodes) -> None:
    nodes.accepted(start())
    for number in range(1, ROUNDS + 1):
        nodes.clock.advance(10 * MINUTE_MS)
        assert codes(nodes.together(*[SweepSessions(())] * NODES)) == ["ok"] * NODES
        (state,) = rows_of(nodes.store, ServiceState)
        assert state.paused_ms == number * 10 * MINUTE_MS


def test_random_batches_on_several_nodes_never_wait_for_each_other_in_a_circle(nodes: Nodes) -> None:
    scopes = [f"repo={number}" for number in range(8)]
    bodies = [nodes.accepted(start(scope, holder_id=f"holder-{number}")) for number in range(3) for scope in scopes]

    def work(node: int) -> list[Outcome]:
        choose = random.Random(node)
        caller = nodes.callers[node]
        outcomes: list[Outcome] = []
        for number in range(30):
            batch: list[Command] = [
                HeartbeatBatch(tuple(Heartbeat(body["id"]) for body in choose.sample(bodies, 8))),
                *[
                    PatchSession(body["id"], None, None, (("branch", f"b{number}"),))
                    for body in choose.sample(bodies, 4)
                ],
                *[start(scope, holder_id=f"holder-{choose.randrange(3)}") for scope in choose.sample(scopes, 4)],
                *[start(f"new={choose.randrange(40)}", holder_id=f"holder-{node}") for _ in range(3)],
                *[WriteCheckpoint(body["id"], None, "note") for body in choose.sample(bodies, 2)],
            ]
            choose.shuffle(batch)
            outcomes += caller.send([caller.wrap(command, by=OPERATOR) for command in batch])
        return outcomes

    outcomes = [each for found in nodes.threads.map(work, range(NODES)) for each in found]
    assert set(codes(outcomes)) == {"ok"}
    assert nodes.deadlocks() == 0
    for body in bodies:
        assert [event.session_id for event in events_of(nodes.store, body["id"])]
    events = numbers_of(nodes.store, AGENT.account_id)
    assert events == list(range(1, len(events) + 1))
    tokens = [(row.scope, row.fencing_token) for row in rows_of(nodes.store, Session)]
    assert len(set(tokens)) == len(tokens)


def test_a_batch_that_lost_a_race_fails_none_of_its_commands(nodes: Nodes) -> None:
    names = [f"repo={number}" for number in range(20)]

    def begin(node: int) -> list[Outcome]:
        caller = nodes.callers[node]
        commands: list[StartSession] = [start(name, holder_id=f"holder-{node}") for name in names]
        return caller.send([caller.wrap(command, by=OPERATOR) for command in commands])

    outcomes = [each for found in nodes.threads.map(begin, range(NODES)) for each in found]
    assert set(codes(outcomes)) == {"ok"}
    assert {scope.last_token for scope in rows_of(nodes.store, Scope)} == {NODES}
    assert Code.BUSY.value not in codes(outcomes)


def test_of_many_starts_on_a_machine_as_many_as_it_has_slots_get_one_each(nodes: Nodes) -> None:
    for number in range(ROUNDS):
        machine_id = MachineId(f"machine-{number}")
        nodes.accepted(RegisterMachine(machine_id, Said(slots=(GivenSlot(1), GivenSlot(2)))))
        about = About(machine_id=machine_id)
        commands = [start(f"repo={number}-{node}", holder_id=f"{node}", about=about) for node in range(NODES)]
        outcomes = nodes.together(*commands)
        assert codes(outcomes) == ["no_free_slot"] * (NODES - 2) + ["ok"] * 2
        assert sorted(body_of(each)["slot"] for each in outcomes if isinstance(each, Reply)) == [1, 2]


def test_a_slot_that_is_let_go_of_and_asked_for_at_once_has_one_session(nodes: Nodes) -> None:
    for number in range(ROUNDS):
        machine_id = MachineId(f"machine-{number}")
        nodes.accepted(RegisterMachine(machine_id, Said(slots=(GivenSlot(1),))))
        about = About(machine_id=machine_id)
        held = nodes.accepted(start(f"repo={number}", about=about))
        end = EndSession(held["id"], held["fencing_token"], EndReason.COMPLETED)
        ended, started = nodes.together(end, start(f"repo=other-{number}", about=about), point="loaded")
        assert codes([ended]) == ["ok"]
        (slot,) = [row for row in rows_of(nodes.store, Slot) if row.machine_id == machine_id]
        assert slot.session_id == (body_of(started)["id"] if isinstance(started, Reply) else None)
    assert nodes.deadlocks() == 0
