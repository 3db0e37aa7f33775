"""Handoffs: what one session leaves for whoever goes on, and what becomes of it.

A handoff is two rows: `Handoff`, by which it is found and which its life changes, and `HandoffBody`, what may be long.
What somebody wrote comes as a `Draft`, which `domain.drafting` makes.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from holdfast.domain.actor import Actor, KeyScope, may
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import AccountId, HandoffId, KeyId, SessionId
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.session import EndReason, Session, Status

FORMAT_VERSION: Final = "1.0"
"""The version of the handoff's own fields that is served."""


class HandoffStatus(StrEnum):
    """Where a handoff is in its life; all but the first two are final."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"
    RETURNED = "returned"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Who(StrEnum):
    """Who may take a step in a handoff's life."""

    ANYBODY = "any agent of the account"
    SENDER = "the key that wrote it, or an operator"
    NEWER = "a newer handoff on the same issue"
    TIME = "time"


_S = HandoffStatus
LIFE: Final[dict[HandoffStatus, dict[HandoffStatus, Who]]] = {
    _S.OPEN: {
        _S.ACKNOWLEDGED: Who.ANYBODY,
        _S.DONE: Who.ANYBODY,
        _S.RETURNED: Who.ANYBODY,
        _S.WITHDRAWN: Who.SENDER,
        _S.SUPERSEDED: Who.NEWER,
        _S.EXPIRED: Who.TIME,
    },
    _S.ACKNOWLEDGED: {_S.DONE: Who.ANYBODY, _S.RETURNED: Who.ANYBODY, _S.WITHDRAWN: Who.SENDER},
    _S.DONE: {},
    _S.RETURNED: {},
    _S.SUPERSEDED: {},
    _S.EXPIRED: {},
    _S.WITHDRAWN: {},
}
"""From which status to which, and who may take the step. What is not listed is refused."""

SETTABLE: Final = tuple(
    dict.fromkeys(to for steps in LIFE.values() for to, who in steps.items() if who in (Who.ANYBODY, Who.SENDER))
)
"""Statuses that somebody may give a handoff."""


class Handoff(NamedTuple):
    """A handoff, but for what may be long.

    scope: where the next session looks for it. venture, repo, track, issue_number: what it is about.
    to_agent: an agent, or the beginning of one's name and `*`; None: whoever comes next.
    auto: the core drafted it, since the session went without one.
    orphan_reason: the code for which its session did not accept it any more; None: it did.
    payload_sha256, payload_size_bytes: of the payload in canonical form (RFC 8785).
    payload_schema: the registered schema that the payload was checked against, as `name/version`.
    digest: over everything that was written, so that the same said again is recognised.
    redactions: how many secrets were taken out of what was written, at least.
    open_topic: while it is open, the issue that it is about, where it named one; None: newer ones leave it alone.
    open_at_ms: since when it is open; None once it is not. closed_at_ms: when it came to its final status.
    acknowledged_by, status_by: the keys that did; None where the core did, or nobody has.
    """

    id: HandoffId
    account_id: AccountId
    session_id: SessionId
    project_id: str | None
    scope: str
    venture: str | None
    repo: str | None
    track: str | None
    issue_number: int | None
    from_agent: str
    to_agent: str | None
    status: HandoffStatus
    status_label: str | None
    auto: bool
    orphan_reason: str | None
    summary: str
    branch: str | None
    commit_sha: str | None
    payload_sha256: str
    payload_size_bytes: int
    payload_schema: str | None
    schema_version: str
    digest: str
    redactions: int
    open_topic: str | None
    open_at_ms: int | None
    closed_at_ms: int | None
    created_at_ms: int
    key_id: KeyId
    correlation_id: str
    acknowledged_at_ms: int | None
    acknowledged_by: str | None
    status_at_ms: int
    status_by: str | None
    status_note: str | None
    superseded_by: HandoffId | None


class HandoffBody(NamedTuple):
    """What may be long in a handoff, as JSON text.

    Its lists have a grade on each piece of evidence; its payload is as it was sent.
    """

    id: HandoffId
    account_id: AccountId
    session_id: SessionId
    work_completed_json: str
    blockers_json: str
    next_actions_json: str
    payload_json: str


class HandoffSchema(NamedTuple):
    """A JSON Schema for payloads, which never changes once it is registered. id: `name/version`."""

    account_id: AccountId
    id: str
    schema_json: str
    sha256: str
    created_at_ms: int
    key_id: KeyId


class Topic(NamedTuple):
    """What a handoff is about, where that differs from what its session is about. None: as the session."""

    venture: str | None = None
    repo: str | None = None
    track: str | None = None
    issue_number: int | None = None


