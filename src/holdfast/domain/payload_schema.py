"""Schemas of payloads: JSON Schema 2020-12, checked when it is registered, and what a payload lacks of one.

Patterns are matched by an engine whose time is linear in the text, and no schema leads anywhere outside itself.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import jsonschema_rs
import rfc8785

from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.limits import HANDOFF_SCHEMA_BYTES_MAX

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

ERRORS_MAX: Final = 100
"""Faults of a payload named in one answer."""

MESSAGE_CHARS_MAX: Final = 300
"""Characters of one fault's words, which may repeat what was sent."""

SCHEMA_NAME: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
SCHEMA_VERSION: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"

_LINEAR: Final = jsonschema_rs.RegexOptions()


class CheckedSchema(NamedTuple):
    """A schema that may be registered, as text, and the hash of its canonical form."""

    json: str
    sha256: str


def checked(schema: Any) -> CheckedSchema:
    """A schema that can be used. Raises: validation_failed, payload_too_large."""
    errors = [*_outside(schema), *_of_dialect(schema)]
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(errors[:ERRORS_MAX]))
    try:
        form = rfc8785.dumps(schema)
        if len(form) > HANDOFF_SCHEMA_BYTES_MAX:
            what, limit = "schema, in canonical form,", HANDOFF_SCHEMA_BYTES_MAX
            raise Refusal(Code.PAYLOAD_TOO_LARGE, what=what, limit=limit, size=len(form))
        jsonschema_rs.meta.validate(schema)
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        _validator(text)
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        path = getattr(error, "instance_path", [])
        raise _invalid(_path("schema", path), _words(error)) from error
    return CheckedSchema(text, hashlib.sha256(form).hexdigest())


def faults(schema_json: str, payload: Any) -> tuple[FieldError, ...]:
    """All that a payload lacks of a schema, up to ERRORS_MAX."""
    found = []
    for error in _validator(schema_json).iter_errors(payload):
        found.append(FieldError(_path("payload", error.instance_path), _words(error)))
        if len(found) == ERRORS_MAX:
            break
    return tuple(found)


@lru_cache(maxsize=64)
def _validator(schema_json: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        json.loads(schema_json), validate_formats=True, pattern_options=_LINEAR, retriever=_refuse
    )


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema")


def _of_dialect(schema: Any) -> Iterator[FieldError]:
    if isinstance(schema, dict) and schema.get("$schema", DIALECT) not in (DIALECT, DIALECT + "#"):
        yield FieldError("schema.$schema", f"must be {DIALECT}, or left out")


def _outside(value: Any, path: str = "schema") -> Iterator[FieldError]:
    """References that lead outside the schema. Nothing is fetched, so they could only fail later."""
    if isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _outside(entry, f"{path}[{position}]")
    if not isinstance(value, dict):
        return
    for name, member in value.items():
        if name in ("$ref", "$dynamicRef") and isinstance(member, str) and not member.startswith("#"):
            yield FieldError(f"{path}.{name}", "must begin with #: a schema refers to itself alone")
        else:
            yield from _outside(member, f"{path}.{name}")


def _path(root: str, parts: list[str | int]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _words(error: Exception) -> str:
    text = str(getattr(error, "message", None) or error).partition("\n")[0]
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, message),))
