"""Settings of the server: what there is to set, where each value came from, and everything that is wrong with them.

Flags win over the environment, that over `.dev.vars` and `.env` in the working directory, those over a TOML file, that
over the defaults. `SETTINGS` is the one table; nothing is set that is not in it. No client reads any of this.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.client.directories import data_directory
from holdfast.domain.crane import STALE_MINUTES_MAX
from holdfast.domain.keys import CONFIGURED_KEY_CHARS_MIN
from holdfast.domain.limits import RECOVERY_ATTEMPTS_MAX

PREFIX = "HOLDFAST_"
"""Before the name of a setting in the environment."""

CONFIG_FILE = "config"
"""What names the TOML file: a flag, or HOLDFAST_CONFIG; it is no setting itself."""

DOTENV_NAMES = (".dev.vars", ".env")
"""Files in the working directory, the stronger one first."""

FILE_BYTES_MAX = 1024 * 1024
"""A file of settings; anything larger is something else."""

CLIENT_NAMES = frozenset(
    {
        "HOLDFAST_URL",
        "HOLDFAST_KEY",
        "HOLDFAST_CA_FILE",
        "HOLDFAST_SESSION_ID",
        "HOLDFAST_FENCING_TOKEN",
        "HOLDFAST_SCOPE",
        "HOLDFAST_SLOT",
        "HOLDFAST_LAST_CHECKPOINT",
        "HOLDFAST_MACHINE_ID",
        "HOLDFAST_PROFILE",
        "HOLDFAST_SESSION_STATE",
    }
)
"""Variables that clients and tools read; a server that is started among them is not disturbed by them."""

TEST_PREFIX = "HOLDFAST_TEST_"

_SERVICE_LINK = re.compile(r"HOLDFAST_(SERVICE_(HOST|PORT)|PORT_[0-9]+_(TCP|UDP|SCTP))(_.*)?")
_SERVICE_LINK_PORT = re.compile(r"(tcp|udp|sctp)://.*")
"""What Kubernetes puts into the environment of pods where a service is called `holdfast`; HOLDFAST_PORT among it."""

DATABASE_FORMS = "sqlite:///relative/file.db, sqlite:////absolute/file.db or postgresql://user@host/name"

PORT_MAX = 65_535

HSTS_SECONDS_MAX = 2 * 366 * 24 * 60 * 60
"""Two years: what lists of such sites ask for."""

LIST_MAX = 100
"""Proxies or origins; with more, somebody means a pattern."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
COUNT_MAX = 1_000_000
"""Of anything that is counted; more is a mistake."""
RATE_MAX = 1_000_000_000
"""Requests in a minute; more than any server can answer."""

TIMEOUT_SECONDS_MAX = 60
"""Within which a receiver of webhooks has to answer; whoever needs longer should answer first and work then."""

DAYS_MAX = 36_500
"""A hundred years, as long as anything may be kept by a number of days; 0 keeps it for ever."""

Given = str | int | bool | None
"""A value as somebody gave it: text from flags and files of variables, more from TOML."""


class WriterKind(StrEnum):
    """Where transactions are decided and committed: in a process of their own, or on a thread of the server's."""

    PROCESS = "process"
    THREAD = "thread"


class LogLevel(StrEnum):
    """What is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """For people or for machines."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True)
class Settings:
    """What a server is started with.

    host: a name or an address; `localhost` stands for 127.0.0.1 and, where the machine has it, ::1.
    port: 0 lets the system choose one.
    database_url: complete; a file's path in it is absolute. See `sqlite_path`.
    bootstrap_key: an admin key of the default account, never shown.
    no_auth: every request is the default account's operator; only ever true on a loopback address.
    writer: by default a process, wherever one can be forked.
    tls_cert, tls_key: PEM files; both or neither. With them the server speaks HTTPS and nothing else.
    trusted_proxies: who may say for whom it asks, by X-Forwarded-For and X-Forwarded-Proto.
    cors_origins: pages of these origins may read what is answered; exact, in the form that browsers send.
    hsts_seconds: how long browsers are to insist on HTTPS; 0: they are not told to.
    otel_endpoint: where traces are sent, by OTLP over HTTP; None: there are none.
    context_relay_key: an agent key of the default account, never shown; many clients may share it.
    context_…, heartbeat_…_seconds: what holds on the paths of the Crane door; see `domain.crane.DaySettings`.
    """

    host: str
    port: int
    database_url: str = field(repr=False)
    bootstrap_key: str | None = field(repr=False)
    no_auth: bool
    log_level: LogLevel
    log_format: LogFormat
    accounts_autocreate: bool
    writer: WriterKind
    tls_cert: Path | None
    tls_key: Path | None
    trusted_proxies: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    hsts_seconds: int
    streams_per_key_max: int
    streams_per_account_max: int
    rate_limit_per_minute: int
    heartbeat_rate_limit_per_minute: int
    idempotency_ttl_seconds: int
    event_retention_days: int
    audit_retention_days: int
    request_log_retention_days: int
    handoff_expiry_days: int
    handoff_retention_days: int
    session_archive_days: int
    session_delete_days: int
    task_retention_days: int
    machine_retention_days: int
    recovery_attempts_max: int
    webhook_timeout_seconds: int
    webhook_allow_private: bool
    webhook_delivery_retention_days: int
    otel_endpoint: str | None
    context_relay_key: str | None = field(repr=False)
    context_session_stale_minutes: int
    heartbeat_interval_seconds: int
    heartbeat_jitter_seconds: int
    context_idempotency_ttl_seconds: int
    context_ventures: tuple[str, ...]


