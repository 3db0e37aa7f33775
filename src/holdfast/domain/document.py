"""Documents of a venture: what every agent that works for it should have read, kept with a version and a hash."""

from typing import Final, NamedTuple

from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import AccountId, KeyId

DOCUMENT_BYTES_MAX: Final = 1024 * 1024
"""The text of one document, as UTF-8."""

DOCUMENT_NAME_CHARS_MAX: Final = 200
"""A path within a repository fits."""

INDEX_DOCUMENTS_MAX: Final = 200
"""Documents of one venture that a start is told of, the last ones by name."""

START_DOCUMENTS_BYTES_MAX: Final = DOCUMENT_BYTES_MAX
"""Texts of documents that a start may carry where it is asked to; its answer is kept for as long as it is replayed."""


class Document(NamedTuple):
    """A document, but for its text. project_id: of the key that wrote it, where that is bound to one; else empty.

    version: 1, 2, 3…, one more with every change of the text or its type.
    """

    account_id: AccountId
    project_id: str
    venture: str
    name: str
    version: int
    media_type: str
    sha256: str
    size_bytes: int
    created_at_ms: int
    updated_at_ms: int
    key_id: KeyId
    correlation_id: str


class DocumentContent(NamedTuple):
    """The text of a document."""

    account_id: AccountId
    project_id: str
    venture: str
    name: str
    content: str


def require_version(document: Document | None, *, name: str, given: int | None) -> None:
    """Refuse to change a document that somebody else has changed meanwhile. Raises: revision_conflict."""
    version = 0 if document is None else document.version
    if given is not None and given != version:
        ways_out = (WayOut(Action.REPEAT_WITH_REVISION),)
        subject = f"The document {name}"
        raise Refusal(Code.REVISION_CONFLICT, subject=subject, revision=version, given=given, ways_out=ways_out)
