"""A version of which only some documents may be seen: as if it did not hold the others.

Rows stay what they are, so every index goes on fitting; who reads documents or metadata meets the
permitted ones alone. What is counted over all documents stays so: how rare a word is, and the
spaces that ``tfidf`` and ``word2vec`` were fitted to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ingest.documents import Document
from ingest.errors import DocumentNotFoundError
from pipeline.version.document_store import DocumentStore
from pipeline.version.metadata_columns import Column, MetadataColumns
from pipeline.version.open_version import OpenVersion

__all__ = ["OpenColumns", "permit"]


def permit(version: OpenVersion, permitted: NDArray[np.bool_]) -> OpenVersion:
    """The same version with only some of its documents to be seen.

    Parameters
    ----------
    permitted
        bool, shape (n_documents,): documents that may be seen.
    """
    return replace(
        version,
        documents=_PermittedDocuments(version.documents, permitted),
        metadata=_PermittedColumns(version.metadata, permitted),
        permitted=permitted,
        # Where the others lie shapes the picture, and its clusters are named after them.
        map=None,
    )


class OpenColumns(MetadataColumns):
    """Metadata in which a field that no document has is one without values, and no error.

    Parameters
    ----------
    columns
        The metadata of a version.
    n_documents
        How many documents it holds.
    """

    def __init__(self, columns: MetadataColumns, n_documents: int) -> None:
        self._columns = {name: columns.column(name) for name in columns.fields}
        self._n_documents = n_documents

    def column(self, name: str, *, parameter: str = "filter") -> Column:
        """Column of one field."""
        if name in self._columns:
            return super().column(name, parameter=parameter)
        nothing = np.zeros(0, np.int32)
        return Column(name, "word", (), nothing, np.zeros(self._n_documents + 1, np.int64))


class _PermittedColumns(MetadataColumns):
    """Metadata without what only other documents have: values, kinds, whole fields."""

    def __init__(self, columns: MetadataColumns, permitted: NDArray[np.bool_]) -> None:
        found = (columns.column(name).of_rows(permitted) for name in columns.fields)
        self._columns = {column.name: column for column in found if column.values}


class _PermittedDocuments(DocumentStore):
    """Documents without the others, which are not found by anything.

    Not a store of its own: it asks the whole one, and has nothing to answer where it does not
    know how to leave the others out.
    """

    def __init__(self, whole: DocumentStore, permitted: NDArray[np.bool_]) -> None:
        self._whole = whole
        self._permitted = permitted
        self.n_documents = whole.n_documents

    def _checked(self, rows: Sequence[int]) -> Sequence[int]:
        if not self._permitted[np.asarray(rows, np.int64)].all():
            raise DocumentNotFoundError("no such document")
        return rows

    def documents(self, rows: Sequence[int]) -> list[Document]:
        return self._whole.documents(self._checked(rows))

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        return self._whole.doc_ids(self._checked(rows))

    def titles_and_texts(self, rows: Sequence[int]) -> Iterator[tuple[int, str, str]]:
        return self._whole.titles_and_texts(self._checked(rows))

    def row(self, doc_id: str) -> int:
        row = self._whole.row(doc_id)
        if not self._permitted[row]:
            raise DocumentNotFoundError(f"no document {doc_id!r}")
        return row

    def known_rows(self, doc_ids: Iterable[str]) -> list[int]:
        return [row for row in self._whole.known_rows(doc_ids) if self._permitted[row]]

    def rows_named(self, name: str) -> list[tuple[int, bool]]:
        return [found for found in self._whole.rows_named(name) if self._permitted[found[0]]]
