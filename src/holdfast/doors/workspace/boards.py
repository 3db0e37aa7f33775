"""`holdfast escalation` and `holdfast gates`: what a session asks of people, and what it has to meet."""

from typing import Any

from holdfast.commands.workspace_entries import AddEscalation, ResolveEscalation, SetGates
from holdfast.domain.workspace import ENTRIES_MAX, EntryKind
from holdfast.doors.shown import shown
from holdfast.doors.workspace.arguments import Option, Usage
from holdfast.doors.workspace.context import COMMON, REASON_CHARS_MAX, Context, Verb, read, require_profile, run
from holdfast.engine import workspaces


def add(context: Context) -> dict[str, Any]:
    """Ask a person for something."""
    reason = context.arguments.text("reason")
    assert reason is not None
    command = AddEscalation(context.scope, reason.strip(), blocking=context.arguments.flag("blocking"))
    return run(context, command, creates=True)


def list_escalations(context: Context) -> dict[str, Any]:
    """What is open."""
    require_profile(context)
    try:
        found: dict[str, Any] = read(context, workspaces.listed, kind=EntryKind.ESCALATION)
    except FileNotFoundError:
        return {"escalations": []}
    return found


def resolve(context: Context) -> dict[str, Any]:
    """What was asked for is done."""
    words = context.arguments.words
    if len(words) != 1:
        raise Usage("name one escalation: `holdfast escalation resolve esc_…`")
    require_profile(context)
    try:
        return run(context, ResolveEscalation(context.scope, words[0]))
    except FileNotFoundError:
        from holdfast.domain.errors import Code, Refusal
        from holdfast.doors.workspace.words import stopped_by

        raise stopped_by(Refusal(Code.NOT_FOUND, what="escalation")) from None


def set_gates(context: Context) -> dict[str, Any]:
    """Set all gates at once, in order."""
    texts = context.arguments.words
    if not texts:
        raise Usage("name the gates in order: `holdfast gates set 'tests pass' 'review done'`")
    if len(texts) > ENTRIES_MAX:
        raise Usage(f"there may be up to {ENTRIES_MAX} gates")
    if any(not 1 <= len(text.strip()) <= REASON_CHARS_MAX for text in texts):
        raise Usage(f"a gate must have from 1 to {REASON_CHARS_MAX} characters")
    met = {int(number) for number in context.arguments.texts("met") if number.isascii() and number.isdecimal()}
    if len(met) != len(set(context.arguments.texts("met"))) or not met <= set(range(1, len(texts) + 1)):
        raise Usage(f"`--met` takes the number of a gate, from 1 to {len(texts)}")
    gates = tuple((text.strip(), number in met) for number, text in enumerate(texts, 1))
    return run(context, SetGates(context.scope, gates), creates=True)


def list_gates(context: Context) -> dict[str, Any]:
    """The gates in order."""
    require_profile(context)
    try:
        found: dict[str, Any] = read(context, workspaces.listed, kind=EntryKind.GATE)
    except FileNotFoundError:
        return {"gates": []}
    return found


def clear_gates(context: Context) -> dict[str, Any]:
    """No gates any more."""
    require_profile(context)
    try:
        return run(context, SetGates(context.scope, ()))
    except FileNotFoundError:
        return {"gates": []}


def _escalation_lines(report: dict[str, Any]) -> list[str]:
    found = report["escalations"] if "escalations" in report else [report["escalation"]]
    if not found:
        return ["No open escalations."]
    return [f"{shown(each['id'])}  {each['kind']:<12}  {shown(each['reason'])}" for each in found]


def _gate_lines(report: dict[str, Any]) -> list[str]:
    if not report["gates"]:
        return ["No gates."]
    return [f"{each['position']}. [{'x' if each['met'] else ' '}] {shown(each['text'])}" for each in report["gates"]]


ESCALATION = {
    "add": Verb(
        "escalation-add",
        (
            *COMMON,
            Option("--reason", "What a person has to decide or do.", is_required=True),
            Option("--blocking", "Work cannot go on without it; it outlives the session.", is_flag=True),
        ),
        add,
        lambda report: ["Escalation added: " + _escalation_lines(report)[0]],
        "Ask a person for something.",
    ),
    "list": Verb("escalation-list", COMMON, list_escalations, _escalation_lines, "What is open, oldest first."),
    "resolve": Verb(
        "escalation-resolve",
        COMMON,
        resolve,
        lambda report: ["Escalation resolved: " + _escalation_lines(report)[0]],
        "What was asked for is done: name the escalation.",
        takes_words="ESCALATION",
    ),
}

GATES = {
    "set": Verb(
        "gates-set",
        (*COMMON, Option("--met", "The number of a gate that is met; may be repeated.", is_repeated=True)),
        set_gates,
        _gate_lines,
        "Set all gates at once, in order; the first unmet one comes next.",
        ("attention_anchor",),
        takes_words="GATE...",
    ),
    "list": Verb("gates-list", COMMON, list_gates, _gate_lines, "The gates in order.", ("attention_anchor",)),
    "clear": Verb("gates-clear", COMMON, clear_gates, _gate_lines, "No gates any more."),
}
