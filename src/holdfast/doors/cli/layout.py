"""Tables of one line a row: columns that give way to each other until the table fits."""

from collections.abc import Sequence
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

    least: the narrowest that it may be cut to; None: it is never cut.
    most: the widest that it gets, however much room there is.
    drop: columns with a higher number go first when cutting is not enough; 0: it stays.
    """

    title: str
    least: int | None = None
    most: int | None = None
    cut: Cut = "end"
    drop: int = 0


def render(columns: Sequence[Column], rows: Sequence[Sequence[Span]], *, width: int | None) -> list[Line]:
    """A line of titles and a line a row, each within the width; None: as wide as it takes. All text is made harmless.

    A column in which no row has anything is left out.
    """
    cells = [[Span(shown(span.text), span.style) for span in row] for row in rows]
    kept = [number for number in range(len(columns)) if any(row[number].text for row in cells)]
    while True:
        natural = {number: _natural(columns[number], [row[number].text for row in cells]) for number in kept}
        widths = natural if width is None else _shrunk(columns, natural, room=width - len(GAP) * (len(kept) - 1))
        loser = max(kept, key=lambda number: columns[number].drop, default=None)
        if widths is not None or loser is None or columns[loser].drop == 0:
            break
        kept.remove(loser)
    widths = widths or {number: columns[number].least or natural[number] for number in kept}
    titles = [Span(column.title, "bold") for column in columns]
    return [_line(columns, row, widths) for row in [titles, *cells]]


def _natural(column: Column, texts: Sequence[str]) -> int:
    widest = max(width_of(text) for text in (column.title, *texts))
    return widest if column.most is None else min(widest, column.most)


def _shrunk(columns: Sequence[Column], natural: dict[int, int], *, room: int) -> dict[int, int] | None:
    """Widths that fit in the room, taken from the widest first; None where the least of all are too wide."""
    widths = dict(natural)
    while sum(widths.values()) > room:
        can_give = [
            number for number, width in widths.items() if (least := columns[number].least) is not None and width > least
        ]
        if not can_give:
            return None
        widths[max(can_give, key=lambda number: widths[number])] -= 1
    return widths


def _line(columns: Sequence[Column], row: Sequence[Span], widths: dict[int, int]) -> Line:
    spans: list[Span] = []
    last = max(widths, default=0)
    for number, width in widths.items():
        text = fit(row[number].text, width, cut=columns[number].cut)
        spans.append(Span(text, row[number].style))
        if number != last:
            spans.append(Span(" " * (width - width_of(text)) + GAP))
    return tuple(spans)
