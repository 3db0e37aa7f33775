"""`holdfast config`: the settings in force for a server started here, and where each came from."""

import json
import os
from pathlib import Path

import click

from holdfast.doors.cli.options import json_option
from holdfast.doors.cli.serve import server_options

EPILOG = """\b
Examples:
  holdfast config
  holdfast config --config team.toml --json

\b
Exit codes: 0; 2 a setting is wrong, and all that are wrong are named.
"""


@click.command("config", short_help="Show the server's settings and where each came from.", epilog=EPILOG)
@server_options
@json_option
def config_command(*, is_json: bool, **flags: str | bool | None) -> None:
    """Show the settings that `holdfast serve` would start with here, and where each value came from."""
    from holdfast.config import SETTINGS, load, shown_values
    from holdfast.doors.cli import terminal
    from holdfast.doors.cli.layout import Column, Span, render

    loaded = load(flags, os.environ, Path.cwd())
    values = shown_values(loaded.settings)
    if is_json:
        document = {name: {"value": value, "source": loaded.sources[name]} for name, value in values.items()}
        click.echo(json.dumps(document, indent=2))
        return
    rows = []
    for setting in SETTINGS:
        source, value = loaded.sources[setting.name], values[setting.name]
        rows.append(
            [
                Span(setting.name),
                Span("not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)),
                Span(source, "dim" if source == "default" else ""),
                Span(setting.variable, "dim"),
                Span(setting.help, "dim"),
            ]
        )
    columns = [
        Column("NAME"),
        Column("VALUE", comfort=20, least=12, cut="middle"),
        Column("SOURCE", comfort=14, cut="start"),
        Column("VARIABLE", drop=1),
        Column("WHAT IT IS", drop=2),
    ]
    terminal.echo_lines(render(columns, rows, width=terminal.width()))
