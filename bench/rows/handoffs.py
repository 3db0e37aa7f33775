"""The newest handoff, and a page of them, over HTTP: whether they cost the same among many as among few."""

import random
from collections.abc import Iterator
from functools import partial

from bench.databases import ACTOR, AGENT, SEED, Database
from bench.figures import Goal, Row, alternated, compared
from bench.load import Load, Request, Target, load_for
from bench.stand import Stand
from holdfast.commands.beginning import About
from holdfast.commands.command import Envelope
from holdfast.commands.handoffs import CreateHandoff
from holdfast.commands.rows import handoff_body_key, handoff_key
from holdfast.commands.starts import StartSession
from holdfast.commands.view import Changes, Reply
from holdfast.domain.drafting import drafted
from holdfast.domain.handoff import Handoff, HandoffBody
from holdfast.domain.ids import ENTROPY_BYTES, HandoffId, Mint, SessionId
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.engine.batch import run_batch

CONNECTIONS = 8
FEW_HANDOFFS = 1_000
REPOSITORIES = 50
WRITTEN_AT_A_TIME = 5_000
REQUESTS = 500
PAGE = 20

FLAT_GOAL = Goal(1.3, is_floor=False)

VENTURE = "bench"

QUESTIONS = {
    "latest of a repository": "/v1/handoffs/latest?venture={venture}&repo={repo}",
    "latest of a track": "/v1/handoffs/latest?venture={venture}&repo={repo}&track=1",
    "latest of a venture": "/v1/handoffs/latest?venture={venture}",
    "page of a repository": f"/v1/handoffs?venture={{venture}}&repo={{repo}}&limit={PAGE}",
    "page of summaries": f"/v1/handoffs?venture={{venture}}&limit={PAGE}&fields=summary",
}


def handoffs(stand: Stand, store: str) -> Iterator[Row]:
    """Microseconds an answer among many handoffs, beside the same among few. Raises: NotMeasured."""
    few, many = stand.empty(store), stand.empty(store)
    seed_handoffs(few, handoffs=FEW_HANDOFFS)
    seed_handoffs(many, handoffs=stand.options.handoffs_max)
    with stand.serving(few) as small, stand.serving(many) as large:
        for name, path in QUESTIONS.items():
            requests = [
                Request("GET", path.format(venture=VENTURE, repo=_repository(number % REPOSITORIES)))
                for number in range(REQUESTS)
            ]
            ask = partial(load_for, requests=requests, connections=CONNECTIONS, seconds=stand.options.seconds)
            pairs = alternated(partial(_cost, ask, large), partial(_cost, ask, small), runs=stand.options.runs)
            for label, picked in ((f"µs: {name}", 0), ("  server's CPU, µs", 1)):
                yield compared(
                    label,
                    many.store_name,
                    ours=[one[picked] for one, _ in pairs],
                    beside=[other[picked] for _, other in pairs],
                    goals=(FLAT_GOAL,),
                )


def _cost(ask: "partial[Load]", target: Target) -> tuple[float, float]:
    """Microseconds an answer: by the clock, and of the server's CPU."""
    load = ask(target)
    return load.seconds * 1e6 / load.answered, load.server_microseconds


def _repository(number: int) -> str:
    return f"o/repository-{number}"


def seed_handoffs(database: Database, *, handoffs: int) -> None:
    """Fill a new database with handoffs of some repositories and tracks: copies of one that was left."""
    randomness = random.Random(SEED)
    mint = Mint()
    store = database.open()
    try:
        start = StartSession(
            "bench", AGENT, "holder", about=About(parts=ScopeParts(venture=VENTURE, repo=_repository(0), track="0"))
        )
        begun = _accepted(run_batch(store, [_envelope(start, randomness)], mint=mint)[0])
        said = drafted(summary="half of it is done", payload={"state": "x" * 500}, next_actions=["the other half"])
        create = CreateHandoff(SessionId(begun.body["id"]), None, said)
        left = _accepted(run_batch(store, [_envelope(create, randomness)], mint=mint)[0])
        first = store.get(handoff_key(HandoffId(left.body["id"])))
        body = store.get(handoff_body_key(HandoffId(left.body["id"])))
        assert isinstance(first, Handoff)
        assert isinstance(body, HandoffBody)
        for begin in range(0, handoffs, WRITTEN_AT_A_TIME):
            rows: list[Handoff | HandoffBody] = []
            for number in range(begin, min(begin + WRITTEN_AT_A_TIME, handoffs)):
                at_ms = first.created_at_ms + number
                handoff_id = HandoffId(mint.next("ho", at_ms=at_ms, random=randomness.getrandbits(80)))
                parts = ScopeParts(
                    venture=VENTURE, repo=_repository(randomness.randrange(REPOSITORIES)), track=str(number % 3)
                )
                rows.append(
                    first._replace(
                        id=handoff_id,
                        repo=parts.repo,
                        track=parts.track,
                        scope=canonical(parts),
                        created_at_ms=at_ms,
                        digest=f"{number:064d}",
                    )
                )
                rows.append(body._replace(id=handoff_id))
            transaction = store.begin()
            transaction.save(Changes(list(rows), [], [], [], []), recorded_at_ms=first.created_at_ms)
            transaction.commit()
    finally:
        store.close()
    database.settle()


def _envelope(command: StartSession | CreateHandoff, randomness: random.Random) -> Envelope:
    return Envelope(command, ACTOR, randomness.randbytes(ENTROPY_BYTES), "bench")


def _accepted(outcome: object) -> Reply:
    if not isinstance(outcome, Reply):
        raise TypeError(f"the benchmark's own command was refused: {outcome}")
    return outcome
