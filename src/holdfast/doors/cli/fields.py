"""Reading what a server answered: fields that may be missing, and of which nothing is believed but their type."""

from collections.abc import Mapping
from datetime import datetime

from holdfast.client.api import Answer, Api, Json, Unreachable

Document = Mapping[str, Json]


def document_of(api: Api, answer: Answer) -> dict[str, Json]:
    """The JSON object of an answer. Raises: Unreachable for what no Holdfast answers."""
    if not isinstance(answer.body, dict):
        raise Unreachable(api.url, "its answer is not one of Holdfast")
    return answer.body


def text(document: Document, name: str) -> str:
    """A text; empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def number(document: Document, name: str) -> float | None:
    """A number; None where there is none."""
    value = document.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def at(document: Document, name: str) -> float | None:
    """A time, in seconds since the epoch; None where there is none."""
    try:
        return datetime.fromisoformat(text(document, name)).timestamp()
    except ValueError:
        return None


def child(document: Document, name: str) -> dict[str, Json]:
    """An object; empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def children(document: Document, name: str) -> list[dict[str, Json]]:
    """The objects of a list."""
    return [each for each in items(document, name) if isinstance(each, dict)]


def items(document: Document, name: str) -> list[Json]:
    """A list; empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, list) else []
