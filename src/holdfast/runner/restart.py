"""Beginning anew after a failure: whether, when, and how the runner makes a fresh start of itself.

A restart is the runner executed again in the same process, with its streams and signals as they were at first, so that
nothing of the attempt before is left in it. What the next one has to know is in one variable, which no command sees.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.runner.exits import CommandEnd

VARIABLE = "HOLDFAST_RESTART"

DELAY_SECONDS_FIRST = 1.0
DELAY_SECONDS_MAX = 60.0
"""A command that fails at once must keep neither this machine nor the server busy."""

RESTARTS_MAX = 1_000

CLEAN_SIGNALS = frozenset({1, 2, 13, 15})
"""SIGHUP, SIGINT, SIGPIPE, SIGTERM: whoever ends a command by these meant it. Source: systemd.service(5)."""

CLEAN_CODES = frozenset({0, *(128 + number for number in CLEAN_SIGNALS)})


class RestartPolicy(NamedTuple):
    """When to restart. restarts_max: None: as often as the server lets the work be recovered."""

    restarts_max: int | None


class Restart(NamedTuple):
    """What an attempt leaves to the next. restarts: how many there were, this one included; end: how it ended."""

    session_id: str
    restarts: int
    end: CommandEnd


def parse(text: str) -> RestartPolicy | None:
    """`no`, `on-failure` or `on-failure:N`; None: never. Raises: ValueError."""
    name, colon, number = text.partition(":")
    if name == "no" and not colon:
        return None
    if name != "on-failure" or (colon and not (number.isascii() and number.isdigit() and len(number) <= 4)):
        raise ValueError("must be no, on-failure, or on-failure:N")
    if colon and not 1 <= int(number) <= RESTARTS_MAX:
        raise ValueError(f"must allow 1 to {RESTARTS_MAX} restarts")
    return RestartPolicy(int(number) if colon else None)


def is_failure(end: CommandEnd) -> bool:
    """Whether a command ended in a way that calls for a restart."""
    return end.exit_code not in CLEAN_CODES if end.signal_number is None else end.signal_number not in CLEAN_SIGNALS


def may_restart(policy: RestartPolicy | None, *, restarts: int) -> bool:
    """Whether one more restart is within what the user asked for; the server has its own bound."""
    return policy is not None and (policy.restarts_max is None or restarts < policy.restarts_max)


def delay_seconds(restarts: int, *, draw: float) -> float:
    """Seconds before a restart, after so many others. draw: from 0 to 1, so that many do not come back together."""
    return min(DELAY_SECONDS_FIRST * 2.0 ** min(restarts, 16), DELAY_SECONDS_MAX) * (0.5 + draw / 2)


def inherited(environ: Mapping[str, str]) -> Restart | None:
    """What the attempt before this one left; None: this is the first."""
    try:
        fields = json.loads(environ.get(VARIABLE, ""))
        end = CommandEnd(_whole(fields["exit_code"]), _whole(fields["signal"]))
        return Restart(str(fields["session_id"]), int(fields["restarts"]), end)
    except (ValueError, KeyError, TypeError):
        return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def begin_anew(restart: Restart, environ: Mapping[str, str], *, streams: tuple[int, int], ignored: set[int]) -> None:
    """Execute this program again; returns only by an exception.

    streams: descriptors of standard input and output as they were at first. ignored: signals that were ignored then.
    Raises: OSError.
    """
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        if number not in ignored:
            signal.signal(number, signal.SIG_DFL)
    told = {"session_id": restart.session_id, "restarts": restart.restarts}
    told |= {"exit_code": restart.end.exit_code, "signal": restart.end.signal_number}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**environ, VARIABLE: json.dumps(told)})
