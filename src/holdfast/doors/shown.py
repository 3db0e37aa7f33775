"""Text from elsewhere, made harmless for a terminal. What came from elsewhere is printed in no other way."""

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
    import unicodedata  # Seldom needed, and large.

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
