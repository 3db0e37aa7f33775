"""`holdfast task …`: add tasks, claim them, and say what became of them."""

import json
import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import click

from holdfast.domain.task import TaskStatus
from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, present, url_option
from holdfast.doors.cli.sessions import SESSION_VARIABLE, TOKEN_VARIABLE, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.client.api import Answer, Api, Json
    from holdfast.doors.cli.layout import Line, Span

F = TypeVar("F", bound=Callable[..., object])

PAGES_MAX = 10_000
"""Of 200 tasks each."""

ROWS_DEFAULT = 200

NOTHING_READY = 4
"""The exit code where there is no task to claim: another moment would change that."""

EPILOG = """\b
Examples:
  holdfast task add "write the parser" --project holdfast --priority 5
  holdfast task add "write its docs" --project holdfast --depends-on 7K3QZM
  holdfast task claim                         inside a run: for its session
  holdfast task start 7K3QZM                  this one rather than the next
  holdfast task done 7K3QZM --result '{"pull_request": 12}'
  holdfast task fail 7K3QZM --error "the build is broken"
  holdfast task block 7K3QZM --reason "waits for the new API key"
  holdfast task release 7K3QZM --reason "somebody else knows this better"
  holdfast task list --project holdfast --ready
  holdfast task show 7K3QZM
  holdfast task change 7K3QZM --priority 9
  holdfast task delete 7K3QZM

\b
TASK is an id as `holdfast task list` shows it, or whole, or four or more
characters of its beginning or end. Inside `holdfast run`, SESSION and its
token are those of the run.

\b
Exit codes: `holdfast --help` lists them; 4 also where nothing is ready.
"""


@click.group("task", cls=Noun, short_help="Add, claim and finish tasks.", epilog=EPILOG)
def task_command() -> None:
    """Work off the tasks of projects: each is done by one session, for as long as that lives."""


task_argument = click.argument("task")
session_option = click.option(
    "--session", envvar=SESSION_VARIABLE, metavar="SESSION", help=f"Which session. Default: {SESSION_VARIABLE}."
)
token_option = click.option(
    "--token", type=click.IntRange(min=1), metavar="N", help=f"Its fencing token. Default: {TOKEN_VARIABLE}."
)


def worker_options(command: F) -> F:
    """The options of a verb that the session says which holds the task."""
    for option in (json_option, url_option, token_option, session_option, task_argument):
        command = option(command)
    return command


