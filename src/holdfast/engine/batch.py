"""One batch, one transaction: load, read the clock, decide, save, commit.

A plain synchronous function. The writer thread, the embedded command line and the tests call it alike.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.commands.command import Envelope
from holdfast.commands.rows import IdempotencyRecord, Key, Need, Row
from holdfast.commands.view import Reply, Unloaded, View
from holdfast.domain.audit import AuditHead, AuditRecord, chained, new_head
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import Mint
from holdfast.domain.retention import is_past
from holdfast.domain.service_time import Moment, is_tick_due, moment, tick
from holdfast.store.port import CommitUnknown, Conflict, StoreFull, StoreUnavailable, Transaction, Writable

if TYPE_CHECKING:
    import logging

    from holdfast.commands.bodies import Body
    from holdfast.commands.command import Command
    from holdfast.engine.meters import BatchMeter

Outcome = Reply | Refusal

LOAD_ROUNDS_MAX = 8
"""Rounds of locking until no command needs a further row. Two are usual where one row leads to another, and seven the
most that a command is known to take; after more the commands are tried again one by one."""

ALONE_ROUNDS_MAX = 64
"""The same for a command that is tried alone. Each round names what the last one led to, so that it comes to an end
unless others change the references all the time; and where it did not, it would not on the next try either."""

ALONE_TRIES_MAX = 8
"""Tries of a single command against other writers before it is refused as busy. Each lost try means that another
command got through, so eight in a row take more writers than nodes are likely to have."""


class _Unsettled(Exception):
    """The rows that a batch needs kept leading to others while they were being locked."""


def run_batch(
    store: Writable, envelopes: Sequence[Envelope], *, mint: Mint, meter: "BatchMeter | None" = None
) -> list[Outcome]:
    """Carry out a batch and answer each of its commands, in order; on return, what was kept is durable.

    A refusal or a bug in one command discards that command's changes only. A conflict with another writer makes the
    batch run again one command at a time, so that one bad command never fails its neighbours.
    Raises: CommitUnknown with is_fatal where the store must not be written to any more.
    """
    try:
        return _attempt(store, envelopes, mint=mint, meter=meter)
    except (Conflict, _Unsettled):
        if len(envelopes) <= 1:
            return [_alone(store, envelope, mint=mint, meter=meter) for envelope in envelopes]
        return [run_batch(store, [envelope], mint=mint, meter=meter)[0] for envelope in envelopes]
    except StoreFull:
        if len(envelopes) > 1:
            return [run_batch(store, [envelope], mint=mint, meter=meter)[0] for envelope in envelopes]
        return [_though_full(store, envelope, mint=mint, meter=meter) for envelope in envelopes]
    except StoreUnavailable:
        return [_unavailable() for _ in envelopes]
    except CommitUnknown as unknown:
        if unknown.is_fatal:
            raise
        return [outcome_unknown() for _ in envelopes]
    except Exception:
        # A bug in loading or saving; the transaction was rolled back. Whoever did not cause it gets its answer.
        _log().exception("batch_failed commands=%d", len(envelopes))
        if len(envelopes) > 1:
            return [run_batch(store, [envelope], mint=mint, meter=meter)[0] for envelope in envelopes]
        return [Refusal(Code.INTERNAL) for _ in envelopes]


def _log() -> "logging.Logger":
    import logging  # Whoever runs one command as a process of its own seldom has anything to log.

    return logging.getLogger(__name__)


def _frees_space(command: "Command") -> bool:
    """Whether a full store carries a command out all the same, with what it keeps back for it."""
    from holdfast.commands.accounts import EraseRows
    from holdfast.commands.cleanup import CleanUp
    from holdfast.commands.retention import RetireRows
    from holdfast.commands.transitions import DeleteSession

    return isinstance(command, CleanUp | DeleteSession | EraseRows | RetireRows)


def outcome_unknown() -> Refusal:
    """What is answered where the store did not say whether it committed."""
    return Refusal(Code.OUTCOME_UNKNOWN, retry_after_ms=1_000, ways_out=(WayOut(Action.REPEAT_LATER),))


def _alone(store: Writable, envelope: Envelope, *, mint: Mint, meter: "BatchMeter | None") -> Outcome:
    for _ in range(ALONE_TRIES_MAX):
        try:
            return _attempt(store, [envelope], mint=mint, meter=meter, rounds_max=ALONE_ROUNDS_MAX)[0]
        except (Conflict, _Unsettled):
            continue
        except StoreFull:
            return _though_full(store, envelope, mint=mint, meter=meter)
        except StoreUnavailable:
            return _unavailable()
        except CommitUnknown as unknown:
            if unknown.is_fatal:
                raise
            return outcome_unknown()
    return Refusal(Code.BUSY, retry_after_ms=1_000, ways_out=(WayOut(Action.REPEAT_LATER),))


def _though_full(store: Writable, envelope: Envelope, *, mint: Mint, meter: "BatchMeter | None") -> Outcome:
    """What becomes of a command that a full store refused: one that frees space has what the store keeps back."""
    if not _frees_space(envelope.command):
        return _storage_full()
    with store.reserve_spent():
        try:
            return _attempt(store, [envelope], mint=mint, meter=meter)[0]
        except (Conflict, StoreFull, StoreUnavailable, _Unsettled):
            return _storage_full()


def _attempt(
    store: Writable,
    envelopes: Sequence[Envelope],
    *,
    mint: Mint,
    meter: "BatchMeter | None",
    rounds_max: int = LOAD_ROUNDS_MAX,
) -> list[Outcome]:
    """One try at the batch as a whole.

    Where a command finds that it needs a row that was not named, a store that locks everything loads it there and then.
    On any other store the batch begins again with that row named, so that all rows are locked in one pass in one order
    and no two nodes wait for each other in a circle.
    """
    needs: dict[Need, None] = {}
    for envelope in envelopes:
        for need in envelope.command.needs(envelope.actor):
            needs[need] = None
        if envelope.idempotency is not None:
            needs[Key(IdempotencyRecord, (envelope.idempotency.id,))] = None
    mark = mint.mark()
    for _ in range(rounds_max):
        mint.go_back(mark)
        view = View(mint)
        transaction = store.begin()
        try:
            transaction.load(needs, view)
            if store.locks_everything:
                view.load_later_with(transaction.load)
            _read_clock(transaction, view)
            outcomes, missing = _decide_all(envelopes, view)
            if not missing:
                _finish(transaction, view, meter)
                return outcomes
        except BaseException:
            transaction.rollback()
            raise
        transaction.rollback()
        needs.update(dict.fromkeys(missing))
    raise _Unsettled


def _finish(transaction: Transaction, view: View, meter: "BatchMeter | None") -> None:
    changes = view.changes()
    if AuditRecord in map(type, changes.inserts):
        _chain(changes.inserts, transaction, view)
        changes = view.changes()
    if not changes:
        transaction.rollback()
        return
    recorded_at_ms = view.now.wall_ms
    transaction.save(changes, recorded_at_ms=recorded_at_ms)
    began = time.perf_counter()
    transaction.commit()
    if meter is not None:
        meter.committed(changes, recorded_at_ms=recorded_at_ms, seconds=time.perf_counter() - began)


def _chain(inserts: Sequence[Row], transaction: Transaction, view: View) -> None:
    """Give every new record of the audit its place in its account's chain.

    The heads are locked last of all and until the commit, so the order of numbers is the order of commits, and no
    command that leaves no record ever waits for one.
    """
    records = [row for row in inserts if isinstance(row, AuditRecord)]
    keys = [Key(AuditHead, (account_id,)) for account_id in sorted({record.account_id for record in records})]
    transaction.load([key for key in keys if not view.holds(key)], view)
    for record in records:
        head = view.get(AuditHead, record.account_id) or new_head(record.account_id)
        head, sealed = chained(head, record)
        view.put(head)
        view.put(sealed)
    view.keep()


def _read_clock(transaction: Transaction, view: View) -> None:
    """Give the view its present, ticking the store's clock where that is due."""
    state, now_at_ms = transaction.clock(is_tick=False)
    if is_tick_due(state, now_at_ms=now_at_ms):
        state, now_at_ms = transaction.clock(is_tick=True)
        ticked = tick(state, now_at_ms=now_at_ms)
        view.set_service(state, after=ticked)
        state = ticked
    view.service = state
    view.now = moment(state, now_at_ms=now_at_ms)