class Draft(NamedTuple):
    """What somebody wrote, ready to be stored. Made by `drafted` alone."""

    summary: str
    status_label: str | None
    to_agent: str | None
    work_completed_json: str
    blockers_json: str
    next_actions_json: str
    payload_json: str
    payload_sha256: str
    payload_size_bytes: int
    payload_schema: str | None
    schema_version: str
    topic: Topic
    digest: str
    redactions: int


class EvidenceKind(StrEnum):
    """What a piece of evidence points at."""

    COMMAND = "command"
    COMMIT = "commit"
    FILE = "file"
    URL = "url"


class Grade(StrEnum):
    """What a claim rests on: the sender says that it ran the check, or just says so."""

    VERIFIED = "verified"
    ASSERTED = "asserted"


def stepped(handoff: Handoff, *, to: HandoffStatus, actor: Actor, note: str | None, now_ms: int) -> Handoff:
    """The handoff in another status; said again by the same key, it is as it was.

    Raises: handoff_settled where its life does not lead there any more; forbidden where it is not the actor's to do.
    """
    if handoff.status == to and handoff.status_by == actor.key_id:
        return handoff
    who = LIFE[handoff.status].get(to)
    if who not in (Who.ANYBODY, Who.SENDER):
        raise settled(handoff, to=to)
    if who == Who.SENDER and actor.key_id != handoff.key_id and not may(actor, KeyScope.OPERATOR):
        raise Refusal(Code.FORBIDDEN, scope=KeyScope.OPERATOR.value)
    changed = _entered(handoff, to, by=actor.key_id, note=note, now_ms=now_ms)
    if to == HandoffStatus.ACKNOWLEDGED:
        return changed._replace(acknowledged_at_ms=now_ms, acknowledged_by=actor.key_id)
    return changed


def superseded(handoff: Handoff, *, by: HandoffId, now_ms: int) -> Handoff:
    """An open handoff once there is a newer one on its issue."""
    return _entered(handoff, HandoffStatus.SUPERSEDED, by=None, note=None, now_ms=now_ms)._replace(superseded_by=by)


def expired(handoff: Handoff, *, now_ms: int) -> Handoff:
    """An open handoff that nobody took for too long."""
    return _entered(handoff, HandoffStatus.EXPIRED, by=None, note=None, now_ms=now_ms)


def _entered(handoff: Handoff, to: HandoffStatus, *, by: str | None, note: str | None, now_ms: int) -> Handoff:
    assert to in LIFE[handoff.status], "the table has every step"
    return handoff._replace(
        status=to,
        status_at_ms=now_ms,
        status_by=by,
        status_note=note,
        open_topic=None,
        open_at_ms=None,
        closed_at_ms=None if LIFE[to] else now_ms,
    )


def settled(handoff: Handoff, *, to: HandoffStatus) -> Refusal:
    """Why a handoff cannot come to a status any more, and to which it can."""
    possible = [each.value for each, who in LIFE[handoff.status].items() if who in (Who.ANYBODY, Who.SENDER)]
    return Refusal(
        Code.HANDOFF_SETTLED,
        handoff_id=handoff.id,
        status=str(handoff.status),
        to=to.value,
        possible=" or ".join(possible) or "nothing else any more",
        ways_out=(WayOut(Action.READ_HANDOFF, target=handoff.id),),
    )


def topic_of(scope: str, *, venture: str | None, repo: str | None, issue_number: int | None) -> str | None:
    """By what two handoffs are known to be about the same issue; None: about none."""
    if issue_number is None:
        return None
    return f"{canonical(ScopeParts(venture=venture, repo=repo)) or scope}#{issue_number}"


BROKEN_OFF: Final = frozenset(EndReason) - {EndReason.COMPLETED, EndReason.MANUAL, EndReason.CLEARED}
"""Ends that are not the work's own, so that whoever comes next needs to be told where it stood."""


def addressed_as(agent: str) -> list[str]:
    """All that `to_agent` may say so that a handoff is for this agent: its name, and each pattern that it fits."""
    return [agent, *(agent[:length] + "*" for length in range(len(agent)))]


def has_broken_off(session: Session) -> bool:
    """Whether a session is over, and not because its work was."""
    return session.status in (Status.FAILED, Status.ABANDONED) or session.end_reason in BROKEN_OFF


def is_silent_since(handoff_at_ms: int | None, session: Session) -> bool:
    """Whether nothing is left of what a session has done last: it left no handoff since it was last heard of."""
    return handoff_at_ms is None or handoff_at_ms < session.last_heartbeat_at_ms