class Loaded(NamedTuple):
    """Settings, and where each value came from: `flag --port`, `environment`, `.env`, a file's path, or `default`."""

    settings: Settings
    sources: Mapping[str, str]


class SettingError(NamedTuple):
    """One thing that is wrong. name: as it was written where it was given; source: where that was."""

    name: str
    source: str
    message: str


class BadSettings(Exception):
    """Settings that a server cannot be started with: everything that is wrong, not only the first of it."""

    def __init__(self, errors: tuple[SettingError, ...]) -> None:
        super().__init__("; ".join(f"{error.name}: {error.message}" for error in errors))
        self.errors = errors


class Context(NamedTuple):
    """What a value may depend on besides itself."""

    environ: Mapping[str, str]
    working_directory: Path


@dataclass(frozen=True)
class Setting:
    """One thing to set.

    read: the value that a text means. Raises: ValueError whose text completes "NAME …".
    default: None where there is none, or where `find_default` finds one. empty: the value where there is none.
    shown: the value as it may be printed; None: as it is.
    aliases: further variables that mean it, the stronger one first; its own name wins over them.
    """

    name: str
    help: str
    read: Callable[[str, Context], Any]
    default: Given = None
    empty: Any = None
    find_default: Callable[[Context], str | None] | None = None
    flag: str | None = None
    is_secret: bool = False
    shown: Callable[[str], str] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()


class _Found(NamedTuple):
    """A value that was given, by what name and where."""

    name: str
    source: str
    value: Given


def is_loopback(host: str) -> bool:
    """Whether a host reaches this machine only. Names other than `localhost` are not looked up, and so are not."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def sqlite_path(database_url: str) -> Path | None:
    """The file of a SQLite URL in Settings; None for a URL of PostgreSQL."""
    return Path(database_url.removeprefix("sqlite:///")) if database_url.startswith("sqlite:") else None


def without_password(database_url: str) -> str:
    """The URL of a database as it may be printed."""
    if database_url.startswith("sqlite:"):
        return database_url
    # The password may hold anything where nobody encoded it, so it is taken to reach to the last `@`.
    without_user = re.sub(r"(?s)(://[^:@/]*:).*@", r"\1***@", database_url)
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", r"\1***", without_user)


def load(argv_flags: Mapping[str, Given], environ: Mapping[str, str], working_directory: Path) -> Loaded:
    """The settings in force.

    argv_flags: by the name of the setting, or CONFIG_FILE; None is as good as not there.
    Raises: BadSettings, with everything that is wrong.
    """
    errors: list[SettingError] = []
    context = Context(environ, working_directory)
    layers = [_flags(argv_flags), _variables(environ, "environment")]
    layers += [_dotenv(working_directory / name, errors) for name in DOTENV_NAMES]
    layers.append(_config_file(layers, context, errors))
    values: dict[str, Any] = {}
    given: dict[str, _Found] = {}
    for setting in SETTINGS:
        found = next((layer[setting.name] for layer in layers if setting.name in layer), None)
        given[setting.name] = found or _Found(setting.name, "default", None)
        values[setting.name] = _value(setting, found, context, errors)
    for layer in layers:
        errors += _unknown(layer)
    errors += _contradictions(values, given)
    if errors:
        raise BadSettings(tuple(errors))
    return Loaded(Settings(**values), {name: found.source for name, found in given.items()})


def shown_values(settings: Settings) -> dict[str, Given]:
    """Every setting's value as it may be printed: secrets as `set` or `not set`."""
    shown: dict[str, Given] = {}
    for setting in SETTINGS:
        value: Any = getattr(settings, setting.name)
        if setting.is_secret:
            shown[setting.name] = "not set" if value is None else "set"
        elif isinstance(value, tuple | Path):
            shown[setting.name] = ", ".join(map(str, value)) or None if isinstance(value, tuple) else str(value)
        else:
            shown[setting.name] = setting.shown(value) if setting.shown and value is not None else value
    return shown


