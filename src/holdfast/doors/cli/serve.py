"""`holdfast serve`: reads the settings, and leaves the rest to bootstrap."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

EPILOG = """\b
Examples:
  holdfast serve
  holdfast serve --port 9000 --database sqlite:///team.db
  holdfast serve --database postgresql://holdfast@db.internal/holdfast
  holdfast serve --no-auth      ask nobody for a key; on this machine only
  holdfast serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem
  holdfast serve --host 0.0.0.0 --behind-proxy 10.0.0.7,10.0.1.0/24

\b
Every setting is also a variable (HOLDFAST_PORT), a line of .dev.vars or .env
in the working directory, and a line of the TOML file that --config names
(port = 8787). `holdfast config` lists them, and where each value came from.

\b
SIGTERM or an interrupt lets requests in flight finish; a second one ends at
once. With TLS, SIGHUP reads the certificate anew.

\b
Exit codes: 0 stopped in good order; 1 failed, or ended by a second signal;
2 a setting is wrong.
"""


def server_options(command: F) -> F:
    """The flags that a server is started with; `holdfast config` takes the same."""
    options = (
        click.option("--host", metavar="HOST", help="Address to listen on. Default: localhost."),
        click.option("--port", metavar="PORT", help="Port to listen on; 0 lets the system choose. Default: 8787."),
        click.option(
            "--database", "database_url", metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME."
        ),
        click.option("--config", "config", metavar="FILE", help="A TOML file with settings."),
        click.option("--tls-cert", "tls_cert", metavar="FILE", help="Serve HTTPS with this certificate chain (PEM)."),
        click.option("--tls-key", "tls_key", metavar="FILE", help="The key of the certificate (PEM)."),
        click.option(
            "--behind-proxy",
            "trusted_proxies",
            metavar="ADDRESSES",
            help="Addresses or networks of the proxies in front, whose X-Forwarded-For and -Proto are believed.",
        ),
        click.option("--no-auth", is_flag=True, default=None, help="Ask nobody for a key. On a loopback address only."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("serve", short_help="Start a server.", epilog=EPILOG)
@server_options
def serve_command(**flags: str | bool | None) -> None:
    """Serve sessions over HTTP until interrupted.

    The first start on a machine makes a key, and leaves it where `holdfast ps` and `holdfast run` find it.
    """
    from holdfast.config import load

    loaded = load(flags, os.environ, Path.cwd())

    from holdfast.bootstrap import serve

    raise SystemExit(serve(loaded.settings))
