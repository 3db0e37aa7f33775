"""`holdfast`: the list of its verbs, each imported when it is asked for, and the one place where failures end."""

import importlib
import os

import click

from holdfast import __version__

EPILOG = """\b
Examples:
  holdfast serve                   start a server on this machine
  holdfast run -- claude -p "…"    run any command inside a session
  holdfast ps                      who works on what, alive or late, and why

\b
Exit codes:
  0  done
  1  anything else
  2  usage: an option, an argument or a setting is wrong
  3  refused: the key, the id or the request was not accepted
  4  conflict: not in this state, or not now; look, then try again
  5  no server answers
`holdfast run` has the exit code of its command.

\b
Clients find the server by HOLDFAST_URL (else http://127.0.0.1:8787) and their
key by HOLDFAST_KEY (else where the first start of a server kept it).
"""

SECTIONS = {
    "Begin": {
        "serve": "serve:serve_command",
        "run": "run:run_command",
        "ps": "ps:ps_command",
    },
    "Sessions": {
        "show": "sessions:show_command",
        "explain": "sessions:explain_command",
        "events": "events:events_command",
        "heartbeat": "sessions:heartbeat_command",
        "checkpoint": "sessions:checkpoint_command",
        "resume": "sessions:resume_command",
        "end": "sessions:end_command",
        "stop": "sessions:stop_command",
        "fence": "sessions:fence_command",
        "takeover": "sessions:takeover_command",
        "recover": "recover:recover_command",
        "archive": "sessions:archive_command",
    },
    "Work": {
        "handoff": "handoffs:handoff_command",
        "task": "tasks:task_command",
        "project": "projects:project_command",
        "machine": "machines:machine_command",
    },
    "This checkout, with no server": {
        "session-state": "workspaces:session_state_command",
        "escalation": "workspaces:escalation_command",
        "gates": "workspaces:gates_command",
        "prompt": "workspaces:prompt_command",
        "git-hook": "workspaces:git_hook_command",
    },
    "Being told": {
        "webhook": "webhooks:webhook_command",
        "alert": "alerts:alert_command",
        "stats": "stats:stats_command",
    },
    "Looking after a server": {
        "status": "status:status_command",
        "logs": "logs:logs_command",
        "jobs": "upkeep:jobs_command",
        "cleanup": "upkeep:cleanup_command",
        "keys": "keys:keys_command",
        "accounts": "accounts:accounts_command",
        "audit": "audit:audit_command",
        "config": "config_command:config_command",
    },
    "Its database": {
        "backup": "databases:backup_command",
        "restore": "databases:restore_command",
        "mark-restored": "databases:mark_restored_command",
        "migrate": "databases:migrate_command",
        "copy": "databases:copy_command",
        "doctor": "databases:doctor_command",
    },
    "For programs and shells": {
        "openapi": "openapi:openapi_command",
        "completion": "completion:completion_command",
    },
}
"""Where each verb lives, under the titles and in the order in which help lists them."""

VERBS = {verb: place for verbs in SECTIONS.values() for verb, place in verbs.items()}


class Verbs(click.Group):
    """A group that knows its verbs by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, the first to need first."""
        return list(VERBS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs under their titles, all of them in the same columns."""
        wide = max(map(len, VERBS))
        for title, verbs in SECTIONS.items():
            found = [(verb.ljust(wide), self.get_command(ctx, verb)) for verb in verbs]
            with formatter.section(title):
                formatter.write_dl([(verb, each.get_short_help_str(80)) for verb, each in found if each is not None])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of this name; None: there is none."""
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, attribute = place.split(":")
        command: click.Command = getattr(importlib.import_module(f"holdfast.doors.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the arguments name, or a refusal that names the one that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no verb {args[0]!r}.{meant}")

    def invoke(self, ctx: click.Context) -> object:
        """Carry out the verb; a failure that is foreseen becomes a sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:
            from holdfast.doors.cli.failures import tell

            ctx.exit(tell(exc, is_json=bool(ctx.meta.get("holdfast.json"))))


@click.group(
    "holdfast",
    cls=Verbs,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="holdfast", message="%(prog)s %(version)s")
def main() -> None:
    """Keep AI-agent sessions alive, accounted for, and recoverable."""


if os.environ.get("_HOLDFAST_COMPLETE", "").startswith("powershell"):
    # Click looks for the shell before it looks for a verb, and does not know this one by itself.
    importlib.import_module("holdfast.doors.cli.completion")