# The layers.


def _flags(argv_flags: Mapping[str, Given]) -> dict[str, _Found]:
    shown = {setting.name: setting.flag for setting in SETTINGS}
    found = {}
    for name, value in argv_flags.items():
        if value is not None:
            flag = shown.get(name) or f"--{name.replace('_', '-')}"
            found[name] = _Found(flag, f"flag {flag}", value)
    return found


def _variables(variables: Mapping[str, str], source: str) -> dict[str, _Found]:
    """Those that are ours, by the name of the setting; an empty one is as good as not there."""
    found = {}
    for name, value in variables.items():
        if name.startswith(PREFIX) and value and not _is_for_others(name, value):
            found[name.removeprefix(PREFIX).lower()] = _Found(name, source, value)
    for setting in SETTINGS:
        given = [alias for alias in setting.aliases if variables.get(alias)]
        if given and setting.name not in found:
            found[setting.name] = _Found(given[0], source, variables[given[0]])
    return found


def _is_for_others(name: str, value: str) -> bool:
    if name in CLIENT_NAMES or name.startswith(TEST_PREFIX) or _SERVICE_LINK.fullmatch(name):
        return True
    return name == "HOLDFAST_PORT" and _SERVICE_LINK_PORT.fullmatch(value) is not None


_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*
        (?:'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|(?P<plain>[^\r\n]*?))
        [ \t]*(?:(?<=[ \t'"=])\#[^\r\n]*)?\r?$""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables in a text of `NAME=value` lines, as shells and Node's dotenv write them.

    Values may be quoted, then also over several lines; `#` begins a comment. Lines of another form are passed over:
    such a file belongs to the user's project. Nothing is substituted.
    """
    variables = {}
    for match in _ASSIGNMENT.finditer(text):
        double = match["double"]
        if double is not None:
            value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), double, flags=re.DOTALL)
        else:
            value = match["single"] if match["single"] is not None else match["plain"]
        variables[match["name"]] = value
    return variables


def _dotenv(path: Path, errors: list[SettingError]) -> dict[str, _Found]:
    try:
        text = _read_text(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        errors.append(SettingError(path.name, str(path.parent), f"cannot be read: {_reason(exc)}"))
        return {}
    return _variables(parse_dotenv(text), path.name)


def _config_file(layers: list[dict[str, _Found]], context: Context, errors: list[SettingError]) -> dict[str, _Found]:
    """What the TOML file says that the strongest layer names; nothing where none is named."""
    named = next((layer[CONFIG_FILE] for layer in layers if CONFIG_FILE in layer), None)
    if named is None:
        return {}
    path = context.working_directory / str(named.value)
    try:
        document = tomllib.loads(_read_text(path))
    except (OSError, ValueError) as exc:
        errors.append(SettingError(named.name, named.source, f"names {path}, which cannot be read: {_reason(exc)}"))
        return {}
    found = {}
    for name, value in document.items():
        if isinstance(value, str | int):
            found[name] = _Found(name, str(path), value)
        else:
            errors.append(SettingError(name, str(path), "must be a text, a whole number, true or false"))
    return found


def _read_text(path: Path) -> str:
    """Raises: OSError; ValueError for what is no text or too large."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    return content.decode("utf-8-sig")


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)


# The values.


def _value(setting: Setting, found: _Found | None, context: Context, errors: list[SettingError]) -> Any:
    if found is None:
        default = setting.find_default(context) if setting.find_default else setting.default
        found = _Found(setting.variable, "default", default)
    try:
        return setting.empty if found.value is None else setting.read(_text(found.value), context)
    except ValueError as exc:
        errors.append(SettingError(found.name, found.source, str(exc)))
        return None


def _text(value: Given) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unknown(layer: Mapping[str, _Found]) -> Iterator[SettingError]:
    known = [setting.name for setting in SETTINGS]
    for name, found in layer.items():
        if name in known or (name == CONFIG_FILE and found.name != CONFIG_FILE):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        is_variable = found.name.startswith(PREFIX)
        meant = f"; did you mean {PREFIX + near[0].upper() if is_variable else near[0]}?" if near else ""
        yield SettingError(found.name, found.source, f"is not a setting of Holdfast{meant}")


def _contradictions(values: Mapping[str, Any], given: Mapping[str, _Found]) -> Iterator[SettingError]:
    """Settings that are right one by one and wrong together."""

    def error(name: str, message: str) -> SettingError:
        return SettingError(given[name].name, given[name].source, message)

    host = values["host"]
    is_public = host is not None and not is_loopback(host)
    if values["no_auth"]:
        if is_public:
            yield error(
                "no_auth",
                f"is allowed on a loopback address only, and host is {host} ({given['host'].source}):"
                " without keys everybody who reaches that address would be an operator",
            )
        for name, why in (
            ("trusted_proxies", "a proxy lets others reach it"),
            ("cors_origins", "any page could use it"),
        ):
            if values[name]:
                yield error(name, f"cannot be set together with no_auth: {why}, without a key")
    elif is_public and not (values["tls_cert"] or values["trusted_proxies"] or given["tls_cert"].value):
        yield error(
            "host",
            f"is {host}, which other machines can reach, and keys would cross the network in the clear: set tls_cert"
            " and tls_key (HOLDFAST_TLS_CERT, HOLDFAST_TLS_KEY), or name the proxies that speak TLS for this server"
            " (--behind-proxy, HOLDFAST_TRUSTED_PROXIES)",
        )
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if values[name] and not given[other].value:
            yield error(name, f"needs {other} too: a certificate and its key belong together")
    if values["hsts_seconds"] and not values["tls_cert"]:
        yield error("hsts_seconds", "needs tls_cert and tls_key; behind a proxy, the proxy sends that header")


def _read_host(text: str, _: Context) -> str:
    host = text.strip().removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"[^\s/:\[\]]+:[0-9]+", host):
            raise ValueError("must be a host alone; the port is a setting of its own") from None
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})", host):
            raise ValueError("must be a name or an address, such as localhost, 0.0.0.0 or ::1") from None
    return host


