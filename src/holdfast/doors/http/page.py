"""Pages of HTML, the description of the HTTP API above all: no script, nothing from elsewhere, everything escaped."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from holdfast.doors.http.words import Words, reference_name

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --faint: #5b6472; --paper: #fff; --panel: #f5f6f8; --line: #dfe3e8;
  --accent: #0b5cad; --get: #0a6b3d; --post: #0b5cad; --patch: #8a5a00; --delete: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ec; --faint: #9aa4b2; --paper: #14171c; --panel: #1c2027;
  --line: #313843; --accent: #7db7f5; --get: #6fcf97; --post: #7db7f5; --patch: #e2b257; --delete: #f28b82; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; display: grid;
  grid-template-columns: 22rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.5rem 1rem 2rem 1.5rem;
  background: var(--panel); border-right: 1px solid var(--line); font-size: .875rem; }
nav h2 { font-size: .75rem; text-transform: uppercase; letter-spacing: .06em; color: var(--faint);
  margin: 1.4rem 0 .3rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: flex; padding: .12rem 0; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
nav a:hover, nav a:focus { color: var(--accent); text-decoration: underline; }
main { padding: 2rem clamp(1rem, 4vw, 3.5rem) 6rem; max-width: 68rem; }
main:first-child { grid-column: 1 / -1; }
h1 { margin: 0; font-size: 2rem; }
h2.tag { margin: 3.5rem 0 .2rem; padding-bottom: .3rem; text-transform: capitalize; font-size: 1.5rem;
  border-bottom: 2px solid var(--line); }
section { margin-top: 2.2rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h2.tag + p + section, h2.tag + section { border-top: 0; }
h3 { margin: 0 0 .3rem; font: 600 1.05rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
h3 a { color: inherit; text-decoration: none; }
h4 { margin: 1.2rem 0 .3rem; font-size: .8rem; text-transform: uppercase; letter-spacing: .05em; color: var(--faint); }
.method { display: inline-block; min-width: 4.6rem; font-weight: 700; }
nav .method { flex: 0 0 3.4rem; font: 700 .7rem/2 ui-monospace, monospace; }
.get { color: var(--get); } .post { color: var(--post); } .patch, .put { color: var(--patch); }
.delete { color: var(--delete); }
.faint { color: var(--faint); }
code, pre { font-family: ui-monospace, monospace; font-size: .86em; }
code { background: var(--panel); padding: .08em .3em; border-radius: 3px; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; margin: .3rem 0;
  overflow-x: auto; line-height: 1.45; }
pre.copy { user-select: all; white-space: pre-wrap; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
td, th { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
td:first-child { white-space: nowrap; }
td p { margin: 0; } td ul { margin: 0; padding-left: 1.1rem; }
details { margin-top: .5rem; } summary { cursor: pointer; color: var(--accent); }
a { color: var(--accent); }
@media (max-width: 56rem) { body { display: block; } nav { position: static; height: auto; max-height: 40vh;
  border-right: 0; border-bottom: 1px solid var(--line); } }
@media print { nav { display: none; } body { display: block; } }
"""

