"""The same commands at the same times, in random order, on dicts, SQLite and PostgreSQL: equal answers, equal rows.

The store on dicts is the reference model, since it has no rule of its own: what differs from it was added, or lost, by
a database. What holds in every state is checked as well, after every step.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from holdfast.commands.accounts import OpenAccount
from holdfast.commands.beginning import About
from holdfast.commands.command import Command, Envelope
from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.commands.keys import CreateKey, RevokeKey
from holdfast.commands.machines import (
    MACHINES_DUE,
    ChangeMachine,
    DeleteMachine,
    GivenSlot,
    MachineHeartbeat,
    RegisterMachine,
    SweepMachines,
)
from holdfast.commands.machines import Said as SaidOfMachine
from holdfast.commands.notes import PatchSession, WriteCheckpoint
from holdfast.commands.projects import CreateProject
from holdfast.commands.recovery import RecoverSession
from holdfast.commands.reports import ReportSession
from holdfast.commands.rows import TABLES
from holdfast.commands.starts import StartSession, TakeOver, TakeOverSession
from holdfast.commands.sweeping import SweepSessions
from holdfast.commands.tasks import (
    BlockTask,
    ClaimTask,
    CompleteTask,
    CreateTask,
    DeleteTask,
    FailTask,
    PatchTask,
    ReleaseTask,
    StartTask,
)
from holdfast.commands.transitions import (
    ArchiveSession,
    DeleteSession,
    EndSession,
    FailSession,
    ParkSession,
    PauseSession,
    ResumeSession,
    StallSession,
    StopSession,
)
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.ids import AccountId, KeyId, MachineId, SessionId, TaskId
from holdfast.domain.lifecycle import LIVE, phase, settle
from holdfast.domain.limits import ABANDON_AFTER_MS, DAY_MS, MINUTE_MS, SECOND_MS
from holdfast.domain.machine import MachineStatus, Slot
from holdfast.domain.policy import PolicyRequest
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import TICK_MS
from holdfast.domain.session import EndReason, Session, SessionProfile
from holdfast.domain.task import Task, TaskDependency, TaskStatus
from holdfast.engine.batch import Outcome
from holdfast.testing.caller import SWEEPER, Caller
from holdfast.testing.clock import START_AT_MS
from holdfast.testing.factories import FAIL_AFTER_MS, LEASE_MS, NEVER_FAILS, REVIVABLE, STRICT, envelope, start
from tests.support.postgres import PostgresServer
from tests.support.stores import World, answer, dump, events_of, rows_of, strictly, world

FAST: Final = settings(
    max_examples=35,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
"""What `make test` runs: the same examples every time."""

THOROUGH: Final = settings(FAST, max_examples=100, stateful_step_count=100, derandomize=False, print_blob=True)
"""What each part of `make proof` runs: other examples every time; a failing one is printed, to be kept as a test."""

PARTS_VARIABLE: Final = "HOLDFAST_PROOF_PARTS"
PARTS: Final = int(os.environ.get(PARTS_VARIABLE, "10"))
"""How many parts `make proof` runs, of 100 histories each: a minute or two, and they can run beside each other."""

ACCOUNTS = ("default", "default", "default", "another")
SCOPES = ("repo=a", "repo=a", "repo=a", "repo=b", None)
HOLDERS = ("holder-1", "holder-2", "holder-3")
CLIENT_SESSION_IDS = (None, None, None, "client-1", "client-2")
POLICIES = (
    REVIVABLE,
    STRICT,
    NEVER_FAILS,
    None,
    PolicyRequest(preset="interactive"),
    PolicyRequest(lease_ms=2 * SECOND_MS),
)
PACES = (0, 1, 400, SECOND_MS, 20 * SECOND_MS, LEASE_MS - 1, LEASE_MS, FAIL_AFTER_MS, ABANDON_AFTER_MS)
JUMPS = (0, 0, 0, -DAY_MS, -10 * MINUTE_MS, -1_500, 1_500, 10 * MINUTE_MS, DAY_MS)


MACHINE = MachineId("machine-1")
PLACES = (About(), About(), About(machine_id=MACHINE), About(machine_id=MACHINE), About(machine_id=MACHINE, slot=1))


Said = tuple[Command, Actor, str | None]


class Known(NamedTuple):
    """A session that some reply has told of, and the tokens that it was given."""

    account_id: str
    id: SessionId
    tokens: tuple[int, ...]


commands: Final = st.data()
account_ids = st.sampled_from(ACCOUNTS)
key_scopes = st.sampled_from((KeyScope.AGENT, KeyScope.AGENT, KeyScope.AGENT, KeyScope.OPERATOR, KeyScope.ADMIN))
holders = st.sampled_from(HOLDERS)
agents = st.sampled_from(("claude", "claude", "claude", "codex"))
texts = st.sampled_from((None, "busy", "", "🦊 é ' %s ? $1"))
reasons = st.sampled_from(("it hangs", "", "🦊 é ' %s ? $1"))
places = st.sampled_from(PLACES)
maybe = st.sampled_from((None, True, False))
flags = st.sampled_from((False, False, False, True))
indexes = st.integers(0, 30)
keys = st.sampled_from((None, None, None, None, "key-1", "key-2"))
token_choices = st.sampled_from(("current", "current", "current", "current", "none", "older", "higher"))
wakes = st.sampled_from((None, 0, LEASE_MS, DAY_MS))
end_reasons = st.sampled_from((EndReason.COMPLETED, EndReason.MANUAL, EndReason.CLEARED))

starts = st.fixed_dictionaries(
    {
        "account_id": account_ids,
        "key_scope": key_scopes,
        "scope": st.sampled_from(SCOPES),
        "agent": agents,
        "holder_id": holders,
        "policy": st.sampled_from(POLICIES),
        "exclusive": maybe,
        "take_over": st.sampled_from((None, None, None, "newest", "named")),
        "index": indexes,
        "supersede": flags,
        "force": flags,
        "reason": st.sampled_from((None, "it has to be", "it has to be")),
        "client_session_id": st.sampled_from(CLIENT_SESSION_IDS),
        "about": places,
        "key": keys,
    }
)


class Machine(RuleBasedStateMachine):
    """One history, told to every store alike."""

    worlds: dict[str, World]

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Known] = []
        self.sent: list[Said] = []
        self.api_keys: list[KeyId] = []
        self.tasks: list[tuple[str, TaskId]] = []
        self.seeds = count(1)
        self.tokens_before: dict[tuple[AccountId, str], int] = {}
        self.taken_over: dict[SessionId, Session] = {}

    # What is said, and to whom.

    def tell(self, *said: Said) -> list[Outcome]:
        """Send one batch to every store; all answer alike. The model's answers are returned."""
        seeds = [next(self.seeds) for _ in said]
        answers: dict[str, list[Outcome]] = {}
        for name, each in self.worlds.items():
            batch: list[Envelope] = [
                envelope(command, by=by, seed=seed, key=key)
                for seed, (command, by, key) in zip(seeds, said, strict=True)
            ]
            answers[name] = each.caller.send(batch)
        model = answers["dicts"]
        for (command, by, key), outcome in zip(said, model, strict=True):
            note(f"    {command}\n        by {tuple(by)}, key {key}: {answer(outcome)}")
        expected = [answer(outcome) for outcome in model]
        for name, outcomes in answers.items():
            assert [answer(outcome) for outcome in outcomes] == expected, f"{name} answered differently to {said}"
            assert all("internal" not in text[:30] for text in expected), f"a bug was met in {said}"
        for (command, by, key), outcome in zip(said, model, strict=True):
            # A key's secret is drawn anew for every request, so no two requests ever make the same one.
            if not isinstance(command, CreateKey):
                self.sent.append((command, by, key))
            if isinstance(outcome, Reply):
                self.learn(command, by, outcome)
        return model

    def learn(self, command: Command, by: Actor, reply: Reply) -> None:
        """Remember the sessions, tokens and keys that a reply tells of."""
        body = reply.body
        if isinstance(command, CreateKey):
            self.api_keys.append(body["id"])
        if isinstance(command, CreateTask):
            self.tasks.append((by.account_id, body["id"]))
        if not isinstance(command, StartSession | TakeOverSession | RecoverSession | ReportSession):
            return
        older = [known for known in self.known if known.id == body["id"]]
        tokens = older[0].tokens if older else ()
        if body.get("fencing_token") not in (None, *tokens) and not reply.is_replay:
            tokens = (*tokens, body["fencing_token"])
        self.known = [known for known in self.known if known.id != body["id"]]
        self.known.append(Known(by.account_id, body["id"], tokens))

    def pick(self, index: int) -> Known:
        """One of the sessions told of; the newest for the lowest index."""
        return self.known[-1 - index % len(self.known)]

    def by(self, account_id: str, scope: KeyScope) -> Actor:
        """A caller."""
        return Actor(AccountId(account_id), KeyId(f"key_{scope.value}"), scope)

    def token(self, known: Known, choice: str) -> int | None:
        """A token for a session, right or wrong."""
        current = known.tokens[-1] if known.tokens else None
        if choice == "none" or current is None:
            return None
        return {"current": current, "older": current - 1, "higher": current + 1}[choice]

    # Beginning.

    @initialize(drawn=st.lists(starts, min_size=2, max_size=4))
    def begin_some(self, *, drawn: list[dict[str, Any]]) -> None:
        for fields in drawn:
            self.begin(fields)

    @rule(fields=starts)
    def begin_one(self, *, fields: dict[str, Any]) -> None:
        self.begin(fields)

    @rule(drawn=st.lists(starts, min_size=2, max_size=3))
    def begin_several_at_once(self, *, drawn: list[dict[str, Any]]) -> None:
        self.tell(*[self.wished(fields) for fields in drawn])

    def begin(self, fields: dict[str, Any]) -> None:
        """Start a session."""
        self.tell(self.wished(fields))

    def wished(self, fields: dict[str, Any]) -> Said:
        """A start as it was drawn."""
        account_id, key_scope, scope, take_over, index, key = (
            fields[name] for name in ("account_id", "key_scope", "scope", "take_over", "index", "key")
        )
        named = self.pick(index).id if take_over == "named" and self.known else None
        wish = None if take_over is None else TakeOver("it is silent", named)
        rest = {name: value for name, value in fields.items() if name in StartSession._fields}
        command = start(**(rest | {"scope": scope, "take_over": wish}))
        return command, self.by(account_id, key_scope), key

    @precondition(lambda self: self.known)
    @rule(index=indexes, key_scope=key_scopes, holder_id=holders, reason=reasons, force=flags, about=places, key=keys)
    def take_over(
        self,
        *,
        index: int,
        key_scope: KeyScope,
        holder_id: str,
        reason: str,
        force: bool,
        about: About,
        key: str | None,
    ) -> None:
        known = self.pick(index)
        command = TakeOverSession(known.id, None, holder_id, reason, force=force, about=about)
        self.tell((command, self.by(known.account_id, key_scope), key))

    @precondition(lambda self: self.known)
    @rule(index=indexes, key_scope=key_scopes, holder_id=holders, reason=texts, force=flags, key=keys)
    def recover(
        self, *, index: int, key_scope: KeyScope, holder_id: str, reason: str | None, force: bool, key: str | None
    ) -> None:
        known = self.pick(index)
        command = RecoverSession(known.id, holder_id, 2, force=force, reason=reason)
        self.tell((command, self.by(known.account_id, key_scope), key))

    @precondition(lambda self: self.known)
    @rule(index=indexes, racers=st.lists(holders, min_size=2, max_size=4))
    def recover_by_several_at_once(self, *, index: int, racers: list[str]) -> None:
        known = self.pick(index)
        by = self.by(known.account_id, KeyScope.AGENT)
        outcomes = self.tell(*[(RecoverSession(known.id, holder_id, 2), by, None) for holder_id in racers])
        assert len({each.body["id"] for each in outcomes if isinstance(each, Reply)}) <= 1

    # Going on.

    @precondition(lambda self: self.known)
    @rule(index=indexes, choice=token_choices, activity=texts, progress=st.sampled_from((None, 0, 2**53 - 1)))
    def beat(self, *, index: int, choice: str, activity: str | None, progress: int | None) -> None:
        known = self.pick(index)
        command = Heartbeat(known.id, self.token(known, choice), activity, progress)
        self.tell((command, self.by(known.account_id, KeyScope.AGENT), None))

    @precondition(lambda self: self.known)
    @rule(picks=st.lists(st.tuples(indexes, token_choices), min_size=1, max_size=5), account_id=account_ids)
    def beat_many(self, *, picks: list[tuple[int, str]], account_id: str) -> None:
        chosen = [(self.pick(index), choice) for index, choice in picks]
        beats = tuple(Heartbeat(known.id, self.token(known, choice), "busy") for known, choice in chosen)
        self.tell((HeartbeatBatch(beats), self.by(account_id, KeyScope.AGENT), None))

    @precondition(lambda self: self.known)
    @rule(data=commands, index=indexes, choice=token_choices, key=keys, is_foreign=flags)
    def say(self, *, data: st.DataObject, index: int, choice: str, key: str | None, is_foreign: bool) -> None:
        self.tell(self.drawn(data, index=index, choice=choice, key=key, is_foreign=is_foreign))

    @precondition(lambda self: self.known)
    @rule(data=commands, picks=st.lists(st.tuples(indexes, token_choices, keys), min_size=2, max_size=6))
    def say_much_at_once(self, *, data: st.DataObject, picks: list[tuple[int, str, str | None]]) -> None:
        self.tell(
            *[self.drawn(data, index=index, choice=choice, key=key, is_foreign=False) for index, choice, key in picks]
        )

    def drawn(self, data: st.DataObject, *, index: int, choice: str, key: str | None, is_foreign: bool) -> Said:
        """Some verb of some session."""
        known = self.pick(index)
        name = data.draw(st.sampled_from(sorted(VERBS)))
        command = VERBS[name](data, known, self.token(known, choice))
        other = next(account_id for account_id in ACCOUNTS if account_id != known.account_id)
        return command, self.by(other if is_foreign else known.account_id, KeyScope.OPERATOR), key

    @precondition(lambda self: self.sent)
    @rule(index=indexes, key=st.sampled_from(("key-1", "key-2")))
    def say_again(self, *, index: int, key: str) -> None:
        command, by, _ = self.sent[-1 - index % len(self.sent)]
        self.tell((command, by, key))

    @precondition(lambda self: self.sent)
    @rule(index=indexes, key=st.sampled_from(("key-1", "key-2", "key-3")))
    def say_twice_at_once(self, *, index: int, key: str) -> None:
        command, by, _ = self.sent[-1 - index % len(self.sent)]
        first, second = self.tell((command, by, key), (command, by, key))
        if isinstance(first, Reply) and not first.is_secret:
            assert isinstance(second, Reply)
            assert (strictly(second.body), second.created) == (strictly(first.body), first.created)

    @precondition(lambda self: self.known)
    @rule(data=commands, index=indexes, choice=token_choices)
    def say_and_beat(self, *, data: st.DataObject, index: int, choice: str) -> None:
        self.tell(self.drawn(data, index=index, choice="current", key=None, is_foreign=False))
        self.beat(index=index, choice=choice, activity=None, progress=None)

    # Tasks.

    @rule(account_id=account_ids, picks=st.lists(indexes, max_size=2), priority=st.integers(-1, 1), key=keys)
    def add_a_task(self, *, account_id: str, picks: list[int], priority: int, key: str | None) -> None:
        by = self.by(account_id, KeyScope.AGENT)
        depends_on = tuple(self.pick_task(index)[1] for index in picks) if self.tasks else ()
        self.tell(
            (CreateProject("p", ()), by, None), (CreateTask("p", None, None, "task", priority, depends_on), by, key)
        )

    @precondition(lambda self: self.known)
    @rule(picks=st.lists(st.tuples(indexes, token_choices, keys), min_size=1, max_size=4))
    def claim(self, *, picks: list[tuple[int, str, str | None]]) -> None:
        chosen = [(self.pick(index), choice, key) for index, choice, key in picks]
        self.tell(
            *[
                (ClaimTask(known.id, self.token(known, choice), "p"), self.by(known.account_id, KeyScope.AGENT), key)
                for known, choice, key in chosen
            ]
        )

    @precondition(lambda self: self.known and self.tasks)
    @rule(data=commands, picks=st.lists(st.tuples(indexes, indexes, token_choices), min_size=1, max_size=4))
    def work(self, *, data: st.DataObject, picks: list[tuple[int, int, str]]) -> None:
        said: list[Said] = []
        for task_index, index, choice in picks:
            account_id, task_id = self.pick_task(task_index)
            known, scope = self.pick(index), data.draw(key_scopes)
            session_id = None if data.draw(flags) else self.holder_of(task_id) or known.id
            token = next((self.token(each, choice) for each in self.known if each.id == session_id), None)
            name = data.draw(st.sampled_from(sorted(WORK)))
            said.append((WORK[name](data, task_id, session_id, token), self.by(account_id, scope), None))
        self.tell(*said)

    def pick_task(self, index: int) -> tuple[str, TaskId]:
        """One of the tasks told of, and its account; the newest for the lowest index."""
        return self.tasks[-1 - index % len(self.tasks)]

    def holder_of(self, task_id: TaskId) -> SessionId | None:
        """The session that has a task."""
        held = [row.held_by for row in rows_of(self.model.store, Task) if row.id == task_id]
        return held[0] if held else None

    # Keys, accounts and reports: rarely.

    @rule(
        data=commands,
        what=st.sampled_from(("report", "make a key", "revoke a key")),
        account_id=account_ids,
        key_scope=key_scopes,
        key=keys,
    )
    def do_something_else(
        self, *, data: st.DataObject, what: str, account_id: str, key_scope: KeyScope, key: str | None
    ) -> None:
        by = self.by(account_id, key_scope)
        if what == "report":
            name = data.draw(st.sampled_from(("client-1", "client-2", "client-3")))
            ended_at_ms = 1_000 + data.draw(st.sampled_from((-1, 0, SECOND_MS)))
            scope = data.draw(st.sampled_from(SCOPES))
            command = ReportSession(name, scope, "claude", "holder-1", 1_000, ended_at_ms, EndReason.COMPLETED, 0)
            self.tell((command, by, key))
        elif what == "make a key":
            target = data.draw(st.sampled_from((None, AccountId("another"), AccountId("third"))))
            secret_entropy = bytes([next(self.seeds) % 256]) * 32
            make = CreateKey("ci", KeyScope.AGENT, target, secret_entropy)
            self.tell((make, by, key), (OpenAccount(AccountId("fourth")), by, None))
        elif self.api_keys:
            self.tell((RevokeKey(self.api_keys[-1]), by, key))

    # Machines.

    @initialize(slots=st.integers(0, 2))
    def register(self, *, slots: int) -> None:
        said = SaidOfMachine(slots=tuple(map(GivenSlot, range(1, slots + 1))))
        self.tell((RegisterMachine(MACHINE, said), self.by(ACCOUNTS[0], KeyScope.AGENT), None))

    @rule(
        what=st.sampled_from(("register", "register", "disable", "maintain", "beat", "leave", "delete")),
        slots=st.integers(0, 3),
        account_id=account_ids,
        key=keys,
    )
    def say_of_a_machine(self, *, what: str, slots: int, account_id: str, key: str | None) -> None:
        disabled = (GivenSlot(slots, (("is_disabled", True),)),)
        commands: dict[str, Command] = {
            "register": RegisterMachine(MACHINE, SaidOfMachine(slots=tuple(map(GivenSlot, range(1, slots + 1))))),
            "disable": ChangeMachine(MACHINE, SaidOfMachine(slots=disabled, is_whole=False)),
            "maintain": ChangeMachine(MACHINE, SaidOfMachine(status=MachineStatus.MAINTENANCE)),
            "beat": MachineHeartbeat(MACHINE),
            "leave": MachineHeartbeat(MACHINE, is_leaving=True),
            "delete": DeleteMachine(MACHINE),
        }
        self.tell((commands[what], self.by(account_id, KeyScope.AGENT), key))

    # Time.

    @rule(pace_ms=st.sampled_from(PACES), is_swept=st.booleans())
    def let_time_pass(self, *, pace_ms: int, is_swept: bool) -> None:
        for each in self.worlds.values():
            each.caller.serve(pace_ms)
        if is_swept:
            self.sweep()

    @rule(pace_ms=st.sampled_from(PACES), jump_ms=st.sampled_from(JUMPS), is_swept=st.booleans())
    def let_the_servers_sleep(self, *, pace_ms: int, jump_ms: int, is_swept: bool) -> None:
        for each in self.worlds.values():
            each.caller.stand_still(TICK_MS + pace_ms)
            each.clock.jump(jump_ms)
        # A tick takes the wall clock over; where a batch takes several rounds, a round that is repeated reads it anew.
        self.tell((SweepSessions(()), SWEEPER, None))
        if is_swept:
            self.sweep()

    def sweep(self) -> None:
        """Let the sweeper pass; it finds the same sessions everywhere."""
        found = {name: each.caller.due() for name, each in self.worlds.items()}
        assert set(found.values()) == {found["dicts"]}
        self.tell((SweepSessions(found["dicts"]), SWEEPER, None))
        until_ms = self.model.caller.present().service_ms
        due = {
            name: tuple(each.store.oldest(MACHINES_DUE, until_ms=until_ms, after=None, limit=100))
            for name, each in self.worlds.items()
        }
        assert set(due.values()) == {due["dicts"]}
        self.tell((SweepMachines(tuple(each.key for each in due["dicts"])), SWEEPER, None))

    # What always holds.

    @invariant()
    def all_holds(self) -> None:
        self.tokens_never_go_back()
        self.nobody_is_beside_a_live_exclusive_holder()
        self.a_session_that_was_taken_over_stays_as_it_is()
        self.the_next_check_is_never_later_than_the_deadline()
        self.work_is_recovered_by_one_session_and_not_too_often()
        self.a_slot_has_a_live_session_that_says_so_and_no_session_has_two()
        self.tasks_are_where_they_belong()

    @property
    def model(self) -> World:
        """The store on dicts."""
        return self.worlds["dicts"]

    def tokens_never_go_back(self) -> None:
        """Tokens never go back."""
        tokens = {(row.account_id, row.scope): row.last_token for row in rows_of(self.model.store, Scope)}
        for name, before in self.tokens_before.items():
            assert tokens[name] >= before
        self.tokens_before = tokens
        for known in self.known:
            assert list(known.tokens) == sorted(set(known.tokens))
        sessions = rows_of(self.model.store, Session)
        held = [(row.account_id, row.scope, row.fencing_token) for row in sessions if row.fencing_token is not None]
        assert len(set(held)) == len(held)

    def nobody_is_beside_a_live_exclusive_holder(self) -> None:
        """Nobody is beside a live exclusive holder."""
        now = self.model.caller.present()
        live: dict[tuple[str, str], list[bool]] = {}
        for row in rows_of(self.model.store, Session):
            if phase(settle(row, now=now).session) in LIVE:
                live.setdefault((row.account_id, row.scope), []).append(row.exclusive)
        for scope, holders_of_scope in live.items():
            assert not any(holders_of_scope) or len(holders_of_scope) == 1, scope

    def a_session_that_was_taken_over_stays_as_it_is(self) -> None:
        """A session that was taken over stays as it is."""
        now = {row.id: row for row in rows_of(self.model.store, Session)}
        for session_id, before in self.taken_over.items():
            after = now.get(session_id)
            if after is not None:
                assert after == before._replace(archived_at_ms=after.archived_at_ms, revision=after.revision)
        self.taken_over |= {session_id: row for session_id, row in now.items() if row.taken_over_by is not None}

    def work_is_recovered_by_one_session_and_not_too_often(self) -> None:
        """Work is recovered by one session, and not too often."""
        sessions = {row.id: row for row in rows_of(self.model.store, Session)}
        recovered = [row for row in rows_of(self.model.store, SessionProfile) if row.recovered_from is not None]
        assert len({row.recovered_from for row in recovered}) == len(recovered)
        for row in recovered:
            old = sessions.get(row.recovered_from or row.id)
            assert sessions[row.id].recoveries_left in (0, 1)
            assert old is None or (old.taken_over_by, old.end_reason) == (row.id, EndReason.RECOVERED)

    def a_slot_has_a_live_session_that_says_so_and_no_session_has_two(self) -> None:
        """A slot has a live session that says so, and no session has two."""
        sessions = {row.id: row for row in rows_of(self.model.store, Session)}
        profiles = {row.id: row for row in rows_of(self.model.store, SessionProfile)}
        taken = [slot for slot in rows_of(self.model.store, Slot) if slot.session_id is not None]
        for slot in taken:
            assert slot.session_id is not None
            assert phase(sessions[slot.session_id]) in LIVE
            profile = profiles[slot.session_id]
            assert (profile.account_id, profile.machine_id, profile.slot) == slot[:3]
        assert len({slot.session_id for slot in taken}) == len(taken)

    def the_next_check_is_never_later_than_the_deadline(self) -> None:
        """The next check is never later than the deadline."""
        for row in rows_of(self.model.store, Session):
            assert (row.check_due_ms is None) == (row.due_ms is None)
            assert row.check_due_ms is None or row.due_ms is None or row.check_due_ms <= row.due_ms

    def tasks_are_where_they_belong(self) -> None:
        """A task is held by a session that counts it and has not lapsed, and in a queue exactly while it is ready."""
        tasks = {row.id: row for row in rows_of(self.model.store, Task)}
        waits = rows_of(self.model.store, TaskDependency)
        for session in rows_of(self.model.store, Session):
            held = [row for row in tasks.values() if row.held_by == session.id]
            assert session.task_count == len(held)
            assert not held or phase(session) in LIVE
        for row in tasks.values():
            assert row.waiting_count == sum(wait.task_id == row.id for wait in waits)
            queue = f"session={row.held_by}" if row.held_by else f"project={row.project_id}"
            is_ready = row.status == TaskStatus.PENDING and row.waiting_count == 0
            assert row.ready_in == (queue if is_ready else None)
            assert row.held_by is None or row.status in (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)
        assert all(tasks[wait.depends_on_id].status != TaskStatus.COMPLETED for wait in waits)

    def teardown(self) -> None:
        """The rows are equal too, and events are numbered without gaps."""
        expected = dump(self.model.store)
        for name, each in self.worlds.items():
            found = dump(each.store)
            for table, rows in expected.items():
                assert strictly(found[table]) == strictly(rows), f"{name} has other rows of {table}"
        numbers: dict[str, list[int]] = {}
        for values in expected["event"]:
            numbers.setdefault(str(values[0]), []).append(int(values[1] or 0))
        for account_id, found_numbers in numbers.items():
            assert found_numbers == list(range(1, len(found_numbers) + 1)), account_id
        for known in self.known:
            ids = [event.id for event in events_of(self.model.store, known.id)]
            assert len(set(ids)) == len(ids)