def _read_port(text: str, _: Context) -> int:
    return _read_whole(text, lowest=0, highest=PORT_MAX)


def _read_count(text: str, _: Context) -> int:
    return _read_whole(text, lowest=0, highest=COUNT_MAX)


def _read_attempts(text: str, _: Context) -> int:
    return _read_whole(text, lowest=1, highest=COUNT_MAX)


def _read_rate(text: str, _: Context) -> int:
    return _read_whole(text, lowest=0, highest=RATE_MAX)


def _read_days(text: str, _: Context) -> int:
    return _read_whole(text, lowest=0, highest=DAYS_MAX)


def _read_stale_minutes(text: str, _: Context) -> int:
    return _read_whole(text, lowest=1, highest=STALE_MINUTES_MAX)


def _read_interval(text: str, _: Context) -> int:
    return _read_whole(text, lowest=1, highest=STALE_MINUTES_MAX * 60)


def _read_ventures(text: str, _: Context) -> tuple[str, ...]:
    for venture in _read_list(text):
        if not re.fullmatch(r"[a-z0-9-]{2,32}", venture):
            raise ValueError("must be ventures of 2–32 of a–z 0–9 -, with commas between them")
    return tuple(_read_list(text))


def _read_timeout(text: str, _: Context) -> int:
    return _read_whole(text, lowest=1, highest=TIMEOUT_SECONDS_MAX)


def _read_ttl(text: str, _: Context) -> int:
    return _read_whole(text, lowest=0, highest=DAYS_MAX * 86_400)


def _read_whole(text: str, *, lowest: int, highest: int) -> int:
    if re.fullmatch(r"[0-9]{1,15}", text.strip()) and lowest <= int(text) <= highest:
        return int(text)
    raise ValueError(f"must be a whole number from {lowest} to {highest}")


def _read_switch(text: str, _: Context) -> bool:
    switch = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    value = switch.get(text.strip().lower())
    if value is None:
        raise ValueError("must be true or false")
    return value


def _read_log_level(text: str, _: Context) -> LogLevel:
    return LogLevel(_one_of(text, list(LogLevel)))


def _read_log_format(text: str, _: Context) -> LogFormat:
    return LogFormat(_one_of(text, list(LogFormat)))


