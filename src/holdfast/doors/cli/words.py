"""A session in a person's words: from what the server answered and the present to short, plain pieces of text.

Pure; the texts may hold anything that somebody sent, and are made harmless where they are printed.
"""

from collections.abc import Iterable

from holdfast.client.api import Json
from holdfast.doors.cli import fields
from holdfast.doors.cli.fields import Document
from holdfast.doors.cli.layout import Span

MINUTE, HOUR, DAY = 60, 3_600, 86_400

SHORT_ID_CHARS_MIN = 6
"""Of the end of an id, where it is random: a billion of them, and doubled ones are shown longer."""


def duration(seconds: float) -> str:
    """A length of time in its one or two largest units: `3 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return _two(whole // HOUR, "h", whole % HOUR // MINUTE, "min")
    return _two(whole // DAY, "d", whole % DAY // HOUR, "h")


def age(seconds: float) -> str:
    """A length of time in its largest unit alone: `3 h`."""
    return " ".join(duration(seconds).split()[:2])


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit}" + (f" {small} {small_unit}" if small and large < 10 else "")


def ago(at: float | None, *, now: float) -> str:
    """`3 s ago`; empty where there is no time."""
    if at is None:
        return ""
    return "just now" if now - at < 1 else f"{duration(now - at)} ago"


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """For each id the shortest end of it, of SHORT_ID_CHARS_MIN or more, that none of the others has."""
    every = list(dict.fromkeys(ids))
    length = SHORT_ID_CHARS_MIN
    while len({each[-length:] for each in every}) < len(every) and length < max(map(len, every)):
        length += 1
    return {each: each[-length:] for each in every}


def short_id(session_id: str) -> str:
    """The end of an id that is likely to be enough."""
    return session_id[-SHORT_ID_CHARS_MIN:]


def status_words(session: Document, *, now: float) -> Span:
    """Whether a session is alive and why that is said of it, with the colour for it."""
    status = fields.text(session, "status")
    if status in ("active", "paused"):
        return _beating(session, status, now=now)
    if status == "parked":
        wake_at = fields.at(session, "wake_at")
        until = "" if wake_at is None else f", wakes in {duration(wake_at - now)}" if wake_at > now else ", to be woken"
        return Span(f"parked{until}{_because(session)}", "blue")
    if status == "stalled":
        why = _because(session) or f": {_silence(session, now=now)}"
        return Span(f"stalled{why}{_quarantine(session)}", "bold red")
    if status == "failed":
        return Span(_over("failed", _failure(session, now=now), session, now=now), "red")
    if status == "abandoned":
        return Span(_over("abandoned", _failure(session, now=now), session, now=now), "dim")
    return Span(_over(status, _end_reason(session), session, now=now), "dim")


def _beating(session: Document, status: str, *, now: float) -> Span:
    last_beat_at = fields.at(session, "last_heartbeat_at")
    lapses_at = fields.at(session, "lease_expires_at")
    alive = fields.text(session, "liveness")
    stop = ", asked to stop" if session.get("stop_requested") is True else ""
    if alive == "lapsed":
        return Span(f"lapsed: {_silence(session, now=now)}", "bold red")
    if alive == "late":
        interval = fields.number(fields.child(session, "policy"), "heartbeat_interval_seconds") or 0
        late = duration(now - (last_beat_at or now) - interval)
        left = "" if lapses_at is None else f", lapses in {duration(lapses_at - now)}"
        return Span(f"late by {late}{left}{stop}", "yellow")
    return Span(f"{status}, beat {ago(last_beat_at, now=now)}{stop}", "green" if status == "active" else "cyan")


def _silence(session: Document, *, now: float) -> str:
    """`silent for 20 s, lease 15 s`."""
    last_beat_at = fields.at(session, "last_heartbeat_at")
    lease = fields.number(fields.child(session, "policy"), "lease_seconds")
    silent = f"silent for {duration(now - (last_beat_at or now))}"
    return silent if lease is None else f"{silent}, lease {duration(lease)}"


def _because(session: Document) -> str:
    reason = fields.text(session, "status_reason")
    return f": {reason}" if reason else ""


def _is_by_silence(session: Document) -> bool:
    """Whether silence alone, and nobody's word, led to the end."""
    is_over = fields.text(session, "status") in ("failed", "abandoned")
    return is_over and fields.text(session, "failed_by") != "report" and not fields.text(session, "status_reason")


def _failure(session: Document, *, now: float) -> str:
    reason = fields.text(session, "status_reason")
    if not _is_by_silence(session):
        exit_code = fields.number(session, "exit_code")
        is_told = exit_code is None or f"exit code {exit_code}" in reason
        return reason if is_told else ", ".join(filter(None, (reason, f"exit code {exit_code}")))
    last_beat_at = fields.at(session, "last_heartbeat_at")
    return f"silent for {duration(now - (last_beat_at or now))}"


def _end_reason(session: Document) -> str:
    reason = fields.text(session, "end_reason").replace("_", " ")
    successor = fields.text(session, "taken_over_by") or fields.text(session, "recovered_by")
    told_later = " (reported later)" if session.get("reported_late") is True else ""
    by = f" by {short_id(successor)}" if successor and reason in ("taken over", "recovered") else ""
    return f"{reason}{by}{told_later}"


def _over(status: str, why: str, session: Document, *, now: float) -> str:
    """`failed: exit code 1, 2 min ago`."""
    changed_at = fields.at(session, "ended_at") or fields.at(session, "status_changed_at")
    # How long it has been silent says when it was given up for dead.
    when = "" if _is_by_silence(session) else ago(changed_at, now=now)
    successor = fields.text(session, "taken_over_by")
    taken_over = f"taken over by {short_id(successor)}" if successor and status != "ended" else ""
    return ", ".join(filter(None, (f"{status}: {why}" if why else status, taken_over, when))) + _quarantine(session)


def _quarantine(session: Document) -> str:
    return ", quarantined" if session.get("quarantined") is True else ""


def place_words(session: Document) -> str:
    """Where a session runs, or who holds it: host and process where a runner told them, else machine or holder."""
    meta = fields.child(session, "meta")
    host, pid = fields.text(meta, "hostname"), fields.number(meta, "pid")
    slot = fields.number(session, "slot")
    machine = fields.text(session, "machine_id")
    where = f"{host}:{pid}" if host and pid is not None else host or _short_name(machine)
    where = where or _short_name(fields.text(session, "holder_id"))
    return where if slot is None else f"{where} slot {slot}"


def _short_name(name: str) -> str:
    """A generated id without most of its random part."""
    prefix, underscore, rest = name.partition("_")
    is_generated = bool(underscore) and len(rest) >= 16 and rest.isalnum()
    return f"{prefix}_…{rest[-SHORT_ID_CHARS_MIN:]}" if is_generated else name


def note_words(session: Document) -> str:
    """What a session says that it does; else the command that it runs."""
    note, activity = fields.text(session, "status_note"), fields.text(session, "activity")
    said = ": ".join(filter(None, (activity, note)))
    return said or command_words(session)


def command_words(session: Document) -> str:
    """The command of a run, as its runner told it; empty where there is none."""
    command = fields.items(fields.child(session, "meta"), "command")
    return " ".join(str(word) for word in command)


def plural(count: int, noun: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def value_words(value: Json) -> str:
    """A plain value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
