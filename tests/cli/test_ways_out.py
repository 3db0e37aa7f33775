"""What a person can type after a refusal."""

import shlex
from typing import Any

import click
import pytest

from holdfast.domain.errors import Action
from holdfast.domain.events import Rule
from holdfast.doors.cli.explanation import SENTENCES
from holdfast.doors.cli.main import VERBS, main
from holdfast.doors.cli.ways_out import HINTS, in_words


def test_every_way_out_that_there_is_has_a_hint() -> None:
    assert set(HINTS) == set(Action)


def test_every_rule_that_there_is_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Rule)


@pytest.mark.parametrize("action", list(Action))
def test_every_hint_that_is_a_command_is_one_of_this_program(action: Action) -> None:
    hint = HINTS[action]({"action": action.value, "path": "/v1/sessions/sess_01K/x"})
    if not hint.command:
        assert hint.remark
        return
    words = shlex.split(hint.command)
    assert words[0] == "holdfast"
    context = click.Context(main)
    command = main.get_command(context, words[1])
    assert command is not None
    arguments = words[2:]
    if isinstance(command, click.Group):
        command = command.get_command(context, arguments.pop(0))
        assert command is not None
    parsed = command.make_context(words[1], arguments)
    assert "ID" not in parsed.params.values()


@pytest.mark.parametrize(
    ("way", "line"),
    [
        (
            {"action": "explain", "path": "/v1/sessions/sess_1/explain"},
            "holdfast explain sess_1   (why it is as it is)",
        ),
        (
            {"action": "take_over", "path": "/v1/sessions/sess_1/takeover", "after_at": "2026-01-17T10:00:15.000Z"},
            'holdfast takeover sess_1 --reason "WHY"   (from 2026-01-17T10:00:15.000Z on)',
        ),
        (
            {"action": "start", "path": "/v1/sessions", "body": {"scope": "a b", "agent": "x", "holder_id": "h"}},
            "holdfast run --agent x --scope 'a b' --take-over \"WHY\" -- COMMAND   (unless it is alive)",
        ),
        ({"action": "start", "path": "/v1/sessions"}, "holdfast run -- COMMAND"),
        ({"action": "end", "session_id": "a;rm -rf ~"}, "holdfast end 'a;rm -rf ~'"),
    ],
)
def test_a_way_out_is_a_line_to_type_with_what_it_names_quoted(way: dict[str, Any], line: str) -> None:
    assert in_words([way]) == [line]


def test_a_way_out_of_a_newer_server_is_passed_over() -> None:
    assert in_words([{"action": "teleport"}, {"action": "repeat_later"}]) == ["The same again, later."]


def test_help_lists_every_verb_and_none_is_wider_than_a_terminal(cli: Any) -> None:
    listed = cli("--help").output
    for verb in VERBS:
        assert f"\n  {verb} " in listed
        if verb != "run":
            wide = [line for line in cli(verb, "--help", COLUMNS="80").output.splitlines() if len(line) > 80]
            assert wide == []
