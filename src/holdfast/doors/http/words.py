"""A JSON schema in words, for those who read rather than validate."""

from collections.abc import Callable
from typing import Any

from holdfast.domain.limits import INTEGER_MAX, SECOND_MS

Json = dict[str, Any]

_WORDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}


class Words:
    """Puts the schemas of a document in words.

    code: how a word of the API is written. link: how a schema is named that is told elsewhere; None: its fields are
    listed instead. What both return is taken as it is; everything else consists of words of our own and of numbers.
    """

    def __init__(self, document: Json, *, code: Callable[[str], str], link: Callable[[str], str] | None) -> None:
        self._schemas: Json = document["components"]["schemas"]
        self._code = code
        self._link = link

    def of(self, schema: Json) -> str:
        """What a value has to be."""
        if "$ref" in schema:
            return self._referred(reference_name(schema))
        if "const" in schema:
            return self._code(str(schema["const"]).lower() if schema["const"] is True else str(schema["const"]))
        if "enum" in schema:
            return " ".join(self._code(str(each)) for each in schema["enum"])
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self.of(each) for each in schema["anyOf"]))
        kind = schema.get("type")
        if kind == "array":
            return "list of " + self.of(schema.get("items", {})) + _bounds(schema)
        if kind == "string" and schema.get("format") == "date-time":
            return "time"
        return (_WORDS[kind] if kind else "JSON") + _bounds(schema)

    def field(self, name: str, record: Json) -> str:
        """What a field of a record has to be; one that may be left out need not be told to take null too."""
        schema = record["properties"][name]
        if name in record.get("required", ()) or "anyOf" not in schema:
            return self.of(schema)
        return self.of({"anyOf": [each for each in schema["anyOf"] if each != {"type": "null"}]})

    def _referred(self, name: str) -> str:
        schema = self._schemas[name]
        if "enum" in schema:
            return self.of(schema)
        if self._link is not None:
            return self._link(name)
        return "{" + ", ".join(self._code(field) for field in schema["properties"]) + "}"


def reference_name(schema: Json) -> str:
    """The name of the schema that a reference means."""
    return str(schema["$ref"]).rpartition("/")[2]


def _bounds(schema: Json) -> str:
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " long"),
        ("minItems", "maxItems", " long"),
    ):
        least, most = (_told(schema.get(each)) for each in (low, high))
        if least is not None and most is not None:
            return f" ({least} to {most}{unit})"
        if most is not None:
            return f" (up to {most}{unit})"
        if least is not None:
            return f" (from {least}{unit})"
    return ""


def _told(bound: int | None) -> int | None:
    """A bound, unless it is the one of all numbers."""
    return None if bound is None or abs(bound) >= INTEGER_MAX // SECOND_MS else bound
