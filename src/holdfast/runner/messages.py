"""What the runner says: few lines, on standard error only, and nothing that came from elsewhere unescaped."""

import os
import unicodedata

LINE_CHARS_MAX = 1_000


def say(text: str) -> None:
    """A line for the user; lost where standard error cannot be written."""
    try:
        os.write(2, f"holdfast: {text}\n".encode("utf-8", "replace"))
    except OSError:
        pass


def printable(text: str, *, chars_max: int = LINE_CHARS_MAX) -> str:
    """One line without anything that could steer a terminal: controls and invisible characters become spaces."""
    shown = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text[: chars_max + 1])
    shown = " ".join(shown.split())
    return shown if len(shown) <= chars_max else shown[: chars_max - 1] + "…"
