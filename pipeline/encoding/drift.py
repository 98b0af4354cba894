"""How far a collection has moved from the documents tfidf and word2vec were fitted on.

Two measures, both cheap and neither dependent on the way the collection took: the share of words
that the encoder does not know, beyond those it left unknown when it was fitted; and the share of
documents that it was fitted on without being there any more, or that are there without its having
been fitted on them. The first says what the encoder cannot see, the second how much its weights
and directions describe something else. Past either bound it is fitted anew.

What a bound costs, as nDCG@10 with so many random documents folded in, less that of a fresh fit:
5 % of cranfield, hybrid -.001, tfidf .000, word2vec -.002; 4.6 % of cisi, hybrid -.006, tfidf
-.010, word2vec -.005 (-.041 before ``pipeline.encoding.centrality``). Documents all of one new
subject cost more than random ones: tfidf loses .025 to .033 with 10 % of scifact, .046 with 20 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ingest.errors import IndexCorruptError
from pipeline.version.arrays import load_array
from pipeline.version.manifest import Fit

__all__ = [
    "MAX_CHANGED_DOCUMENTS",
    "MAX_UNKNOWN_WORDS",
    "FitCoverage",
    "drifted",
    "measure_drift",
]

MAX_UNKNOWN_WORDS = 0.0025
MAX_CHANGED_DOCUMENTS = 0.05
_FILE_NAME = "fit_coverage.npy"


@dataclass(frozen=True)
class FitCoverage:
    """What a fitted encoder knows of each document.

    Parameters
    ----------
    counts
        int32, shape (n_documents, 3): words, words unknown to the encoder, and 1 where it was
        fitted on this very text, else 0.
    """

    counts: NDArray[np.int32]

    @classmethod
    def of_none(cls, n_documents: int) -> Self:
        """For documents that are all still to be counted."""
        return cls(np.zeros((n_documents, 3), np.int32))

    @classmethod
    def read(cls, folder: Path, n_documents: int) -> Self:
        """Read what ``write`` wrote.

        Raises
        ------
        IndexCorruptError
            If it is missing, damaged or about another number of documents.
        """
        counts = load_array(folder / _FILE_NAME, np.int32, n_dimensions=2)
        if counts.shape != (n_documents, 3):
            raise IndexCorruptError(f"{folder / _FILE_NAME} does not fit its documents")
        return cls(counts)

    def write(self, folder: Path) -> None:
        """Write it into an existing folder."""
        np.save(folder / _FILE_NAME, self.counts)

    def gathered(self, origins: NDArray[np.int64]) -> FitCoverage:
        """Counts of the given rows; nothing yet where a row is -1."""
        gathered = FitCoverage.of_none(len(origins))
        gathered.counts[origins >= 0] = self.counts[origins[origins >= 0]]
        return gathered

    @property
    def unknown_share(self) -> float:
        """Share of all words that the encoder does not know, in [0, 1]."""
        n_words, n_unknown, _ = self.counts.sum(axis=0, dtype=np.int64).tolist()
        return n_unknown / n_words if n_words else 0.0


def measure_drift(fit: Fit, coverage: FitCoverage) -> Fit:
    """The fit with its drift over the given documents.

    Examples
    --------
    >>> counts = np.array([[9, 0, 1], [9, 0, 1], [9, 0, 1], [9, 9, 0]], np.int32)
    >>> fit = measure_drift(Fit("v1", n_documents=3, unknown_at_fit=0.0), FitCoverage(counts))
    >>> fit.unknown_words, fit.changed_documents
    (0.25, 0.25)
    """
    n_documents = max(len(coverage.counts), fit.n_documents, 1)
    n_in_both = int(coverage.counts[:, 2].sum())
    return replace(
        fit,
        unknown_words=round(max(0.0, coverage.unknown_share - fit.unknown_at_fit), 6),
        changed_documents=round(1 - n_in_both / n_documents, 6),
    )


def drifted(fit: Fit) -> bool:
    """Whether the drift has passed a bound."""
    return fit.unknown_words > MAX_UNKNOWN_WORDS or fit.changed_documents > MAX_CHANGED_DOCUMENTS
