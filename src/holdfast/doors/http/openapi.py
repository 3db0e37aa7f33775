"""The description of the HTTP API: an OpenAPI 3.1 document, made of the definitions that validate requests.

Nothing of it is written down twice: fields and bounds are those of the records, summaries the handlers' first lines,
tags the modules' first lines, codes and sentences the core's. The same routes give the same bytes.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from holdfast import __version__
from holdfast.domain.crane import VENTURE
from holdfast.domain.document import DOCUMENT_NAME_CHARS_MAX
from holdfast.domain.errors import SENTENCES, Code
from holdfast.doors.http.bodies import OF_ACCOUNTS, OF_SCHEMAS, WholeBody
from holdfast.doors.http.crane.answers import CRANE_DESCRIBED
from holdfast.doors.http.crane.dialect import CRANE
from holdfast.doors.http.described import Described, Nothing, Text
from holdfast.doors.http.dialect import NATIVE
from holdfast.doors.http.native.answers import DESCRIBED as NATIVE_DESCRIBED
from holdfast.doors.http.native.answers.refusals import Problem
from holdfast.doors.http.problems import DOOR_CODES, STATUS, TITLES, WIRE_CODES
from holdfast.doors.http.routing import Route
from holdfast.doors.http.words import reference_name

Json = dict[str, Any]

DESCRIBED: Mapping[str, Described] = {**NATIVE_DESCRIBED, **CRANE_DESCRIBED}
"""What every route answers, of all dialects."""
_PROJECT_ID = r"^(?!\.{1,2}(?![\s\S]))[A-Za-z0-9._:@-]{1,128}(?![\s\S])"
"""Ids of projects that need no encoding in a path. Any printable text is taken."""

_REF = "#/components/schemas/{name}"
_JSON_TYPE = "application/json"


INTRODUCTION = """\
Keeps AI-agent sessions alive, accounted for, and recoverable.

Bodies are JSON in UTF-8. Unknown fields, duplicate keys, NaN, integers outside ±(2^53−1), nesting over 64, lone \
surrogates and NUL are refused; `1.0` passes where an integer is wanted. Times are RFC 3339 in UTC with milliseconds, \
lengths of time are seconds. A list answers `items` and `next_cursor`.

A refusal is `application/problem+json`: `code` says why, `detail` in a sentence, `errors` names every bad field, and \
`ways_out` lists requests that work in the state the refusal was given in.

A session's fencing token is told once, to whoever acquired it. It goes with every write as `fencing_token`: an \
exclusive session requires it (428), and every session refuses one that is not current (409).

A key's scope is `read`, `agent`, `operator` or `admin`; each includes the ones before it. Where a `read` or `agent` \
key has a rate limit, every answer says in `RateLimit` what is left of it."""

_EVERY_KEYED = (
    "unauthorized",
    Code.FORBIDDEN,
    Code.ACCOUNT_SUSPENDED,
    Code.RATE_LIMITED,
    Code.NOT_FOUND,
    Code.OVERLOADED,
    Code.BUSY,
    Code.OUTCOME_UNKNOWN,
    Code.UNAVAILABLE,
    Code.STORAGE_FULL,
)
"""What any request with a key may meet: finding out whose it is, and an account that it names, asks the store."""

_HEADERS: dict[str, Json] = {
    "X-Request-Id": {"description": "The request's id: the caller's own, if it was well-formed."},
    "X-Correlation-ID": {"description": "What the request belongs to: the caller's own, else the request's id."},
    "Idempotency-Replayed": {
        "description": "`true`: this is the answer to an earlier request with the same Idempotency-Key."
    },
    "X-Idempotency-Hit": {"description": "On the Crane paths: the same."},
    "RateLimit": {
        "description": "Where the key has a limit: what is left of it (`r`), and the seconds until all of it is (`t`)."
    },
    "RateLimit-Policy": {"description": "Where the key has a limit: how many (`q`) in how many seconds (`w`)."},
    "X-RateLimit-Limit": {"description": "Where the key has a limit: how many a minute. Not with heartbeats."},
    "X-RateLimit-Remaining": {"description": "Likewise: how many are left."},
    "X-RateLimit-Reset": {"description": "Likewise: the seconds until all of them are."},
    "Retry-After": {"description": "Seconds after which it is worth another try."},
    "WWW-Authenticate": {"description": "How to send a key."},
}

