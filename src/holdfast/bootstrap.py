"""Wiring: the one place that knows which store, which doors and which threads make a server."""

import gc
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from holdfast import __version__
from holdfast.client.credentials import CredentialsInvalid, save_key
from holdfast.client.directories import config_directory
from holdfast.commands.command import Command, Envelope
from holdfast.commands.keys import CreateKey, OpenAccount
from holdfast.commands.view import Reply
from holdfast.config import LogFormat, Settings, is_loopback, sqlite_path, without_password
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.errors import Refusal
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, KeyId, Mint
from holdfast.domain.keys import KEY_ENTROPY_BYTES
from holdfast.domain.times import rfc3339
from holdfast.doors.http.app import HttpApp
from holdfast.doors.http.server import AddressUnusable, ApplicationNotStarted, PortTaken, WireServer, build_server
from holdfast.engine.batch import run_batch
from holdfast.engine.core import Core, has_keys
from holdfast.engine.driver import Engine, QueueLimits
from holdfast.engine.sweeper import Sweeper
from holdfast.store.port import SchemaMismatch, Store, StoreInUse, StoreUnavailable

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long one thread may keep the interpreter from another: the writer must not wait 5 ms for the event loop."""

GARBAGE_THRESHOLDS = (50_000, 20, 100)
"""Objects made before a collection, and how often the older generations are looked at. A request leaves hardly any
cycle behind, and with the usual 700 the event loop spends an eighth of its time on looking for some."""

FIRST_START = Actor(DEFAULT_ACCOUNT, KeyId("key_first_start"), KeyScope.ADMIN)


class Parts(NamedTuple):
    """A server that is wired and not yet started, and how to stop what it started."""

    server: WireServer
    store: Store
    core: Core
    engine: Engine
    sweeper: Sweeper


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status: 0, or 1 with a line that says why."""
    _log_to_stderr(settings)
    try:
        store = open_store(settings)
    except (StoreInUse, SchemaMismatch, StoreUnavailable) as error:
        return _failed(f"{error}")
    except OSError as error:
        return _failed(f"The database cannot be opened: {error}")
    try:
        return _serve(settings, store)
    except (PortTaken, AddressUnusable, ApplicationNotStarted) as error:
        return _failed(f"{error}")
    finally:
        store.close()


def open_store(settings: Settings) -> Store:
    """The store that the settings name. Raises: StoreInUse, SchemaMismatch, StoreUnavailable, OSError."""
    path = sqlite_path(settings.database_url)
    if path is not None:
        from holdfast.store.sqlite import SqliteStore

        return SqliteStore(path)
    from holdfast.store.postgres import PostgresStore

    return PostgresStore(settings.database_url)


def build(settings: Settings, store: Store, *, on_ready: Callable[[WireServer], None]) -> Parts:
    """Wire a server on an open store; it listens, and works once it runs. Raises: PortTaken, AddressUnusable."""

    def on_fatal() -> None:
        # What the disk holds is no longer known; whoever supervises the server has to start it anew.
        server.should_exit = True

    engine = Engine(store, limits=QueueLimits(), on_fatal=on_fatal)
    sweeper = Sweeper(store, engine)
    configured = {} if settings.bootstrap_key is None else {settings.bootstrap_key: KeyScope.ADMIN}
    core = Core(
        store,
        engine,
        configured_keys=configured,
        trusts_everybody=settings.no_auth,
        opens_accounts=settings.accounts_autocreate,
    )

    def on_start() -> None:
        # First, because it may write the first key, and the store has one writer at a time.
        on_ready(server)
        engine.start()
        sweeper.start()

    def on_stop() -> None:
        sweeper.stop()
        engine.stop()
        core.close()

    app = HttpApp(core, on_start=on_start, on_stop=on_stop, local_hosts_only=settings.no_auth)
    server = build_server(app, host=settings.host, port=settings.port)
    core.is_leaving = lambda: server.should_exit
    return Parts(server, store, core, engine, sweeper)


def _serve(settings: Settings, store: Store) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    needs_key = settings.bootstrap_key is None and not settings.no_auth and not has_keys(store)
    if needs_key and not is_loopback(settings.host):
        return _failed(
            f"{settings.host} can be reached from other machines, and no key is defined. Start once on localhost, "
            "which makes a key, or set HOLDFAST_BOOTSTRAP_KEY."
        )
    _execute(store, OpenAccount(DEFAULT_ACCOUNT))
    parts = build(settings, store, on_ready=lambda server: _greet(settings, store, server, needs_key=needs_key))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    parts.server.run()
    return 0 if not parts.engine.is_broken else 1


def _execute(store: Store, command: Command) -> Reply:
    """Carry out a command before the engine runs. Raises: Refusal."""
    (outcome,) = run_batch(
        store, [Envelope(command, FIRST_START, os.urandom(ENTROPY_BYTES), "first-start")], mint=Mint()
    )
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


def _greet(settings: Settings, store: Store, server: WireServer, *, needs_key: bool) -> None:
    """Tell whoever started the server where it is, by which key, and what to type next."""
    url = server.urls[0]
    lines = [f"Holdfast {__version__} on {without_password(settings.database_url)}"]
    if settings.no_auth:
        lines.append("WARNING: --no-auth is in force; everybody on this machine is the default account's operator.")
    elif needs_key:
        lines += _first_key(store, url)
    elif settings.bootstrap_key is not None:
        lines.append("Key: the one in HOLDFAST_BOOTSTRAP_KEY; set HOLDFAST_KEY to it for the command line.")
    lines.append(f"Ready on {url}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _first_key(store: Store, url: str) -> list[str]:
    """Make the first key, and keep it where the command line on this machine finds it."""
    key = str(
        _execute(store, CreateKey("first start", KeyScope.ADMIN, None, os.urandom(KEY_ENTROPY_BYTES))).body["key"]
    )
    lines = [f"Key:   {key}", "       (admin; shown this once)"]
    try:
        path: Path = save_key(config_directory(os.environ), url, key)
        lines[1] = f"       (admin; shown this once, kept in {path} for the command line)"
    except (OSError, CredentialsInvalid) as error:
        lines.append(f"       It could not be kept for the command line ({error}): set HOLDFAST_KEY to it.")
    return [*lines, "Next:  ./holdfast run -- sleep 600      and in another terminal: ./holdfast ps"]


def _log_to_stderr(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if settings.log_format == LogFormat.JSON else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.value.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # Its start and stop are told by ours.


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return rfc3339(int(record.created * 1_000))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _failed(why: str) -> int:
    sys.stderr.write(f"holdfast: {why}\n")
    return 1
