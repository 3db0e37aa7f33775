"""`python -m bench`: measures what was asked for, prints the table as it grows, and judges nothing."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.figures import NotMeasured, Row
from bench.machine import Machine, machine
from bench.profiling import PROFILED, profile
from bench.rows.beats import BATCH_BEATS, batches, heartbeats
from bench.rows.claims import claims
from bench.rows.engine import engine
from bench.rows.handoffs import handoffs
from bench.rows.live import live
from bench.rows.processes import commands, servers
from bench.rows.streams import streams
from bench.rows.writes import checkpoint_rows, flat, starts
from bench.stand import STORE_NAMES, Options, Stand
from bench.table import heading, shown

INTERRUPTED, TERMINATED = 130, 143
STORE_TITLES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


class Section(NamedTuple):
    """Rows that are measured together, on each store."""

    title: str
    rows: Callable[[Stand, str], Iterator[Row]]


SECTIONS = {
    "heartbeat": Section(
        "Heartbeat over HTTP: key and token checked, committed durably, one a request. Beside it: the constant reply "
        "(GET /health) of the same server on as many connections.",
        heartbeats,
    ),
    "batches": Section(
        "Heartbeats over HTTP, 1,000 a request, 4 connections. Beside them: plain statements for the same rows in "
        "transactions of 1,000, without HTTP, on a copy of the database.",
        batches,
    ),
    "checkpoint": Section(
        "Checkpoint over HTTP, each with its event and its row. Beside it: the constant reply.", checkpoint_rows
    ),
    "start": Section(
        "Start over HTTP: resuming one's own session, and a session on a fresh scope. Beside it: the constant reply.",
        starts,
    ),
    "flat": Section(
        "A fresh start over HTTP among many sessions, 64 connections. Beside it: the same among 1,000.", flat
    ),
    "handoffs": Section(
        "The newest handoff, and a page of 20, over HTTP among many handoffs, 8 connections. Beside it: the same among "
        "1,000.",
        handoffs,
    ),
    "engine": Section(
        "The engine in process: heartbeats decided and committed. Beside it: plain statements for the same columns "
        "of as many rows a transaction.",
        engine,
    ),
    "stream": Section(
        "Event streams, 5,000 of them open, 10,000 deliveries a second in all: from the moment an event is recorded, "
        "before its commit, until it arrives, each client's reading included.",
        streams,
    ),
    "live": Section(
        "Beats over HTTP at the pace of all sessions, each every 30 s, while they are swept and alert rules are about "
        "them; latencies from the moment a beat is due. What sweep and alert watch take of a core, above an idle "
        "server.",
        live,
    ),
    "claims": Section(
        "Claims over HTTP by 64 sessions on the queue of one project: every task given once, and none lost.", claims
    ),
    "process": Section("Start and memory of a server.", servers),
}
COMMANDS = "command"
COMMANDS_TITLE = "What a command costs before it does anything. Beside it: python -c pass."


def main() -> int:
    """Exit status 0 once everything that was asked for was measured; 1 where something could not be."""
    arguments = _arguments()
    # As an exception it passes through every context, so that nothing that was started is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        return _measure(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _measure(arguments: argparse.Namespace) -> int:
    stores = (arguments.store,) if arguments.store else STORE_NAMES
    options = Options(arguments.seconds, arguments.runs, arguments.sessions, arguments.rows, arguments.handoffs, stores)
    with Stand(options) as stand:
        if arguments.profile:
            return _profile(stand, stores[0], arguments.profile)
        found = machine(stand)
        _print_head(found, options)
        measured = [row for name in arguments.only for row in _section(stand, name)]
    if arguments.json:
        arguments.json.write_text(_as_json(found, options, measured))
    return 1 if any(row.why_not for row in measured) else 0


def _section(stand: Stand, name: str) -> list[Row]:
    """Measure a section and print its rows as they come."""
    print(heading(COMMANDS_TITLE if name == COMMANDS else SECTIONS[name].title), flush=True)
    if name == COMMANDS:
        return list(_printed(commands(stand), name, ""))
    return [row for store in stand.options.stores for row in _printed(SECTIONS[name].rows(stand, store), name, store)]


def _printed(rows: Iterator[Row], section: str, store: str) -> Iterator[Row]:
    """The rows, each printed; where they end early, a row that says why."""
    try:
        for row in rows:
            print(shown(row), flush=True)
            yield row
    except NotMeasured as error:
        row = Row(section, STORE_TITLES.get(store, ""), why_not=str(error))
        print(shown(row), flush=True)
        yield row


def _profile(stand: Stand, store: str, row: str) -> int:
    try:
        for line in profile(stand, store, row):
            print(line)
    except NotMeasured as error:
        print(f"not profiled: {error}", file=sys.stderr)
        return 1
    return 0


def _print_head(found: Machine, options: Options) -> None:
    print(heading(found.line).rpartition("\n")[0].strip("\n"))
    print(
        f"{options.runs} runs of {options.seconds} s each, in turn with what stands beside; median (least–greatest); "
        f"x is the median of the pairs' ratios.\n{options.sessions:,} sessions.",
        flush=True,
    )


def _as_json(found: Machine, options: Options, rows: list[Row]) -> str:
    measured = [
        {
            "name": row.name.strip(),
            "store": row.store,
            "ours": None if row.ours is None else row.ours._asdict(),
            "beside": None if row.beside is None else row.beside._asdict(),
            "ratio": None if row.ratio is None else row.ratio._asdict(),
            "goals": [goal._asdict() for goal in row.goals],
            "verdict": row.verdict,
            "why_not": row.why_not,
            "notes": row.notes,
            **row.detail,
        }
        for row in rows
    ]
    return json.dumps({"machine": found._asdict(), "options": options._asdict(), "rows": measured}, indent=1) + "\n"


def _arguments() -> argparse.Namespace:
    names = [*SECTIONS, COMMANDS]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Holdfast beside its limits and peers."
    )
    parser.add_argument("--only", action="append", choices=names, metavar="SECTION", help=f"one of {', '.join(names)}")
    parser.add_argument("--store", choices=STORE_NAMES, help="measure one store only")
    parser.add_argument("--seconds", type=_at_least(1), default=2, help="length of a run (default: 2)")
    parser.add_argument("--runs", type=_at_least(1), default=5, help="runs of each figure (default: 5)")
    parser.add_argument("--sessions", type=_at_least(BATCH_BEATS), default=100_000, help="that beat (default: 100000)")
    parser.add_argument("--rows", type=_at_least(1_000), default=100_000, help="sessions for `flat` (default: 100000)")
    parser.add_argument(
        "--handoffs", type=_at_least(1_000), default=1_000_000, help="of them, for `handoffs` (default: 1000000)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, every run's figure included")
    parser.add_argument("--profile", choices=list(PROFILED), help="sample the server under this load instead")
    arguments = parser.parse_args()
    arguments.only = list(dict.fromkeys(arguments.only or names))
    return arguments


def _at_least(lowest: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        number = int(text)
        if number < lowest:
            raise argparse.ArgumentTypeError(f"must be {lowest:,} or more")
        return number

    return whole_number


if __name__ == "__main__":
    sys.exit(main())
