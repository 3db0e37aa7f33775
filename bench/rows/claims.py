"""Claims over HTTP: 64 sessions on the queue of one project, every task given once and none lost."""

import json
import time
from collections.abc import Iterator

from bench.databases import Database
from bench.figures import Goal, NotMeasured, Row, spread
from bench.load import Load, Request, Target, asked, load_for, load_once
from bench.stand import Stand

CLAIMERS = 64
SETTLE_SECONDS = 1.0
"""Claims that are under way when time is up are carried out all the same."""

PROJECT = "bench"

TASKS_A_SECOND = 6_000
"""Tasks made ready for each second of a run; a queue that runs dry would measure empty answers."""

GOAL = Goal(1_000, is_floor=True, of_ratio=False)


def claims(stand: Stand, store: str) -> Iterator[Row]:
    """Tasks given a second, checked against the table. Raises: NotMeasured."""
    database = stand.empty(store)
    loads: list[Load] = []
    with stand.serving(database) as target:
        asked(target, "POST", "/v1/projects", {"id": PROJECT})
        for _ in range(stand.options.runs):
            # No session may hold more than so many tasks, so each run has sessions of its own.
            ids = [_started(target, number) for number in range(CLAIMERS)]
            _fill(target, database, count=TASKS_A_SECOND * stand.options.seconds)
            loads.append(_claimed(target, database, ids, seconds=stand.options.seconds))
            for each in ids:
                asked(target, "POST", f"/v1/sessions/{each}/end", {"end_reason": "completed"})
    name = database.store_name
    yield Row(
        f"claims/s, {CLAIMERS} sessions",
        name,
        spread([each.rate for each in loads]),
        goals=(GOAL,) if store == "sqlite" else (),
    )
    yield Row("  p99 in ms", name, spread([each.p99_ms for each in loads]))
    yield Row("  server's CPU, µs each", name, spread([each.server_microseconds for each in loads]))


def _claimed(target: Target, database: Database, ids: list[str], *, seconds: int) -> Load:
    """One run of claims. Raises: NotMeasured where a task was given twice, or lost."""
    begun = database.count("select sum(attempts) from task")
    requests = [
        Request("POST", "/v1/tasks/claim", json.dumps({"session_id": each, "project_id": PROJECT})) for each in ids
    ]
    load = load_for(target, requests, connections=CLAIMERS, seconds=seconds)
    time.sleep(SETTLE_SECONDS)
    given = database.count("select sum(attempts) from task") - begun
    held = database.count("select count(*) from task where held_by is not null and status = 'in_progress'")
    twice = database.count("select count(*) from task where held_by is not null and ready_in is not null")
    told = database.count("select count(*) from event where type = 'task.started'")
    starts = database.count("select sum(attempts) from task")
    if not database.count("select count(*) from task where ready_in is not null"):
        raise NotMeasured("the queue ran dry: claims were answered with nothing")
    # The last answers may not have been read when time was up.
    if not load.answered <= given <= load.answered + CLAIMERS or held != given or twice or told != starts:
        raise NotMeasured(
            f"{load.answered:,} claims were answered, {given:,} tasks begun, {held:,} are held, {twice:,} of those are "
            f"in the queue, and {told:,} of {starts:,} starts were told"
        )
    if load.refused:
        raise NotMeasured(f"{load.refused:,} claims were refused")
    return load


def _fill(target: Target, database: Database, *, count: int) -> None:
    ready = database.count("select count(*) from task where ready_in is not null")
    tasks = [
        Request("POST", "/v1/tasks", json.dumps({"project_id": PROJECT, "name": f"task {number}"}))
        for number in range(max(0, count - ready))
    ]
    if tasks and load_once(target, tasks, connections=CLAIMERS).refused:
        raise NotMeasured("tasks could not be added")


def _started(target: Target, number: int) -> str:
    body = {"agent": "bench", "holder_id": f"claimer-{number}", "policy": {"lease_seconds": 3600}}
    return str(asked(target, "POST", "/v1/sessions", body)["id"])
