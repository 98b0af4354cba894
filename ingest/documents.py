"""The nouns of the corpus: Document and Passage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Document", "MetadataValue", "Passage", "passage_hash"]

MetadataValue: TypeAlias = str | int | float | bool | Sequence[str]
"""What a metadata field may hold: a scalar, or several strings."""


@dataclass(frozen=True, slots=True)
class Document:
    """One thing a search can find.

    Parameters
    ----------
    doc_id
        External id, unique within a collection, never empty.
    title
        One line; may be empty.
    text
        Body as plain text, headings and paragraphs separated by blank lines; may be empty
        when the title is not.
    url
        Where a person can open it, or ``None``.
    metadata
        Fields to filter and count by: ``{"kind": "function", "year": 2021, "tags": ["a", "b"]}``.
    names
        Other ids or names the document goes by (objects that share one text, say).
    origin
        Where it was read (``path`` or ``path:line``), for messages; not part of its content.
    page_starts
        Code-point offsets into ``text`` at which each page begins, when the source has pages.

    Examples
    --------
    >>> document = Document("d1", "Title", "Body.")
    >>> document.content_hash == Document("d1", "Title", "Body.").content_hash
    True
    """

    doc_id: str
    title: str
    text: str
    url: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    origin: str = field(default="", compare=False)
    page_starts: tuple[int, ...] = ()

    @property
    def content_hash(self) -> str:
        """SHA-256, in hex, of everything a search can see of this document."""
        content = [
            self.doc_id,
            self.title,
            self.text,
            self.url,
            {key: _plain(self.metadata[key]) for key in sorted(self.metadata)},
            list(self.names),
            list(self.page_starts),
        ]
        encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(encoded.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Passage:
    """A window of a document's text, short enough for an encoder to read whole.

    Parameters
    ----------
    start, end
        Code-point offsets into the document's text, ``text[start:end]``.
    page
        Page number from 1 of the passage's first character, or ``None`` where there are no pages.
    """

    start: int
    end: int
    page: int | None = None


def passage_hash(title: str, text: str) -> str:
    """SHA-256, in hex, of what an encoder reads for a passage: its document's title and its text.

    Examples
    --------
    >>> passage_hash("Title", "Body.")[:8]
    'c0c58287'
    """
    joined = f"{title}\x1f{text}"
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: MetadataValue) -> object:
    return value if isinstance(value, str | int | float | bool) else list(value)
