"""Tables of one line a row: columns that give way to each other until the table fits."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.doors.cli.text import Cut, fit, shown, width_of

GAP = "  "


class Span(NamedTuple):
    """A piece of a line. style: words such as `dim` or `bold red`."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


class Column(NamedTuple):
    """One column.

    comfort: the narrowest that it is cut to as long as another column can be dropped instead; None: it is never cut.
    least: the narrowest that it is cut to at all; None: not below its comfort.
    most: the widest that it gets, however much room there is.
    drop: columns with a higher number go first when cutting is not enough; 0: it stays.
    """

    title: str
    comfort: int | None = None
    least: int | None = None
    most: int | None = None
    cut: Cut = "end"
    drop: int = 0


def render(columns: Sequence[Column], rows: Sequence[Sequence[Span]], *, width: int | None) -> list[Line]:
    """A line of titles and a line a row, each within the width; None: as wide as it takes. All text is made harmless.

    A column in which no row has anything is left out.
    """
    cells = [[Span(shown(span.text), span.style) for span in row] for row in rows]
    natural = {
        number: _natural(column, [row[number].text for row in cells])
        for number, column in enumerate(columns)
        if any(row[number].text for row in cells)
    }
    comforts = {number: column.comfort for number, column in enumerate(columns)}
    leasts = {number: column.least or column.comfort for number, column in enumerate(columns)}
    while not _fits(widths := _shrunk(natural, comforts, width=width), width=width):
        loser = max(natural, key=lambda number: columns[number].drop)
        if columns[loser].drop == 0:
            widths = _shrunk(natural, leasts, width=width)
            break
        del natural[loser]
    titles = [Span(column.title, "bold") for column in columns]
    return [_line(columns, row, widths) for row in [titles, *cells]]


def _natural(column: Column, texts: Sequence[str]) -> int:
    widest = max(width_of(text) for text in (column.title, *texts))
    return widest if column.most is None else min(widest, column.most)


def _fits(widths: Mapping[int, int], *, width: int | None) -> bool:
    return width is None or sum(widths.values()) + len(GAP) * (len(widths) - 1) <= width


def _shrunk(natural: Mapping[int, int], floors: Mapping[int, int | None], *, width: int | None) -> dict[int, int]:
    """Widths that fit, or are at their floors: taken, column by column, from the one that has most above its floor."""
    widths = dict(natural)
    spare = {number: natural[number] - floor for number in natural if (floor := floors[number]) is not None}
    while not _fits(widths, width=width):
        giver = max(spare, key=lambda number: spare[number], default=None)
        if giver is None or spare[giver] <= 0:
            break
        widths[giver] -= 1
        spare[giver] -= 1
    return widths


def _line(columns: Sequence[Column], row: Sequence[Span], widths: Mapping[int, int]) -> Line:
    spans: list[Span] = []
    last = max(widths, default=0)
    for number, width in widths.items():
        text = fit(row[number].text, width, cut=columns[number].cut)
        spans.append(Span(text, row[number].style))
        if number != last:
            spans.append(Span(" " * (width - width_of(text)) + GAP))
    return tuple(spans)
