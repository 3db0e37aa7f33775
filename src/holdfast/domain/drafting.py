"""Drafts of handoffs: what somebody wrote, or what the core says for a session that broke off without a word.

`drafted` checks, redacts, measures and hashes, and takes time with the size of what was written, so that doors call it
beside the event loop and never within a transaction.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import rfc8785

from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.handoff import FORMAT_VERSION, Draft, EvidenceKind, Grade, Topic
from holdfast.domain.ids import TaskId
from holdfast.domain.limits import (
    HANDOFF_PAYLOAD_BYTES_MAX,
    INTEGER_MAX,
    LABEL_CHARS_MAX,
    LIST_ITEMS_MAX,
    NAME_CHARS_MAX,
    SUMMARY_CHARS_MAX,
)
from holdfast.domain.redaction import redact_json, redact_text
from holdfast.domain.session import Session, SessionProfile
from holdfast.domain.task import LetGo, Task, TaskStatus
from holdfast.domain.times import rfc3339

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


COPIED_BYTES_MAX = 64 * 1024
"""A checkpoint's lists are repeated in a drafted handoff up to here; past it the draft names the checkpoint alone."""


def draft_for(
    session: Session,
    profile: SessionProfile,
    checkpoint: Checkpoint | None,
    *,
    held: LetGo,
    tasks: Mapping[TaskId, Task],
    cause: str,
) -> Draft:
    """What the core writes for a session that broke off: all that is known of where it stood.

    held: the tasks that it had then. tasks: those of them that there still are, as they are now.
    cause: what became of it, as the end of a sentence about it.
    """
    unfinished = [_unfinished(session, task_id, was, tasks.get(task_id)) for task_id, was in held.statuses.items()]
    told = {
        "auto": True,
        "cause": cause,
        "session_id": session.id,
        "agent": session.agent,
        "holder_id": session.holder_id,
        "status_reason": session.status_reason,
        "branch": (checkpoint.branch if checkpoint else None) or profile.branch,
        "commit_sha": (checkpoint.commit_sha if checkpoint else None) or profile.commit_sha,
        "issue_number": profile.issue_number,
        "current_task_id": profile.current_task_id or held.current_task_id,
        "activity": session.activity,
        "status_note": session.status_note,
        "progress": session.progress,
        "last_heartbeat_at": rfc3339(session.last_heartbeat_at_ms),
        "checkpoint": None
        if checkpoint is None
        else {"id": checkpoint.id, "number": checkpoint.number, "created_at": rfc3339(checkpoint.created_at_ms)},
        "unfinished_tasks": unfinished or None,
        "unfinished_task_count": held.number or None,
    }
    payload = redact_json({name: value for name, value in told.items() if value is not None})
    lists = ("[]", "[]", "[]")
    if checkpoint is not None:
        kept = (checkpoint.work_completed_json, checkpoint.blockers_json, checkpoint.next_actions_json)
        lists = kept if sum(map(len, kept)) <= COPIED_BYTES_MAX else lists
    next_actions_json = lists[2]
    if next_actions_json == "[]":
        open_tasks = [each for each in unfinished if each["status_now"] == TaskStatus.PENDING and "held_by" not in each]
        next_actions_json = _text(redact_json([f"Finish {_named(each)}" for each in open_tasks]).value)
    form = rfc8785.dumps(payload.value)
    summary = _draft_summary(session, checkpoint, unfinished, number=held.number, cause=cause)
    payload_sha256 = hashlib.sha256(form).hexdigest()
    return Draft(
        summary=summary,
        status_label=None,
        to_agent=None,
        work_completed_json=lists[0],
        blockers_json=lists[1],
        next_actions_json=next_actions_json,
        payload_json=_text(payload.value),
        payload_sha256=payload_sha256,
        payload_size_bytes=len(form),
        payload_schema=None,
        schema_version=FORMAT_VERSION,
        topic=Topic(),
        digest=payload_sha256,
        redactions=payload.number,
    )


def _unfinished(session: Session, task_id: TaskId, was: TaskStatus, task: Task | None) -> dict[str, Any]:
    """A task that a session had not finished when it broke off, and who has it since, if somebody does."""
    told = {"id": task_id, "status": was.value, "status_now": DELETED if task is None else str(task.status)}
    if task is None:
        return told
    told |= {"name": task.name, "project_id": task.project_id}
    other_id = task.held_by or task.last_session_id
    if other_id not in (None, session.id):
        told["held_by" if task.held_by else "last_held_by"] = other_id
    return told


DELETED: Final = "deleted"
"""What is said of a task that there is no more."""


def _named(task: Mapping[str, Any]) -> str:
    return f"{task['id']}: {task['name']}" if "name" in task else task["id"]


TASKS_IN_SUMMARY_MAX = 5
"""Tasks that a draft's summary names; all that are remembered are in its payload."""


def _task_lines(unfinished: Sequence[Mapping[str, Any]], *, number: int) -> list[str]:
    if not number:
        return []
    lines = [f"It had {number} unfinished {'task' if number == 1 else 'tasks'}:"]
    for each in unfinished[:TASKS_IN_SUMMARY_MAX]:
        since = f", now {each['status_now']}" if each["status_now"] != TaskStatus.PENDING else ""
        since += f" with {each['held_by']}" if "held_by" in each else ""
        lines.append(f"- {_named(each)} ({each['status']}{since})")
    more = number - min(number, TASKS_IN_SUMMARY_MAX)
    return [*lines, f"- and {more} more"] if more else lines


def _draft_summary(
    session: Session,
    checkpoint: Checkpoint | None,
    unfinished: Sequence[Mapping[str, Any]],
    *,
    number: int,
    cause: str,
) -> str:
    lines = [f"{session.agent} left no handoff: its session {cause}."]
    lines.append(f"It was last heard of at {rfc3339(session.last_heartbeat_at_ms)}.")
    lines += [f"{name}: {text}" for name, text in (("Doing", session.activity), ("Noted", session.status_note)) if text]
    lines += _task_lines(unfinished, number=number)
    if checkpoint is None:
        lines.append("It wrote no checkpoint.")
    else:
        lines.append(f"Its last checkpoint, number {checkpoint.number}: {checkpoint.summary}")
    text: str = redact_text("\n".join(lines)).value
    return text if len(text) <= SUMMARY_CHARS_MAX else text[: SUMMARY_CHARS_MAX - 1] + "…"
