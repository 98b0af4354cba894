"""Looks at the retrieval of embeddings while it serves: what it misses, how queries drift.

Recall compares what the vector index proposes for a query with the exact answer: every row's
inner product, taken with numpy and nothing of the index but its stored vectors.

Drift is a measure of our own, the simplest that one number a query allows. Let ``c`` be the
direction of the mean embedding of the passages. The cosine of a passage with ``c`` tells how
typical it is of the collection; over all passages these cosines have a mean and a deviation. A
query's drift is how many such deviations it lies below the mean. Queries are not passages, so it
need not be 0 in the best of worlds: it is to be watched over time, and a rise says that people ask
more and more beside what the collection is about. (Why a shift of inputs is worth watching, and
what finds it: Rabanser, Günnemann & Lipton, "Failing loudly", NeurIPS 2019, arXiv:1810.11953.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from encoders.state import unit_rows
from pipeline.search.signals import PassageScorer
from pipeline.version.open_version import OpenVersion

__all__ = ["AUDITED", "DEPTH", "Audit", "Typicality", "audit_query", "typicality_of"]

AUDITED = "bert"
DEPTH = 10
# So many passages tell the mean and its deviation to well under a hundredth.
_N_SAMPLED = 10_000
_ROWS_AT_ONCE = 4096
# Two ways to add up the same products differ in the last bits.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Typicality:
    """How typical the passages of a version are of it.

    Parameters
    ----------
    center
        float32, shape (dimension,): the direction of their mean embedding.
    mean, deviation
        Of their cosines with it.
    """

    center: Embeddings
    mean: float
    deviation: float

    def drift(self, query: Embeddings) -> float:
        """How many deviations below the mean a query's embedding (unit length) lies."""
        return (self.mean - float(query @ self.center)) / max(self.deviation, _ROUNDING)


@dataclass(frozen=True, slots=True)
class Audit:
    """What one query showed.

    Parameters
    ----------
    recall
        Which share of the ten nearest documents was proposed, in [0, 1].
    drift
        See the module.
    nearest
        Cosine of the nearest passage.
    """

    recall: float
    drift: float
    nearest: float


def typicality_of(version: OpenVersion) -> Typicality | None:
    """How typical passages are, by 10,000 of them; ``None`` where the version embeds none."""
    index = version.vectors.get(AUDITED)
    if index is None:
        return None
    covered = np.flatnonzero(index.covered)
    if not len(covered):
        return None
    step = -(-len(covered) // _N_SAMPLED)
    vectors = index.vectors[covered[::step]]
    center = unit_rows(vectors.mean(axis=0, dtype=np.float64)[None, :])[0].astype(np.float32)
    cosines = vectors @ center
    return Typicality(center, float(cosines.mean()), float(cosines.std()))


def audit_query(version: OpenVersion, typicality: Typicality, text: str) -> Audit | None:
    """Look at one query; ``None`` where its text has no embedding."""
    query = version.encoders[AUDITED].encode_queries([text])[0]
    if not query.any():
        return None
    scorer = PassageScorer(version.vectors[AUDITED], version.passages, query)
    proposed = scorer.candidates(DEPTH, None).rows
    exact = _exact(version, query)
    nearest = np.sort(exact)[::-1][:DEPTH]
    # By similarity, not by row: of several that are equally near, any will do.
    n_right = int(np.count_nonzero(exact[proposed] >= nearest[-1] - _ROUNDING))
    recall = min(n_right / len(nearest), 1.0)
    return Audit(recall, typicality.drift(query), float(nearest[0]))


def _exact(version: OpenVersion, query: Embeddings) -> NDArray[np.float64]:
    """Cosine of each document's nearest passage, -1 where none has an embedding."""
    index = version.vectors[AUDITED]
    cosines = np.empty(index.n_rows)
    for begin in range(0, index.n_rows, _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        cosines[rows] = index.vectors[rows] @ query
    cosines[~index.covered] = -1.0
    return np.asarray(np.maximum.reduceat(cosines, version.passages.offsets[:-1]))
