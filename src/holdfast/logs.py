"""The server's own log: one event a line, for people or for machines, without secrets.

Whatever is logged is `event key=value …`, with `%` arguments. The text form shows it as it is, in one line; the JSON
form makes each pair a field of its own, of the argument's own type where that is a number.
"""

import json
import logging
import re
import sys
from collections.abc import Collection, Mapping
from typing import IO, Any

from holdfast.config import LogFormat, LogLevel
from holdfast.domain.keys import KEY_PREFIX
from holdfast.domain.times import rfc3339
from holdfast.runner.redaction import REDACTED, redact_text

_KEY = re.compile(re.escape(KEY_PREFIX) + r"[0-9A-Za-z]+")
_PASSWORD = re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)")
_LOOKS_SECRET = re.compile(
    r"(?i)hfk_|sk-|[rsp]k_|gh[opsur]_|github_|gl[a-z]+-|xox|xapp|AKIA|ASIA|AIza|ya29|eyJ|hf_|npm_|pypi-|dop_|SG\.|://|"
    r"bearer|basic|token|password"
)
"""What every text that `redacted` changes has somewhere: most have none of it, and cost one search."""

_EVENT = re.compile(r"[a-z][a-z0-9_]*")
_PAIR = re.compile(r" ([a-z][a-z0-9_]*)=%(?:[-+0-9.]*)[sdrf]")

_RESERVED = frozenset({"at", "level", "logger", "event", "exception"})

TRACE_PREFIX = "  | "
"""Before every further line of a record: no text within an exception can begin a line, and so pass for a record."""


def redacted(text: str) -> str:
    """A text without keys of ours, passwords of databases, and tokens of forms that are widely known."""
    if _LOOKS_SECRET.search(text) is None:
        return text
    return _PASSWORD.sub(rf"\1{REDACTED}", _KEY.sub(KEY_PREFIX + REDACTED, redact_text(text)))


def log_to(stream: IO[str], *, log_format: LogFormat, log_level: LogLevel, secrets: Collection[str]) -> None:
    """Log to a stream from now on, and nowhere else. secrets: texts of any form that no line may hold."""
    handler = logging.StreamHandler(stream)
    make = JsonFormatter if log_format == LogFormat.JSON else TextFormatter
    handler.setFormatter(make(secrets=secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log_level.value.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # Its start and stop are told by ours.
    # Where a record cannot be written there is nobody left to tell.
    logging.raiseExceptions = sys.flags.dev_mode


class _Formatter(logging.Formatter):
    def __init__(self, *, secrets: Collection[str]) -> None:
        super().__init__()
        self._secrets = sorted((each for each in secrets if each), key=len, reverse=True)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return redacted(text)

    def _exception(self, record: logging.LogRecord) -> str | None:
        if not record.exc_info:
            return None
        return self._clean(self.formatException(record.exc_info))


class TextFormatter(_Formatter):
    """`2026-01-17T10:00:00.000Z WARNING sweep_postponed reason=busy`: one line, and a trace behind it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line; what steers a terminal, or begins a line, is escaped."""
        told = one_line(self._clean(_message(record)))
        lines = [f"{rfc3339(int(record.created * 1_000))} {record.levelname} {told}"]
        exception = self._exception(record)
        if exception is not None:
            lines += [TRACE_PREFIX + one_line(line) for line in exception.split("\n")]
        return "\n".join(lines)


class JsonFormatter(_Formatter):
    """An object a line: `at`, `level`, `logger`, `event`, then the record's own pairs, then `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's object."""
        event, fields = _parted(record)
        line: dict[str, Any] = {
            "at": rfc3339(int(record.created * 1_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._clean(event),
        }
        for name, value in fields.items():
            key = f"{name}_" if name in _RESERVED else name
            line[key] = value if isinstance(value, int | float) else self._clean(str(value))
        exception = self._exception(record)
        if exception is not None:
            line["exception"] = exception
        return json.dumps(line, allow_nan=True)


def one_line(text: str) -> str:
    """A text in which every character that is not for reading appears as an escape: `\\n`, `\\x1b`, `\\u2028`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _message(record: logging.LogRecord) -> str:
    """What a record says. A call with arguments that do not fit its text is told as it stands, rather than lost."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


def _parted(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """The event's name and its pairs; all of the message as the event, where it has another form."""
    template, args = str(record.msg), record.args
    event = _EVENT.match(template)
    if event is not None and isinstance(args, tuple):
        names = _PAIR.findall(template)
        if _PAIR.sub("", template) == event[0] and len(names) == len(args):
            return event[0], dict(zip(names, args, strict=True))
    return _message(record), {}
