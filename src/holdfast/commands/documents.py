"""Documents of a venture: put, replaced, deleted whole. A key bound to a project sees its project's alone."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body
from holdfast.commands.lists import Filter, ListSpec
from holdfast.commands.rows import Key, Need, SetSpec
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.document import INDEX_DOCUMENTS_MAX, Document, DocumentContent, require_version
from holdfast.domain.errors import Code, Refusal

DOCUMENTS_OF_VENTURE = SetSpec(
    "documents_of_venture", Document, ("account_id", "project_id", "venture"), order="name", limit=INDEX_DOCUMENTS_MAX
)

DOCUMENT_LIST = ListSpec(
    "documents",
    (Document,),
    {name: (Filter("document", name),) for name in ("project_id", "venture")},
    order="name",
    descending=False,
)
"""Documents of one venture, by name: to be filtered by venture and project, within which alone names are unique."""


class PutDocument(NamedTuple):
    """Keep a text under a name. The same text again changes nothing.

    sha256, size_bytes: of the text as UTF-8. version: the one that the caller knows, 0 for none; None: any.
    """

    venture: str
    name: str
    content: str
    media_type: str
    sha256: str
    size_bytes: int
    version: int | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, and the two rows of the document."""
        return account_key(actor.account_id), *document_keys(actor, self.venture, self.name)

    def decide(self, view: View) -> Reply:
        """The document without its text. Raises: revision_conflict."""
        require_account(view)
        keys = document_keys(view.actor, self.venture, self.name)
        before = view.get(Document, *keys[0].values)
        require_version(before, name=self.name, given=self.version)
        if before is not None and (before.sha256, before.media_type) == (self.sha256, self.media_type):
            return Reply(document_body(before))
        now_ms = view.now.wall_ms
        document = Document(
            account_id=view.actor.account_id,
            project_id=view.actor.project_id or "",
            venture=self.venture,
            name=self.name,
            version=1 if before is None else before.version + 1,
            media_type=self.media_type,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            created_at_ms=now_ms if before is None else before.created_at_ms,
            updated_at_ms=now_ms,
            key_id=view.actor.key_id,
            correlation_id=view.correlation_id,
        )
        view.put(document)
        view.put(DocumentContent(*document[:4], content=self.content))
        return Reply(document_body(document), created=before is None)


class DeleteDocument(NamedTuple):
    """Delete a document. version: as for PutDocument."""

    venture: str
    name: str
    version: int | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the document."""
        return document_keys(actor, self.venture, self.name)

    def decide(self, view: View) -> Reply:
        """What was deleted. Raises: not_found, revision_conflict."""
        keys = document_keys(view.actor, self.venture, self.name)
        document = view.get(Document, *keys[0].values)
        if document is None:
            raise document_not_found()
        require_version(document, name=self.name, given=self.version)
        for key in keys:
            view.delete(key)
        return Reply(document_body(document))


def document_keys(actor: Actor, venture: str, name: str) -> tuple[Key, Key]:
    """Both rows of a document of the actor's."""
    values = (actor.account_id, actor.project_id or "", venture, name)
    return Key(Document, values), Key(DocumentContent, values)


def document_body(document: Document) -> Body:
    """A document without its text."""
    return {
        "venture": document.venture,
        "name": document.name,
        "version": document.version,
        "media_type": document.media_type,
        "sha256": document.sha256,
        "size_bytes": document.size_bytes,
        "created_at_ms": document.created_at_ms,
        "updated_at_ms": document.updated_at_ms,
        "updated_by": document.key_id,
    }


def document_not_found() -> Refusal:
    """The answer for a document that there is not."""
    return Refusal(Code.NOT_FOUND, what="document")