Verb = Callable[[st.DataObject, Known, int | None], Command]

VERBS: Final[dict[str, Verb]] = {
    "write a checkpoint": lambda data, known, token: WriteCheckpoint(
        known.id, token, "half of it", state_json=data.draw(st.sampled_from((None, '{"a":"🦊"}')))
    ),
    "patch": lambda data, known, token: PatchSession(
        known.id,
        token,
        data.draw(st.sampled_from((None, None, 1, 2, 3))),
        (("branch", data.draw(texts)), ("issue_number", 7)),
        data.draw(st.sampled_from((None, '{"a":1}', '{"a":null,"b":{"c":"é"}}'))),
    ),
    "pause": lambda data, known, token: PauseSession(known.id, token),
    "resume": lambda data, known, token: ResumeSession(known.id, token),
    "park": lambda data, known, token: ParkSession(known.id, token, _wake_at_ms(data), data.draw(reasons)),
    "stall": lambda data, known, token: StallSession(known.id, token, data.draw(texts)),
    "end": lambda data, known, token: EndSession(
        known.id, token, data.draw(end_reasons), data.draw(st.sampled_from((None, 0)))
    ),
    "fail": lambda data, known, token: FailSession(known.id, token, data.draw(reasons), '{"trace":"…"}', 1),
    "ask to stop": lambda data, known, token: StopSession(known.id, data.draw(reasons)),
    "archive": lambda data, known, token: ArchiveSession(known.id, token),
    "delete": lambda data, known, token: DeleteSession(known.id, token),
    "take over": lambda data, known, token: TakeOverSession(known.id, "codex", data.draw(holders), data.draw(reasons)),
    "recover": lambda data, known, token: RecoverSession(known.id, data.draw(holders), 2),
    "beat": lambda data, known, token: Heartbeat(known.id, token, data.draw(texts)),
}


