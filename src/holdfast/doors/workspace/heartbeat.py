"""`holdfast session-state heartbeat`: a process of its own each time, which imports little more than this."""

from typing import Any

from holdfast.domain.errors import Refusal
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.policy import INTERACTIVE
from holdfast.doors.workspace import words
from holdfast.doors.workspace.arguments import Option
from holdfast.doors.workspace.context import COMMON, Context, Verb, note_presence, require_profile, run

INTERACTIVE_LEASE_SECONDS = INTERACTIVE.lease_ms // SECOND_MS


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
