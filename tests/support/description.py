"""What the API says of itself, and whether a response is as it says."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jsonschema_rs

from holdfast.doors.http.description import Description
from holdfast.doors.http.dialect import NATIVE
from holdfast.doors.http.problems import HttpProblem
from holdfast.doors.http.routes import ROUTES
from holdfast.doors.http.routing import Router

Json = dict[str, Any]

OF_NO_ROUTE: Final = {"not_found", "malformed_path", "method_not_allowed"}
"""Codes of requests that no route was found for."""


DOCUMENT: Final = "urn:holdfast:openapi"
"""By what name schemas refer to the description."""

OF_SOME: Final = {
    "idempotency-replayed",
    "x-idempotency-hit",
    "retry-after",
    *("ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
}
"""Headers that come with some answers of a status, and not with all."""


class Undescribed(AssertionError):
    """A response that the description does not have."""


class Described:
    """The description, closed: a field that it does not name is an error here, while readers of it must expect some."""

    def __init__(self) -> None:
        made = Description(ROUTES)
        self.document: Json = json.loads(made.content)
        self._router = Router(made.routes)
        # Once for all validators: each that had the whole of it would take some megabytes.
        components = _closed(self.document["components"])
        self._registry = jsonschema_rs.Registry([(DOCUMENT, {"components": components})])
        self._validator = cache(self._validator_of)
        self._problems = self.validator({"$ref": "#/components/schemas/Problem"})
        self._crane_problems = self.validator({"$ref": "#/components/schemas/CraneError"})

    def check(self, method: str, raw_path: str, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Compare a response with what is said of it. Raises: Undescribed."""
        body = json.loads(content) if content and headers["content-type"].endswith("json") else None
        try:
            route, _ = self._router.find(method, raw_path.encode("latin-1"))
        except HttpProblem:
            assert status in (400, 403, 404, 405, 500, 503), (method, raw_path, status)
            is_native = headers["content-type"] == NATIVE.problem_type
            self._compare(method + " " + raw_path, body, self._problems if is_native else self._crane_problems)
            return
        name = f"{route.method} {route.path} {status}"
        response = self.response(route.method, route.path, status)
        if response is None:
            raise Undescribed(f"{name} is not described: {content[:300]!r}")
        if "content" not in response:
            assert not content, f"{name} is described as empty"
            return
        media_type = headers.get("content-type", "").partition(";")[0]
        if media_type not in response["content"]:
            raise Undescribed(f"{name} is described as {list(response['content'])}, not as {media_type}")
        missing = {each.lower() for each in response["headers"]} - headers.keys() - OF_SOME
        if missing:
            raise Undescribed(f"{name} has no {missing}")
        self._compare(name, body, self._validator(route.method, route.path, status, media_type))

    def response(self, method: str, path: str, status: int) -> Json | None:
        """What is said of one status of a route, references resolved; None: nothing."""
        found: Json | None = self.document["paths"][path][method.lower()]["responses"].get(str(status))
        if found is not None and "$ref" in found:
            found = self.document["components"]["responses"][found["$ref"].rpartition("/")[2]]
        return found

    def _validator_of(self, method: str, path: str, status: int, media_type: str) -> jsonschema_rs.Validator:
        response = self.response(method, path, status)
        assert response is not None
        return self.validator(response["content"][media_type].get("schema", True))

    def validator(self, schema: Json | bool) -> jsonschema_rs.Validator:
        """Whether values fit a schema of the description, formats included."""
        referring = json.loads(json.dumps(schema).replace('"#/components/', f'"{DOCUMENT}#/components/'))
        return jsonschema_rs.Draft202012Validator(referring, registry=self._registry, validate_formats=True)

    def _compare(self, name: str, body: Any, validator: jsonschema_rs.Validator) -> None:
        error = next(validator.iter_errors(body), None)
        if error is not None:
            raise Undescribed(f"{name}: {list(error.instance_path)} {error.message}")


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


DESCRIPTION: Final = Described()
