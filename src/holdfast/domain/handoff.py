"""Handoffs: what one session leaves for whoever goes on, and what becomes of it.

A handoff is two rows: `Handoff`, by which it is found and which its life changes, and `HandoffBody`, what may be long.
What somebody wrote comes as a `Draft`: checked, redacted, measured and hashed by `drafted`, which is pure and takes
time with the size of what was written, so that doors call it beside the event loop and never within a transaction.
"""

import hashlib
import json
import re
from enum import StrEnum
from typing import Any, Final, NamedTuple

import rfc8785

from holdfast.domain.actor import Actor, KeyScope, may
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.ids import AccountId, HandoffId, KeyId, SessionId
from holdfast.domain.limits import (
    HANDOFF_PAYLOAD_BYTES_MAX,
    INTEGER_MAX,
    LABEL_CHARS_MAX,
    LIST_ITEMS_MAX,
    NAME_CHARS_MAX,
    SUMMARY_CHARS_MAX,
)
from holdfast.domain.redaction import redact_json, redact_text
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.session import EndReason, Session, SessionProfile, Status
from holdfast.domain.times import rfc3339

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


_IN_ONE_LINE = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
AGENT_PATTERN: Final = rf"^[^*{_IN_ONE_LINE}]*\*?(?![\s\S])"
"""An agent's name, or the beginning of one and `*`."""

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def drafted(
    *,
    summary: Any,
    payload: Any,
    status_label: Any = None,
    to_agent: Any = None,
    work_completed: Any = (),
    blockers: Any = (),
    next_actions: Any = (),
    topic: Topic | None = None,
    payload_schema: str | None = None,
    schema_version: str = FORMAT_VERSION,
) -> Draft:
    """A handoff as it will be stored: checked, graded, without secrets, measured and hashed.

    Takes JSON values of any shape, and names every field that is wrong. payload: as it was sent.
    Raises: validation_failed, payload_too_large.
    Source: contracts, crane, "handoff"; RFC 8785.
    """
    topic = topic or Topic()
    lists = {"work_completed": work_completed, "blockers": blockers, "next_actions": next_actions}
    errors = faults(summary=summary, status_label=status_label, to_agent=to_agent, **lists)
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    clean_payload = redact_json(payload)
    clean_lists = {name: redact_json(list(items)) for name, items in lists.items()}
    clean_summary = redact_text(summary)
    try:
        form = rfc8785.dumps(clean_payload.value)
        if len(form) > HANDOFF_PAYLOAD_BYTES_MAX:
            what, limit = "payload, in canonical form,", HANDOFF_PAYLOAD_BYTES_MAX
            raise Refusal(Code.PAYLOAD_TOO_LARGE, what=what, limit=limit, size=len(form))
        payload_sha256 = hashlib.sha256(form).hexdigest()
        graded = {name: _text([_graded(item) for item in each.value]) for name, each in clean_lists.items()}
        said = [clean_summary.value, status_label, to_agent, *graded.values(), payload_sha256, payload_schema, *topic]
        digest = hashlib.sha256(rfc8785.dumps(said)).hexdigest()
    except rfc8785.CanonicalizationError as error:
        fault = FieldError("payload", f"has no canonical form: {error}")
        raise Refusal(Code.VALIDATION_FAILED, errors=(fault,)) from error
    # Where the payload is all that was sent, what the fields hold is in it as well.
    redactions = max(clean_payload.number, clean_summary.number + sum(each.number for each in clean_lists.values()))
    return Draft(
        summary=clean_summary.value,
        status_label=status_label,
        to_agent=to_agent,
        work_completed_json=graded["work_completed"],
        blockers_json=graded["blockers"],
        next_actions_json=graded["next_actions"],
        payload_json=_text(clean_payload.value),
        payload_sha256=payload_sha256,
        payload_size_bytes=len(form),
        payload_schema=payload_schema,
        schema_version=schema_version,
        topic=topic,
        digest=digest,
        redactions=redactions,
    )


def faults(
    *, summary: Any, status_label: Any, to_agent: Any, work_completed: Any, blockers: Any, next_actions: Any
) -> tuple[FieldError, ...]:
    """Every field of a handoff that cannot be accepted, and why."""
    errors = []
    if not isinstance(summary, str) or not 1 <= len(summary) <= SUMMARY_CHARS_MAX:
        errors.append(FieldError("summary", f"must be text of 1 to {SUMMARY_CHARS_MAX} characters"))
    if status_label is not None and not _is_name(status_label, chars_max=LABEL_CHARS_MAX):
        errors.append(FieldError("status_label", f"must be text of 1 to {LABEL_CHARS_MAX} characters, in one line"))
    if to_agent is not None and not _is_name(to_agent, chars_max=NAME_CHARS_MAX, pattern=AGENT_PATTERN):
        message = "must be an agent's name, or the beginning of one and * at its end"
        errors.append(FieldError("to_agent", message))
    lists = {"work_completed": work_completed, "blockers": blockers, "next_actions": next_actions}
    for field, items in lists.items():
        if not isinstance(items, list | tuple) or len(items) > LIST_ITEMS_MAX:
            errors.append(FieldError(field, f"must be a list of at most {LIST_ITEMS_MAX} entries"))
            continue
        for position, item in enumerate(items):
            errors += _item_faults(item, path=f"{field}[{position}]")
    return tuple(errors[:FAULTS_MAX])


