"""`holdfast prompt`: a few characters about the workspace's session, for a shell's prompt."""

import sys
import time

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
ACTOR_CHARS_MAX = 24
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
    """The segment for a workspace; empty where there is nothing to say, or no saying it."""
    from holdfast.embedded import Embedded
    from holdfast.engine.workspaces import status

    try:
        where = place.find(path, profile)
        database = Embedded(where.database, creates=False)
    except (PlaceInvalid, OSError):
        return ""
    except Exception:
        return "holdfast?"
    try:
        found = status(database.rows, database.actor, scope=f"workspace={where.profile}", actor_id=None)
    finally:
        database.close()
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


def _short(actor: str) -> str:
    # A shell expands what a prompt holds once more.
    plain = "".join(char if char not in "`$\\%" else "_" for char in shown(actor))
    return plain if len(plain) <= ACTOR_CHARS_MAX else plain[: ACTOR_CHARS_MAX - 1] + "…"
