"""`holdfast git-hook`: a pre-push hook that holds back a push from a session that lost its workspace.

The first fence for an effect outside the database. Whoever pushes shows the token that its start or takeover answered,
in HOLDFAST_FENCING_TOKEN; it has to be the current one. Whoever shows none is let through unless an agent works here.
"""

import os
import shlex
import subprocess
import sys
from typing import Any

from holdfast.doors.shown import shown
from holdfast.doors.workspace import place, words
from holdfast.doors.workspace.arguments import Arguments, HelpWanted, Option, Usage, help_of, parse
from holdfast.doors.workspace.context import failure
from holdfast.doors.workspace.place import PlaceInvalid
from holdfast.doors.workspace.words import Stopped

OPTIONS = (
    Option("--path", "The repository. Default: the current directory."),
    Option("--profile", "Default: HOLDFAST_PROFILE, else main."),
    Option("--git-dir", "For `check`, instead of a path: the git directory pushed from."),
)
HOOK = "pre-push"
CHAINED = "pre-push.before-holdfast"
MARK = "# Made by `holdfast git-hook install`."
SCRIPT = """\
{shebang}
{mark} `holdfast git-hook uninstall` takes it away again.
# It holds back a push from a session whose fencing token is not current, then does what the hook before it did.
if ! [ -x {python} ] || ! {python} -I -m holdfast git-hook check --git-dir "$(git rev-parse --absolute-git-dir)"; then
    {python} -I -c 'import holdfast' 2>/dev/null || {{
        echo 'holdfast: this push was held back: Holdfast is not where it was when this hook was made. Run' >&2
        echo 'holdfast: `holdfast git-hook install` again, or delete the hook if Holdfast is not used any more.' >&2
    }}
    exit 1
fi
if [ -x "${{0%/*}}/{chained}" ]; then
    {chain} "${{0%/*}}/{chained}"{arguments}
fi
"""
SHELLS = ("sh", "bash", "dash", "ash", "ksh")
"""Whose scripts a script of the same shell can read in, so that they find themselves under their own name."""

USAGE = """\
Usage: holdfast git-hook install|uninstall|check [OPTIONS]

  install    refuse `git push` from a session whose token is no longer current
  uninstall  put back what was there before
  check      what the hook asks: exit 0 if a push may go out, 1 if not

Examples:
  holdfast git-hook install
  holdfast git-hook check && ./publish.sh
  holdfast git-hook uninstall
"""


def main(argv: list[str]) -> int:
    """Carry out one verb; the exit code."""
    acts = {"install": install, "uninstall": uninstall, "check": check}
    act = acts.get(argv[0]) if argv else None
    prefix = "holdfast: this push was held back" if act is check else "Error"
    if act is None:
        is_help = argv[:1] in (["-h"], ["--help"])
        print(USAGE + "\n" + "\n".join(help_of(OPTIONS)), file=sys.stdout if is_help else sys.stderr)
        return words.DONE if is_help else words.USAGE
    where = None
    try:
        arguments = parse(argv[1:], OPTIONS)
        if arguments.words:
            raise Usage(f"`{arguments.words[0]}` is not expected here")
        where = _place(arguments)
        return act(arguments)
    except HelpWanted:
        print(USAGE + "\n" + "\n".join(help_of(OPTIONS)))
        return words.DONE
    except (Usage, PlaceInvalid) as error:
        stopped = Stopped(words.USAGE, "usage", shown(str(error)))
    except Stopped as error:
        stopped = error
    except Exception as error:
        stopped = failure(error, path=None if where is None else where.database)
    print(f"{prefix}: {stopped}", file=sys.stderr)
    if stopped.suggestion is not None:
        print(f"Suggestion: {stopped.suggestion}", file=sys.stderr)
    return stopped.exit_code


