"""What a new version takes over from its parent: whatever belongs to documents that stayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import TrineError
from pipeline.encoding.links import link_tree
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import CorpusComparison
from pipeline.version.open_version import OpenVersion, open_version
from pipeline.version.vector_index import StoredVectors

__all__ = ["Inheritance", "inherit", "merge_embeddings", "sound_parent"]

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Inheritance:
    """A parent version, and where each document of the new version stands in it.

    Parameters
    ----------
    parent
        Every byte of it was held against its manifest.
    unchanged, same_text
        As in ``CorpusComparison``.
    """

    parent: OpenVersion
    unchanged: NDArray[np.int64]
    same_text: NDArray[np.int64]

    @property
    def has_same_documents(self) -> bool:
        """Whether nothing of any document changed, so that all rows are the parent's."""
        return _is_whole(self.unchanged, self.parent)

    @property
    def has_same_texts(self) -> bool:
        """Whether no title and no text changed, so that all rows are the parent's."""
        return _is_whole(self.same_text, self.parent)

    @property
    def lost_rows(self) -> NDArray[np.int64]:
        """Rows of the parent's documents whose text is in the new version no more."""
        lost = np.ones(self.parent.manifest.n_documents, np.bool_)
        lost[self.same_text[self.same_text >= 0]] = False
        return np.flatnonzero(lost)

    def link(self, name: str, target: Path) -> None:
        """Link all files of one of the parent's folders."""
        link_tree(self.parent.folder / name, target)


def _is_whole(rows: NDArray[np.int64], parent: OpenVersion) -> bool:
    # Both versions number their documents by doc_id, so none missing means none moved.
    return len(rows) == parent.manifest.n_documents and bool(np.all(rows >= 0))


def sound_parent(collection: CollectionFolder, version: str) -> OpenVersion | None:
    """Open a version, or ``None`` where a byte of it is damaged."""
    try:
        return open_version(collection.version_path(version), verify=True)
    except TrineError:
        # No reason not to build a sound child.
        return None


def inherit(parent: OpenVersion | None, comparison: CorpusComparison) -> Inheritance | None:
    """What can be taken over; nothing from a version that another release of Trine built.

    Another release may cut passages, words or languages otherwise, and a version is either all
    of one release's making or none.
    """
    if parent is None or parent.manifest.trine_version != distribution_version("trine"):
        return None
    return Inheritance(parent, comparison.unchanged, comparison.same_text)


def merge_embeddings(
    origins: NDArray[np.int64], old: StoredVectors | None, new: Iterable[Embeddings]
) -> Iterator[Embeddings]:
    """Take some rows over from a parent's embeddings and the others, in order, from new ones.

    Parameters
    ----------
    origins
        Row of ``old`` for each row of the result, or -1 for the next row of ``new``.
    new
        The other rows, in batches of any size.
    """
    fresh = _Queue(new)
    for begin in range(0, len(origins), _ROWS_AT_ONCE):
        part = origins[begin : begin + _ROWS_AT_ONCE]
        taken = part >= 0
        rows = fresh.take(int(np.count_nonzero(~taken)))
        if old is not None and taken.any():
            block = np.empty((len(part), old.dimension), np.float32)
            block[taken] = old.rows(part[taken])
            if len(rows):
                block[~taken] = rows
            rows = block
        yield rows


class _Queue:
    """Batches of rows, taken in other sizes than they come."""

    def __init__(self, batches: Iterable[Embeddings]) -> None:
        self._batches = iter(batches)
        self._rest = np.zeros((0, 0), np.float32)

    def take(self, count: int) -> Embeddings:
        parts = []
        while count:
            if not len(self._rest):
                self._rest = next(self._batches)
            parts.append(self._rest[:count])
            self._rest = self._rest[count:]
            count -= len(parts[-1])
        return np.concatenate(parts) if parts else self._rest[:0]
