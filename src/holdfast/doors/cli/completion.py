"""`holdfast completion`: what a shell needs to complete verbs and options; Click knows three, and here is a fourth."""

import os

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

EPILOG = """\b
Examples:
  holdfast completion bash >> ~/.bash_completion
  holdfast completion zsh > ~/.zfunc/_holdfast      (a directory in $fpath)
  holdfast completion fish > ~/.config/fish/completions/holdfast.fish
  holdfast completion powershell >> $PROFILE        (PowerShell 7)

\b
Exit codes: 0.
"""

PROGRAM = "holdfast"
VARIABLE = "_HOLDFAST_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell")

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.ToString().PadRight($cursorPosition).Substring(0, $cursorPosition)
    $env:COMP_WORDS = $line
    $env:COMP_CWORD = $wordToComplete
    $env:%(complete_var)s = 'powershell_complete'
    try {
        %(prog_name)s | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:%(complete_var)s
    }
}
"""


class PowerShellComplete(ShellComplete):
    """PowerShell's way: the line up to the cursor in COMP_WORDS, the word at the cursor in COMP_CWORD."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """The finished words of the line, and the one that is being written."""
        incomplete = os.environ.get("COMP_CWORD", "")
        words = split_arg_string(os.environ.get("COMP_WORDS", ""))[1:]
        return (words[:-1] if incomplete and words else words), incomplete

    def complete(self) -> str:
        """What fits, a line each. Of files nothing is said: PowerShell completes them where nobody else does."""
        found = self.get_completions(*self.get_completion_args())
        return "\n".join(self.format_completion(item) for item in found if item.type == "plain")

    def format_completion(self, item: CompletionItem) -> str:
        """A value and what it is about; PowerShell wants some text there."""
        return f"{item.value}\t{item.help or item.value}"


add_completion_class(PowerShellComplete)


@click.command("completion", short_help="Print a script that completes verbs and options.", epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete the verbs and options of holdfast."""
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
