"""What every command that lists something prints: the whole as JSON, else a table, else that there is nothing."""

import json
from collections.abc import Callable, Iterable, Sequence

import click

from holdfast.client.api import Json
from holdfast.doors.cli import terminal
from holdfast.doors.cli.layout import Column, Span, render

Item = dict[str, Json]


def echo_list(
    items: Iterable[Item],
    columns: Sequence[Column],
    row: Callable[[Item], Sequence[Span]],
    *,
    is_json: bool,
    nothing: str | None = None,
) -> None:
    """Print these, a line each. nothing: what is said instead where there are none; None: the titles stand alone."""
    listed = list(items)
    if is_json:
        click.echo(json.dumps(listed, indent=2))
    elif nothing is not None and not listed:
        terminal.echo(nothing)
    else:
        terminal.echo_lines(render(columns, [row(each) for each in listed], width=terminal.width()))
