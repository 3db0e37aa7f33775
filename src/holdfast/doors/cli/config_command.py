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
    from holdfast.doors.cli.layout import Cell, Column, render
    from holdfast.doors.cli.terminal import echo_lines, width

    loaded = load(flags, os.environ, Path.cwd())
    values = shown_values(loaded.settings)
    if is_json:
        document = {name: {"value": value, "source": loaded.sources[name]} for name, value in values.items()}
        click.echo(json.dumps(document, indent=2))
        return
    rows = [
        [
            Cell(setting.name),
            Cell(_in_words(values[setting.name])),
            Cell(loaded.sources[setting.name], "dim" if loaded.sources[setting.name] == "default" else ""),
            Cell(setting.variable, "dim"),
        ]
        for setting in SETTINGS
    ]
    columns = [Column("NAME"), Column("VALUE", shrink=1, cut="middle", least=12), Column("SOURCE"), Column("VARIABLE", drop=1)]
    echo_lines(render(columns, rows, width=width()))


def _in_words(value: str | int | bool | None) -> str:
    return {True: "true", False: "false", None: "not set"}.get(value, str(value)) if value in (True, False, None) and not isinstance(value, int | str) or isinstance(value, bool) else str(value)