Work = Callable[[st.DataObject, TaskId, SessionId | None, int | None], Command]

WORK: Final[dict[str, Work]] = {
    "start": lambda data, task_id, session_id, token: StartTask(task_id, session_id, token),
    "complete": lambda data, task_id, session_id, token: CompleteTask(task_id, session_id, token, '{"a":"🦊"}'),
    "fail": lambda data, task_id, session_id, token: FailTask(task_id, "it broke", session_id, token),
    "block": lambda data, task_id, session_id, token: BlockTask(task_id, data.draw(texts), session_id, token),
    "release": lambda data, task_id, session_id, token: ReleaseTask(task_id, data.draw(texts), session_id, token),
    "delete": lambda data, task_id, session_id, token: DeleteTask(task_id),
    "reserve": lambda data, task_id, session_id, token: CreateTask("p", session_id, token, "mine", 0, (task_id,)),
    "change": lambda data, task_id, session_id, token: PatchTask(
        task_id,
        data.draw(st.sampled_from((None, None, 1, 2))),
        (("priority", data.draw(st.integers(-1, 1))),),
        data.draw(st.sampled_from((None, (), (task_id,)))),
    ),
}


def _wake_at_ms(data: st.DataObject) -> int | None:
    in_ms = data.draw(wakes)
    return None if in_ms is None else START_AT_MS + in_ms * data.draw(st.integers(0, 3))