def _decide_all(envelopes: Sequence[Envelope], view: View) -> tuple[list[Outcome], list[Need]]:
    """Every command's answer, its changes left in the view; or the needs that were found to be missing."""
    outcomes: list[Outcome] = []
    missing: list[Need] = []
    for envelope in envelopes:
        view.begin(actor=envelope.actor, correlation_id=envelope.correlation_id, entropy=envelope.entropy)
        try:
            outcomes.append(_decide(envelope, view))
            view.keep()
        except Unloaded as unloaded:
            view.drop()
            missing += unloaded.needs
        except Refusal as refusal:
            view.drop()
            outcomes.append(refusal)
        except Exception:
            view.drop()
            _log().exception("command_failed command=%s", type(envelope.command).__name__)
            outcomes.append(Refusal(Code.INTERNAL))
    return outcomes, missing


def _decide(envelope: Envelope, view: View) -> Reply:
    """Decide, unless the same request was carried out before; then give that answer again."""
    if envelope.idempotency is None:
        return envelope.command.decide(view)
    import json

    record = view.get(IdempotencyRecord, envelope.idempotency.id)
    if record is not None and not _is_expired(record, now=view.now):
        return _replayed(record, request_sha256=envelope.idempotency.request_sha256)
    reply = envelope.command.decide(view)
    keep_ms = envelope.idempotency.keep_ms
    view.put(
        IdempotencyRecord(
            id=envelope.idempotency.id,
            account_id=envelope.actor.account_id,
            request_sha256=envelope.idempotency.request_sha256,
            created=reply.created,
            is_secret=reply.is_secret,
            reply_json=json.dumps(_kept(reply), ensure_ascii=False, separators=(",", ":")),
            created_at_ms=view.now.wall_ms,
            expires_at_ms=None if keep_ms is None else view.now.wall_ms + keep_ms,
        )
    )
    return reply


