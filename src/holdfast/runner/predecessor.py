"""What the session before this one left: told to the user in a few lines, given to the command in a file."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from holdfast.client.api import Json
from holdfast.runner.messages import printable

VARIABLE = "HOLDFAST_LAST_CHECKPOINT"
"""The environment variable that names the file; it is not set where nothing was left."""

NEXT_ACTIONS_SHOWN_MAX = 5

_CAME_BY = {"taken_over": "took over from", "recovered": "goes on with"}


def left_behind(reply: Mapping[str, Json]) -> dict[str, Json] | None:
    """What a start's reply says of the session before: its id, last checkpoint and last handoff; None: nothing."""
    checkpoint, handoff = reply.get("last_checkpoint"), reply.get("last_handoff")
    predecessor = reply.get("took_over_from") or reply.get("recovered_from")
    if checkpoint is None and handoff is None and predecessor is None:
        return None
    if predecessor is None:
        predecessor = _field(checkpoint, "session_id") or _field(handoff, "session_id")
    return {"session_id": predecessor, "last_checkpoint": checkpoint, "last_handoff": handoff}


def describe(left: Mapping[str, Json], *, outcome: Json) -> list[str]:
    """Lines for the user; every text in them came from somebody else and is made harmless. outcome: of the start."""
    checkpoint, handoff = left["last_checkpoint"], left["last_handoff"]
    came_by = _CAME_BY.get(str(outcome))
    lines = [f"{came_by} {printable(str(left['session_id']))}"] if came_by else []
    if checkpoint is not None:
        lines += [_told("last checkpoint", checkpoint, is_its=came_by is not None), *_next_actions(checkpoint)]
    elif came_by and not _field(handoff, "auto"):
        lines.append("it left no checkpoint")
    if _field(handoff, "auto"):
        lines.append(printable(str(_field(handoff, "summary"))))
    elif handoff is not None:
        lines.append(_told("handoff" if came_by else "last handoff", handoff, is_its=came_by is not None))
    return lines


def _told(what: str, document: Json, *, is_its: bool) -> str:
    """is_its: of the session that was named already; else the scope's, from whichever session left it."""
    writer, summary = _field(document, "session_id"), _field(document, "summary")
    whose = f"its {what}" if is_its else f"the {what} here" + (f", from {printable(str(writer))}" if writer else "")
    return f"{whose}: {printable(str(summary))}" if summary else f"{whose} has no summary"


def write_file(left: Mapping[str, Json]) -> Path:
    """A new file with what was left, as JSON, mode 0600; whoever calls this removes it.

    Raises: OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix="holdfast-checkpoint-", suffix=".json")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(left, file)
        file.write("\n")
    return Path(name)


def _next_actions(checkpoint: Json) -> list[str]:
    actions = checkpoint.get("next_actions") if isinstance(checkpoint, dict) else None
    if not isinstance(actions, list):
        return []
    lines = [f"next: {printable(str(action))}" for action in actions[:NEXT_ACTIONS_SHOWN_MAX]]
    more = len(actions) - len(lines)
    return [*lines, f"next: {more} more"] if more > 0 else lines


def _field(document: Json, name: str) -> Json:
    return document.get(name) if isinstance(document, dict) else None
