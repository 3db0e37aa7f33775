"""Each verb's help has an example of its own; every example, there and in the documentation, is one that is taken."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

import click
import pytest

from holdfast.__main__ import WORKSPACE_VERBS
from holdfast.doors.cli.main import main

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _verbs(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if name in WORKSPACE_VERBS:
            continue
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _verbs(command, *path, name)


VERBS: Final = dict(_verbs(main))


def _help(path: tuple[str, ...]) -> str:
    context = click.Context(VERBS[path], info_name=" ".join(("holdfast", *path)), max_content_width=80)
    return VERBS[path].get_help(context)


def _examples(path: tuple[str, ...]) -> list[str]:
    _, _, after = _help(path).partition("Examples:\n")
    return [line.strip() for line in after.partition("\n\n")[0].splitlines()]


def _words(line: str) -> list[str]:
    """The arguments of the call of Holdfast in a line: what a shell would hand on, without what stands beside it."""
    _, _, call = re.sub(r"\s{3,}.*|\s#.*", "", line).partition("holdfast ")
    lexer = shlex.shlex(call.replace("$(date +%F)", "2026-01-17"), posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "", True
    return list(takewhile(lambda word: word not in ("|", "||", "&&", ";", ">", ">>", ")"), lexer))


def _parse(words: list[str]) -> None:
    """Read these as the program does, and do nothing. Raises: click.UsageError."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            raise click.UsageError(f"there is no verb {words[0]}")
        command, words = found, words[1:]
    if not isinstance(command, click.Group):
        command.make_context(command.name, [word for word in words if word != "--help"])


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_each_verb_has_an_example_of_its_own(path: tuple[str, ...]) -> None:
    assert any(f"holdfast {' '.join(path)} " in f"{line} " for line in _examples(path))


def test_a_verb_of_a_noun_has_no_examples_of_the_others() -> None:
    shown = {path: len(_examples(path)) for path in VERBS if path[0] == "task"}
    assert shown.pop(("task",)) == sum(shown.values())


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_each_option_says_what_it_is(path: tuple[str, ...]) -> None:
    options = [each for each in VERBS[path].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_example_is_taken_as_it_stands(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SESSION_ID", "sess_01KF5V3Z5R0000000000000000")
    for line in _examples(path):
        _parse(_words(line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_command_of_the_documentation_is_taken(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SESSION_ID", "sess_01KF5V3Z5R0000000000000000")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    called = [line for line in lines if re.match(r"(\$ )?(\./)?holdfast [a-z]", line)]
    for line in called:
        words = _words(line)
        if words[0] not in WORKSPACE_VERBS:
            _parse(words)
