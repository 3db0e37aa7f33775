"""Shell completion, asked of the shells themselves where this machine has them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from holdfast.doors.cli.completion import SHELLS
from holdfast.doors.cli.main import main

PROGRAMS: Final = Path(sys.executable).parent
"""Where `holdfast` is installed for these tests."""

ASK: Final = {
    "bash": """
        source "$1"
        COMP_WORDS=(holdfast "$2") COMP_CWORD=1
        _holdfast_completion holdfast
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { : }
        _describe() { print -l -- ${(P)@[$(( $# - 1 ))]} }
        compadd() { print -l -- ${(P)@[-1]} }
        source "$1"
        words=(holdfast "$2") CURRENT=2
        _holdfast_completion
    """,
    "fish": """
        source $argv[1]
        complete -C "holdfast $argv[2]"
    """,
}
"""How a shell is made to say what it would offer for a first word: `$1` is the script, `$2` the word."""


def script_for(shell: str) -> str:
    result = CliRunner().invoke(main, ["completion", shell], prog_name="holdfast")
    assert result.exit_code == 0, result.output
    return result.output


def offered(shell: str, word: str, directory: Path) -> set[str]:
    """The verbs that a real shell offers for the beginning of one."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"this machine has no {shell}")
    script = directory / f"completion.{shell}"
    script.write_text(script_for(shell))
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    placeholder = [] if shell == "fish" else ["ask"]
    ran = subprocess.run(
        [program, *flags, "-c", ASK[shell], *placeholder, str(script), word],
        env={"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ran.stderr, ran.stderr
    return {line.replace(":", "\t").split("\t")[0].strip() for line in ran.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_offers_the_verbs_that_fit(shell: str, tmp_path: Path) -> None:
    assert offered(shell, "ke", tmp_path) == {"keys"}
    assert offered(shell, "he", tmp_path) == {"heartbeat"}


def test_powershell_is_told_the_verbs_and_options_that_fit() -> None:
    assert powershell("holdfast ke", "ke") == ["keys"]
    assert powershell("holdfast completion ", "") == list(SHELLS)
    assert "--json" in powershell("holdfast ps --j", "--j")


def test_powershell_asks_in_the_way_that_is_answered() -> None:
    script = script_for("powershell")
    assert "$env:_HOLDFAST_COMPLETE = 'powershell_complete'" in script
    assert "Register-ArgumentCompleter -Native -CommandName holdfast" in script


def powershell(line: str, word: str) -> list[str]:
    """What the program answers to the script for PowerShell, in a process of its own as there."""
    told = {"COMP_WORDS": line, "COMP_CWORD": word, "_HOLDFAST_COMPLETE": "powershell_complete"}
    ran = subprocess.run([PROGRAMS / "holdfast"], env=os.environ | told, capture_output=True, text=True, check=True)
    return [answer.split("\t")[0] for answer in ran.stdout.splitlines()]


def test_another_shell_is_refused_by_name() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"], prog_name="holdfast")
    assert result.exit_code == 2
    assert "powershell" in result.output
