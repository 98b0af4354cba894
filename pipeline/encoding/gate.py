"""What stands between a version and the public: a gate that may keep it from being published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ingest.documents import passage_hash
from ingest.errors import CorpusError, TrineError
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore

__all__ = ["Gate", "Verdict", "refuse_shrinking"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a complete, verified version may be published.

    Parameters
    ----------
    refused
        One line that says why not; ``None`` if it may.
    figures
        What that rests on, as JSON-ready values.
    """

    refused: str | None = None
    figures: Mapping[str, object] = field(default_factory=dict)


Gate: TypeAlias = Callable[[Path], Verdict]
"""Judges the folder of a verified version that nobody can see yet."""


def refuse_shrinking(collection: CollectionFolder, store: DocumentStore) -> None:
    """Refuse documents that lack more than half of the current version's.

    A document that goes by another id now, its title and text unchanged, has not vanished: files
    may be moved.

    Parameters
    ----------
    store
        The documents of the version being built.

    Raises
    ------
    CorpusError
        If more than half have vanished: a folder that is not mounted looks just like that.
    """
    try:
        old = DocumentStore(collection.version_path(collection.current()))
    except TrineError:
        # Nothing to compare with, or nothing that can be read.
        return
    with closing(old):
        if 2 * store.compare(old).change.removed <= old.n_documents:
            return
        before, after = old.content_hashes().keys(), store.content_hashes().keys()
        moved = _texts(old, before - after) & _texts(store, after - before)
        vanished = len(before - after) - moved.total()
        if 2 * vanished > old.n_documents:
            raise CorpusError(
                f"{vanished:,} of the {old.n_documents:,} documents of the current version have "
                "vanished from the sources, more than half: it stays current and nothing was "
                "built; if they shall go, run this again with --allow-shrink"
            )


def _texts(store: DocumentStore, doc_ids: set[str]) -> Counter[str]:
    return Counter(
        passage_hash(document.title, document.text)
        for document in store.stream()
        if document.doc_id in doc_ids
    )
