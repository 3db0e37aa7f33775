"""Routes that describe all the others: for programs, and for people."""

from collections.abc import Iterable

from holdfast.domain.actor import KeyScope
from holdfast.doors.http import openapi, page
from holdfast.doors.http.call import Answer, Call, Document
from holdfast.doors.http.rendering import encode
from holdfast.doors.http.routing import Route


class Description:
    """What there is to know of some routes. Made once; `routes` are those, and the two that tell of them.

    content: the OpenAPI document, as bytes.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        own = [
            Route("GET", "/openapi.json", self.document, KeyScope.READ, is_open_locally=True),
            Route("GET", "/docs", self.page, KeyScope.READ, is_open_locally=True),
        ]
        self.routes = [*routes, *own]
        described = openapi.document(self.routes)
        self.content = encode(described)
        self._document = Answer(200, Document(b"application/json", self.content))
        self._page = Answer(200, Document(b"text/html; charset=utf-8", page.page(described), page.HEADERS))

    async def document(self, _call: Call) -> Answer:
        """This API, as an OpenAPI 3.1 document."""
        return self._document

    async def page(self, _call: Call) -> Answer:
        """This API, as a page to read."""
        return self._page
