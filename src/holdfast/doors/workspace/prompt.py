"""`holdfast prompt`: a few characters about the workspace's session, for a shell's prompt."""

import sys
import time
from typing import Any

from holdfast.doors.shown import shown
from holdfast.doors.workspace import place, words
from holdfast.doors.workspace.arguments import HelpWanted, Option, Usage, help_of, parse
from holdfast.doors.workspace.place import PlaceInvalid

OPTIONS = (
    Option("--path", "The workspace. Default: the current directory."),
    Option("--profile", "Default: HOLDFAST_PROFILE, else main."),
    Option("--format", "With {status}, {actor}, {mode}, {minutes} and {left} filled in."),
)
FORMAT = "{status}:{actor}{left}"
ACTOR_COLUMNS_MAX = 24
USAGE = """\
Usage: holdfast prompt [OPTIONS]

A segment for a shell's prompt: nothing where there is no session, and never an
error.

  bash  PS1='$(holdfast prompt) '"$PS1"
  zsh   setopt prompt_subst; PROMPT='$(holdfast prompt) '"$PROMPT"
  fish  function fish_right_prompt; holdfast prompt; end
"""


def main(argv: list[str]) -> int:
    """Print the segment; the exit code, which a prompt must not be disturbed by."""
    try:
        arguments = parse(argv, OPTIONS)
        print(segment(arguments.text("path") or ".", arguments.text("profile"), arguments.text("format") or FORMAT))
    except HelpWanted:
        print(USAGE + "\n" + "\n".join(help_of(OPTIONS)))
    except Usage as usage:
        print(f"Error: {usage}", file=sys.stderr)
        return words.USAGE
    return words.DONE


def segment(path: str, profile: str | None, text: str) -> str:
    """The segment for a workspace: empty where there is nothing to say, `holdfast?` where it cannot be read."""
    try:
        found = _status(path, profile)
    except (PlaceInvalid, FileNotFoundError, NotADirectoryError):
        return ""
    except Exception:
        # A prompt is no place for a report; `session-state show` makes it.
        return "holdfast?"
    if found["status"] == "missing":
        return ""
    ends_at_s = found.get("lease_expires_at_epoch_s")
    left = ""
    if ends_at_s is not None and found["status"] == "active":
        left = f" {max(0, ends_at_s - int(time.time()))}s"
    filled = {
        "status": found["status"],
        "actor": _short(str(found.get("actor_id") or "unknown")),
        "mode": found["mode"],
        "minutes": str(found["session_minutes"]),
        "left": left,
    }
    for name, value in filled.items():
        text = text.replace("{" + name + "}", value)
    return text


def _status(path: str, profile: str | None) -> dict[str, Any]:
    from holdfast.embedded import Embedded
    from holdfast.engine.workspaces import status

    where = place.find(path, profile)
    database = Embedded(where.database, creates=False)
    try:
        return status(database.rows, database.actor, scope=f"workspace={where.profile}", actor_id=None)
    finally:
        database.close()


def _short(actor: str) -> str:
    # A shell expands what a prompt holds once more.
    plain = "".join(char if char not in "`$\\%" else "_" for char in shown(actor))
    if sum(map(_columns, plain)) <= ACTOR_COLUMNS_MAX:
        return plain
    while sum(map(_columns, plain)) >= ACTOR_COLUMNS_MAX:
        plain = plain[:-1]
    return plain + "…"


def _columns(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if char.isascii():
        return 1
    import unicodedata

    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "FW" else 1
