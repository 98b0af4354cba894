"""Do the signals agree on which documents are alike? A signal that agrees with none is broken.

Which encoder suits a collection nobody judged cannot be measured, but an encoder that reads it
wrongly shows: what it holds for neighbours no other signal does. So systems without judgments are
told apart by the others' votes (Wu & Crestani, "Methods for ranking information retrieval systems
without relevance judgments", SAC 2003, doi:10.1145/952532.952693).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from pipeline.version.manifest import SignalRecord
from pipeline.version.vector_index import VectorIndex

__all__ = ["neighbor_agreement", "with_agreement"]

_N_SAMPLED = 500
# Among fewer documents chance decides who the nearest are.
_FEWEST = 100
_N_NEIGHBORS = 10


def with_agreement(
    signals: Mapping[str, SignalRecord], folder: Path, offsets: NDArray[np.int64]
) -> dict[str, SignalRecord]:
    """The records of a version's signals, each with how far it agrees with the others.

    Parameters
    ----------
    folder
        The version's, holding one folder of vectors for each signal that has any.
    offsets
        int64, shape (n_documents + 1,): first passage of each document, which stands for it.
    """
    n_documents = len(offsets) - 1
    rows = np.unique(np.linspace(0, n_documents - 1, min(_N_SAMPLED, n_documents)).astype(np.int64))
    sampled = {
        name: _sampled(folder / name, offsets[rows] if record.rows == "passages" else rows)
        for name, record in signals.items()
        if record.dimension is not None
    }
    agreement = neighbor_agreement(sampled)
    return {
        name: replace(record, agreement=agreement.get(name, record.agreement))
        for name, record in signals.items()
    }


def neighbor_agreement(embeddings: Mapping[str, Embeddings]) -> dict[str, float]:
    """How far each signal's nearest neighbours are another signal's as well, beyond chance.

    Parameters
    ----------
    embeddings
        Of each signal float32, shape (n, dimension), unit rows: the same documents, in the same
        order. A document some signal has no embedding for (all zero) is left out.

    Returns
    -------
    dict
        For each signal the share of its ten nearest documents that are among the ten nearest of
        the other signal it agrees with best: 1 all, 0 as many as by chance. 1 where nothing can
        be told: one signal alone, or fewer than 100 documents.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> good, bad = generator.normal(size=(2, 120, 8)).astype(np.float32)
    >>> found = neighbor_agreement({"tfidf": good, "word2vec": good, "bert": bad})
    >>> found["tfidf"], found["bert"] < 0.1
    (1.0, True)
    """
    if len(embeddings) < 2:
        return dict.fromkeys(embeddings, 1.0)
    covered = np.logical_and.reduce([rows.any(axis=1) for rows in embeddings.values()])
    n_documents = int(np.count_nonzero(covered))
    if n_documents < _FEWEST:
        return dict.fromkeys(embeddings, 1.0)
    nearest = {name: _is_neighbor(rows[covered]) for name, rows in embeddings.items()}
    chance = _N_NEIGHBORS / (n_documents - 1)
    agreement = {}
    for name, own in nearest.items():
        shared = max(
            float(np.count_nonzero(own & theirs)) / (n_documents * _N_NEIGHBORS)
            for other, theirs in nearest.items()
            if other != name
        )
        agreement[name] = max(0.0, (shared - chance) / (1 - chance))
    return agreement


def _sampled(folder: Path, rows: NDArray[np.int64]) -> Embeddings:
    # What the vectors are a view of lives only as long as the index does.
    index = VectorIndex(folder)
    sampled: Embeddings = index.vectors[rows]
    return sampled


def _is_neighbor(embeddings: Embeddings) -> NDArray[np.bool_]:
    """Whether a column's document is among the nearest of a row's: bool, shape (n, n)."""
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    # Stable, so that copies of one document are told apart alike by every signal.
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :_N_NEIGHBORS]
    chosen = np.zeros(similarity.shape, np.bool_)
    np.put_along_axis(chosen, nearest, True, axis=1)
    return chosen
