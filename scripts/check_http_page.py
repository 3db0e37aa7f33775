"""Says whether `docs/http.md` is what the routes say; writes it with `--write`."""

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from holdfast.domain.errors import SENTENCES, Code
from holdfast.doors.http.native import ROUTES
from holdfast.doors.http.problems import STATUS
from holdfast.doors.http.routing import Route

PAGE = Path(__file__).parent.parent / "docs" / "http.md"

INTRODUCTION = """\
# The HTTP API

*The routes, fields and codes below are generated from the definitions that validate requests, by
`scripts/check_http_page.py`; `make check` compares.*

## For every request

- **Key**: `Authorization: Bearer <key>` or `X-API-Key: <key>`. A key's scope is `read`, `agent`, `operator` or `admin`;
  each includes the ones before it. An operator's key may act for another account with `X-Account-Id`.
- **Body**: JSON in UTF-8, `Content-Type: application/json`. Unknown fields, duplicate keys, NaN, integers outside
  ±(2^53−1), nesting over 64, lone surrogates and NUL are refused. `1.0` passes where an integer is wanted.
- **Times** are RFC 3339 in UTC with milliseconds; lengths of time are seconds.
- **`Idempotency-Key`** (8–255 of `A–Z a–z 0–9 . _ : -`) on every route that changes something: the same key and body
  get the same status and body again, with `Idempotency-Replayed: true`, and have one effect. Another body is 422. A
  refusal is not kept: the request is decided anew.
- **`X-Request-Id`** and **`X-Correlation-ID`** come back on every response, the caller's own if they are well-formed.
- **Refusals** are `application/problem+json`: `code` says why, `detail` in a sentence, `errors` names every bad field,
  and `ways_out` lists what works in the state the refusal was given in: `action`, `how`, and mostly `method`, `path`
  and `body`.
- **Lists** take `limit` (1–200, default 50), `cursor` and `include_total=true`, and answer `items`, `next_cursor` and
  `total`.
- **Tokens**: a session's fencing token is answered once, to whoever acquired it. Send it as `fencing_token` with every
  write: an exclusive session requires it (428), and any session refuses one that is not current (409).

"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Routes\n"]
    parts += [_route(route) for route in ROUTES]
    parts += ["## Codes\n", "| code | status | meaning |", "| --- | --- | --- |"]
    parts += [f"| `{code.value}` | {STATUS[code]} | {_meaning(code)} |" for code in Code]
    return "\n".join(parts) + "\n"


def _meaning(code: Code) -> str:
    return SENTENCES[code].replace("{", "*").replace("}", "*").replace("|", "\\|")


def _route(route: Route) -> str:
    about = (route.handler.__doc__ or "").strip().splitlines()[0]
    key = "no key" if route.scope is None else f"key: `{route.scope.value}`"
    lines = [f"### `{route.method} {route.path}`\n", f"{about} ({key})\n"]
    if route.query is not None:
        lines.append(_fields("query", route.query))
    if route.body is not None:
        lines.append(_fields("body", route.body))
    return "\n".join(lines)


def _fields(kind: str, record: type[Any]) -> str:
    rows = [f"| {kind} | |", "| --- | --- |"]
    for field in msgspec.structs.fields(record):
        required = ", **required**" if field.required else ""
        rows.append(f"| `{field.encode_name}` | {_type(field.type)}{required} |")
    return "\n".join(rows) + "\n"


def _type(hint: Any) -> str:
    """A field's type in words, its bounds included."""
    metadata = getattr(hint, "__metadata__", ())
    if metadata:
        bounds = ", ".join(_bounds(each) for each in metadata if isinstance(each, msgspec.Meta))
        return f"{_type(hint.__origin__)} ({bounds})" if bounds else _type(hint.__origin__)
    if hint is Any:
        return "JSON"
    if get_origin(hint) is Literal:
        return " ".join(f"`{value}`" for value in get_args(hint))
    parts = [each for each in get_args(hint) if each not in (type(None), msgspec.UnsetType)]
    origin = getattr(hint, "__origin__", None)
    if origin in (list, dict):
        return f"{'list of' if origin is list else 'object of'} {_type(parts[-1])}"
    if parts:
        return " or ".join(dict.fromkeys(_type(each) for each in parts))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "{" + ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(hint)) + "}"
    if hasattr(hint, "__members__"):
        return " ".join(f"`{member.value}`" for member in hint)
    return {str: "text", int: "integer", float: "number", bool: "true or false"}[hint]


def _bounds(meta: msgspec.Meta) -> str:
    low = meta.min_length if meta.min_length is not None else meta.ge
    high = meta.max_length if meta.max_length is not None else meta.le
    unit = " long" if meta.max_length is not None or meta.min_length is not None else ""
    if low is None:
        return f"up to {high}{unit}"
    return f"{low} to {high}{unit}" if high is not None else f"from {low}{unit}"


def main() -> int:
    """Compare the page, or write it."""
    made = page()
    if "--write" in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(f"{PAGE.name} is not what the routes say: run scripts/check_http_page.py --write\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
