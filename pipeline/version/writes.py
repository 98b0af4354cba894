"""Documents put into a collection or deleted from it, as its write log keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ingest.documents import Document
from ingest.errors import IndexCorruptError

__all__ = ["KeptWrite", "Write", "parse_document"]


@dataclass(frozen=True, slots=True)
class Write:
    """One document put, or, where ``document`` is ``None``, deleted."""

    doc_id: str
    document: Document | None

    @classmethod
    def from_json(cls, doc_id: str, text: str | None) -> Write:
        """A write as `to_json` wrote it."""
        return cls(doc_id, None if text is None else parse_document(doc_id, text))

    def to_json(self) -> str | None:
        """The document without its id, as the log keeps it."""
        return None if self.document is None else _document_json(self.document)


@dataclass(frozen=True, slots=True)
class KeptWrite:
    """A write with its number in the log."""

    sequence: int
    write: Write


def _document_json(document: Document) -> str:
    content: dict[str, object] = {"title": document.title, "text": document.text}
    if document.url is not None:
        content["url"] = document.url
    if document.metadata:
        content["metadata"] = dict(document.metadata)
    if document.names:
        content["names"] = list(document.names)
    return json.dumps(content, ensure_ascii=False, default=list)


def parse_document(doc_id: str, text: str) -> Document:
    """A document as `Write.to_json` wrote it.

    Raises
    ------
    IndexCorruptError
        If the text is anything else.
    """
    try:
        content = json.loads(text)
        return Document(
            doc_id,
            content["title"],
            content["text"],
            url=content.get("url"),
            metadata=content.get("metadata", {}),
            names=tuple(content.get("names", ())),
            origin=f"written document {doc_id!r}",
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IndexCorruptError(f"the write log's document {doc_id!r} is damaged") from error
