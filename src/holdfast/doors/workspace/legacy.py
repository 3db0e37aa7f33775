"""Files of an older kind beside the database: brought in once, and put aside under another name."""

import json
import os
from typing import TYPE_CHECKING, Any

from holdfast.commands.workspace_entries import ImportEscalations
from holdfast.commands.workspace_starts import ImportWorkspace, is_kept, is_natural, legacy_row
from holdfast.domain.errors import Refusal
from holdfast.domain.workspace import ENTRIES_MAX, Workspace
from holdfast.doors.shown import shown
from holdfast.doors.workspace import words
from holdfast.doors.workspace.place import LEGACY_SESSION, Place
from holdfast.doors.workspace.words import Stopped

if TYPE_CHECKING:
    from holdfast.embedded import Embedded

FILE_BYTES_MAX = 1024 * 1024


def bring_in(database: "Embedded", place: Place, scope: str, names: list[str]) -> None:
    """Bring in each of these files, in a transaction of its own, and rename it. Raises: Stopped for a corrupt one."""
    for name in names:
        path = os.path.join(place.directory, name)
        try:
            text = _text(path)
        except FileNotFoundError:
            continue  # Another process has brought it in.
        if name == LEGACY_SESSION:
            if not _has_row(database, scope):
                _run(database, ImportWorkspace(scope, json.dumps(_session(path, text))))
        else:
            _run(database, ImportEscalations(scope, json.dumps(_escalations(path, text))))
        try:
            os.replace(path, path + ".migrated")
        except FileNotFoundError:
            continue


def check(place: Place, names: list[str]) -> None:
    """Make sure that these files can be brought in, before there is anything to bring them into. Raises: Stopped."""
    for name in names:
        path = os.path.join(place.directory, name)
        if name == LEGACY_SESSION:
            session_row(path)
            continue
        try:
            _escalations(path, _text(path))
        except FileNotFoundError:
            continue


def _text(path: str) -> str:
    with open(path, "rb") as file:
        found = file.read(FILE_BYTES_MAX)
    # A byte that is no text is one that nothing could hold either.
    return found.decode(errors="surrogateescape")


def _has_row(database: "Embedded", scope: str) -> bool:
    """Whether a session was ever known here; then the file is older, and not even read."""
    from holdfast.commands.workspaces import workspace_key

    row = database.rows.get(workspace_key(database.actor.account_id, scope))
    return isinstance(row, Workspace) and row.revision > 0


def session_row(path: str) -> dict[str, Any] | None:
    """What the session file says; None: there is none. Raises: Stopped where it is corrupt."""
    try:
        return _session(path, _text(path))
    except FileNotFoundError:
        return None


def _session(path: str, text: str) -> dict[str, Any]:
    try:
        return legacy_row(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, str(error)) from error


def _escalations(path: str, text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
        rows = found["entries"]
        if len(rows) > ENTRIES_MAX:
            raise ValueError(f"there are more than {ENTRIES_MAX} entries")
        for row in rows:
            is_text = is_kept(row["id"]) and is_kept(row["reason"]) and is_kept(row.get("session_id") or "")
            if not is_text or not is_natural(row["created_at_epoch_s"]) or row["kind"] not in KINDS:
                raise ValueError("an entry is not an escalation")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(path, str(error)) from error
    return list(rows)


KINDS = ("blocking", "non_blocking")


def _corrupt(path: str, why: str) -> Stopped:
    return Stopped(
        words.FAILED,
        "legacy_corrupt",
        f"failed to parse {shown(path)}: {shown(why)}",
        "repair the file, or move it away; nothing was changed",
    )


def _run(database: "Embedded", command: Any) -> None:
    outcome = database.run(command)
    if isinstance(outcome, Refusal):
        raise words.stopped_by(outcome)
