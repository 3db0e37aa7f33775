"""Routes as data, and finding the one that a path means. Paths are matched raw: an id may hold an encoded slash."""

from collections.abc import Awaitable, Callable, Container
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from holdfast.domain.actor import KeyScope
from holdfast.domain.rate_limits import Budget
from holdfast.doors.http.dialect import NATIVE, Dialect, Faults
from holdfast.doors.http.limits import BODY_BYTES_DEFAULT_MAX
from holdfast.doors.http.problems import HttpProblem

if TYPE_CHECKING:
    from holdfast.doors.http.call import Answer, Call, Streamed

Handler = Callable[["Call"], Awaitable["Answer | Streamed"]]


class Routine(Enum):
    """Requests of which there are so many that only refused ones, and others worth a line, are in the request log.

    HEARTBEAT: counted by key and minute. CHECK: somebody looks whether the service is well.
    """

    HEARTBEAT = auto()
    CHECK = auto()


class Route(NamedTuple):
    """One method on one path.

    path: segments in braces are ids. scope: what the key must include; None: no key is needed.
    body: the record that a body becomes; None: none is taken. query: likewise for the query string.
    is_mutating: an Idempotency-Key is honoured. takes_revision: so is If-Match.
    is_watching: the answer may wait for news. budget: from which a request is taken where its key has a rate limit.
    is_open_locally: no key is needed on the server's own machine.
    routine: what its requests are, where not each is worth a line in the request log.
    faults: what may be wrong with a body beyond what its record tells.
    """

    method: str
    path: str
    handler: Handler
    scope: KeyScope | None
    body: type[Any] | None = None
    query: type[Any] | None = None
    is_mutating: bool = False
    body_bytes_max: int = BODY_BYTES_DEFAULT_MAX
    is_watching: bool = False
    budget: Budget = Budget.REQUESTS
    is_open_locally: bool = False
    routine: Routine | None = None
    takes_revision: bool = False
    dialect: Dialect = NATIVE
    faults: Faults | None = None

    @property
    def name(self) -> str:
        """Its method and path: what no other route has."""
        return f"{self.method} {self.path}"


_ID = object()


class Router:
    """Finds routes by walking a tree of segments."""

    def __init__(self, routes: list[Route]) -> None:
        self._tree: dict[Any, Any] = {}
        self._dialects: dict[bytes, Dialect] = {}
        self._dialects_by_header = {route.dialect.key_header: route.dialect for route in routes}
        for route in routes:
            self._dialects[route.path.encode().split(b"/")[1]] = route.dialect
            node = self._tree
            for segment in route.path.encode().split(b"/")[1:]:
                node = node.setdefault(_ID if segment.startswith(b"{") else segment, {})
            methods = node.setdefault(None, {})
            assert route.method not in methods, f"{route.method} {route.path} is there twice"
            methods[route.method] = route
            if route.method == "GET":
                # The same answer without its body, which is left out where answers are written.
                methods["HEAD"] = route

    def dialect(self, raw_path: bytes, headers: Container[bytes] = ()) -> Dialect:
        """How to speak of a path at which there is nothing: as all that begin as it does, else as its caller does."""
        first = raw_path[1:].partition(b"/")[0]
        spoken = (dialect for header, dialect in self._dialects_by_header.items() if header in headers)
        return self._dialects.get(first) or next(spoken, NATIVE)

    def find(self, method: str, raw_path: bytes) -> tuple[Route, tuple[str, ...]]:
        """The route for a request, and the ids in its path, in order. Raises: HttpProblem 400, 404 or 405."""
        node = self._tree
        ids: list[Any] = []
        for segment in raw_path.split(b"/")[1:]:
            child = node.get(segment)
            if child is None:
                child = node.get(_ID)
                if child is None or not segment:
                    raise _not_found()
                ids.append(_decoded(segment))
            node = child
        methods = node.get(None)
        if methods is None:
            raise _not_found()
        route = methods.get(method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            detail = f"This path takes {allowed}."
            dialect = next(iter(methods.values())).dialect
            headers = ((b"allow", allowed.encode()),)
            raise HttpProblem(405, "method_not_allowed", detail, headers=headers, dialect=dialect)
        if None in ids:
            raise _bad_path(route.dialect)
        return route, tuple(ids)


def _decoded(segment: bytes) -> str | None:
    """An id from a path: percent-decoded, UTF-8, printable; None where it is none."""
    if b"%" not in segment and segment.isascii() and segment not in (b".", b".."):
        return segment.decode()
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
    return None if text in (".", "..") or not text.isprintable() else text


def _bad_path(dialect: Dialect) -> HttpProblem:
    return HttpProblem(400, "malformed_path", "The path holds a segment that cannot be an id.", dialect=dialect)


def _not_found() -> HttpProblem:
    return HttpProblem(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this path.")
