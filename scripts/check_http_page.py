"""Says whether `docs/http.md` is what the routes say; writes it with `--write`."""

import sys
from pathlib import Path
from typing import Any

from holdfast.domain.errors import SENTENCES, Code
from holdfast.doors.http import openapi
from holdfast.doors.http.description import Description
from holdfast.doors.http.problems import DOOR_CODES, STATUS
from holdfast.doors.http.routes import ROUTES
from holdfast.doors.http.routing import Route
from holdfast.doors.http.words import Words

Json = dict[str, Any]

PAGE = Path(__file__).parent.parent / "docs" / "http.md"

INTRODUCTION = """\
# The HTTP API

*The routes, fields and codes below are generated from the OpenAPI document, which is made of the definitions that
validate requests, by `scripts/check_http_page.py`; `make check` compares. A running server has the document itself at
`/openapi.json`, and a page with examples and answers at `/docs`; `holdfast openapi` prints the document.*

## For every request

- **Key**: `Authorization: Bearer <key>` or `X-API-Key: <key>`. A key's scope is `read`, `agent`, `operator` or `admin`;
  each includes the ones before it. An operator's key may act for another account with `X-Account-Id`. On the
  server's own machine this makes one for the examples of these pages:
  `HOLDFAST_URL=http://127.0.0.1:8787 HOLDFAST_KEY=$(holdfast keys create --scope agent)`
- **Body**: JSON in UTF-8, `Content-Type: application/json`. Unknown fields, duplicate keys, NaN, integers outside
  ±(2^53−1), nesting over 64, lone surrogates and NUL are refused. `1.0` passes where an integer is wanted. What names
  or explains something is not blank.
- **`HEAD`** is taken wherever `GET` is. A header that says one thing, such as a key, is there once.
- **Times** are RFC 3339 in UTC with milliseconds; lengths of time are seconds.
- **`Idempotency-Key`** (8–255 of `A–Z a–z 0–9 . _ : -`) on every route that changes something: the same key and body
  get the same status and body again, with `Idempotency-Replayed: true`, and have one effect. Another body is 422. A
  refusal is not kept, unless a handoff was kept with it: the request is decided anew.
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
    routes = Description(ROUTES).routes
    described = openapi.document(routes)
    words = Words(described, code=lambda word: f"`{word}`", link=None)
    parts = [INTRODUCTION, "## Routes\n"]
    parts += [_operation(described, words, route) for route in routes]
    parts += ["## Codes\n", "| code | status | meaning |", "| --- | --- | --- |"]
    parts += [f"| `{code.value}` | {STATUS[code]} | {_meaning(SENTENCES[code])} |" for code in Code]
    parts += [f"| `{code}` | {status} | {_meaning(meaning)} |" for code, (status, meaning) in DOOR_CODES.items()]
    return "\n".join(parts) + "\n"


def _meaning(sentence: str) -> str:
    return sentence.replace("{", "*").replace("}", "*").replace("|", "\\|")


def _operation(described: Json, words: Words, route: Route) -> str:
    operation = described["paths"][route.path][route.method.lower()]
    key = "no key" if route.scope is None else f"key: `{route.scope.value}`"
    if route.is_open_locally:
        key += "; none on the server's own machine"
    lines = [f"### `{route.name}`\n", f"{operation['summary']} ({key})\n"]
    queries = [each for each in operation["parameters"] if each.get("in") == "query"]
    if queries:
        rows = [(each["name"], words.of(each["schema"]), each["required"]) for each in queries]
        lines.append(_fields("query", rows))
    if route.body is not None:
        record = described["components"]["schemas"][route.body.__name__]
        rows = [(name, words.field(name, record), name in record["required"]) for name in record["properties"]]
        lines.append(_fields("body", rows))
    return "\n".join(lines)


def _fields(kind: str, rows: list[tuple[str, str, bool]]) -> str:
    lines = [f"| {kind} | |", "| --- | --- |"]
    lines += [f"| `{name}` | {words}{', **required**' if is_required else ''} |" for name, words, is_required in rows]
    return "\n".join(lines) + "\n"


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