_STYLE_SHA256 = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""The page needs its own style and nothing else: no script runs in it, and no other page frames it."""

BASE = "http://127.0.0.1:8787"
"""Where a server listens unless it is told otherwise; for examples."""

_KEY = (
    "<p>In the examples, <code>$HOLDFAST_KEY</code> is your key; a click selects a whole example. On the server's own "
    "machine this makes one:</p><pre class=copy>HOLDFAST_KEY=$(holdfast keys create --scope agent)</pre>"
)

_SOURCE = (
    f'<p>This page is made of <a href="/openapi.json">the OpenAPI document</a>.</p>{_KEY}'
    "<p><code>$ID</code> is the id of what is meant, and <code>fencing_token</code> the number that was answered to "
    "whoever acquired the session.</p>"
)

_HOME = f"""<p>Keeps AI-agent sessions alive, accounted for, and recoverable. This server is running.</p>
<h4>On the command line</h4>
<div class=scroll><table>
<tr><td><code>holdfast ps</code><td>who works on what, alive or late, and why
<tr><td><code>holdfast run -- COMMAND</code><td>run any command inside a session
<tr><td><code>holdfast status</code><td>whether the server is well, and what ails it
<tr><td><code>holdfast --help</code><td>everything else
</table></div>
<h4>Over HTTP</h4>
{_KEY}<pre class=copy>curl "{BASE}/v1/sessions" -H "Authorization: Bearer $HOLDFAST_KEY"</pre>
<div class=scroll><table>
<tr><td><a href="/docs">/docs</a><td>every route, with examples
<tr><td><a href="/openapi.json">/openapi.json</a><td>the same for programs
<tr><td><a href="/health">/health</a><td>whether it answers
<tr><td><a href="/metrics">/metrics</a><td>figures, for Prometheus
</table></div>"""


def home(version: str) -> bytes:
    """What is seen by somebody who opens the server's address in a browser."""
    title = f"<h1>Holdfast <span class=faint>{escape(version)}</span></h1>"
    return (_head("Holdfast") + f"<main>{title}{_HOME}</main></body></html>\n").encode()


def page(document: Json) -> bytes:
    """An OpenAPI document, to read."""
    info = document["info"]
    body = [
        _navigation(document),
        f"<main><h1>{escape(info['title'])} <span class=faint>{escape(info['version'])}</span></h1>",
        _paragraphs(info["description"]),
        _SOURCE,
    ]
    for tag in document["tags"]:
        body.append(f"<h2 class=tag id={_id('tag', tag['name'])}>{escape(tag['name'])}</h2>")
        body.append(f"<p class=faint>{escape(tag['description'])}</p>")
        body += [_operation(document, *each) for each in _operations(document) if tag["name"] in each[2]["tags"]]
    body.append("<h2 class=tag id=schemas>Schemas</h2>")
    body += [_schema(document, name, schema) for name, schema in document["components"]["schemas"].items()]
    body.append("</main>")
    return (_head(f"{info['title']} API") + "\n".join(body) + "</body></html>\n").encode()


def _head(title: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
    )


