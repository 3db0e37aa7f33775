"""A caller that drives a store through the engine, one batch after another, in a time that a test controls."""

from holdfast.commands.command import Command, Envelope
from holdfast.commands.machines import MACHINES_DUE, SweepMachines
from holdfast.commands.sweeping import SweepSessions
from holdfast.commands.view import Changes, Reply
from holdfast.domain.actor import SWEEPER_KEY, Actor, KeyScope
from holdfast.domain.errors import Refusal
from holdfast.domain.ids import DEFAULT_ACCOUNT, Mint, SessionId
from holdfast.domain.service_time import Moment, is_tick_due, moment, tick
from holdfast.engine.batch import Outcome, run_batch
from holdfast.store.port import Store
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import AGENT, envelope

SWEEPER = Actor(DEFAULT_ACCOUNT, SWEEPER_KEY, KeyScope.OPERATOR)

SWEPT_MAX = 10_000


class Caller:
    """Sends commands to a store. Callers that send the same commands at the same times get the same ids."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.mint = Mint()
        self._sent = 0

    def send(self, envelopes: list[Envelope]) -> list[Outcome]:
        """Run a batch."""
        return run_batch(self.store, envelopes, mint=self.mint)

    def wrap(self, command: Command, *, by: Actor = AGENT, key: str | None = None) -> Envelope:
        """A command with entropy that no other of this caller's has."""
        self._sent += 1
        return envelope(command, by=by, seed=self._sent, key=key)

    def do(self, command: Command, *, by: Actor = AGENT, key: str | None = None) -> Outcome:
        """What becomes of a command that is a batch of its own."""
        return self.send([self.wrap(command, by=by, key=key)])[0]

    def do_all(self, *commands: Command, by: Actor = AGENT) -> list[Outcome]:
        """What becomes of several commands in one batch."""
        return self.send([self.wrap(command, by=by) for command in commands])

    def accepted(self, command: Command, *, by: Actor = AGENT, key: str | None = None) -> Reply:
        """The reply to a command that must not be refused."""
        outcome = self.do(command, by=by, key=key)
        assert isinstance(outcome, Reply), f"{command} was refused: {told(outcome)}"
        return outcome

    def refused(self, command: Command, *, by: Actor = AGENT, key: str | None = None) -> Refusal:
        """The refusal of a command that must be refused."""
        outcome = self.do(command, by=by, key=key)
        assert isinstance(outcome, Refusal), f"{command} was accepted: {told(outcome)}"
        return outcome

    def sweep(self) -> None:
        """Let the sweeper pass once."""
        self.accepted(SweepSessions(self.due()), by=SWEEPER)
        until_ms = self.present().service_ms
        machines = self.store.oldest(MACHINES_DUE, until_ms=until_ms, after=None, limit=SWEPT_MAX)
        if machines:
            self.accepted(SweepMachines(tuple(each.key for each in machines)), by=SWEEPER)

    def due(self) -> tuple[SessionId, ...]:
        """The sessions that a sweeper would look at now."""
        now = self.present()
        found = self.store.due_sessions(service_ms=now.service_ms, wall_ms=now.wall_ms, limit=SWEPT_MAX)
        return tuple(SessionId(session_id) for session_id in found)

    def present(self) -> Moment:
        """The present as the next batch will read it."""
        state, now_at_ms = self.store.service_clock()
        if is_tick_due(state, now_at_ms=now_at_ms):
            state = tick(state, now_at_ms=now_at_ms)
        return moment(state, now_at_ms=now_at_ms)

    def serve(self, for_ms: int) -> None:
        """Let time pass while the store is served, as if a node had ticked all along."""
        self.do(SweepSessions(()), by=SWEEPER)
        self.clock.advance(for_ms)
        transaction = self.store.begin()
        state, now_at_ms = transaction.clock(is_tick=True)
        served = state._replace(last_tick_at_ms=now_at_ms)
        if served == state:
            transaction.rollback()
            return
        transaction.save(Changes([], [(state, served)], [], [], []), recorded_at_ms=now_at_ms)
        transaction.commit()

    def stand_still(self, for_ms: int) -> None:
        """Let time pass while no node runs."""
        self.clock.advance(for_ms)


def told(outcome: Outcome) -> object:
    """An outcome as plain values that compare equal where the outcomes do."""
    if isinstance(outcome, Reply):
        return outcome
    return (str(outcome.code), outcome.data, outcome.ways_out, outcome.errors, outcome.retry_after_ms)
