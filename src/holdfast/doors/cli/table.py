"""Sessions as a table: which of them, in what order, and what stands in its columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from holdfast.domain.liveness import Liveness
from holdfast.domain.session import Status
from holdfast.doors.cli.options import present

if TYPE_CHECKING:
    from holdfast.client.api import Api, Json
    from holdfast.doors.cli.layout import Line

RECENTLY_SECONDS = 300
"""How long after its end a session is still listed."""

RECENT_BEAT_SECONDS = 3_600
"""Sessions that ended recently are looked for among those that beat since then."""

PAGES_MAX = 10_000
"""Of 200 sessions each."""

UNDER_WAY = (Status.ACTIVE, Status.PAUSED, Status.PARKED, Status.STALLED)


@dataclass(frozen=True)
class Selection:
    """Which sessions are wanted.

    statuses: none: those that are of interest. filters: as the server knows them. items_max: None: all.
    scope: a part of it, as it is written or as a table shows it; empty: any.
    """

    statuses: tuple[str, ...]
    is_all: bool
    filters: Mapping[str, str]
    scope: str
    items_max: int | None

    def is_on_scope(self, scope: str) -> bool:
        """Whether a session's scope is one that is wanted."""
        from holdfast.domain import scope as scopes

        return self.scope in scope or self.scope in scopes.in_words(scope)


def read_sessions(api: "Api", selection: Selection) -> "tuple[list[dict[str, Json]], float]":
    """The selected sessions in the order in which they are shown, and the present by the server's clock.

    Raises: Unreachable, ApiRefusal.
    """
    now = present(api.request("GET", "/v1/sessions", query={"limit": "1"}))
    return list(islice(_selected(api, selection, now=now), selection.items_max)), now


def _selected(api: "Api", selection: Selection, *, now: float) -> "Iterator[dict[str, Json]]":
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.pages import every_item

    def listed(**query: str) -> "Iterator[dict[str, Json]]":
        asked = {**selection.filters, **query}
        found = every_item(api, "/v1/sessions", asked, pages_max=PAGES_MAX)
        return (each for each in found if selection.is_on_scope(fields.text(each, "scope")))

    if selection.statuses:
        for status in selection.statuses:
            yield from listed(status=status)
        return
    if selection.is_all:
        yield from listed()
        return
    for status in UNDER_WAY:
        yield from listed(status=status)
    yield from (each for each in listed(status=Status.FAILED) if not fields.text(each, "taken_over_by"))
    since = _rfc3339(now - RECENT_BEAT_SECONDS)
    for each in listed(status=Status.ENDED, heartbeat_after=since):
        if now - (fields.at(each, "ended_at") or 0) < RECENTLY_SECONDS:
            yield each


def _rfc3339(at: float) -> str:
    from holdfast.domain.times import rfc3339

    return rfc3339(int(at * 1000))


def table(sessions: "Sequence[Mapping[str, Json]]", *, now: float, width: int | None) -> "list[Line]":
    """A line of titles and a line a session, within the width."""
    from holdfast.domain import scope as scopes
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import age, note_words, place_words, short_ids, status_words

    columns = [
        Column("ID"),
        Column("AGENT", comfort=14, least=8, most=24),
        Column("SCOPE", comfort=22, least=12, most=60, cut="start"),
        Column("STATUS", comfort=37, least=32),
        Column("AGE"),
        Column("WHERE", comfort=16, most=32, drop=2),
        Column("DOING", comfort=20, drop=1),
    ]
    names = short_ids(fields.text(each, "id") for each in sessions)
    rows = []
    for each in sessions:
        started_at = fields.at(each, "started_at")
        is_over = each.get("liveness") is None
        rows.append(
            [
                Span(names[fields.text(each, "id")], "dim" if is_over else "bold"),
                Span(fields.text(each, "agent")),
                Span(scopes.in_words(fields.text(each, "scope"))),
                status_words(each, now=now),
                Span("" if started_at is None else age(now - started_at)),
                Span(place_words(each), "dim"),
                Span(note_words(each)),
            ]
        )
    return render(columns, rows, width=width)


def footer(sessions: "Sequence[Mapping[str, Json]]", *, items_max: int | None) -> "list[Line]":
    """How many there are of each kind, and what to type about those that fell silent."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.words import plural, short_id

    counts: dict[str, int] = {}
    for each in sessions:
        kind = _kind(each)
        counts[kind] = counts.get(kind, 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    more = " There may be more: --limit N." if items_max is not None and len(sessions) >= items_max else ""
    lines: list[Line] = [(Span(f"{plural(len(sessions), 'session')}: {told}.{more}", "dim"),)]
    lapsed = [short_id(fields.text(each, "id")) for each in sessions if _can_be_taken_over(each)]
    if lapsed:
        which = lapsed[0] if len(lapsed) == 1 else "ID"
        lines.append((Span(f"See why:        holdfast explain {which}", "dim"),))
        lines.append((Span(f'Go on with it:  holdfast takeover {which} --reason "…"', "dim"),))
    return lines


def _kind(session: "Mapping[str, Json]") -> str:
    alive, status = session.get("liveness"), str(session.get("status"))
    return str(alive) if status in ("active", "paused") and alive in ("late", "lapsed") else status


def _can_be_taken_over(session: "Mapping[str, Json]") -> bool:
    return session.get("liveness") == Liveness.LAPSED and not session.get("taken_over_by")