def _kept(reply: Reply) -> "Body":
    """What is kept of a reply: of one that shows a secret, what it is the secret of."""
    return {"id": reply.body["id"]} if reply.is_secret else reply.body


def _is_expired(record: IdempotencyRecord, *, now: Moment) -> bool:
    """Whether the answer's full time has passed; then it counts as not there, be it deleted yet or not."""
    return record.expires_at_ms is not None and is_past(record.expires_at_ms, keep_ms=0, now=now)


def _replayed(record: IdempotencyRecord, *, request_sha256: str) -> Reply:
    if record.request_sha256 != request_sha256:
        raise Refusal(Code.IDEMPOTENCY_KEY_REUSED, ways_out=(WayOut(Action.REPEAT_WITH_NEW_KEY),))
    import json

    body = json.loads(record.reply_json)
    if record.is_secret:
        from holdfast.domain.webhooks import is_webhook_id

        way_out = WayOut(Action.READ_WEBHOOKS if is_webhook_id(body.get("id", "")) else Action.CREATE_KEY)
        raise Refusal(Code.SECRET_ALREADY_SHOWN, ways_out=(way_out,))
    return Reply(body, created=record.created, is_replay=True)


def _storage_full() -> Refusal:
    return Refusal(Code.STORAGE_FULL, retry_after_ms=5_000, ways_out=(WayOut(Action.FREE_SPACE),))


def _unavailable() -> Refusal:
    return Refusal(Code.UNAVAILABLE, retry_after_ms=1_000, ways_out=(WayOut(Action.REPEAT_LATER),))