_RATE_HEADERS = [name for name in _HEADERS if "RateLimit" in name]

_PARAMETERS: dict[str, Json] = {
    "X-Request-Id": {"description": "Up to 128 of `A–Z a–z 0–9 . _ -`; anything else is replaced."},
    "X-Correlation-ID": {"description": "Likewise; kept with everything that the request creates."},
    "X-Account-Id": {
        "description": "The account to act for; an operator's key may name another one.",
        "schema": {"type": "string", "pattern": OF_ACCOUNTS},
    },
    "Idempotency-Key": {
        "description": "Repeated with the same body, the request has one effect, and the same answer again.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{8,255}$"},
    },
    "Relay-Idempotency-Key": {
        "name": "Idempotency-Key",
        "description": "Repeated with the same body, the request has one effect, and the same answer again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "If-Match": {
        "description": "The revision that is to be changed; any other is refused with 412.",
        "schema": {"type": "string", "pattern": '^("[0-9]{1,16}"|[0-9]{1,16}|\\*)$'},
    },
}


def descriptions(routes: Iterable[Route]) -> Mapping[str, Described]:
    """How each of these routes is described. Raises: KeyError for one that is not."""
    return {route.name: DESCRIBED[route.name] for route in routes}


def document(routes: Iterable[Route]) -> Json:
    """The whole description, as JSON values. Raises: KeyError for a route that is not described."""
    routes = list(routes)
    described = descriptions(routes)
    schemas = _schemas(routes, described.values())
    shared = _Responses()
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route, described[route.name], schemas, shared, _links(route, described))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    modules = dict.fromkeys(_tagged(route) for route in routes)
    queries = {route.query.__name__ for route in routes if route.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": __version__,
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": _tag(module), "description": _first_line(sys.modules[module].__doc__)} for module in modules],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.components.items() if name not in queries},
            "responses": shared.components,
            "headers": {name: {**header, "schema": {"type": "string"}} for name, header in _HEADERS.items()},
            "parameters": {
                name: {"name": name, "in": "header", "schema": {"type": "string"}, **parameter}
                for name, parameter in _PARAMETERS.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <key>`"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The key alone."},
                "relayKey": {"type": "apiKey", "in": "header", "name": "X-Relay-Key", "description": "The key alone."},
            },
        },
    }


def refusals(route: Route, described: Described) -> dict[int, dict[str, str]]:
    """What a route may be refused for: by status, the codes and what each means."""
    codes: list[str] = [Code.INTERNAL, Code.VALIDATION_FAILED, "not_local", *WIRE_CODES]
    if route.scope is not None:
        codes += _EVERY_KEYED
    if "{" in route.path:
        codes.append("malformed_path")
    if route.body is not None:
        codes += ("malformed_json", "unsupported_media_type")
    if route.takes_revision:
        codes.append("malformed_if_match")
    if route.is_mutating:
        codes.append(Code.IDEMPOTENCY_KEY_REUSED)
    by_status: dict[int, dict[str, str]] = {}
    for code in dict.fromkeys([*codes, *described.refuses]):
        status, meaning = DOOR_CODES[code] if code in DOOR_CODES else (STATUS[Code(code)], SENTENCES[Code(code)])
        status, told = route.dialect.told.get(str(code), (status, str(code)))
        by_status.setdefault(status, {}).setdefault(told, meaning)
    return dict(sorted(by_status.items()))


class _Schemas:
    """The JSON schemas of all records, by type and by name."""

    def __init__(self, records: Iterable[type[Any]]) -> None:
        records = list(dict.fromkeys(records))
        found, components = msgspec.json.schema_components(records, ref_template=_REF)
        self._of = dict(zip(records, found, strict=True))
        self.components: Json = {name: _tidy(schema) for name, schema in sorted(components.items())}
        if WholeBody in self._of:
            # What is sent is the object itself.
            self.inline(WholeBody).update(properties={}, required=[])

    def of(self, record: type[Any]) -> Json:
        """The schema of a record: a reference."""
        return self._of[record]

    def inline(self, record: type[Any]) -> Json:
        """The schema of a record itself."""
        inlined: Json = self.components[reference_name(self._of[record])]
        return inlined

    def sample(self, schema: Json) -> Any:
        """A value that fits: the examples that the schema gives, and null, where it may be, for what has none."""
        for several in ("examples", "enum"):
            if several in schema:
                return schema[several][0]
        if "$ref" in schema:
            return self.sample(self.components[reference_name(schema)])
        if "const" in schema:
            return schema["const"]
        if "anyOf" in schema:
            return self.sample(schema["anyOf"][-1])
        if schema.get("format") == "date-time":
            return "2026-01-17T10:00:00.000Z"
        match schema.get("type"):
            case "object":
                fields = schema.get("properties", {})
                return {name: self.sample(fields[name]) for name in schema.get("required", ())}
            case "array":
                return [self.sample(schema["items"])] if "items" in schema else []
            case kind:
                return {"string": "…", "integer": 0, "number": 0, "boolean": False}.get(str(kind))


class _Responses:
    """Refusals by what they say: many routes refuse alike."""

    def __init__(self) -> None:
        self.components: Json = {}

    def refer(self, status: int, response: Json) -> Json:
        """A reference to this response."""
        title = TITLES[status].title().replace(" ", "")
        number = 1
        while self.components.setdefault(f"{title}{number}", response) != response:
            number += 1
        return {"$ref": f"#/components/responses/{title}{number}"}


def _tidy(schema: Any) -> Any:
    """Without titles, which repeat names, and without defaults of null, which say nothing."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" in schema:
        fields = {name: _tidy(field) for name, field in schema["properties"].items()}
        schema = {**schema, "properties": fields}
    return {
        name: value if name == "properties" else _tidy(value)
        for name, value in schema.items()
        if name != "title" and not (name == "default" and value is None)
    }


def _schemas(routes: list[Route], described: Iterable[Described]) -> _Schemas:
    records: list[type[Any]] = [Problem, *{route.dialect.problem: None for route in routes if route.dialect.problem}]
    for route in routes:
        records += [record for record in (route.body, route.query) if record is not None]
    for each in described:
        records += [shape for shape in each.answers.values() if not isinstance(shape, Text | Nothing)]
    return _Schemas(records)


def _operation(route: Route, described: Described, schemas: _Schemas, shared: _Responses, links: Json) -> Json:
    about = _first_line(route.handler.__doc__)
    operation: Json = {
        "operationId": described.name,
        "tags": [_tag(_tagged(route))],
        "summary": about,
        "security": _security(route),
        "parameters": [*_path_parameters(route), *_query_parameters(route, schemas), *_header_parameters(route)],
    }
    if route.body is not None:
        is_whole = issubclass(route.body, WholeBody)
        content: Json = {"schema": schemas.of(route.body)}
        if described.example is not None:
            content["example"] = described.example["value"] if is_whole else described.example
        is_required = is_whole or bool(schemas.inline(route.body).get("required"))
        operation["requestBody"] = {"required": is_required, "content": {_JSON_TYPE: content}}
    responses = {str(status): _answer(route, shape, schemas) for status, shape in described.answers.items()}
    for response in responses.values():
        response |= links
    for status, codes in refusals(route, described).items():
        responses[str(status)] = shared.refer(status, _refusal(route, status, codes, schemas))
    operation["responses"] = responses
    return operation


def _links(route: Route, described: Mapping[str, Described]) -> Json:
    """Where the id of what a route makes goes next."""
    if route.method != "POST" or "{" in route.path:
        return {}
    about = {"id": "$response.body#/id"}
    onward = [each.name for name, each in described.items() if name.partition(" ")[2].startswith(route.path + "/{id}")]
    return {"links": {name: {"operationId": name, "parameters": about} for name in onward}} if onward else {}


def _security(route: Route) -> list[Json]:
    if route.scope is None:
        return []
    in_header = "relayKey" if route.dialect is CRANE else "apiKey"
    keyed: list[Json] = [{"bearer": [route.scope.value]}, {in_header: [route.scope.value]}]
    return [{}, *keyed] if route.is_open_locally else keyed


def _path_parameters(route: Route) -> list[Json]:
    names = [segment[1:-1] for segment in route.path.split("/") if segment.startswith("{")]
    patterns = {"accounts": OF_ACCOUNTS, "handoff-schemas": OF_SCHEMAS, "projects": _PROJECT_ID}
    pattern = patterns.get(route.path.split("/")[2] if names else "", "^[a-z]+_[0-9A-HJKMNP-TV-Z]{26}$")
    of_ids: Json = {"type": "string", "pattern": pattern}
    of_documents: dict[str, Json] = {
        "venture": {"type": "string", "pattern": VENTURE},
        "name": {"type": "string", "minLength": 1, "maxLength": DOCUMENT_NAME_CHARS_MAX, "pattern": "^[ -~]+$"},
    }
    of_names = of_documents if route.path.startswith("/v1/docs/") else {}
    return [{"name": name, "in": "path", "required": True, "schema": of_names.get(name, of_ids)} for name in names]


def _query_parameters(route: Route, schemas: _Schemas) -> list[Json]:
    if route.query is None:
        return []
    record = schemas.inline(route.query)
    return [
        {"name": name, "in": "query", "required": name in record["required"], "schema": _without_null(field)}
        for name, field in record["properties"].items()
    ]


def _without_null(schema: Json) -> Json:
    """A field as a query string can carry it."""
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not options:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**options[0], **rest} if len(options) == 1 else {"anyOf": options, **rest}


def _header_parameters(route: Route) -> list[Json]:
    names = ["X-Request-Id", "X-Correlation-ID"]
    if route.scope is not None and not route.is_open_locally:
        names.append("X-Account-Id")
    if route.is_mutating:
        names.append("Relay-Idempotency-Key" if route.dialect is CRANE else "Idempotency-Key")
    if route.takes_revision:
        names.append("If-Match")
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _answer(route: Route, shape: type[msgspec.Struct] | Text | Nothing, schemas: _Schemas) -> Json:
    headers = ["X-Request-Id", "X-Correlation-ID", *(["Idempotency-Replayed"] if route.is_mutating else [])]
    headers += ["X-Idempotency-Hit"] if route.is_mutating and route.dialect is CRANE else []
    headers += [] if route.scope is None else _RATE_HEADERS
    if isinstance(shape, Nothing):
        return _response(shape.about, headers, {})
    if isinstance(shape, Text):
        return _response(shape.about, headers, {shape.media_type: {}})
    schema = schemas.of(shape)
    content = {_JSON_TYPE: {"schema": schema, "example": schemas.sample(schema)}}
    return _response(schemas.inline(shape)["description"], headers, content)


def _refusal(route: Route, status: int, codes: Mapping[str, str], schemas: _Schemas) -> Json:
    headers = ["X-Request-Id", "X-Correlation-ID"]
    headers += {401: ["WWW-Authenticate"], 429: [*_RATE_HEADERS, "Retry-After"], 503: ["Retry-After"]}.get(status, [])
    shape = route.dialect.problem
    properties: Json = {"status": {"const": status}} if shape is None else {}
    schema = {
        "allOf": [schemas.of(shape or Problem)],
        "properties": {**properties, "code": {"enum": list(codes)}},
    }
    about = "\n".join(f"- `{code}`: {meaning.replace('{', '*').replace('}', '*')}" for code, meaning in codes.items())
    return _response(f"{TITLES[status]}.\n\n{about}", headers, {route.dialect.problem_type: {"schema": schema}})


def _response(about: str, headers: Iterable[str], content: Json) -> Json:
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {"description": about, "headers": references, **({"content": content} if content else {})}


def _tagged(route: Route) -> str:
    """The module that a route is told under: the handler's, or the package of another dialect's paths."""
    module = route.handler.__module__
    return module if route.dialect is NATIVE else module.rpartition(".")[0]


def _tag(module: str) -> str:
    return module.rpartition(".")[2]


def _first_line(docstring: str | None) -> str:
    assert docstring, "every handler and its module say what they are about"
    return docstring.strip().partition("\n")[0]
