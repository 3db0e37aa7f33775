"""The one place that writes what people read: everything is made harmless here, and coloured where somebody looks."""

import os
import shutil
import sys
from collections.abc import Iterable

import click

from holdfast.doors.cli.layout import Line, Span
from holdfast.doors.cli.text import shown

_COLOURS = frozenset({"red", "green", "yellow", "blue", "cyan"})


def is_terminal() -> bool:
    """Whether somebody looks at standard output, rather than a pipe or a file."""
    return sys.stdout.isatty()


def width() -> int | None:
    """How many columns there are to write in; None: as many as it takes."""
    if is_terminal():
        return shutil.get_terminal_size().columns
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else None


def echo(*parts: str | Span, is_error: bool = False) -> None:
    """A line of these pieces, one after the other."""
    spans = [part if isinstance(part, Span) else Span(part) for part in parts]
    line = "".join(_styled(Span(shown(span.text), span.style)) for span in spans).rstrip()
    click.echo(line, err=is_error, color=False if os.environ.get("NO_COLOR") else None)


def echo_lines(lines: Iterable[Line]) -> None:
    """These lines, one below the other."""
    for line in lines:
        echo(*line)


def _styled(span: Span) -> str:
    words = span.style.split()
    if not words or not span.text:
        return span.text
    colour = next((word for word in words if word in _COLOURS), None)
    return click.style(span.text, fg=colour, bold="bold" in words or None, dim="dim" in words or None)
