"""Which passage of a document answers a query."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ingest.documents import Document
from pipeline.search.answer import ShownPassage
from pipeline.search.signals import PassageScorer, Scorer
from pipeline.version.open_version import OpenVersion

__all__ = ["best_passage_rows", "passage_of"]


def best_passage_rows(
    version: OpenVersion, scorers: Mapping[str, Scorer], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Row of each document's best passage: bert's choice, the first where bert is not asked."""
    bert = scorers.get("bert")
    if isinstance(bert, PassageScorer):
        return bert.best_passages(rows)[1]
    return np.asarray(version.passages.offsets[rows])


def passage_of(version: OpenVersion, document: Document, passage_row: int) -> ShownPassage:
    """A passage of a document, with its text."""
    passage = version.passages.passage(passage_row)
    text = document.text[passage.start : passage.end]
    return ShownPassage(text, passage.start, passage.end, passage.page)