FAULTS_MAX = 100
"""Faults named in one answer: more than a person reads."""


def _is_name(value: Any, *, chars_max: int, pattern: str = rf"^[^{_IN_ONE_LINE}]*(?![\s\S])") -> bool:
    return isinstance(value, str) and 1 <= len(value) <= chars_max and re.match(pattern, value) is not None


def _item_faults(item: Any, *, path: str) -> list[FieldError]:
    """What is wrong with an entry of a list: it is text, or a claim with its evidence."""
    if isinstance(item, str):
        return []
    if not isinstance(item, dict):
        return [FieldError(path, "must be text, or an object with claim, kind and value")]
    empty = [name for name in ("claim", "value") if not isinstance(item.get(name), str) or not item[name]]
    errors = [FieldError(f"{path}.{name}", "must be text") for name in empty]
    if item.get("kind") not in list(EvidenceKind):
        errors.append(FieldError(f"{path}.kind", f"must be one of {', '.join(EvidenceKind)}"))
    sha256, exit_code, verified = item.get("sha256"), item.get("exit_code"), item.get("verified")
    if sha256 is not None and (not isinstance(sha256, str) or not _SHA256.fullmatch(sha256)):
        errors.append(FieldError(f"{path}.sha256", "must be 64 hexadecimal digits"))
    if exit_code is not None and (type(exit_code) is not int or abs(exit_code) > INTEGER_MAX):
        errors.append(FieldError(f"{path}.exit_code", "must be a whole number"))
    if verified is not None and not isinstance(verified, bool):
        errors.append(FieldError(f"{path}.verified", "must be true or false: whether the check was run"))
    return errors


def _graded(item: Any) -> Any:
    """An entry of a list, with the grade of its evidence. What nobody says to have checked is asserted."""
    if not isinstance(item, dict):
        return item
    grade = Grade.VERIFIED if item.get("verified") is True else Grade.ASSERTED
    return {**item, "grade": grade.value}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
        possible=" or ".join(possible) or "nothing else",
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


COPIED_BYTES_MAX = 64 * 1024
"""A checkpoint's lists are repeated in a drafted handoff up to here; past it the draft names the checkpoint alone."""


def draft_for(session: Session, profile: SessionProfile, checkpoint: Checkpoint | None, *, cause: str) -> Draft:
    """What the core writes for a session that broke off: all that is known of where it stood.

    cause: what became of it, as the end of a sentence about it.
    """
    told = {
        "auto": True,
        "cause": cause,
        "session_id": session.id,
        "agent": session.agent,
        "status_reason": session.status_reason,
        "branch": (checkpoint.branch if checkpoint else None) or profile.branch,
        "commit_sha": (checkpoint.commit_sha if checkpoint else None) or profile.commit_sha,
        "issue_number": profile.issue_number,
        "current_task_id": profile.current_task_id,
        "activity": session.activity,
        "status_note": session.status_note,
        "progress": session.progress,
        "last_heartbeat_at": rfc3339(session.last_heartbeat_at_ms),
        "checkpoint": None
        if checkpoint is None
        else {"id": checkpoint.id, "number": checkpoint.number, "created_at": rfc3339(checkpoint.created_at_ms)},
    }
    payload = redact_json({name: value for name, value in told.items() if value is not None})
    lists = ("[]", "[]", "[]")
    if checkpoint is not None:
        kept = (checkpoint.work_completed_json, checkpoint.blockers_json, checkpoint.next_actions_json)
        lists = kept if sum(map(len, kept)) <= COPIED_BYTES_MAX else lists
    form = rfc8785.dumps(payload.value)
    summary = _draft_summary(session, checkpoint, cause=cause)
    payload_sha256 = hashlib.sha256(form).hexdigest()
    return Draft(
        summary=summary,
        status_label=None,
        to_agent=None,
        work_completed_json=lists[0],
        blockers_json=lists[1],
        next_actions_json=lists[2],
        payload_json=_text(payload.value),
        payload_sha256=payload_sha256,
        payload_size_bytes=len(form),
        payload_schema=None,
        schema_version=FORMAT_VERSION,
        topic=Topic(),
        digest=payload_sha256,
        redactions=payload.number,
    )


def _draft_summary(session: Session, checkpoint: Checkpoint | None, *, cause: str) -> str:
    lines = [f"{session.agent} left no handoff: its session {cause}."]
    lines.append(f"It was last heard of at {rfc3339(session.last_heartbeat_at_ms)}.")
    lines += [f"{name}: {text}" for name, text in (("Doing", session.activity), ("Noted", session.status_note)) if text]
    if checkpoint is None:
        lines.append("It wrote no checkpoint.")
    else:
        lines.append(f"Its last checkpoint, number {checkpoint.number}: {checkpoint.summary}")
    text: str = redact_text("\n".join(lines)).value
    return text if len(text) <= SUMMARY_CHARS_MAX else text[: SUMMARY_CHARS_MAX - 1] + "…"
