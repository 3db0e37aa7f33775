"""Why a session is as it is, and what a takeover gave: the answers of the server in sentences."""

import shlex
from collections.abc import Callable, Sequence

from holdfast.domain.actor import JOB_RUNNER_KEY, SWEEPER_KEY
from holdfast.domain.events import Rule
from holdfast.domain.limits import ABANDON_AFTER_MS
from holdfast.doors.cli import fields, terminal
from holdfast.doors.cli.facts import Fact, checkpoint_facts, clock_words, echo_facts, when_words
from holdfast.doors.cli.fields import Document
from holdfast.doors.cli.layout import Column, Span, render
from holdfast.doors.cli.words import ago, duration, short_id

HISTORY_SHOWN_MAX = 20
WHO_COLUMNS = 12
"""Of the id of whoever said so, where there is not room for everything: why says more."""

SENTENCES: dict[Rule, Callable[[Document], str]] = {
    Rule.REQUESTED: lambda event: f"somebody asked for it{_given(event)}",
    Rule.LEASE_LAPSED: lambda event: f"no beat came within its lease{_length(event, 'lease')}",
    Rule.FAIL_AFTER_PASSED: lambda event: f"it stayed silent{_length(event, 'fail_after')} after its last beat",
    Rule.GIVEN_UP: lambda _: f"nobody came back to it or took it over for {duration(ABANDON_AFTER_MS / 1000)}",
    Rule.WAKE_TIME_REACHED: lambda _: "the time came at which it was to be woken",
    Rule.BEAT_AFTER_LAPSE: lambda _: "a beat came after its lease had lapsed, and nobody had taken its place",
    Rule.SUPERSEDED: lambda _: "another session was started in its place",
    Rule.TAKEN_OVER: lambda event: f"it was taken over{_successor(event)}",
    Rule.RECOVERED: lambda event: f"its work was recovered{_successor(event)}",
    Rule.RECOVERIES_SPENT: lambda _: "it broke off again after its last recovery, so a person has to look",
    Rule.SESSION_LET_GO: lambda _: "the session that held it lapsed, or was over",
    Rule.NAMED_BY_SESSION: lambda _: "a session named it",
    Rule.ALERT_RULE: lambda event: f"an alert rule says so{_given(event)}",
    Rule.RETENTION_PASSED: lambda _: "it was kept for as long as the settings say",
}
"""What each rule means. A test holds it complete."""


def echo_explanation(explained: Document, *, now: float) -> None:
    """Print the rule that brought a session into its state, its inputs, who and when; then its history."""
    because = fields.child(explained, "because")
    facts: list[Fact] = []
    if because:
        facts += _event_facts(because, now=now)
    silent = fields.number(explained, "silent_seconds")
    if silent is not None and not fields.text(fields.child(explained, "session"), "ended_at"):
        facts.append(("silent", f"for {duration(silent)}"))
    for pending in fields.children(explained, "pending"):
        facts.append(("not yet recorded", f"{_type_words(pending)}: {_sentence(pending)}"))
    echo_facts(facts)
    history = fields.children(explained, "history")[:HISTORY_SHOWN_MAX]
    if len(history) > 1:
        terminal.echo()
        _echo_history(history)


def _event_facts(event: Document, *, now: float) -> list[Fact]:
    happened_at, recorded_at = fields.at(event, "at"), fields.at(event, "recorded_at")
    when = "" if happened_at is None else f"{clock_words(happened_at)} ({ago(happened_at, now=now)})"
    delay = None if happened_at is None or recorded_at is None else recorded_at - happened_at
    noticed = f", noticed {delay:.1f} s later" if delay is not None and delay >= 0.1 else ""
    return [
        ("why", _sentence(event)),
        ("rule", fields.text(event, "rule")),
        ("who", "nobody: time decided it" if _is_times(event) else fields.text(event, "actor")),
        ("when", f"{when}{noticed}"),
        ("last beat", when_words(_data(event), "last_heartbeat_at", now=now)),
        ("request", "" if _is_times(event) else fields.text(event, "correlation_id")),
    ]


def _echo_history(history: Sequence[Document]) -> None:
    columns = [
        Column("WHEN"),
        Column("WHAT"),
        Column("WHY", comfort=30, least=16),
        Column("WHO", comfort=WHO_COLUMNS, cut="middle", drop=1),
    ]
    rows = [event_spans(event) for event in history]
    terminal.echo_lines(render(columns, rows, width=terminal.width()))


def event_spans(event: Document) -> tuple[Span, Span, Span, Span]:
    """When an event happened, what it was, why, and who said so."""
    return (
        Span(clock_words(fields.at(event, "at") or 0), "dim"),
        Span(_type_words(event)),
        Span(_sentence(event)),
        Span("time" if _is_times(event) else fields.text(event, "actor"), "dim"),
    )


def _sentence(event: Document) -> str:
    rule = fields.text(event, "rule")
    try:
        return SENTENCES[Rule(rule)](event)
    except ValueError:
        return rule


def _type_words(event: Document) -> str:
    words = fields.text(event, "type").removeprefix("session.").replace("_", " ")
    task_id = fields.text(_data(event), "task_id")
    return f"{words} {short_id(task_id)}" if task_id else words


def _is_times(event: Document) -> bool:
    return fields.text(event, "actor") in (SWEEPER_KEY, JOB_RUNNER_KEY)


def _data(event: Document) -> Document:
    """An event's data; a change that is pending has them beside its rule."""
    return fields.child(event, "data") or event


def _length(event: Document, name: str) -> str:
    data = _data(event)
    seconds = fields.number(data, f"{name}_seconds")
    milliseconds = fields.number(data, f"{name}_ms")
    if seconds is None and milliseconds is not None:
        seconds = milliseconds / 1000
    return "" if seconds is None else f" of {duration(seconds)}" if name == "lease" else f" for {duration(seconds)}"


def _given(event: Document) -> str:
    data = _data(event)
    said = fields.text(data, "reason") or fields.text(data, "end_reason")
    return f": {said}" if said else ""


def _successor(event: Document) -> str:
    data = _data(event)
    successor = fields.text(data, "taken_over_by") or fields.text(data, "recovered_by")
    forced = ", by force" if data.get("is_forced") is True else ""
    return f" by {short_id(successor)}{forced}" if successor else forced


def echo_acquired(session: Document, *, came_by: str, old_id: str, now: float) -> None:
    """Print a new session and its token, how to use them, and what the old one left. came_by: `took over from`."""
    session_id, token = fields.text(session, "id"), fields.number(session, "fencing_token")
    terminal.echo(Span(session_id, "bold"), f"  {came_by} {old_id}")
    lease = fields.number(fields.child(session, "policy"), "lease_seconds")
    terminal.echo(f"Its fencing token is {token}, its lease {duration(lease or 0)}.")
    terminal.echo()
    checkpoint = fields.child(session, "last_checkpoint")
    handoff = fields.child(session, "last_handoff")
    if checkpoint:
        echo_facts(checkpoint_facts(checkpoint, now=now))
    if handoff:
        echo_facts([("handoff", fields.text(handoff, "summary") or fields.text(handoff, "id"))])
    if not (checkpoint or handoff):
        terminal.echo("It left no checkpoint and no handoff.")
    terminal.echo()
    terminal.echo("To go on as this session, and keep it alive:")
    terminal.echo(f"  export HOLDFAST_SESSION_ID={shlex.quote(session_id)} HOLDFAST_FENCING_TOKEN={token}")
    terminal.echo("  holdfast heartbeat")
