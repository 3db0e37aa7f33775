"""Lists from the server: page after page, and the one session that a few characters name."""

from collections.abc import Iterator, Mapping

from holdfast.client.api import Api, Json
from holdfast.doors.cli import fields
from holdfast.doors.cli.failures import Missing
from holdfast.doors.cli.words import short_ids

PAGE_ITEMS = 200
"""The most that the server gives at once."""

NAME_PAGES_MAX = 5
"""Pages that are searched for a session by a part of its id: that many others contain the same characters somewhere."""

NAMED_SHOWN_MAX = 5

NAME_CHARS_MIN = 4
"""Fewer characters of an id name too many sessions."""

ID_PREFIX = "sess_"
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


def find_session_id(api: Api, given: str) -> str:
    """The id of the one session that is named by its whole id, or by its beginning or end, in any case of letters.

    Raises: Missing where there is none or more than one; Unreachable, ApiRefusal.
    """
    name = given.strip()
    prefix, underscore, rest = name.rpartition("_")
    wanted = rest.upper()
    is_ulid = wanted.isascii() and wanted.isalnum() and prefix.lower() + underscore in ("", ID_PREFIX)
    if not is_ulid or len(wanted) > ULID_CHARS:
        return name
    if len(wanted) == ULID_CHARS:
        return ID_PREFIX + wanted
    if len(wanted) < NAME_CHARS_MIN:
        raise Missing(f"Give {NAME_CHARS_MIN} or more characters of a session's id rather than {given}.")
    listed = every_item(api, "/v1/sessions", {"q": wanted}, pages_max=NAME_PAGES_MAX)
    ids = [fields.text(each, "id") for each in listed]
    can_be_end = not prefix
    matching = [each for each in ids if each.startswith(ID_PREFIX + wanted) or (can_be_end and each.endswith(wanted))]
    if not matching:
        raise Missing(f"There is no session whose id begins or ends with {given}. `holdfast ps --all` lists them.")
    if len(matching) > 1:
        several = ", ".join(short_ids(matching).values()) if len(matching) <= NAMED_SHOWN_MAX else str(len(matching))
        raise Missing(f"More than one session's id begins or ends with {given} ({several}). Give more of it.")
    return matching[0]
