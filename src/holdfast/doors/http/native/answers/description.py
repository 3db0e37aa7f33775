"""What the routes that describe all the others answer."""

from collections.abc import Mapping

from holdfast.doors.http.described import Described, Text

DESCRIBED: Mapping[str, Described] = {
    "GET /": Described("home", {200: Text("text/html", "What this is and where to go, as a page.")}),
    "GET /openapi.json": Described("openapi", {200: Text("application/json", "This description, as OpenAPI 3.1.")}),
    "GET /docs": Described("docs", {200: Text("text/html", "This description, as a page.")}),
}
