"""Text for a terminal: made harmless, measured, and cut to fit. What came from elsewhere is printed in no other way."""

import unicodedata
from typing import Literal, assert_never

from holdfast.doors.shown import shown

__all__ = ["ELLIPSIS", "Cut", "fit", "shown", "width_of"]

Cut = Literal["end", "start", "middle"]

ELLIPSIS = "…"


def width_of(text: str) -> int:
    """How many columns of a terminal a shown text takes."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fit(text: str, width: int, *, cut: Cut) -> str:
    """The shown text within so many columns; where it is longer, `…` stands for what was cut away."""
    if width_of(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    room = width - 1
    match cut:
        case "end":
            return _head(text, room) + ELLIPSIS
        case "start":
            return ELLIPSIS + _tail(text, room)
        case "middle":
            return _head(text, room - room // 2) + ELLIPSIS + _tail(text, room // 2)
        case _:
            assert_never(cut)


def _head(text: str, width: int) -> str:
    taken = 0
    for place, char in enumerate(text):
        taken += _char_width(char)
        if taken > width:
            return text[:place].rstrip()
    return text


def _tail(text: str, width: int) -> str:
    taken = 0
    for place in range(len(text) - 1, -1, -1):
        taken += _char_width(text[place])
        if taken > width:
            return text[place + 1 :].lstrip()
    return text
