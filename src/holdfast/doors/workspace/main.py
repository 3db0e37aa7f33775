"""`holdfast session-state` and the other commands of a workspace: from a command line to an exit code."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.commands.view import Reply
from holdfast.domain.errors import Refusal
from holdfast.domain.limits import LEASE_MS_MAX, SECOND_MS
from holdfast.domain.policy import INTERACTIVE
from holdfast.doors.shown import shown
from holdfast.doors.workspace import place, words
from holdfast.doors.workspace.arguments import Arguments, HelpWanted, Option, Usage, help_of, parse, require
from holdfast.doors.workspace.place import Place, PlaceInvalid
from holdfast.doors.workspace.words import Stopped
from holdfast.embedded import Embedded, failure_of

if TYPE_CHECKING:
    from holdfast.doors.workspace.server import Remote

ID_CHARS_MAX = 200
REASON_CHARS_MAX = 2_000

COMMON = (
    Option("--path", "The workspace: a directory in it. Default: the current one."),
    Option("--profile", "Default: HOLDFAST_PROFILE, else main."),
    Option("--locality-id", "What the repository is called. Default: `locality_id` in its .holdfast.toml."),
    Option("--server", "Act on the shared server (also HOLDFAST_SESSION_STATE=server).", is_flag=True),
    Option("--url", "The server, with --server. Default: HOLDFAST_URL."),
    Option("--output", "How to answer. Default: text.", choices=("text", "json")),
    Option("--json", "The same as --output json.", is_flag=True),
)

MODES = ("general", "research", "implement")
OWNER_KINDS = ("interactive", "runtime_supervisor", "runtime_worker")
LEASE = Option("--lease-seconds", "How long the lease runs.", is_number=True, numbers=(1, LEASE_MS_MAX // SECOND_MS))
ACTOR = Option("--actor-id", "Who acts.")
SUPERVISOR = Option("--supervisor-id", "Who else may clear the session.")


class Context(NamedTuple):
    """One call: what was given, where it acts, and on what."""

    arguments: Arguments
    place: Place
    locality: str | None
    remote: "Remote | None"

    @property
    def path(self) -> str:
        """What a report calls the workspace."""
        return self.place.database if self.remote is None else self.remote.path

    @property
    def scope(self) -> str:
        """The scope of the workspace in its database."""
        return f"workspace={self.place.profile}" if self.remote is None else self.remote.scope

    def warn(self, text: str) -> None:
        """Say something that does not make the command fail."""
        print(f"warning: {shown(text)}", file=sys.stderr)


class Verb(NamedTuple):
    """A command. report: what its reports say as `command`."""

    report: str
    options: tuple[Option, ...]
    act: Callable[[Context], dict[str, Any]]
    lines: Callable[[dict[str, Any]], list[str]]
    meaning: str
    keeps: tuple[str, ...] = ()
    takes_words: bool = False


# Doing it.


def run(context: Context, command: Any, *, creates: bool = False) -> dict[str, Any]:
    """What a command answers. Raises: Stopped."""
    if context.remote is not None:
        report: dict[str, Any] = context.remote.run(command)
        return report
    database = open_database(context, creates=creates)
    try:
        outcome = database.run(command)
    finally:
        database.close()
    if isinstance(outcome, Refusal):
        raise words.stopped_by(outcome)
    assert isinstance(outcome, Reply)
    return outcome.body


def open_database(context: Context, *, creates: bool) -> Embedded:
    """The workspace's database, what files of an older kind held brought in. Raises: Stopped, FileNotFoundError."""
    where = context.place
    legacy = [name for name in place.LEGACY_FILES if os.path.exists(os.path.join(where.directory, name))]
    if legacy and not os.path.exists(where.database):
        from holdfast.doors.workspace.legacy import check

        check(where, legacy)
    if creates:
        place.make(where)
    database = Embedded(where.database, creates=creates or bool(legacy))
    if legacy:
        from holdfast.doors.workspace.legacy import bring_in

        try:
            bring_in(database, where, context.scope, legacy)
        except BaseException:
            database.close()
            raise
    return database


def read(context: Context, question: Callable[..., Any], **asked: Any) -> Any:
    """What a question about committed rows is answered. Raises: Stopped, FileNotFoundError."""
    if context.remote is not None:
        return context.remote.read(question, **asked)
    database = Embedded(context.place.database, creates=False)
    try:
        return question(database.rows, database.actor, scope=context.scope, **asked)
    except Refusal as refusal:
        raise words.stopped_by(refusal) from refusal
    finally:
        database.close()


