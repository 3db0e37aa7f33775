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

VERBS = {
    "serve": "serve:serve_command",
    "run": "run:run_command",
    "ps": "ps:ps_command",
    "show": "sessions:show_command",
    "explain": "sessions:explain_command",
    "events": "events:events_command",
    "heartbeat": "sessions:heartbeat_command",
    "checkpoint": "sessions:checkpoint_command",
    "handoff": "handoffs:handoff_command",
    "resume": "sessions:resume_command",
    "end": "sessions:end_command",
    "fence": "sessions:fence_command",
    "stop": "sessions:stop_command",
    "takeover": "sessions:takeover_command",
    "recover": "recover:recover_command",
    "archive": "sessions:archive_command",
    "task": "tasks:task_command",
    "project": "projects:project_command",
    "machine": "machines:machine_command",
    "session-state": "workspaces:session_state_command",
    "escalation": "workspaces:escalation_command",
    "gates": "workspaces:gates_command",
    "prompt": "workspaces:prompt_command",
    "git-hook": "workspaces:git_hook_command",
    "jobs": "upkeep:jobs_command",
    "cleanup": "upkeep:cleanup_command",
    "stats": "stats:stats_command",
    "webhook": "webhooks:webhook_command",
    "alert": "alerts:alert_command",
    "keys": "keys:keys_command",
    "accounts": "accounts:accounts_command",
    "audit": "audit:audit_command",
    "status": "status:status_command",
    "logs": "logs:logs_command",
    "migrate": "databases:migrate_command",
    "backup": "databases:backup_command",
    "restore": "databases:restore_command",
    "mark-restored": "databases:mark_restored_command",
    "copy": "databases:copy_command",
    "doctor": "databases:doctor_command",
    "config": "config_command:config_command",
    "openapi": "openapi:openapi_command",
    "completion": "completion:completion_command",
}
"""Where each verb lives, in the order in which help lists them."""


class Verbs(click.Group):
    """A group that knows its verbs by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, the first to need first."""
        return list(VERBS)

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
