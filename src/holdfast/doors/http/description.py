"""Routes that describe the server and all other routes: for programs, and for people."""

from collections.abc import Iterable
from functools import cached_property

from holdfast import __version__
from holdfast.domain.actor import KeyScope
from holdfast.doors.http import openapi, page
from holdfast.doors.http.call import Answer, Call, Document
from holdfast.doors.http.rendering import encode
from holdfast.doors.http.routing import Route


class Description:
    """What there is to know of some routes. `routes` are those, and the three that tell of them.

    It is made when somebody first asks, beside the event loop: it takes longer than all else that a start does.
    Raises: KeyError for a route that is not described.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        own = [
            Route("GET", "/", self.home, KeyScope.READ, is_open_locally=True),
            Route("GET", "/openapi.json", self.document, KeyScope.READ, is_open_locally=True),
            Route("GET", "/docs", self.page, KeyScope.READ, is_open_locally=True),
        ]
        self.routes = [*routes, *own]
        openapi.descriptions(self.routes)

    @cached_property
    def content(self) -> bytes:
        """The OpenAPI document, as bytes."""
        return encode(self._document)

    @cached_property
    def _document(self) -> openapi.Json:
        return openapi.document(self.routes)

    @cached_property
    def _page(self) -> bytes:
        return page.page(self._document)

    async def home(self, call: Call) -> Answer:
        """What this is, and where to go: for who opens the server's address in a browser."""
        return Answer(200, Document(b"text/html; charset=utf-8", page.home(__version__), page.HEADERS))

    async def document(self, call: Call) -> Answer:
        """This API, as an OpenAPI 3.1 document."""
        return Answer(200, Document(b"application/json", await call.core.compute(lambda: self.content)))

    async def page(self, call: Call) -> Answer:
        """This API, as a page to read."""
        content = await call.core.compute(lambda: self._page)
        return Answer(200, Document(b"text/html; charset=utf-8", content, page.HEADERS))