def _operations(document: Json) -> Iterable[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _navigation(document: Json) -> str:
    parts = ["<nav><strong>Holdfast API</strong>"]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2><ul>")
        for method, path, operation in _operations(document):
            if tag["name"] in operation["tags"]:
                link = f"#{_id('op', operation['operationId'])}"
                parts.append(f'<li><a href="{link}">{_method(method)} {escape(path)}</a></li>')
        parts.append("</ul>")
    return "".join([*parts, '<h2>more</h2><ul><li><a href="#schemas">Schemas</a></li></ul></nav>'])


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    identity = _id("op", operation["operationId"])
    words = Words(document, code=_code, link=_schema_link)
    parts = [
        f'<section id={identity}><h3><a href="#{identity}">{_method(method)} {escape(path)}</a></h3>',
        f"<p>{_inline(operation['summary'])} <span class=faint>{escape(_key(operation))}</span></p>",
        f"<pre class=copy>{escape(curl(method, path, operation))}</pre>",
    ]
    parameters = [_resolved(document, each) for each in operation["parameters"]]
    if parameters:
        rows = [(_code(each["name"]), _where(each), words.of(each["schema"]) + _about(each)) for each in parameters]
        parts += ["<h4>Parameters</h4>", _table(rows)]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        parts += ["<h4>Body</h4>", _fields(document, content["schema"])]
    answers, refusals = [], []
    for status, response in operation["responses"].items():
        found = _resolved(document, response)
        if "content" not in found:
            answers.append((_code(status), "", _paragraphs(found["description"])))
            continue
        (media_type, content), *_ = found["content"].items()
        if "problem" in media_type:
            refusals.append((_code(status), _paragraphs(found["description"])))
            continue
        shape = words.of(content["schema"]) if "schema" in content else _code(media_type)
        answers.append((_code(status), shape, _paragraphs(found["description"]) + _example(content)))
    parts += ["<h4>Answers</h4>", _table(answers)]
    parts.append(f"<details><summary>Refusals</summary>{_table(refusals)}</details>")
    return "".join([*parts, "</section>"])


def curl(method: str, path: str, operation: Json) -> str:
    """A command that makes the request, with the operation's own example."""
    for parameter in operation["parameters"]:
        if parameter.get("in") == "path":
            path = path.replace("{" + parameter["name"] + "}", "$" + parameter["name"].upper())
    required = [each for each in operation["parameters"] if each.get("in") == "query" and each["required"]]
    request = "curl" if method == "get" else f"curl -X {method.upper()}"
    # Encoded by curl: what is put in here, a scope above all, may hold anything.
    request += " -G" if method == "get" and required else ""
    query = "" if method == "get" else "&".join(f"{each['name']}={_query_example(each)}" for each in required)
    line = [f'{request} "{BASE}{path}{f"?{query}" if query else ""}"']
    if method == "get":
        line += [f'--data-urlencode "{each["name"]}={_query_example(each)}"' for each in required]
    if operation["security"] and {} not in operation["security"]:
        line.append('-H "Authorization: Bearer $HOLDFAST_KEY"')
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"].get("example", {})
        text = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
        line += ["-H 'Content-Type: application/json'", f"-d '{text}'"]
    return " \\\n  ".join(line) if len(line) > 2 else " ".join(line)


def _query_example(parameter: Json) -> str:
    constant = parameter["schema"].get("const")
    return "$" + parameter["name"].upper() if constant is None else json.dumps(constant)


def _schema(document: Json, name: str, schema: Json) -> str:
    words = Words(document, code=_code, link=_schema_link)
    about = f"<p>{_inline(schema.get('description', ''))}</p>"
    content = _fields(document, schema) if "properties" in schema else f"<p>{words.of(schema)}</p>"
    return f"<section id={_id('schema', name)}><h3>{escape(name)}</h3>{about}{content}</section>"


def _fields(document: Json, schema: Json) -> str:
    words = Words(document, code=_code, link=_schema_link)
    if "$ref" in schema:
        schema = document["components"]["schemas"][reference_name(schema)]
    required = schema.get("required", ())
    rows = [
        (_code(name), "required" if name in required else "", words.field(name, schema) + _about(field))
        for name, field in schema["properties"].items()
    ]
    return _table(sorted(rows, key=lambda row: not row[1])) if rows else ""


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table>{''.join(lines)}</table></div>"


def _example(content: Json) -> str:
    if "example" not in content:
        return ""
    text = json.dumps(content["example"], indent=2, ensure_ascii=False)
    return f"<details><summary>Example</summary><pre>{escape(text)}</pre></details>"


def _about(field: Json) -> str:
    return f"<br><span class=faint>{_inline(field['description'])}</span>" if "description" in field else ""


def _where(parameter: Json) -> str:
    return f"{parameter['in']}{', required' if parameter.get('required') else ''}"


def _key(operation: Json) -> str:
    security = operation["security"]
    if not security:
        return "No key is needed."
    scope = str(next(iter(security[-1].values()))[0])
    return f"Key: {scope}." if {} not in security else f"Key: {scope}; none on the server's own machine."


def _resolved(document: Json, value: Json) -> Json:
    if "$ref" not in value:
        return value
    _, _, kind, name = value["$ref"].split("/")
    found: Json = document["components"][kind][name]
    return found


def _paragraphs(text: str) -> str:
    """Markdown as far as our own texts use it: paragraphs, lists, code, and words that stand for others."""
    made = []
    for block in text.split("\n\n"):
        if block.startswith("- "):
            made.append("<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in block.split("\n")) + "</ul>")
        else:
            made.append(f"<p>{_inline(block)}</p>")
    return "".join(made)


def _inline(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else re.sub(r"\*(\w+)\*", r"<em>\1</em>", part)
        for number, part in enumerate(parts)
    )


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _schema_link(name: str) -> str:
    return f'<a href="#{_id("schema", name)}">{escape(name)}</a>'


def _id(kind: str, name: str) -> str:
    return f"{kind}-" + "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