def require_profile(context: Context) -> None:
    """Refuse a profile that was named and never started. Raises: Stopped."""
    where = context.place
    if context.remote is not None or where.profile == place.DEFAULT_PROFILE or place.exists(where):
        return
    known = ", ".join(place.known_profiles(where)) or "none"
    raise Stopped(
        words.REFUSED,
        "profile_not_found",
        f"profile `{where.profile}` does not exist at {shown(where.directory)}; there is: {known}",
        f"run `holdfast session-state start --profile {where.profile}`",
    )


def note_presence(context: Context, *, health: str, lease_seconds: int) -> None:
    """Note that somebody works on this machine, as well as that goes."""
    problem = place.record_presence(
        context.place, health=health, lease_seconds=lease_seconds, locality=context.locality
    )
    if problem is not None:
        context.warn(problem)


def heartbeat(context: Context) -> dict[str, Any]:
    """Renew the lease, and say what is being done."""
    from holdfast.commands.workspaces import BeatWorkspace

    require_profile(context)
    arguments = context.arguments
    actor_id = arguments.text("actor_id") or "interactive"
    command = BeatWorkspace(context.scope, actor_id, arguments.text("activity"))
    try:
        report = run(context, command)
    except FileNotFoundError:
        from holdfast.domain.errors import Code

        raise words.stopped_by(Refusal(Code.WORKSPACE_EMPTY)) from None
    note_presence(context, health="ready", lease_seconds=report.pop("lease_ttl_secs") or INTERACTIVE_LEASE_SECONDS)
    return report


INTERACTIVE_LEASE_SECONDS = INTERACTIVE.lease_ms // SECOND_MS

HEARTBEAT = Verb(
    "session-state-heartbeat",
    (
        *COMMON,
        Option("--actor-id", "Who works here; left out where a person does."),
        Option("--activity", "What is being done, in up to 280 characters."),
    ),
    heartbeat,
    words.heartbeat_lines,
    "Renew the lease of the session that works here.",
)


def _others(group: str) -> dict[str, Verb]:
    """The verbs of a group but heartbeat, whose modules a heartbeat does not import."""
    if group == "session-state":
        from holdfast.doors.workspace.sessions import VERBS

        return VERBS
    from holdfast.doors.workspace.boards import ESCALATION, GATES

    return ESCALATION if group == "escalation" else GATES


GROUPS = ("session-state", "escalation", "gates")
PLAIN = ("prompt", "git-hook")
NAMES = (*GROUPS, *PLAIN)
"""What this door answers to."""


EXAMPLES = {
    "session-state": (
        "  holdfast session-state start",
        "  holdfast session-state start --lifecycle autonomous --actor-id w1 \\\n      --lease-seconds 300",
        "  holdfast session-state heartbeat --actor-id w1 --activity 'running the tests'",
        "  holdfast session-state takeover --actor-id w2 --reason 'w1 fell silent'",
        "  holdfast session-state show --json",
    ),
    "escalation": (
        "  holdfast escalation add --reason 'which schema?' --blocking",
        "  holdfast escalation list",
    ),
    "gates": ("  holdfast gates set 'tests pass' 'review done' --met 1", "  holdfast gates list"),
}
EXIT_CODES = "Exit codes: 0 done, 2 usage, 3 refused, 4 conflict: try again, 1 anything else."


# From a command line to an exit code.


def main(argv: list[str]) -> int:
    """Carry out one command line, without the name of the program; the exit code."""
    group, rest = argv[0], argv[1:]
    try:
        if group in PLAIN:
            from holdfast.doors.workspace import git_hook, prompt

            return prompt.main(rest) if group == "prompt" else git_hook.main(rest)
        if rest[:1] == ["heartbeat"] and group == "session-state":
            return carry_out(group, HEARTBEAT, rest[1:])
        verbs = _others(group)
        verb = verbs.get(rest[0]) if rest else None
        if verb is None:
            return _without_verb(group, rest, verbs)
        return carry_out(group, verb, rest[1:])
    except BrokenPipeError:
        # Whoever read has enough; Python would complain of the rest at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return words.FAILED


def _without_verb(group: str, rest: list[str], verbs: dict[str, Verb]) -> int:
    is_help = rest[:1] in (["-h"], ["--help"])
    stream = sys.stdout if is_help else sys.stderr
    if rest and not is_help:
        print(f"Error: there is no command `{shown(rest[0])}`", file=stream)
    lines = [f"Usage: holdfast {group} {'|'.join(verbs)} [OPTIONS]", ""]
    lines += [f"  {name:<10} {verb.meaning}" for name, verb in verbs.items()]
    lines += ["", "Examples:", *EXAMPLES[group], "", EXIT_CODES]
    lines += ["", f"`holdfast {group} COMMAND --help` lists the options of a command."]
    print("\n".join(lines), file=stream)
    return words.DONE if is_help else words.USAGE


