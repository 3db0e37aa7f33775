"""The server's own log lines: one event a line in both forms, and no secret in either."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from holdfast.config import LogFormat, LogLevel
from holdfast.domain.keys import format_key
from holdfast.logs import TRACE_PREFIX, log_to, one_line, redacted

KEY = format_key(bytes(range(32)))
CONFIGURED = "correct horse battery staple"

Written = Callable[[LogFormat], tuple[logging.Logger, io.StringIO]]


@pytest.fixture
def written() -> Iterator[Written]:
    """A logger and where its lines go, in one form; the root logger is given back as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions, logging.getLogger("uvicorn").level

    def start(log_format: LogFormat) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        log_to(stream, log_format=log_format, log_level=LogLevel.INFO, secrets=[CONFIGURED])
        return logging.getLogger("holdfast.test"), stream

    yield start
    root.handlers[:], level, logging.raiseExceptions, uvicorn_level = before
    root.setLevel(level)
    logging.getLogger("uvicorn").setLevel(uvicorn_level)


def test_text_is_a_line_of_time_level_event_and_pairs(written: Written) -> None:
    log, stream = written(LogFormat.TEXT)
    log.warning("sweep_postponed reason=%s tries=%d", "busy", 3)
    log.debug("not_told")
    at, level, *rest = stream.getvalue().removesuffix("\n").split(" ")
    assert (len(at), at[-1], level, rest) == (24, "Z", "WARNING", ["sweep_postponed", "reason=busy", "tries=3"])


def test_json_has_a_field_for_each_pair(written: Written) -> None:
    log, stream = written(LogFormat.JSON)
    log.warning("sweep_postponed reason=%s tries=%d level=%s", "busy", 3, "high")
    line = json.loads(stream.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "holdfast.test",
        "event": "sweep_postponed",
        "reason": "busy",
        "tries": 3,
        "level_": "high",
    }


@pytest.mark.parametrize(
    ("message", "args", "event"),
    [
        ("a sentence of a library: %s", ("x",), "a sentence of a library: x"),
        ("event with=%s more words", ("x",), "event with=x more words"),
        ("event one=%s", ("x", "y"), "event one=%s ('x', 'y')"),
        ("event one=%s two=%s", ("x",), "event one=%s two=%s ('x',)"),
        ("100% sure", (), "100% sure"),
        ("event", (), "event"),
    ],
)
@pytest.mark.parametrize("log_format", list(LogFormat))
def test_what_has_another_form_is_told_as_it_stands(
    message: str, args: tuple[str, ...], event: str, log_format: LogFormat, written: Written
) -> None:
    log, stream = written(log_format)
    log.info(message, *args)
    if log_format == LogFormat.JSON:
        assert json.loads(stream.getvalue())["event"] == event
    else:
        assert stream.getvalue().endswith(f" INFO {event}\n")


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_text_within_a_record_begins_a_line_or_steers_a_terminal(log_format: LogFormat, written: Written) -> None:
    log, stream = written(log_format)
    hostile = "x\n2026-01-17T10:00:00.000Z ERROR forged\r\x1b[2J\u2028\u202e"
    log.info("event reason=%s", hostile)
    try:
        raise ValueError(hostile)
    except ValueError:
        log.exception("failed reason=%s", hostile)
    lines = stream.getvalue().split("\n")[:-1]
    records = [line for line in lines if not line.startswith(TRACE_PREFIX)]
    assert len(records) == 2
    if log_format == LogFormat.JSON:
        assert [json.loads(line)["reason"] for line in lines] == [hostile] * 2
        assert "ValueError" in json.loads(lines[1])["exception"]
    assert not [char for char in stream.getvalue() if not char.isprintable() and char != "\n"]


SECRETS = [
    KEY,
    f"Bearer {KEY}",
    f"https://host/v1?key={KEY}&x=1",
    "postgresql://holdfast:s3cret-pass@db/holdfast",
    "host=db user=holdfast password=s3cret-pass dbname=x",
    "host=db password='s3cret-pass with spaces'",
    "postgresql://db/holdfast?user=a&password=s3cret-pass&x=1",
    "Authorization: Bearer abcdefgh12345678",
    "sk-ant-" + "a1b2c3d4e5f6",
    f"the key is {CONFIGURED}!",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_line_holds_a_secret(secret: str, log_format: LogFormat, written: Written) -> None:
    log, stream = written(log_format)
    log.info("event value=%s", secret)
    log.info(secret)
    log.info("event value=%s", RuntimeError(secret))
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        log.exception("failed")
    for text in (KEY, KEY[4:], "s3cret", "abcdefgh12345678", "sk-ant", CONFIGURED):
        assert text not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 4


@pytest.mark.parametrize("text", ["", "sweep_postponed reason=busy", "token=3", "https://host/path", "fencing_token=7"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(f"said {text}") == f"said {text}"


def test_one_line_escapes_what_is_not_for_reading() -> None:
    assert one_line("grün\n\x1b\u2028") == "grün\\n\\x1b\\u2028"