@contextmanager
def every_store(tmp_path: Path, server: PostgresServer) -> Iterator[Callable[[], dict[str, World]]]:
    """Makes worlds of every kind, all empty and all at the same time: one database each, emptied for every history."""
    path = tmp_path / "machine.db"
    tables = [*[table.name for table in TABLES.values() if table.name != "service_state"], "event_counter"]
    empty = ";".join(f"delete from {name}" for name in tables)
    reset = f"{empty};update service_state set last_tick_at_ms={START_AT_MS}, paused_ms=0"
    with ExitStack() as stack:
        url = stack.enter_context(server.database())
        sqlite = stack.enter_context(world("sqlite", sqlite_path=path, postgres_url=None))
        postgres = stack.enter_context(world("postgres", sqlite_path=path, postgres_url=url))
        behind_sqlite = apsw.Connection(str(path))
        behind_postgres = stack.enter_context(psycopg.connect(url, autocommit=True))

        def begin_anew() -> dict[str, World]:
            behind_sqlite.execute(reset)
            behind_postgres.execute(reset)
            worlds = {"dicts": stack.enter_context(world("dicts", sqlite_path=path, postgres_url=None))}
            for name, old in (("sqlite", sqlite), ("postgres", postgres)):
                old.clock.begin_anew()
                worlds[name] = World(old.store, old.clock, Caller(old.store, old.clock))
            return worlds

        yield begin_anew
        behind_sqlite.close()


def run(tmp_path: Path, server: PostgresServer, *, with_settings: settings) -> None:
    """Tell histories to every store until one of them answers differently, or there were enough."""
    with every_store(tmp_path, server) as begin_anew:

        class OnEveryStore(Machine):
            def __init__(self) -> None:
                super().__init__()
                self.worlds = begin_anew()

        run_state_machine_as_test(OnEveryStore, settings=with_settings)


def test_every_store_answers_alike_and_keeps_alike(tmp_path: Path, postgres_server: PostgresServer) -> None:
    run(tmp_path, postgres_server, with_settings=FAST)


@pytest.mark.proof
@pytest.mark.parametrize("part", range(PARTS))
def test_every_store_answers_alike_in_many_histories(
    tmp_path: Path, postgres_server: PostgresServer, part: int
) -> None:
    assert part < PARTS
    run(tmp_path, postgres_server, with_settings=THOROUGH)