def carry_out(group: str, verb: Verb, argv: list[str]) -> int:
    """Carry out one verb, and print its report or why there is none."""
    is_json, path = _wants_json(argv), None
    try:
        arguments = parse(argv, verb.options)
        if arguments.words and not verb.takes_words:
            raise Usage(f"`{shown(arguments.words[0])}` is not expected here")
        context = context_of(arguments)
        path = context.path
        require(arguments, verb.options)
        _check_texts(arguments)
        report = {
            "command": verb.report,
            "ok": True,
            "profile": context.place.profile,
            "path": context.path,
            **verb.act(context),
        }
    except HelpWanted:
        name = verb.report.removeprefix(f"{group}-")
        print("\n".join([f"Usage: holdfast {group} {name} [OPTIONS]", "", verb.meaning, "", *help_of(verb.options)]))
        return words.DONE
    except Usage as usage:
        return _tell(verb, Stopped(words.USAGE, "usage", str(usage)), is_json=is_json)
    except PlaceInvalid as invalid:
        return _tell(verb, Stopped(words.USAGE, invalid.code, shown(str(invalid))), is_json=is_json)
    except Stopped as stopped:
        return _tell(verb, stopped, is_json=is_json)
    except Exception as error:
        return _tell(verb, failure(error, path=path), is_json=is_json)
    if is_json:
        words.print_json(words.without_absent(report, keeps=verb.keeps))
    else:
        print("\n".join(verb.lines(report)))
    return words.DONE


def context_of(arguments: Arguments) -> Context:
    """Where a command acts. Raises: PlaceInvalid, Stopped."""
    where = place.find(arguments.text("path") or ".", arguments.text("profile"))
    locality, problem = arguments.text("locality_id"), None
    if locality is None:
        locality, problem = place.locality_id(where)
    remote = None
    if arguments.flag("server") or os.environ.get("HOLDFAST_SESSION_STATE") == "server":
        from holdfast.doors.workspace.server import Remote

        remote = Remote(where, locality, url=arguments.text("url"))
    context = Context(arguments, where, locality, remote)
    if problem is not None:
        context.warn(problem)
    return context


def _wants_json(argv: list[str]) -> bool:
    """Whether the answer is to be JSON, as far as a command line tells that may be wrong."""
    pairs = zip(argv, [*argv[1:], ""], strict=False)
    return any(
        word in ("--json", "--output=json") or (word == "--output" and following == "json") for word, following in pairs
    )


def _check_texts(arguments: Arguments) -> None:
    """Refuse ids and reasons that nothing could hold. Raises: Usage."""
    for key, value in arguments.options.items():
        if not isinstance(value, str):
            continue
        name = "--" + key.replace("_", "-")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Usage(f"`{name}` is not text in UTF-8") from None
        if key.endswith("_id") and not 1 <= len(value) <= ID_CHARS_MAX:
            raise Usage(f"`{name}` must have from 1 to {ID_CHARS_MAX} characters")
        if key == "reason" and not 1 <= len(value.strip()) <= REASON_CHARS_MAX:
            raise Usage(f"`{name}` must have from 1 to {REASON_CHARS_MAX} characters")


def failure(error: Exception, *, path: str | None) -> Stopped:
    """A failure that no rule foresees, in a sentence. Raises: the error itself, where it is a bug.

    path: the database, where it is known.
    """
    described = failure_of(error)
    if described is not None:
        exit_code = words.CONFLICT if described.is_passing else words.FAILED
        suggestion = words.MOVE_AWAY.format(path=shown(path)) if described.is_broken and path is not None else None
        return Stopped(exit_code, described.code, shown(described.text), suggestion)
    if isinstance(error, OSError):
        what = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        return Stopped(words.FAILED, "failed", shown(what))
    raise error


def _tell(verb: Verb, stopped: Stopped, *, is_json: bool) -> int:
    if is_json:
        refusal = {
            "command": verb.report,
            "ok": False,
            "code": stopped.code,
            "error": str(stopped),
            "suggestion": stopped.suggestion,
        }
        words.print_json(words.without_absent(refusal))
    else:
        print(f"Error: {stopped}", file=sys.stderr)
        if stopped.suggestion is not None:
            print(f"Suggestion: {stopped.suggestion}", file=sys.stderr)
    return stopped.exit_code
