"""`holdfast project …`: what sessions and tasks belong to, and how its work stands."""

import json
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import click

from holdfast.domain.project import ProjectStatus
from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.client.api import Answer, Api, Json

F = TypeVar("F", bound=Callable[..., object])

PAGES_MAX = 1_000
"""Of 200 projects each."""

EPILOG = """\b
Examples:
  holdfast project add holdfast --repository github.com/acme/holdfast
  holdfast project show holdfast
  holdfast project change holdfast --status paused      no task is handed out
  holdfast project list --status active

\b
A project that a session names is made by itself.

\b
Exit codes: `holdfast --help` lists them.
"""


@click.group("project", cls=Noun, short_help="Add, change and look at projects.", epilog=EPILOG)
def project_command() -> None:
    """Look after projects."""


project_argument = click.argument("project")
status_option = click.option(
    "--status", type=click.Choice([str(each) for each in ProjectStatus]), help="How it stands."
)


def said_options(command: F) -> F:
    """What can be said of a project, by the names of its fields."""
    for option in (
        click.option("--link", "external_url", metavar="URL", help="Where it is kept elsewhere."),
        click.option(
            "--ref", "external_ref", metavar="TEXT", help="What it is called elsewhere, such as a GitHub project."
        ),
        status_option,
        click.option("--repository", metavar="TEXT", help="Where its code is."),
        click.option("--name", metavar="TEXT", help="What people call it."),
    ):
        command = option(command)
    return command


@project_command.command("add", short_help="Make a project.")
@project_argument
@said_options
@url_option
@json_option
def add_command(*, project: str, url: str | None, is_json: bool, **said: str | None) -> None:
    """Make the project PROJECT, which is the id that sessions and tasks name."""
    api = connect(url)
    _echo(api, _write(api, "POST", "/v1/projects", {"id": project, **_given(said)}), is_json=is_json)


@project_command.command("change", short_help="Change a project.")
@project_argument
@said_options
@url_option
@json_option
def change_command(*, project: str, url: str | None, is_json: bool, **said: str | None) -> None:
    """Change the project PROJECT; what is not named stays."""
    api = connect(url)
    _echo(api, _write(api, "PATCH", _path(project), _given(said)), is_json=is_json)


@project_command.command("show", short_help="One project, and how its work stands.")
@project_argument
@url_option
@json_option
def show_command(*, project: str, url: str | None, is_json: bool) -> None:
    """Show the project PROJECT, with its sessions and tasks counted."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    answer = api.request("GET", f"{_path(project)}/summary")
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
        return
    summary = fields.document_of(api, answer)
    _echo_project(fields.child(summary, "project"))
    terminal.echo(f"Sessions: {_counted(fields.child(summary, 'sessions'))}")
    tasks = fields.child(summary, "tasks")
    terminal.echo(f"Tasks: {_counted(tasks)}; {fields.number(tasks, 'ready') or 0:g} ready")


@project_command.command("list", short_help="List projects.")
@status_option
@url_option
@json_option
def list_command(*, status: str | None, url: str | None, is_json: bool) -> None:
    """List projects, by id."""
    echo_projects(connect(url), {} if status is None else {"status": status}, is_json=is_json)


def echo_projects(api: "Api", query: "Mapping[str, str]", *, is_json: bool) -> None:
    """Print the projects that fit a query, by id."""
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.pages import every_item

    listed = list(every_item(api, "/v1/projects", query, pages_max=PAGES_MAX))
    if is_json:
        click.echo(json.dumps(listed, indent=2))
        return
    if not listed:
        terminal.echo("No project is like that.", is_error=not terminal.is_terminal())
        return
    columns = [
        Column("ID", comfort=16, least=8),
        Column("NAME", comfort=16, least=8, most=40, drop=1),
        Column("STATUS"),
        Column("REPOSITORY", comfort=16, drop=2),
    ]
    rows = []
    for each in listed:
        style = "" if each.get("status") == ProjectStatus.ACTIVE else "dim"
        rows.append([Span(fields.text(each, name), style) for name in ("id", "name", "status", "repository")])
    terminal.echo_lines(render(columns, rows, width=terminal.width()))


def _given(said: "Mapping[str, str | None]") -> "dict[str, Json]":
    return {name: value for name, value in said.items() if value is not None}


def _path(project: str) -> str:
    return f"/v1/projects/{quote(project, safe='')}"


def _write(api: "Api", method: str, path: str, body: "dict[str, Json]") -> "Answer":
    return api.request(method, path, body=body, idempotency_key=secrets.token_hex(16))


def _echo(api: "Api", answer: "Answer", *, is_json: bool) -> None:
    from holdfast.doors.cli import fields

    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        _echo_project(fields.document_of(api, answer))


def _echo_project(project: "Mapping[str, Json]") -> None:
    from holdfast.doors.cli import fields, terminal

    name, repository = fields.text(project, "name"), fields.text(project, "repository")
    called = f" ({name})" if name != fields.text(project, "id") else ""
    where = f", {repository}" if repository else ""
    terminal.echo(f"Project {fields.text(project, 'id')}{called}: {fields.text(project, 'status')}{where}")


def _counted(counts: "Mapping[str, Json]") -> str:
    from holdfast.doors.cli import fields

    by_status = fields.child(counts, "by_status")
    told = [f"{fields.number(by_status, name) or 0:g} {name}" for name in by_status if fields.number(by_status, name)]
    return ", ".join(told) or "none"
