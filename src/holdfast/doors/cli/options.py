"""Options that many verbs share, and the server that they speak to."""

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from holdfast.client.api import Answer, Api

REQUEST_SECONDS = 10.0
"""How long a person waits for one answer."""

CLOCK_DIFFERENCE_SECONDS = 2.0
"""A server's clock this near is not told from one's own: its answers name whole seconds."""

JSON_META = "holdfast.json"
KEY_SOURCE_META = "holdfast.key_source"
"""Under which names a call's context remembers what its failure has to know."""


def _remember_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON_META] = value
    return value


json_option = click.option(
    "--json", "is_json", is_flag=True, callback=_remember_json, help="Print JSON; failures too, on standard error."
)
url_option = click.option("--url", metavar="URL", help="The server. Default: HOLDFAST_URL, else http://127.0.0.1:8787.")


def connect(url: str | None, *, timeout_seconds: float = REQUEST_SECONDS) -> "Api":
    """The server that `--url` or the environment names, with the key that is known for it.

    Raises: CredentialsInvalid.
    """
    from holdfast.client.api import Api
    from holdfast.client.credentials import CredentialsInvalid, find_credentials

    environ = dict(os.environ)
    if url is not None:
        environ["HOLDFAST_URL"] = url
    found = find_credentials(environ)
    source = "" if found.key is None else "HOLDFAST_KEY" if environ.get("HOLDFAST_KEY") else "this user's kept keys"
    click.get_current_context().meta[KEY_SOURCE_META] = source
    try:
        api = Api(found.url, found.key, timeout_seconds=timeout_seconds, ca_file=found.ca_file)
    except ValueError as exc:
        raise CredentialsInvalid(source, str(exc)) from exc
    click.get_current_context().call_on_close(api.close)
    return api


def present(answer: "Answer") -> float:
    """Seconds since the epoch by the server's clock, to which every time in its answer belongs."""
    import time
    from email.utils import parsedate_to_datetime

    here = time.time()
    try:
        there = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return here
    return here if abs(here - there) < CLOCK_DIFFERENCE_SECONDS else there
