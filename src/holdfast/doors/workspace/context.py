"""One call of a workspace's command: what it may be given, where it acts, and how it asks and changes what is there."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.commands.view import Reply
from holdfast.domain.errors import Refusal
from holdfast.domain.limits import LEASE_MS_MAX, SECOND_MS
from holdfast.doors.shown import shown
from holdfast.doors.workspace import place, words
from holdfast.doors.workspace.arguments import Arguments, Option
from holdfast.doors.workspace.place import Place
from holdfast.doors.workspace.words import Stopped
from holdfast.embedded import Embedded, failure_of

if TYPE_CHECKING:
    from holdfast.doors.workspace.server import Remote

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
    """A command. report: what its reports say as `command`. takes_words: what it takes besides options, if anything."""

    report: str
    options: tuple[Option, ...]
    act: Callable[[Context], dict[str, Any]]
    lines: Callable[[dict[str, Any]], list[str]]
    meaning: str
    keeps: tuple[str, ...] = ()
    takes_words: str = ""


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


def failure(error: Exception, *, path: str | None) -> Stopped:
    """A failure that no rule foresees, in a sentence. Raises: the error itself, where it is a bug.

    path: the database, where it is known.
    """
    described = failure_of(error)
    if described is not None:
        exit_code = words.CONFLICT if described.is_passing else words.FAILED
        suggestion = None if path is None or described.is_passing else _what_helps(path, is_broken=described.is_broken)
        return Stopped(exit_code, described.code, shown(described.text), suggestion)
    if isinstance(error, OSError):
        what = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        return Stopped(words.FAILED, "failed", shown(what))
    raise error


def _what_helps(path: str, *, is_broken: bool) -> str | None:
    """What a person does about a database that cannot be used, as far as its place tells."""
    directory = os.path.dirname(path)
    if is_broken:
        return words.MOVE_AWAY.format(path=shown(path))
    if not os.access(directory, os.W_OK):
        return words.MAKE_WRITABLE.format(path=shown(directory))
    return words.MAKE_ROOM if os.statvfs(directory).f_bavail == 0 else None
