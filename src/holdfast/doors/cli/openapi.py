"""`holdfast openapi`: what describes the HTTP API, without a server."""

import click

EPILOG = """\b
Examples:
  holdfast openapi > openapi.json

\b
A running server answers the same at /openapi.json, and as a page at /docs.
Exit codes: 0.
"""


@click.command("openapi", short_help="Print the HTTP API as an OpenAPI document.", epilog=EPILOG)
def openapi_command() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API, as JSON on one line."""
    from holdfast.bootstrap import openapi

    click.echo(openapi())
