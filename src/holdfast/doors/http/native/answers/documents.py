"""What ventures' documents answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, Count, KeyId, NextCursor, Total


class DocumentSummary(msgspec.Struct, kw_only=True):
    """A document without its text."""

    venture: Annotated[str, Meta(examples=["dfg"])]
    name: Annotated[str, Meta(examples=["conventions.md"])]
    version: Annotated[int, Meta(description="For `If-Match`.", examples=[1])]
    media_type: Annotated[str, Meta(examples=["text/markdown"])]
    sha256: str
    size_bytes: Count
    created_at: At
    updated_at: At
    updated_by: KeyId


class DocumentList(msgspec.Struct):
    """A page of a venture's documents, by name."""

    items: list[DocumentSummary]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class VentureDocument(DocumentSummary, kw_only=True):
    """A document."""

    content: str


DESCRIBED: Mapping[str, Described] = {
    "PUT /v1/docs/{venture}/{name}": Described(
        "put_document",
        {200: DocumentSummary, 201: DocumentSummary},
        (Code.REVISION_CONFLICT, Code.QUOTA_EXCEEDED, Code.PAYLOAD_TOO_LARGE),
        {"content": "# Conventions\n", "media_type": "text/markdown"},
    ),
    "GET /v1/docs/{venture}": Described("list_documents", {200: DocumentList}, (Code.CURSOR_INVALID,)),
    "GET /v1/docs/{venture}/{name}": Described("read_document", {200: VentureDocument}),
    "DELETE /v1/docs/{venture}/{name}": Described("delete_document", {200: DocumentSummary}, (Code.REVISION_CONFLICT,)),
}
