"""What was left in a workspace: what an agent is shown when it starts, and what a session that ends was about."""

import json
from typing import Any, Final

from holdfast.commands.bodies import Body
from holdfast.commands.holding import LAST_CHECKPOINTS
from holdfast.commands.leaving import LAST_HANDOFFS, last_handoff
from holdfast.commands.rows import Members
from holdfast.commands.view import View
from holdfast.domain.actor import Actor
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.handoff import HandoffStatus

CLOSED: Final = frozenset({HandoffStatus.DONE, HandoffStatus.SUPERSEDED, HandoffStatus.EXPIRED})
"""Handoffs whose actions are not open any more; one that was returned still waits for somebody."""

FOCUS_ACTIONS_MAX = 20
"""Open actions that are kept with what a session cost: it is kept of two hundred sessions."""


def left_in(view: View, scope: str) -> dict[str, Any]:
    """The sections `handoff` and `recovery` of what an agent is shown; None where there is nothing.

    The handoff is the last one of the scope; where nobody left one, the last checkpoint stands for it. What is to be
    done comes from whichever of the two was written last.
    """
    handoff, checkpoint = _last(view, scope)
    if handoff is None and checkpoint is None:
        return {"handoff": None, "recovery": None}
    shown = {"title": _title(handoff, checkpoint)}
    if handoff is not None:
        names = ("id", "status", "status_label", "from_agent", "to_agent", "auto", "orphan")
        shown |= {name: handoff[name] for name in names}
    return {
        "handoff": shown,
        "recovery": {
            "handoff": None if handoff is None else handoff["id"],
            "checkpoint": None if checkpoint is None else checkpoint.id,
            **_lists(handoff, checkpoint),
        },
    }


def focus(view: View, scope: str) -> dict[str, Any]:
    """What the work in a workspace was about: the title of what was left last, and what it says is to be done."""
    handoff, checkpoint = _last(view, scope)
    open_actions = _lists(handoff, checkpoint)["next_actions"][:FOCUS_ACTIONS_MAX]
    return {"handoff_title": _title(handoff, checkpoint), "open_actions": open_actions}


def focus_needs(actor: Actor, scope: str) -> tuple[Members, ...]:
    """What `focus` takes, as far as the scope tells; each thing that is asked for later may cost a round."""
    held = (actor.account_id, scope)
    return Members(LAST_CHECKPOINTS, held), Members(LAST_HANDOFFS, held)


def _last(view: View, scope: str) -> tuple[Body | None, Checkpoint | None]:
    checkpoints: list[Checkpoint] = view.members(Members(LAST_CHECKPOINTS, (view.actor.account_id, scope)))
    return last_handoff(view, scope=scope, repo=None), checkpoints[0] if checkpoints else None


def _title(handoff: Body | None, checkpoint: Checkpoint | None) -> str | None:
    summary: str | None = handoff["summary"] if handoff else checkpoint.summary if checkpoint else None
    return None if summary is None else summary.partition("\n")[0]


def _lists(handoff: Body | None, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """What is in the way and what is to be done, by the newest word, unless that is a closed handoff."""
    is_newer = handoff is not None and (checkpoint is None or handoff["created_at_ms"] >= checkpoint.created_at_ms)
    if is_newer:
        assert handoff is not None
        is_closed = handoff["status"] in CLOSED
        return {name: [] if is_closed else json.loads(handoff[f"{name}_json"]) for name in ("blockers", "next_actions")}
    if checkpoint is None:
        return {"blockers": [], "next_actions": []}
    return {"blockers": json.loads(checkpoint.blockers_json), "next_actions": json.loads(checkpoint.next_actions_json)}
