"""`holdfast session-state` and the other commands of a workspace: from a command line to an exit code."""

import os
import sys

from holdfast.doors.shown import shown
from holdfast.doors.workspace import place, words
from holdfast.doors.workspace.arguments import Arguments, HelpWanted, Usage, help_of, parse, require
from holdfast.doors.workspace.context import REASON_CHARS_MAX, Context, Verb, failure
from holdfast.doors.workspace.heartbeat import HEARTBEAT
from holdfast.doors.workspace.place import PlaceInvalid
from holdfast.doors.workspace.words import Stopped

ID_CHARS_MAX = 200

GROUPS = ("session-state", "escalation", "gates")
PLAIN = ("prompt", "git-hook")
NAMES = (*GROUPS, *PLAIN)
"""What this door answers to."""


EXAMPLES = {
    "session-state": (
        "  holdfast session-state start",
        "  holdfast session-state start --lifecycle autonomous --actor-id w1 \\\n      --lease-seconds 300",
        "  holdfast session-state heartbeat --actor-id w1 --activity 'running the tests'",
        "  holdfast session-state takeover --actor-id w2 --reason 'w1 fell silent'",
        "  holdfast session-state clear --actor-id w1 --reason done",
        "  holdfast session-state show --json",
    ),
    "escalation": (
        "  holdfast escalation add --reason 'which schema?' --blocking",
        "  holdfast escalation list",
        "  holdfast escalation resolve esc_01JAB…",
    ),
    "gates": (
        "  holdfast gates set 'tests pass' 'review done' --met 1",
        "  holdfast gates list",
        "  holdfast gates clear",
    ),
}
EXIT_CODES = "Exit codes: 0 done, 2 usage, 3 refused, 4 conflict: try again, 1 anything else."


def main(argv: list[str]) -> int:
    """Carry out one command line, without the name of the program; the exit code."""
    group, rest = argv[0], argv[1:]
    try:
        if group in PLAIN:
            from holdfast.doors.workspace import git_hook, prompt

            return prompt.main(rest) if group == "prompt" else git_hook.main(rest)
        if rest[:1] == ["heartbeat"] and group == "session-state":
            return carry_out(group, HEARTBEAT, rest[1:])
        verbs = _others(group)
        verb = verbs.get(rest[0]) if rest else None
        if verb is None:
            return _without_verb(group, rest, verbs)
        return carry_out(group, verb, rest[1:])
    except BrokenPipeError:
        # Whoever read has enough; Python would complain of the rest at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return words.FAILED


def _others(group: str) -> dict[str, Verb]:
    """The verbs of a group but heartbeat, whose modules a heartbeat does not import."""
    if group == "session-state":
        from holdfast.doors.workspace.sessions import VERBS

        return VERBS
    from holdfast.doors.workspace.boards import ESCALATION, GATES

    return ESCALATION if group == "escalation" else GATES


def _without_verb(group: str, rest: list[str], verbs: dict[str, Verb]) -> int:
    is_help = rest[:1] in (["-h"], ["--help"])
    stream = sys.stdout if is_help else sys.stderr
    if rest and not is_help:
        print(f"Error: there is no command `{shown(rest[0])}`", file=stream)
    lines = [f"Usage: holdfast {group} {'|'.join(verbs)} [OPTIONS]", ""]
    lines += [f"  {name:<10} {verb.meaning}" for name, verb in verbs.items()]
    lines += ["", "Examples:", *EXAMPLES[group], "", EXIT_CODES]
    lines += ["", f"`holdfast {group} COMMAND --help` lists the options of a command."]
    print("\n".join(lines), file=stream)
    return words.DONE if is_help else words.USAGE


def carry_out(group: str, verb: Verb, argv: list[str]) -> int:
    """Carry out one verb, and print its report or why there is none."""
    is_json, path = _wants_json(argv), None
    try:
        arguments = parse(argv, verb.options)
        if arguments.words and not verb.takes_words:
            raise Usage(f"`{shown(arguments.words[0])}` is not expected here")
        context = context_of(arguments)
        path = context.path
        require(arguments, verb.options)
        _check_texts(arguments)
        report = {
            "command": verb.report,
            "ok": True,
            "profile": context.place.profile,
            "path": context.path,
            **verb.act(context),
        }
    except HelpWanted:
        name = verb.report.removeprefix(f"{group}-")
        called = f"holdfast {group} {name}"
        examples = [each for each in EXAMPLES[group] if called in each]
        lines = [f"Usage: {called} [OPTIONS] {verb.takes_words}".rstrip(), "", verb.meaning, "", *help_of(verb.options)]
        print("\n".join([*lines, "", "Examples:", *examples, "", EXIT_CODES]))
        return words.DONE
    except Usage as usage:
        return _tell(verb, Stopped(words.USAGE, "usage", str(usage)), is_json=is_json)
    except PlaceInvalid as invalid:
        return _tell(verb, Stopped(words.USAGE, invalid.code, shown(str(invalid))), is_json=is_json)
    except Stopped as stopped:
        return _tell(verb, stopped, is_json=is_json)
    except Exception as error:
        return _tell(verb, failure(error, path=path), is_json=is_json)
    if is_json:
        words.print_json(words.without_absent(report, keeps=verb.keeps))
    else:
        print("\n".join(verb.lines(report)))
    return words.DONE


def context_of(arguments: Arguments) -> Context:
    """Where a command acts. Raises: PlaceInvalid, Stopped."""
    where = place.find(arguments.text("path") or ".", arguments.text("profile"))
    locality, problem = arguments.text("locality_id"), None
    if locality is None:
        locality, problem = place.locality_id(where)
    remote = None
    if arguments.flag("server") or os.environ.get("HOLDFAST_SESSION_STATE") == "server":
        from holdfast.doors.workspace.server import Remote

        remote = Remote(where, locality, url=arguments.text("url"))
    context = Context(arguments, where, locality, remote)
    if problem is not None:
        context.warn(problem)
    return context


def _wants_json(argv: list[str]) -> bool:
    """Whether the answer is to be JSON, as far as a command line tells that may be wrong."""
    pairs = zip(argv, [*argv[1:], ""], strict=False)
    return any(
        word in ("--json", "--output=json") or (word == "--output" and following == "json") for word, following in pairs
    )


def _check_texts(arguments: Arguments) -> None:
    """Refuse ids and reasons that nothing could hold. Raises: Usage."""
    for word in arguments.words:
        _check_text("an argument", word)
    for key, value in arguments.options.items():
        if not isinstance(value, str):
            continue
        name = "--" + key.replace("_", "-")
        _check_text(f"`{name}`", value)
        if key.endswith("_id") and not 1 <= len(value) <= ID_CHARS_MAX:
            raise Usage(f"`{name}` must have from 1 to {ID_CHARS_MAX} characters")
        if key == "reason" and not 1 <= len(value.strip()) <= REASON_CHARS_MAX:
            raise Usage(f"`{name}` must have from 1 to {REASON_CHARS_MAX} characters")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Usage(f"{name} is not text in UTF-8") from None


def _tell(verb: Verb, stopped: Stopped, *, is_json: bool) -> int:
    if is_json:
        refusal = {
            "command": verb.report,
            "ok": False,
            "code": stopped.code,
            "error": str(stopped),
            "suggestion": stopped.suggestion,
        }
        words.print_json(words.without_absent(refusal))
    else:
        print(f"Error: {stopped}", file=sys.stderr)
        if stopped.suggestion is not None:
            print(f"Suggestion: {stopped.suggestion}", file=sys.stderr)
    return stopped.exit_code
