"""More like these, less like those: documents move a query's embeddings.

References
----------
Rocchio's method with the weights of Manning, Raghavan & Schütze, "Introduction to Information
Retrieval", 2008, section 9.1.1, https://nlp.stanford.edu/IR-book/; there the query weighs 1, the
liked documents .75 and the disliked .15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoders.protocol import Embeddings
from encoders.state import unit_rows
from ingest.errors import DocumentNotFoundError, QueryError
from pipeline.search.query import Query
from pipeline.search.time_limit import check_time
from pipeline.version.open_version import OpenVersion

__all__ = ["Steering", "document_embedding", "steering_of"]

_LIKED_WEIGHT = 0.75
_DISLIKED_WEIGHT = 0.15


@dataclass(frozen=True, slots=True)
class Steering:
    """Documents that pull a query's embeddings toward themselves, or push them away.

    Parameters
    ----------
    liked, disliked
        Rows of documents, each once, none in both.
    """

    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.liked or self.disliked)

    @property
    def rows(self) -> list[int]:
        """All of them; none is found again."""
        return [*self.liked, *self.disliked]

    def steer(self, version: OpenVersion, signal: str, embedding: Embeddings) -> Embeddings:
        """Move one signal's embedding of a query.

        Parameters
        ----------
        embedding
            float32, shape (dimension,): of unit length, or all zero where nothing was typed.

        Returns
        -------
        float32, shape (dimension,)
            Of unit length, or all zero.
        """
        moved = embedding.astype(np.float64)
        for weight, rows in ((_LIKED_WEIGHT, self.liked), (-_DISLIKED_WEIGHT, self.disliked)):
            if rows:
                embeddings = [document_embedding(version, signal, row) for row in rows]
                moved += weight * np.mean(embeddings, axis=0, dtype=np.float64)
        result: Embeddings = unit_rows(moved[None, :])[0]
        return result


def steering_of(query: Query, version: OpenVersion) -> Steering:
    """Find the documents a query names.

    Raises
    ------
    QueryError
        If there is no such document.
    """
    return Steering(_rows(version, query.like, "like"), _rows(version, query.unlike, "unlike"))


def document_embedding(version: OpenVersion, signal: str, row: int) -> Embeddings:
    """One document's embedding; of several passages, the direction of their mean.

    Returns
    -------
    float32, shape (dimension,)
        Of unit length, or all zero where the signal has none.
    """
    check_time()
    vectors = version.vectors[signal].vectors
    begin, end = row, row + 1
    if version.manifest.signals[signal].rows == "passages":
        begin, end = version.passages.offsets[row : row + 2].tolist()
    result: Embeddings = unit_rows(vectors[begin:end].sum(axis=0, dtype=np.float64)[None, :])[0]
    return result


def _rows(version: OpenVersion, doc_ids: Sequence[str], parameter: str) -> tuple[int, ...]:
    try:
        return tuple(version.documents.row(doc_id) for doc_id in doc_ids)
    except DocumentNotFoundError as error:
        raise QueryError(f"{parameter}: {error}", parameter=parameter) from error
