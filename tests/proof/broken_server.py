"""`holdfast` with one thing put in that is not so in the product: `python broken_server.py NAME serve …`.

The first four are bugs, which the proofs have to notice. The others break nothing: they make what a proof is about
happen often rather than once in a while, or make it happen at all.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from holdfast.commands.command import Envelope
from holdfast.domain.ids import Mint
from holdfast.domain.service_time import ServiceState
from holdfast.doors.cli.main import main
from holdfast.engine import batch, event_hub, process
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresTransaction
from holdfast.store.sqlite_rows import SqliteTransaction

LATE_SECONDS = 0.02
CLOCK_FILE = "wall-clock-offset"

# As nothing in particular, because what follows puts other things in their places.
_batch: Any = batch
_process: Any = process
_writer: Any = process.Writer
_hub: Any = event_hub.EventHub
_transaction_types: tuple[Any, ...] = (SqliteTransaction, PostgresTransaction)


def reply_before_commit() -> None:
    """A bug: everybody in a batch is answered, and then it is committed."""
    taken: list[Any] = []
    decided: list[Any] = []
    decide_all, take, answer = _batch._decide_all, _writer._take, _writer.answer

    def decide_all_and_keep(envelopes: Sequence[Envelope], view: Any) -> Any:
        outcomes, missing = decide_all(envelopes, view)
        decided[:] = outcomes
        return outcomes, missing

    def take_and_keep(writer: Any) -> Any:
        taken[:] = [writer, take(writer)]
        return taken[1]

    def answer_unless_done(writer: Any, commands: Sequence[Envelope], outcomes: list[Any]) -> None:
        if taken:
            answer(writer, commands, outcomes)

    def reply() -> None:
        if taken and len(taken[1]) == len(decided):
            answer(*taken, list(decided))
            taken.clear()
        time.sleep(LATE_SECONDS)

    _batch._decide_all = decide_all_and_keep
    _writer._take = take_and_keep
    _writer.answer = answer_unless_done
    _before_commit(reply)


def forget_keys() -> None:
    """A bug: an idempotency key is not looked at. Answers come late, so that many are sent again."""
    reply_late()
    run_batch = _process.run_batch

    def run_batch_without_keys(store: Store, envelopes: Sequence[Envelope], *, mint: Mint, **more: Any) -> Any:
        return run_batch(store, [envelope._replace(idempotency=None) for envelope in envelopes], mint=mint, **more)

    _process.run_batch = run_batch_without_keys


def count_every_gap() -> None:
    """A bug: time in which no server ran counts as silence of the holders."""

    def tick(state: ServiceState, *, now_at_ms: int) -> ServiceState:
        return state._replace(last_tick_at_ms=now_at_ms)

    _batch.tick = tick


def skip_to_the_present() -> None:
    """A bug: whoever follows events goes on from the present, wherever the cursor stands."""
    follow = _hub.follow

    def follow_from_now(hub: Any, actor: Any, history: Any, wanted: Any, **more: Any) -> Any:
        return follow(hub, actor, history, wanted, **{**more, "number": history.last_number})

    _hub.follow = follow_from_now


def reply_late() -> None:
    """No bug: between a commit and its answers there is time to die."""
    run_batch = _process.run_batch

    def run_batch_slowly(store: Store, envelopes: Sequence[Envelope], *, mint: Mint, **more: Any) -> Any:
        outcomes = run_batch(store, envelopes, mint=mint, **more)
        time.sleep(LATE_SECONDS)
        return outcomes

    _process.run_batch = run_batch_slowly


def commit_late() -> None:
    """No bug: a transaction holds its locks for a while before it commits, so that others meet it."""
    _before_commit(lambda: time.sleep(LATE_SECONDS))


def set_clock() -> None:
    """No bug: the machine's wall clock is as many seconds off as a file in the working directory says."""
    true_time = time.time

    def time_as_set() -> float:
        try:
            offset_seconds = float(Path(CLOCK_FILE).read_text())
        except (OSError, ValueError):
            offset_seconds = 0
        return true_time() + offset_seconds

    time.time = time_as_set


def _before_commit(act: Callable[[], None]) -> None:
    for transaction_type in _transaction_types:
        transaction_type.commit = _acting_before(transaction_type.commit, act)


def _acting_before(commit: Callable[[Any], None], act: Callable[[], None]) -> Callable[[Any], None]:
    def commit_after(transaction: Any) -> None:
        act()
        commit(transaction)

    return commit_after


CHANGES = {
    change.__name__: change
    for change in (
        reply_before_commit,
        forget_keys,
        count_every_gap,
        skip_to_the_present,
        reply_late,
        commit_late,
        set_clock,
    )
}


def program(name: str) -> tuple[str, ...]:
    """What to start instead of `holdfast`."""
    assert name in CHANGES
    return (sys.executable, str(Path(__file__).absolute()), name)


if __name__ == "__main__":
    CHANGES[sys.argv.pop(1)]()
    main()
