"""Drawing the map of a version, or placing what is new in its parent's.

A document lies by the mean of its passages' embeddings: a long one belongs where most of it does,
not where it begins. New documents are placed in the picture that is there, so that it looks as it
did; it is drawn anew when a fifth of the documents are others than those it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.layout import MAX_LANDMARKS, Drawing, draw
from encoders.protocol import Embeddings
from pipeline.encoding.cluster_names import name_clusters
from pipeline.encoding.inheritance import Inheritance
from pipeline.encoding.links import link_file
from pipeline.encoding.stages import Advance, Stages
from pipeline.version.arrays import run_positions
from pipeline.version.document_map import (
    DRAWING_FILES,
    MAP_FOLDER,
    UNMAPPED,
    DocumentMap,
    drawing_id,
    write_document_map,
    write_no_map,
)
from pipeline.version.manifest import SignalRecord
from pipeline.version.passage_words import PASSAGE_WORDS_FOLDER, read_passage_words
from pipeline.version.vector_index import StoredVectors

__all__ = ["MAX_CHANGED_DOCUMENTS", "build_map"]

MAX_CHANGED_DOCUMENTS = 0.2
"""Share of documents that may be others than those drawn; a fifth more or less is still the map."""

# The first of these that a version holds is drawn.
_DRAWN_SIGNALS = ("bert", "tfidf", "word2vec")
_DOCUMENTS_AT_ONCE = 512


def build_map(
    folder: Path,
    signals: Mapping[str, SignalRecord],
    offsets: NDArray[np.int64],
    languages: tuple[str, ...],
    inherited: Inheritance | None,
    stages: Stages,
) -> None:
    """Draw or extend the map of a version whose signals and passages are written.

    Parameters
    ----------
    folder
        The version's.
    offsets
        int64, shape (n_documents + 1,): passages of each document.
    inherited
        What can be taken over from the parent; ``None`` also to draw anew.
    """
    own = folder / MAP_FOLDER
    own.mkdir()
    name = next((name for name in _DRAWN_SIGNALS if name in signals), None)
    n_documents = len(offsets) - 1
    with stages.stage("map", n_documents) as advance:
        if name is None or not signals[name].n_covered:
            write_no_map(own)
            return
        known = _known_map(name, signals[name], inherited)
        if known is not None and inherited is not None and inherited.has_same_texts:
            inherited.link(MAP_FOLDER, own)
            return
        vectors = _DocumentVectors(folder / name, signals[name], offsets)
        if known is not None and inherited is not None:
            extended = _extended(known, inherited.same_text, vectors, advance)
            if extended.changed_documents <= MAX_CHANGED_DOCUMENTS:
                for file in DRAWING_FILES:
                    link_file(inherited.parent.folder / MAP_FOLDER / file, own / file)
                write_document_map(own, extended, with_drawing=False)
                return
        drawn = _drawn(name, signals[name], vectors, advance)
        write_document_map(own, _named(drawn, folder, offsets, languages))


def _known_map(
    name: str, record: SignalRecord, inherited: Inheritance | None
) -> DocumentMap | None:
    """The parent's map, if it was drawn of the same encoder's embeddings."""
    if inherited is None or (known := inherited.parent.map) is None:
        return None
    same = known.signal == name and known.fingerprint == record.encoder_fingerprint
    return known if same else None


class _DocumentVectors:
    """One embedding a document, read a few at a time."""

    def __init__(self, folder: Path, record: SignalRecord, offsets: NDArray[np.int64]) -> None:
        self._stored = StoredVectors(folder)
        self.n_documents = len(offsets) - 1
        self._offsets = offsets if record.rows == "passages" else np.arange(len(offsets))

    def rows(self, rows: NDArray[np.int64]) -> Embeddings:
        """Mean of each document's passages, of unit length or all zero."""
        found = self._stored.rows(run_positions(self._offsets, rows))
        lengths = self._offsets[rows + 1] - self._offsets[rows]
        means = np.zeros((len(rows), self._stored.dimension), np.float32)
        some = lengths > 0
        if some.any():
            starts = np.concatenate([[0], np.cumsum(lengths[some])[:-1]])
            means[some] = np.add.reduceat(found, starts)
        norms = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(norms > 0, norms, 1)
        return means


def _extended(
    known: DocumentMap, origins: NDArray[np.int64], vectors: _DocumentVectors, advance: Advance
) -> DocumentMap:
    """The parent's map with what is new in it, and without what is gone."""
    taken = origins >= 0
    positions = np.full((len(origins), 2), np.nan, np.float32)
    clusters = np.full(len(origins), UNMAPPED, np.int16)
    was_drawn = np.zeros(len(origins), np.bool_)
    positions[taken] = known.positions[origins[taken]]
    clusters[taken] = known.clusters[origins[taken]]
    was_drawn[taken] = known.was_drawn[origins[taken]]
    advance(int(np.count_nonzero(taken)))
    _place(known.drawing, np.flatnonzero(~taken), vectors, positions, clusters, advance)
    return DocumentMap(
        positions,
        clusters,
        was_drawn,
        known.names,
        known.signal,
        known.fingerprint,
        known.n_drawn,
        known.drawing,
        known.drawing_id,
    )


def _drawn(
    name: str, record: SignalRecord, vectors: _DocumentVectors, advance: Advance
) -> DocumentMap:
    """A new picture, its clusters still without names."""
    n_documents = vectors.n_documents
    sampled = np.linspace(0, n_documents - 1, min(MAX_LANDMARKS, n_documents)).astype(np.int64)
    embeddings = vectors.rows(sampled)
    covered = embeddings.any(axis=1)
    if not covered.any():
        # Only documents that were not drawn from the sample have an embedding.
        embeddings, covered = np.ones_like(embeddings), ~covered
    drawing = draw(embeddings[covered], n_clusters=max(1, round(n_documents ** (1 / 3))))
    positions = np.full((n_documents, 2), np.nan, np.float32)
    clusters = np.full(n_documents, UNMAPPED, np.int16)
    _place(drawing, np.arange(n_documents), vectors, positions, clusters, advance)
    return DocumentMap(
        positions,
        clusters,
        np.ones(n_documents, np.bool_),
        ((),) * len(drawing.centers),
        name,
        record.encoder_fingerprint or "",
        n_documents,
        drawing,
        drawing_id(drawing),
    )


def _place(
    drawing: Drawing,
    rows: NDArray[np.int64],
    vectors: _DocumentVectors,
    positions: NDArray[np.float32],
    clusters: NDArray[np.int16],
    advance: Advance,
) -> None:
    """Place the given documents that have an embedding."""
    for begin in range(0, len(rows), _DOCUMENTS_AT_ONCE):
        part = rows[begin : begin + _DOCUMENTS_AT_ONCE]
        embeddings = vectors.rows(part)
        covered = embeddings.any(axis=1)
        positions[part[covered]] = drawing.place(embeddings[covered])
        clusters[part[covered]] = drawing.clusters(positions[part[covered]])
        advance(len(part))


def _named(
    drawn: DocumentMap, folder: Path, offsets: NDArray[np.int64], languages: tuple[str, ...]
) -> DocumentMap:
    table = read_passage_words(folder / PASSAGE_WORDS_FOLDER, int(offsets[-1]))
    if table is None:
        return drawn
    names = name_clusters(drawn.clusters, len(drawn.names), offsets, table, languages)
    return DocumentMap(**{**vars(drawn), "names": tuple(names)})