def _read_writer(text: str, _: Context) -> WriterKind:
    return WriterKind(_one_of(text, list(WriterKind)))


def _find_writer(_: Context) -> str:
    return WriterKind.PROCESS if hasattr(os, "fork") else WriterKind.THREAD


def _read_file_path(text: str, context: Context) -> Path:
    return context.working_directory.absolute() / Path(text.strip()).expanduser()


def _read_hsts_seconds(text: str, _: Context) -> int:
    return _read_whole(text, lowest=0, highest=HSTS_SECONDS_MAX)


def _read_list(text: str) -> list[str]:
    """The parts between commas, at least one."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not 0 < len(parts) <= LIST_MAX:
        raise ValueError(f"must have from 1 to {LIST_MAX} parts, with commas between them")
    return parts


def _read_networks(text: str, _: Context) -> tuple[Network, ...]:
    """Addresses and networks of proxies. Names are not taken: who answers for a name can change."""
    networks = []
    for part in _read_list(text):
        try:
            network = ipaddress.ip_network(part)
        except ValueError:
            raise ValueError("must be addresses or networks, such as 10.0.0.7 or 10.0.0.0/24") from None
        if network.prefixlen == 0:
            raise ValueError("must not be everybody: whoever is trusted says where a request came from")
        networks.append(network)
    return tuple(networks)


_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def _read_origins(text: str, _: Context) -> tuple[str, ...]:
    """Origins as browsers send them: exact, because a pattern that lets a neighbour in is found too late."""
    for origin in _read_list(text):
        if not _ORIGIN.fullmatch(origin):
            raise ValueError("must be exact origins in lower case, such as https://board.example.com; no * and no path")
    return tuple(_read_list(text))


def _one_of(text: str, choices: list[str]) -> str:
    if text.strip().lower() in choices:
        return text.strip().lower()
    near = difflib.get_close_matches(text.strip().lower(), choices, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"must be one of {', '.join(choices)}{meant}")


def _read_key(text: str, _: Context) -> str:
    """A key that a header can carry. The messages never contain it."""
    if len(text) < CONFIGURED_KEY_CHARS_MIN:
        raise ValueError(f"must have {CONFIGURED_KEY_CHARS_MIN} characters or more")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ValueError("must be printable ASCII, without spaces around it")
    return text


def _read_database_url(text: str, context: Context) -> str:
    """The URL, a file's path in it made absolute. The messages never contain it: it may hold a password."""
    scheme, separator, rest = text.strip().partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        if not rest.strip("/"):
            raise ValueError("names no database; it must look like postgresql://user@host/name")
        return text.strip()
    if not separator or scheme != "sqlite":
        raise ValueError(f"must look like {DATABASE_FORMS}")
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path.strip("/") or path.endswith("/"):
        raise ValueError("names no file; it must look like sqlite:///relative/file.db or sqlite:////absolute/file.db")
    if path == ":memory:":
        raise ValueError("must name a file: what is kept in memory is lost when the server stops")
    return f"sqlite:///{context.working_directory.absolute() / path}"


def _read_otel_endpoint(text: str, _: Context) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text.strip()):
        raise ValueError("must look like http://localhost:4318")
    return text.strip()


def _default_otel_endpoint(context: Context) -> str | None:
    """What other programs on this machine send their traces to."""
    return context.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


def _default_database_url(context: Context) -> str:
    return f"sqlite:///{data_directory(context.environ)}/holdfast.db"


