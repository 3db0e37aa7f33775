"""Lists from the server: page after page, and the one thing that a few characters name."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from holdfast.client.api import Api, Json
from holdfast.doors.cli import fields
from holdfast.doors.cli.failures import Missing
from holdfast.doors.cli.words import short_ids

PAGE_ITEMS = 200
"""The most that the server gives at once."""

NAME_PAGES_MAX = 5
"""Pages that are searched for one thing by a part of its id: that many others contain the same characters somewhere."""

NAMED_SHOWN_MAX = 5

NAME_CHARS_MIN = 4
"""Fewer characters of an id name too many of them."""

ULID_CHARS = 26


def every_item(
    api: Api, path: str, query: Mapping[str, str], *, pages_max: int, headers: Mapping[str, str] | None = None
) -> Iterator[dict[str, Json]]:
    """The items of a list, in its order; pages are fetched as they are needed.

    Raises: Unreachable, ApiRefusal.
    """
    cursor = ""
    for _ in range(pages_max):
        asked = {"limit": str(PAGE_ITEMS), **query, **({"cursor": cursor} if cursor else {})}
        page = fields.document_of(api, api.request("GET", path, query=asked, headers=headers))
        yield from fields.children(page, "items")
        cursor = fields.text(page, "next_cursor")
        if not cursor:
            return


class Named(NamedTuple):
    """What has ids that a few characters name. what: as in a sentence; lister: the command that shows all ids."""

    what: str
    prefix: str
    path: str
    lister: str


SESSIONS = Named("session", "sess_", "/v1/sessions", "holdfast ps --all")
TASKS = Named("task", "task_", "/v1/tasks", "holdfast task list")


def find_session_id(api: Api, given: str) -> str:
    """The id of the one session that is named; see `_find_id`."""
    return _find_id(api, given, SESSIONS)


def find_task_id(api: Api, given: str) -> str:
    """The id of the one task that is named; see `_find_id`."""
    return _find_id(api, given, TASKS)


def _find_id(api: Api, given: str, kind: Named) -> str:
    """The id of the one thing that is named by its whole id, or by its beginning or end, in any case of letters.

    Raises: Missing where there is none or more than one; Unreachable, ApiRefusal.
    """
    name = given.strip()
    prefix, underscore, rest = name.rpartition("_")
    wanted = rest.upper()
    is_ulid = wanted.isascii() and wanted.isalnum() and prefix.lower() + underscore in ("", kind.prefix)
    if not is_ulid or len(wanted) > ULID_CHARS:
        return name
    if len(wanted) == ULID_CHARS:
        return kind.prefix + wanted
    if len(wanted) < NAME_CHARS_MIN:
        raise Missing(f"Give {NAME_CHARS_MIN} or more characters of a {kind.what}'s id rather than {given}.")
    listed = every_item(api, kind.path, {"q": wanted}, pages_max=NAME_PAGES_MAX)
    ids = [fields.text(each, "id") for each in listed]
    can_be_end = not prefix
    matching = [each for each in ids if each.startswith(kind.prefix + wanted) or (can_be_end and each.endswith(wanted))]
    if not matching:
        raise Missing(f"There is no {kind.what} whose id begins or ends with {given}. `{kind.lister}` lists them.")
    if len(matching) > 1:
        several = ", ".join(short_ids(matching).values()) if len(matching) <= NAMED_SHOWN_MAX else str(len(matching))
        raise Missing(f"More than one {kind.what}'s id begins or ends with {given} ({several}). Give more of it.")
    return matching[0]