@task_command.command("add", short_help="Add a task to a project.")
@click.argument("name")
@click.option("--project", metavar="ID", help="Which project. Default: that of the session it is reserved for.")
@click.option("--description", metavar="TEXT", help="What there is to do.")
@click.option("--priority", type=int, metavar="N", help="The higher is claimed first. Default: 0.")
@click.option("--depends-on", multiple=True, metavar="TASK", help="Done before this one begins. May be repeated.")
@click.option("--reserve", is_flag=True, help="For the session, and no other.")
@click.option("--ref", metavar="TEXT", help="What it is called elsewhere, such as an issue.")
@click.option("--link", metavar="URL", help="Where it is kept elsewhere.")
@session_option
@token_option
@url_option
@json_option
def add_command(
    *,
    name: str,
    project: str | None,
    description: str | None,
    priority: int | None,
    depends_on: tuple[str, ...],
    reserve: bool,
    ref: str | None,
    link: str | None,
    session: str | None,
    token: int | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Add the task NAME to a project."""
    from holdfast.doors.cli.pages import find_task_id

    if project is None and not reserve:
        raise click.UsageError("Name a project by --project; `holdfast project list` lists them.")
    api = connect(url)
    told = {
        "project_id": project,
        "description": description,
        "priority": priority,
        "external_ref": ref,
        "external_url": link,
    }
    body: dict[str, Json] = {"name": name, **{key: value for key, value in told.items() if value is not None}}
    if depends_on:
        body["depends_on"] = [find_task_id(api, each) for each in depends_on]
    if reserve:
        body |= _worker(api, session, token, is_required=True)
    _echo(api, _post(api, "/v1/tasks", body), is_json=is_json)


@task_command.command("list", short_help="List tasks.")
@click.option("--project", metavar="ID", help="Of this project.")
@click.option("--session", metavar="SESSION", help="Only those that were given to this session.")
@click.option("--status", type=click.Choice([str(each) for each in TaskStatus]), help="Only these.")
@click.option("--ready", is_flag=True, help="Only those that can be claimed now.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help=f"At most N. Default: {ROWS_DEFAULT}; all with --json."
)
@url_option
@json_option
def list_command(
    *,
    project: str | None,
    session: str | None,
    status: str | None,
    ready: bool,
    limit: int | None,
    url: str | None,
    is_json: bool,
) -> None:
    """List tasks, newest first."""
    from holdfast.doors.cli.pages import find_session_id

    api = connect(url)
    query = {"project_id": project, "status": status, "ready": "true" if ready else None}
    if session is not None:
        query["session_id"] = find_session_id(api, session)
    asked = {name: value for name, value in query.items() if value is not None}
    echo_tasks(api, [asked], limit=limit, is_json=is_json)


@task_command.command("show", short_help="Show all that is known of a task.")
@task_argument
@url_option
@json_option
def show_command(*, task: str, url: str | None, is_json: bool) -> None:
    """Show all that is known of TASK."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.facts import echo_facts, task_facts

    api = connect(url)
    answer = api.request("GET", _path(api, task))
    _echo(api, answer, is_json=is_json)
    if not is_json:
        echo_facts(task_facts(fields.document_of(api, answer), now=present(answer)))


@task_command.command("claim", short_help="Take the next task that is ready.")
@click.option("--project", metavar="ID", help="Of this project. Default: the session's.")
@session_option
@token_option
@url_option
@json_option
@click.pass_context
def claim_command(
    ctx: click.Context,
    *,
    project: str | None,
    session: str | None,
    token: int | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Take the next task of a project for SESSION: the most urgent that is ready, and the oldest of those.

    The session keeps it until it is done, or until the session's lease is over; then it is pending again.
    """
    from holdfast.doors.cli import terminal

    api = connect(url)
    body = _worker(api, session, token, is_required=True)
    if project is not None:
        body["project_id"] = project
    answer = _post(api, "/v1/tasks/claim", body)
    if answer.status != 204:
        _echo(api, answer, is_json=is_json)
        return
    if is_json:
        click.echo("null")
    terminal.echo("No task is ready.", is_error=True)
    ctx.exit(NOTHING_READY)


@task_command.command("start", short_help="Work on a certain task.")
@worker_options
def start_command(*, task: str, session: str | None, token: int | None, url: str | None, is_json: bool) -> None:
    """Work on TASK. Outside a run and without --session, nobody's lease is tied to it."""
    _say(task, "start", {}, session=session, token=token, url=url, is_json=is_json)


@task_command.command("done", short_help="Say that a task is done.")
@worker_options
@click.option("--result", metavar="JSON", help="What came of it; @FILE reads it from a file.")
def done_command(
    *, task: str, result: str | None, session: str | None, token: int | None, url: str | None, is_json: bool
) -> None:
    """Complete TASK; those that waited for nothing else become ready."""
    body = {} if result is None else {"result": read_json(result, option="--result")}
    _say(task, "complete", body, session=session, token=token, url=url, is_json=is_json)


@task_command.command("fail", short_help="Say that a task went wrong.")
@worker_options
@click.option("--error", "error_message", required=True, metavar="TEXT", help="What went wrong.")
def fail_command(
    *, task: str, error_message: str, session: str | None, token: int | None, url: str | None, is_json: bool
) -> None:
    """Fail TASK. `holdfast task release` has it tried anew."""
    _say(task, "fail", {"error_message": error_message}, session=session, token=token, url=url, is_json=is_json)


@task_command.command("block", short_help="Say that a task cannot go on for now.")
@worker_options
@click.option("--reason", metavar="TEXT", help="What it waits for.")
def block_command(
    *, task: str, reason: str | None, session: str | None, token: int | None, url: str | None, is_json: bool
) -> None:
    """Set TASK aside until somebody releases it; its session is free for another."""
    body: dict[str, Json] = {} if reason is None else {"reason": reason}
    _say(task, "block", body, session=session, token=token, url=url, is_json=is_json)


@task_command.command("release", short_help="Give a task back, unblock it, or have it tried anew.")
@worker_options
@click.option("--reason", metavar="TEXT", help="Why.")
def release_command(
    *, task: str, reason: str | None, session: str | None, token: int | None, url: str | None, is_json: bool
) -> None:
    """Make TASK pending again, for anybody to claim."""
    body: dict[str, Json] = {} if reason is None else {"reason": reason}
    _say(task, "release", body, session=session, token=token, url=url, is_json=is_json)


@task_command.command("change", short_help="Change a task's name, priority, or what it waits for.")
@task_argument
@click.option("--name", metavar="TEXT", help="What people call it.")
@click.option("--description", metavar="TEXT", help="What there is to do.")
@click.option("--priority", type=int, metavar="N", help="The higher is claimed first.")
@click.option("--depends-on", multiple=True, metavar="TASK", help="In place of all before. May be repeated.")
@click.option("--no-depends-on", is_flag=True, help="It waits for nothing.")
@url_option
@json_option
def change_command(
    *,
    task: str,
    name: str | None,
    description: str | None,
    priority: int | None,
    depends_on: tuple[str, ...],
    no_depends_on: bool,
    url: str | None,
    is_json: bool,
) -> None:
    """Change TASK; what is not named stays."""
    from holdfast.doors.cli.pages import find_task_id

    if depends_on and no_depends_on:
        raise click.UsageError("--depends-on and --no-depends-on exclude each other.")
    api = connect(url)
    told = {"name": name, "description": description, "priority": priority}
    body: dict[str, Json] = {key: value for key, value in told.items() if value is not None}
    if depends_on or no_depends_on:
        body["depends_on"] = [find_task_id(api, each) for each in depends_on]
    path = _path(api, task)
    _echo(api, api.request("PATCH", path, body=body, idempotency_key=secrets.token_hex(16)), is_json=is_json)


@task_command.command("delete", short_help="Delete a task that nobody works on.")
@task_argument
@url_option
@json_option
def delete_command(*, task: str, url: str | None, is_json: bool) -> None:
    """Delete TASK; one that others wait for stays."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    answer = api.request("DELETE", _path(api, task), idempotency_key=secrets.token_hex(16))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"{fields.text(fields.document_of(api, answer), 'id')} is deleted.")


def echo_tasks(api: "Api", queries: "Sequence[Mapping[str, str]]", *, limit: int | None, is_json: bool) -> None:
    """Print the tasks that fit these queries, one after the other, each newest first."""
    from itertools import chain, islice

    from holdfast.doors.cli import terminal
    from holdfast.doors.cli.pages import every_item

    rows_max = limit if limit is not None or is_json else ROWS_DEFAULT
    found = chain.from_iterable(every_item(api, "/v1/tasks", each, pages_max=PAGES_MAX) for each in queries)
    listed = list(islice(found, rows_max))
    if is_json:
        click.echo(json.dumps(listed, indent=2))
    elif listed:
        now = present(api.request("GET", "/v1/tasks", query={"limit": "1"}))
        terminal.echo_lines(table(listed, now=now, width=terminal.width()))
    else:
        terminal.echo("No task is like that.", is_error=not terminal.is_terminal())


def table(tasks: "Sequence[Mapping[str, Json]]", *, now: float, width: int | None) -> "list[Line]":
    """A line of titles and a line a task, within the width."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import age, short_id, short_ids

    columns = [
        Column("ID"),
        Column("STATUS", comfort=28, least=12),
        Column("NAME", comfort=24, least=12, most=60),
        Column("PROJECT", comfort=16, least=8, most=32, drop=1),
        Column("PRIORITY", drop=3),
        Column("SESSION", drop=2),
        Column("AGE"),
    ]
    names = short_ids(fields.text(each, "id") for each in tasks)
    rows = []
    for each in tasks:
        created_at = fields.at(each, "created_at")
        session_id = fields.text(each, "session_id")
        rows.append(
            [
                Span(names[fields.text(each, "id")], "dim" if each.get("finished_at") else "bold"),
                status_words(each),
                Span(fields.text(each, "name")),
                Span(fields.text(each, "project_id"), "dim"),
                Span("" if not (priority := fields.number(each, "priority")) else f"{priority:g}"),
                Span(short_id(session_id) if session_id else "", "dim"),
                Span("" if created_at is None else age(now - created_at)),
            ]
        )
    return render(columns, rows, width=width)


def status_words(task: "Mapping[str, Json]") -> "Span":
    """How a task is, and why."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Span

    status = fields.text(task, "status")
    waiting = fields.number(task, "waiting_count") or 0
    attempts = fields.number(task, "attempts") or 0
    match status:
        case TaskStatus.PENDING:
            words = "ready" if task.get("ready") is True else f"waits for {waiting:g}"
            tried = "" if not attempts else ", tried once" if attempts == 1 else f", tried {attempts:g} times"
            return Span(f"pending, {words}{tried}")
        case TaskStatus.IN_PROGRESS:
            again = f", attempt {attempts:g}" if attempts > 1 else ""
            return Span(f"in progress{again}", "green")
        case TaskStatus.FAILED:
            return Span(f"failed: {fields.text(task, 'error_message')}", "red")
        case TaskStatus.BLOCKED:
            reason = fields.text(task, "status_reason")
            return Span(f"blocked: {reason}" if reason else "blocked", "yellow")
        case _:
            return Span(status, "dim")


def _say(
    task: str,
    verb: str,
    body: "dict[str, Json]",
    *,
    session: str | None,
    token: int | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Say something of a task, as a session where one is named, and print the task."""
    api = connect(url)
    path = _path(api, task)
    _echo(api, _post(api, f"{path}/{verb}", {**_worker(api, session, token), **body}), is_json=is_json)


def _worker(api: "Api", session: str | None, token: int | None, *, is_required: bool = False) -> "dict[str, Json]":
    """The session that says so, and its token: given, or that of the run inside which this runs."""
    from holdfast.doors.cli.pages import find_session_id

    if not session:
        if is_required:
            raise click.UsageError(f"Name a session by --session; there is no {SESSION_VARIABLE} here.")
        return {}
    session_id = find_session_id(api, session)
    worker: dict[str, Json] = {"session_id": session_id}
    inherited = os.environ.get(TOKEN_VARIABLE, "")
    if token is not None:
        worker["fencing_token"] = token
    elif session_id == os.environ.get(SESSION_VARIABLE) and inherited.isdecimal():
        worker["fencing_token"] = int(inherited)
    return worker


def _path(api: "Api", task: str) -> str:
    from holdfast.doors.cli.pages import find_task_id

    return f"/v1/tasks/{quote(find_task_id(api, task), safe='')}"


def _post(api: "Api", path: str, body: "dict[str, Json]") -> "Answer":
    return api.request("POST", path, body=body, idempotency_key=secrets.token_hex(16))


def _echo(api: "Api", answer: "Answer", *, is_json: bool) -> None:
    """Print a task: which it is, and how."""
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Span

    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
        return
    task = fields.document_of(api, answer)
    terminal.echo(Span(fields.text(task, "id"), "bold"), f"  {fields.text(task, 'name')}")
    terminal.echo(status_words(task))
