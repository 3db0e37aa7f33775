"""What to do about a session: the next step that its state calls for, and why."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Code, Refusal
from holdfast.domain.lifecycle import LIVE, Phase, phase
from holdfast.domain.session import Session


class Step(StrEnum):
    """What somebody who finds a session should do."""

    RECOVER = "recover"
    WAIT = "wait"
    DECIDE = "decide"
    FOLLOW = "follow"
    NOTHING = "nothing"


class Advice(NamedTuple):
    """A step, and the reason in a sentence. session_id: the session that it concerns, where it is another one."""

    step: Step
    why: str
    session_id: str | None = None


def advise(session: Session, blocked: Refusal | None) -> Advice:
    """The next step for a settled session. blocked: why a recovery would be refused; None: it would not be."""
    if blocked is None:
        return Advice(Step.RECOVER, "Its work broke off, and nobody has gone on with it.")
    if session.taken_over_by is not None:
        return Advice(Step.FOLLOW, "Another session goes on with its work.", session.taken_over_by)
    if phase(session) == Phase.ENDED:
        return Advice(Step.NOTHING, f"It has ended ({session.end_reason}).")
    if phase(session) in LIVE:
        return Advice(Step.WAIT, "It is parked." if session.due_ms is None else "Its lease is running.")
    match blocked.code:
        case Code.SESSION_QUARANTINED:
            return Advice(Step.DECIDE, "It broke off again after its last recovery: look for the cause first.")
        case Code.SESSION_STOP_REQUESTED:
            return Advice(Step.DECIDE, "Somebody asked it to stop, so nothing brings it back by itself.")
        case Code.SCOPE_LAPSED:
            return Advice(Step.FOLLOW, "Another session broke off on its scope since.", _rival_of(blocked))
        case _:
            return Advice(Step.WAIT, "Another session works on its scope.", _rival_of(blocked))


def _rival_of(blocked: Refusal) -> str | None:
    rival_id = blocked.data.get("session_id")
    return rival_id if isinstance(rival_id, str) else None
