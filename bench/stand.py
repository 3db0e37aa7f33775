"""The stand that everything is measured on: databases, filled once, and real servers on them, all gone at the end."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.databases import Database, PostgresDatabase, Seeded, SqliteDatabase, seed
from bench.figures import NotMeasured
from bench.load import Target
from tests.support.postgres import PostgresServer, PostgresUnavailable, Run, server_of
from tests.support.server import KEY, NotStarted, Server

STORE_NAMES = ("sqlite", "postgres")

RESUMABLE_SESSIONS = 10_000
"""Sessions beside those that beat, for resuming: that gives them new tokens, which a beat would have to know."""


class Options(NamedTuple):
    """What was asked for.

    sessions: those that beat; rows_max, handoffs_max: how many there are where many are compared with few.
    """

    seconds: int
    runs: int
    sessions: int
    rows_max: int
    handoffs_max: int
    stores: tuple[str, ...]


class Filled(NamedTuple):
    """A filled database. beating: its sessions in order of beats; resumable: numbers of those that are only resumed."""

    database: Database
    beating: Seeded
    resumable: range


class Fleet(NamedTuple):
    """A server on a filled database."""

    filled: Filled
    target: Target


class Stand:
    """Databases and servers of one benchmark. Databases are filled when first needed, and servers started so too."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._ends = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
        self._ends.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._postgres: PostgresServer | PostgresUnavailable | None = None
        self._filled: dict[str, Filled] = {}
        self._fleets: dict[str, Fleet] = {}
        self._names = 0
        self._progress = 0

    def __enter__(self) -> "Stand":
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def postgres(self) -> PostgresServer:
        """The server for PostgreSQL, started when first asked for. Raises: NotMeasured."""
        if self._postgres is None:
            try:
                run = Run()
                self._ends.callback(run.end)
                self._postgres = server_of(run.directory)
            except PostgresUnavailable as unavailable:
                self._postgres = unavailable
        if isinstance(self._postgres, PostgresUnavailable):
            raise NotMeasured(f"no PostgreSQL: {str(self._postgres).splitlines()[0]}")
        return self._postgres

    def empty(self, store: str) -> Database:
        """A new database without anything. Raises: NotMeasured."""
        self._names += 1
        if store == "sqlite":
            (self.directory / f"{self._names}").mkdir()
            return SqliteDatabase(self.directory / f"{self._names}" / "bench.db")
        database = PostgresDatabase(
            self.postgres(), f"bench_{self.directory.name[-8:].lower()}_{self._names}"
        ).created()
        self._ends.callback(database.dropped)
        return database

    def filled(self, store: str) -> Filled:
        """A database with all the sessions, to be copied, or served by `fleet`. Raises: NotMeasured."""
        if store not in self._filled:
            database = self.empty(store)
            seeded = seed(database, sessions=self.options.sessions + RESUMABLE_SESSIONS)
            self._filled[store] = Filled(database, *_parted(seeded, resumable=RESUMABLE_SESSIONS))
        return self._filled[store]

    def copy_of(self, store: str) -> Database:
        """A copy of the filled database, which somebody else may write to. Raises: NotMeasured."""
        self._names += 1
        copy = self.filled(store).database.copied(f"copy_{self._names}")
        if isinstance(copy, PostgresDatabase):
            self._ends.callback(copy.dropped)
        copy.settle()
        return copy

    def fleet(self, store: str) -> Fleet:
        """The server on a filled database that all rows over HTTP share. Raises: NotMeasured."""
        if store not in self._fleets:
            filled = self.filled(store)
            copy = filled._replace(database=self.copy_of(store))
            self._fleets[store] = Fleet(copy, self._ends.enter_context(self.serving(copy.database)))
        return self._fleets[store]

    @contextmanager
    def serving(self, database: Database, *, environ: Mapping[str, str] | None = None) -> Iterator[Target]:
        """A real server on a database, for as long as the context lasts. Raises: NotMeasured."""
        self._names += 1
        with Server(database.url, directory=self.directory / f"server-{self._names}", environ=environ) as server:
            try:
                server.start()
            except NotStarted as error:
                raise NotMeasured(f"the server did not start: {error.said.strip()[-200:]}") from error
            yield Target(server.port, server.pid, KEY)

    def next_progress(self) -> int:
        """A progress that no beat has told yet: by it a run's beats are found in the table."""
        self._progress += 1
        return self._progress


def _parted(seeded: Seeded, *, resumable: int) -> tuple[Seeded, range]:
    """The sessions that beat, and the numbers of those that are resumed: the last ones that were written."""
    ids = sorted(seeded.session_ids)
    kept_apart = set(ids[len(ids) - resumable :])
    beating = [each for each in seeded.session_ids if each not in kept_apart]
    return seeded._replace(session_ids=beating), range(len(ids) - resumable + 1, len(ids) + 1)
