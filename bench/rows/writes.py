"""Starts, resumes and checkpoints over HTTP; and whether a start costs the same among many sessions as among few."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.databases import AGENT, holder_name, scope_name, seed
from bench.figures import Goal, NotMeasured, Row, alternated, compared
from bench.load import HEALTH, Load, Request, Target, load_for, load_once, require_margin
from bench.rows.beats import rates, server_cpu
from bench.stand import Fleet, Stand

CONNECTIONS = 64
GOAL = Goal(0.35, is_floor=True)

POLICY_BODY = '{"lease_seconds":86400,"heartbeat_interval_seconds":60,"heartbeat_jitter_seconds":5,"grace_seconds":60}'

STARTS_A_SECOND_MAX = 20_000
CHECKPOINTS_A_SECOND_MAX = 20_000
"""Requests made ready for each second of a run; where a server is faster than that, they come round again."""

FEW_SESSIONS = 1_000
FLAT_STARTS = 1_000
"""Starts in a run among few and among many: the few are some thousands by the end, which is still few."""

FLAT_GOAL = Goal(1.3, is_floor=False)

SUMMARY = (
    "The parser is done and its tests pass; half of the lexer is left, and the error messages have no positions yet."
)


def fresh_starts(*, prefix: str, count: int) -> list[Request]:
    """Starts on scopes that nobody ever held."""
    return [
        Request(
            "POST",
            "/v1/sessions",
            f'{{"scope":"repo={prefix}-{number}","agent":"{AGENT}","holder_id":"{holder_name(number)}","exclusive":true,'
            f'"policy":{POLICY_BODY}}}',
        )
        for number in range(count)
    ]


def resumes(fleet: Fleet) -> list[Request]:
    """Starts by whoever has a session on the scope already."""
    return [
        Request(
            "POST",
            "/v1/sessions",
            f'{{"scope":"{scope_name(number)}","agent":"{AGENT}","holder_id":"{holder_name(number)}"}}',
        )
        for number in fleet.filled.resumable
    ]


def checkpoints(fleet: Fleet, *, count: int) -> list[Request]:
    """A checkpoint of each session, in the order of their beats."""
    seeded = fleet.filled.beating
    body = (
        f'{{"fencing_token":{seeded.fencing_token},"summary":"{SUMMARY}","work_completed":["parser"],'
        '"next_actions":["finish the lexer"],"branch":"main"}'
    )
    return [Request("POST", f"/v1/sessions/{each}/checkpoint", body) for each in seeded.session_ids[:count]]


def starts(stand: Stand, store: str) -> Iterator[Row]:
    """Fresh starts and resumes, beside the constant reply. Raises: NotMeasured."""
    fleet = stand.fleet(store)

    def fresh() -> list[Request]:
        count = STARTS_A_SECOND_MAX * stand.options.seconds
        return fresh_starts(prefix=f"fresh-{stand.next_progress()}", count=count)

    yield from _beside_constant(stand, fleet, "resumes/s", partial(resumes, fleet), "select sum(last_token) from scope")
    yield from _beside_constant(stand, fleet, "fresh starts/s", fresh, "select count(*) from session")


def checkpoint_rows(stand: Stand, store: str) -> Iterator[Row]:
    """Checkpoints, beside the constant reply. Raises: NotMeasured."""
    fleet = stand.fleet(store)
    requests = checkpoints(fleet, count=CHECKPOINTS_A_SECOND_MAX * stand.options.seconds)
    yield from _beside_constant(stand, fleet, "checkpoints/s", lambda: requests, "select count(*) from checkpoint")


def _beside_constant(
    stand: Stand, fleet: Fleet, name: str, requests_of: Callable[[], Sequence[Request]], written: str
) -> Iterator[Row]:
    """written: a query for a number that grows by one with each request that was carried out."""
    seconds, database = stand.options.seconds, fleet.filled.database
    notes: set[str] = set()

    def ours() -> Load:
        before = database.count(written)
        load = load_for(fleet.target, requests_of(), connections=CONNECTIONS, seconds=seconds)
        grown = database.count(written) - before
        if grown < load.answered:
            raise NotMeasured(f"only {grown:,} of {load.answered:,} that were answered were written")
        if load.refused or load.broken:
            notes.add(f"{load.refused:,} refused and {load.broken:,} unanswered in a run")
        return load

    constant = partial(load_for, fleet.target, HEALTH, connections=CONNECTIONS, seconds=seconds)
    pairs = alternated(ours, constant, runs=stand.options.runs)
    require_margin([each for _, each in pairs], connections=CONNECTIONS)
    yield rates(f"{name}, {CONNECTIONS} connections", database.store_name, pairs, goals=(GOAL,), notes=sorted(notes))
    yield server_cpu("  server's CPU, µs each", database.store_name, pairs)


def flat(stand: Stand, store: str) -> Iterator[Row]:
    """The time of a fresh start among many sessions, beside that among few. Raises: NotMeasured."""
    few, many = stand.empty(store), stand.empty(store)
    seed(few, sessions=FEW_SESSIONS)
    seed(many, sessions=stand.options.rows_max)
    with stand.serving(few) as small, stand.serving(many) as large:
        pairs = alternated(
            partial(_start_some, stand, large), partial(_start_some, stand, small), runs=stand.options.runs
        )
    for label, picked in (("µs a start", 0), ("  server's CPU, µs a start", 1)):
        yield compared(
            f"{label}, among {stand.options.rows_max:,}" if not picked else label,
            many.store_name,
            ours=[one[picked] for one, _ in pairs],
            beside=[other[picked] for _, other in pairs],
            goals=(FLAT_GOAL,),
        )


def _start_some(stand: Stand, target: Target) -> tuple[float, float]:
    """Microseconds a start: by the clock, and of the server's CPU."""
    requests = fresh_starts(prefix=f"flat-{stand.next_progress()}", count=FLAT_STARTS)
    load = load_once(target, requests, connections=CONNECTIONS)
    if load.answered < len(requests):
        raise NotMeasured(f"{load.refused:,} of {len(requests):,} starts were refused")
    return load.seconds * 1e6 / load.answered, load.server_microseconds
