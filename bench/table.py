"""The table on stdout: plain text, aligned, 120 columns."""

import textwrap

from bench.figures import Row, Spread

WIDTH = 120
COLUMNS = (34, 12, 22, 22, 18, 12)
"""Widths of all columns but the last, each with the space that parts it from the next."""

HEADS = ("", "store", "ours", "beside it", "ratio x", "verdict")


def heading(title: str) -> str:
    """What comes before the rows of a section."""
    return "\n".join(["", *textwrap.wrap(title, WIDTH), _line(*HEADS[:1], *HEADS[1:5], "goal", HEADS[5])])


def shown(row: Row) -> str:
    """A row, and below it what has to be said about it."""
    if row.why_not:
        said = textwrap.wrap(f"not measured: {row.why_not}", WIDTH - sum(COLUMNS[:2]))
        lines = [_line(row.name, row.store, said[0])]
        return "\n".join(lines + [" " * sum(COLUMNS[:2]) + each for each in said[1:]])
    goals = [(goal.shown, row.verdict_of(goal)) for goal in row.goals] or [("", "")]
    ratio = "" if row.ratio is None else _spread(row.ratio)
    lines = [_line(row.name, row.store, _spread(row.ours), _spread(row.beside), ratio, *goals[0])]
    lines += [_line("", "", "", "", "", *each) for each in goals[1:]]
    for note in row.notes:
        lines += textwrap.wrap(f"! {note}", WIDTH, initial_indent="    ", subsequent_indent="      ")
    return "\n".join(lines)


def _line(*cells: str) -> str:
    padded = [cell.ljust(width - 1) + " " for cell, width in zip(cells, COLUMNS, strict=False)]
    return "".join([*padded, *cells[len(COLUMNS) :]]).rstrip()


def _spread(figures: Spread | None) -> str:
    """The median and, in brackets, least and greatest: `16.2k (15.9k–16.8k)`."""
    if figures is None:
        return "–"
    return f"{_short(figures.median)} ({_short(figures.low)}–{_short(figures.high)})"


def _short(number: float) -> str:
    if number >= 999_500:
        return f"{number / 1e6:.2f}M"
    if number >= 9_995:
        return f"{number / 1_000:.1f}k" if number < 99_950 else f"{number / 1_000:.0f}k"
    if number >= 99.95:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