def install(arguments: Arguments) -> int:
    """Put the hook where this repository's git looks for it; a hook that is there is run after it."""
    directory = _hooks_directory(arguments)
    os.makedirs(directory, exist_ok=True)
    path, chained = os.path.join(directory, HOOK), os.path.join(directory, CHAINED)
    if os.path.lexists(path) and not _is_ours(path):
        if os.path.lexists(chained):
            raise Stopped(
                words.REFUSED,
                "hook_exists",
                f"both {shown(path)} and {shown(chained)} are there, and only one of them can be run after this hook",
                "put what they do into one file, and remove the other",
            )
        os.rename(path, chained)
    shebang = _shell_line(chained)
    script = SCRIPT.format(
        shebang=shebang or "#!/bin/sh",
        mark=MARK,
        # This very program, wherever the PATH of whoever pushes leads.
        python=shlex.quote(sys.executable),
        chained=CHAINED,
        chain="exec" if shebang is None else ".",
        arguments=' "$@"' if shebang is None else "",
    )
    partial = f"{path}.{os.getpid()}"
    with open(partial, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(script)
    os.chmod(partial, 0o755)
    os.replace(partial, path)
    print(f"Installed {shown(path)}: a push whose fencing token is not current is refused.")
    if os.path.lexists(chained):
        print(f"The hook that was there goes on as {shown(chained)}.")
    if os.path.basename(directory) == "_" and os.path.exists(os.path.join(directory, "h")):
        own = os.path.join(os.path.dirname(directory), HOOK)
        print(
            f"Note: husky makes the files of {shown(directory)} anew whenever it is set up, this hook not among them; "
            f"a line `holdfast git-hook check || exit 1` in {shown(own)} stays."
        )
    return words.DONE


def uninstall(arguments: Arguments) -> int:
    """Put back what was there before."""
    directory = _hooks_directory(arguments)
    path, chained = os.path.join(directory, HOOK), os.path.join(directory, CHAINED)
    if not _is_ours(path):
        print(f"No hook of Holdfast at {shown(path)}")
        return words.DONE
    if os.path.lexists(chained):
        os.replace(chained, path)
    else:
        os.remove(path)
    print(f"Removed {shown(path)}")
    return words.DONE


def check(arguments: Arguments) -> int:
    """Whether a push may go out: 0, or 1 with a sentence that says what to do."""
    where = _place(arguments)
    token = os.environ.get("HOLDFAST_FENCING_TOKEN", "").strip() or None
    session_id = os.environ.get("HOLDFAST_SESSION_ID") or None
    if token is not None and session_id is not None and not _is_of(where, session_id):
        problem = _problem_of_run(where, session_id, token)
    else:
        found, is_current = _looked_up(where, token)
        problem = _problem(found, is_current=is_current, token=token)
    if problem is None:
        return words.DONE
    print(f"holdfast: this push was held back: {problem}", file=sys.stderr)
    return words.FAILED


def _problem(found: dict[str, Any], *, is_current: bool, token: str | None) -> str | None:
    """What is wrong with a push; None: nothing."""
    status, owner = found["status"], shown(str(found.get("actor_id") or "unknown"))
    again = (
        "Run `holdfast session-state show`; if this work is still wanted, start or take over the session and set "
        "HOLDFAST_FENCING_TOKEN to the `fencing_token` that it answers. Nothing was sent."
    )
    if token is not None:
        if status == "missing":
            return f"its session is over, and nobody works in this workspace. {again}"
        if not is_current:
            return f"its fencing token {shown(token)} is not current; the workspace is held by `{owner}` now. {again}"
        if status == "stale":
            return f"the lease of its session ran out. {again}"
        return None
    if status == "active" and found["lifecycle"] == "autonomous":
        return (
            f"the workspace is held by the agent `{owner}`, and this push shows no token. If you are that agent, set "
            "HOLDFAST_FENCING_TOKEN to the `fencing_token` that your start answered; if you are not, wait until its "
            "lease ends, or push past the hook with `git push --no-verify`."
        )
    return None


def _is_of(where: place.Place, session_id: str) -> bool:
    """Whether a session is, or was, this workspace's own, or there is no server whose it could be."""
    if os.environ.get("HOLDFAST_SESSION_STATE") == "server" or not os.environ.get("HOLDFAST_URL"):
        return True
    from holdfast.commands.rows import session_key
    from holdfast.domain.ids import SessionId
    from holdfast.embedded import Embedded

    core_id = "sess_" + session_id[4:] if session_id.startswith("ses_") else session_id
    try:
        database = Embedded(where.database, creates=False)
    except FileNotFoundError:
        return False
    try:
        return any(database.rows.get(session_key(SessionId(each))) is not None for each in (core_id, session_id))
    finally:
        database.close()


def _problem_of_run(where: place.Place, session_id: str, token: str) -> str | None:
    """What is wrong with a push out of `holdfast run`, whose session a server keeps; None: nothing."""
    from holdfast.doors.workspace.server import Remote

    if Remote(where, None, url=None).holds(session_id, token):
        return None
    return (
        f"the fencing token of session {shown(session_id)} is not current. Run `holdfast explain {shown(session_id)}` "
        "to see who has its place; if this work is still wanted, start again. Nothing was sent."
    )


def _looked_up(where: place.Place, token: str | None) -> tuple[dict[str, Any], bool]:
    """The workspace's session, and whether the token is its own. Raises: Stopped where no server answers."""
    from holdfast.engine import workspaces

    if os.environ.get("HOLDFAST_SESSION_STATE") == "server":
        from holdfast.doors.workspace.server import Remote

        remote = Remote(where, place.locality_id(where)[0], url=None)
        found = remote.read(workspaces.status)
        # A stale session keeps its token, which the server's fence does not let pass.
        return found, token is not None and (found["status"] == "stale" or remote.is_current(token))
    from holdfast.embedded import Embedded

    try:
        database = Embedded(where.database, creates=False)
    except FileNotFoundError:
        return {"status": "missing"}, False
    scope = f"workspace={where.profile}"
    try:
        found = workspaces.status(database.rows, database.actor, scope=scope, actor_id=None)
        return found, str(workspaces.token_of(database.rows, database.actor, scope=scope)) == token
    finally:
        database.close()


def _place(arguments: Arguments) -> place.Place:
    """What git says that is pushed from, where it was asked: a push may be started from anywhere."""
    path, profile = arguments.text("path"), arguments.text("profile")
    return place.find_behind(arguments.text("git_dir"), profile) if path is None else place.find(path, profile)


def _shell_line(path: str) -> str | None:
    """The first line of a shell's script that another may read in; None: it is run as a program of its own."""
    if os.path.islink(path):
        return None  # It may look for what lies beside what the link leads to.
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline(256).rstrip()
    except OSError:
        return None
    command = line.removeprefix("#!").split()
    if not line.startswith("#!") or not command:
        return None
    shell = command[1] if os.path.basename(command[0]) == "env" and len(command) == 2 else command[0]
    return line if os.path.basename(shell) in SHELLS else None


def _hooks_directory(arguments: Arguments) -> str:
    """Where git looks for hooks: `core.hooksPath`, or the repository's own. Raises: Stopped outside git."""
    where = place.find(arguments.text("path") or ".", arguments.text("profile"))
    command = ["git", "-C", where.root, "rev-parse", "--git-path", "hooks"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Stopped(words.REFUSED, "not_a_repository", f"{shown(where.root)} is not in a git repository")
    return os.path.join(where.root, os.fsdecode(done.stdout).rstrip("\n"))


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return MARK in file.read(4_096)
    except OSError:
        return False