SETTINGS = (
    Setting("host", "the address to listen on", _read_host, default="localhost", flag="--host"),
    Setting("port", "the port to listen on; 0 lets the system choose", _read_port, default=8787, flag="--port"),
    Setting(
        "database_url",
        "where everything is kept",
        _read_database_url,
        find_default=_default_database_url,
        flag="--database",
        shown=without_password,
    ),
    Setting("bootstrap_key", "an admin key of the default account", _read_key, is_secret=True),
    Setting("no_auth", "ask nobody for a key; loopback only", _read_switch, default=False, flag="--no-auth"),
    Setting("log_level", "debug, info, warning or error", _read_log_level, default=LogLevel.INFO),
    Setting("log_format", "text or json", _read_log_format, default=LogFormat.TEXT),
    Setting("accounts_autocreate", "make an account that an operator names", _read_switch, default=True),
    Setting("writer", "process, or thread: one process less, and less speed", _read_writer, find_default=_find_writer),
    Setting("tls_cert", "the certificate chain, PEM: serve HTTPS", _read_file_path, flag="--tls-cert"),
    Setting("tls_key", "the key of the certificate, PEM", _read_file_path, flag="--tls-key"),
    Setting(
        "trusted_proxies",
        "proxies in front, whose X-Forwarded-For and -Proto are believed",
        _read_networks,
        empty=(),
        flag="--behind-proxy",
    ),
    Setting("cors_origins", "origins whose pages may use the API", _read_origins, empty=()),
    Setting("hsts_seconds", "how long browsers insist on HTTPS; 0: not told", _read_hsts_seconds, default=0),
    Setting(
        "streams_per_key_max", "event streams and waiting polls of one key, on this node", _read_count, default=1_000
    ),
    Setting("streams_per_account_max", "the same of all keys of an account together", _read_count, default=2_000),
    Setting(
        "rate_limit_per_minute",
        "requests in a minute with one agent or read key; 0: any number",
        _read_rate,
        default=1_200,
    ),
    Setting(
        "heartbeat_rate_limit_per_minute",
        "heartbeats in a minute with one agent or read key; 0: any number",
        _read_rate,
        default=60_000,
    ),
    Setting("idempotency_ttl_seconds", "how long an answer is given again under its key", _read_ttl, default=86_400),
    Setting("event_retention_days", "days until events are deleted; 0 keeps them", _read_days, default=90),
    Setting("audit_retention_days", "days until audit records are deleted; 0 keeps them", _read_days, default=365),
    Setting("request_log_retention_days", "days until requests are deleted; 0 keeps them", _read_days, default=7),
    Setting("handoff_expiry_days", "days until open handoffs expire; 0: never", _read_days, default=90),
    Setting("handoff_retention_days", "days until closed handoffs are deleted; 0 keeps them", _read_days, default=0),
    Setting("session_archive_days", "days until finished sessions are archived; 0: never", _read_days, default=30),
    Setting("session_delete_days", "days until archived sessions are deleted; 0: never", _read_days, default=30),
    Setting("task_retention_days", "days until finished tasks are deleted; 0 keeps them", _read_days, default=90),
    Setting("machine_retention_days", "days until silent machines are forgotten; 0: never", _read_days, default=90),
    Setting(
        "recovery_attempts_max",
        "recoveries of the same work until a person has to look",
        _read_attempts,
        default=RECOVERY_ATTEMPTS_MAX,
    ),
    Setting("webhook_timeout_seconds", "how long a receiver may take to answer", _read_timeout, default=15),
    Setting(
        "webhook_allow_private",
        "let webhooks lead to private addresses, also by http",
        _read_switch,
        default=False,
    ),
    Setting(
        "webhook_delivery_retention_days", "days until deliveries are deleted; 0 keeps them", _read_days, default=7
    ),
    Setting(
        "otel_endpoint",
        "where traces are sent by OTLP; default: OTEL_EXPORTER_OTLP_ENDPOINT",
        _read_otel_endpoint,
        find_default=_default_otel_endpoint,
        shown=without_password,
    ),
    Setting(
        "context_relay_key",
        "an agent key of the default account, which clients of the Crane paths may share",
        _read_key,
        is_secret=True,
        aliases=("CONTEXT_RELAY_KEY",),
    ),
    Setting(
        "context_session_stale_minutes",
        "minutes of silence after which a session of the Crane paths is stale",
        _read_stale_minutes,
        default=45,
        aliases=("CONTEXT_SESSION_STALE_MINUTES",),
    ),
    Setting(
        "heartbeat_interval_seconds",
        "seconds between heartbeats on the Crane paths",
        _read_interval,
        default=600,
        aliases=("HEARTBEAT_INTERVAL_SECONDS",),
    ),
    Setting(
        "heartbeat_jitter_seconds",
        "seconds by which they come sooner or later, drawn anew each time",
        _read_count,
        default=120,
        aliases=("HEARTBEAT_JITTER_SECONDS",),
    ),
    Setting(
        "context_idempotency_ttl_seconds",
        "how long an answer of the Crane paths is given again under its key",
        _read_ttl,
        default=3_600,
        aliases=("HOLDFAST_IDEMPOTENCY_TTL_SECONDS", "IDEMPOTENCY_TTL_SECONDS"),
    ),
    Setting("context_ventures", "the only ventures that the Crane paths take; none: any", _read_ventures, empty=()),
)
"""Everything that can be set."""
