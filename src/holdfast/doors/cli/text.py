"""Text for a terminal: made harmless, measured, and cut to fit. What came from elsewhere is printed in no other way."""

import unicodedata
from typing import Literal, assert_never

Cut = Literal["end", "start", "middle"]

ELLIPSIS = "…"

_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x2800, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x180E))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)
"""Characters that are letters, marks or symbols to Unicode, and nothing to the eye."""

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """One line in which nothing steers the terminal or hides.

    Controls, bidirectional and zero-width characters, line ends, surrogates and unassigned code points appear as
    escapes, as in `\\x1b` or `\\u202e`; every kind of space as a space.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown_char(char) for char in text)


def _shown_char(char: str) -> str:
    code = ord(char)
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    if category[0] != "C" and category not in ("Zl", "Zp") and code not in _INVISIBLE:
        return char
    if char in _NAMED:
        return _NAMED[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
