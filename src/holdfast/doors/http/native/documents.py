"""Documents of a venture: what every agent that works for it should have read, with a version and a hash."""

import hashlib
import re
from typing import Annotated

import msgspec

from holdfast.commands.documents import DOCUMENT_LIST, DeleteDocument, PutDocument
from holdfast.commands.rows import Value
from holdfast.domain.actor import KeyScope
from holdfast.domain.crane import VENTURE
from holdfast.domain.document import DOCUMENT_BYTES_MAX, DOCUMENT_NAME_CHARS_MAX
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.doors.http.bodies import PATTERNS_IN_WORDS
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.limits import BODY_BYTES_LARGE_MAX
from holdfast.doors.http.native.fields import Record
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import queries

MediaType = Annotated[str, msgspec.Meta(min_length=3, max_length=100, pattern=r"^[!-~]+/[!-~ ]+(?![\s\S])")]


class DocumentBody(Record):
    """`PUT /v1/docs/{venture}/{name}`."""

    content: Annotated[str, msgspec.Meta(description="Its text, at most 1 MiB as UTF-8.")]
    media_type: MediaType = "text/markdown"


def _named(call: Call) -> tuple[str, str]:
    """The venture and the name in the path. Raises: validation_failed."""
    venture, name = call.ids
    errors = _venture_faults(venture)
    if not 0 < len(name) <= DOCUMENT_NAME_CHARS_MAX:
        errors.append(FieldError("name", f"must be 1–{DOCUMENT_NAME_CHARS_MAX} characters"))
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(errors))
    return venture, name


def _venture_faults(venture: str) -> list[FieldError]:
    is_one = re.search(VENTURE, venture) is not None
    return [] if is_one else [FieldError("venture", PATTERNS_IN_WORDS[VENTURE])]


async def put(call: Call) -> Answer:
    """Keep a document, or a new version of it; `If-Match` takes the version that is to be replaced."""
    venture, name = _named(call)
    body: DocumentBody = call.body
    encoded = body.content.encode()
    if len(encoded) > DOCUMENT_BYTES_MAX:
        raise Refusal(Code.PAYLOAD_TOO_LARGE, what="content", limit=DOCUMENT_BYTES_MAX, size=len(encoded))
    sha256 = hashlib.sha256(encoded).hexdigest()
    command = PutDocument(venture, name, body.content, body.media_type, sha256, len(encoded), call.revision)
    return answered(await call.execute(command))


async def list_documents(call: Call) -> Answer:
    """The documents of a venture without their texts, by name."""
    (venture,) = call.ids
    errors = _venture_faults(venture)
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(errors))
    filters: dict[str, Value] = {"venture": venture, "project_id": call.actor.project_id or ""}
    request = list_request(DOCUMENT_LIST, call.actor.account_id, call.query, filters)
    return Answer(200, page_body(await call.core.read(queries.documents, request), request))


async def read(call: Call) -> Answer:
    """Read a document."""
    return Answer(200, await call.core.read(queries.document, call.actor, *_named(call)))


async def delete(call: Call) -> Answer:
    """Delete a document; `If-Match` takes the version that is to be deleted."""
    return answered(await call.execute(DeleteDocument(*_named(call), call.revision)))


_PATH = "/v1/docs/{venture}/{name}"

ROUTES = [
    Route(
        "PUT",
        _PATH,
        put,
        KeyScope.AGENT,
        body=DocumentBody,
        is_mutating=True,
        takes_revision=True,
        body_bytes_max=BODY_BYTES_LARGE_MAX,
    ),
    Route("GET", "/v1/docs/{venture}", list_documents, KeyScope.READ, query=ListQuery),
    Route("GET", _PATH, read, KeyScope.READ),
    Route("DELETE", _PATH, delete, KeyScope.AGENT, is_mutating=True, takes_revision=True),
]
