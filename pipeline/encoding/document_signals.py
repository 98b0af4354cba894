"""The signals that score whole documents: bm25, tfidf and word2vec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from encoders.term_encoder import TermEncoder, WeighedTexts
from encoders.tfidf import TfidfEncoder
from ingest.errors import IndexCorruptError
from pipeline.encoding.centrality import Center, CenterOfRows
from pipeline.encoding.document_languages import DocumentLanguages
from pipeline.encoding.drift import FitCoverage, drifted, measure_drift
from pipeline.encoding.inheritance import Inheritance, merge_embeddings
from pipeline.encoding.links import link_tree
from pipeline.encoding.stages import Advance, Stages
from pipeline.version.arrays import ArrayWriter, Runs, load_array, merge_runs
from pipeline.version.document_store import DocumentStore
from pipeline.version.encoder_text import encoder_text
from pipeline.version.keyword_index import write_keyword_index
from pipeline.version.manifest import Fit, SignalRecord
from pipeline.version.open_version import ENCODER_FOLDER
from pipeline.version.vector_index import StoredVectors, write_vector_index

__all__ = ["build_document_signal", "build_keyword_signal"]

_DOCUMENTS_AT_ONCE = 1000


def build_keyword_signal(
    folder: Path,
    store: DocumentStore,
    languages: DocumentLanguages,
    inherited: Inheritance | None,
    stages: Stages,
) -> SignalRecord:
    """Index every document's words in an existing folder.

    Always all of them: documents removed from a tantivy index go on counting in its statistics
    until their segment is merged, so scores would tell how a version came about.
    """
    with stages.stage("bm25", store.n_documents) as advance:
        if inherited is not None and languages.same_as_parent:
            record = inherited.parent.manifest.signals.get("bm25")
            if record is not None:
                inherited.link("bm25", folder)
                return record
        counted = (advance.each(document) for document in store.stream())
        n_covered = write_keyword_index(folder, counted, languages.of_documents)
    return SignalRecord("documents", store.n_documents, n_covered)


def build_document_signal(
    folder: Path,
    encoder: TermEncoder,
    store: DocumentStore,
    version: str,
    inherited: Inheritance | None,
    stages: Stages,
) -> SignalRecord:
    """Embed every document and save that in an existing folder.

    With the parent's encoder, if it was fitted with the same arguments and its drift has passed
    no bound: then only documents whose text changed are embedded. Else with the given one,
    fitted anew.

    Parameters
    ----------
    version
        The version being built.
    """
    name, n_documents = encoder.name, store.n_documents
    with stages.stage(f"{name} drift"):
        kept = _kept_fit(encoder, store, inherited)
    if kept is None:
        with stages.stage(f"{name} fit", encoder.fit_passes * n_documents) as advance:
            encoder.fit(_StoredTexts(store), progress=advance)
        kept = _Kept(
            encoder, np.full(n_documents, -1), FitCoverage.of_none(n_documents), None, None
        )
    elif inherited is not None and inherited.has_same_texts:
        inherited.link(name, folder)
        return inherited.parent.manifest.signals[name]
    with stages.stage(name, n_documents) as advance:
        advance(int(np.count_nonzero(kept.origins >= 0)))
        n_covered = _write_rows(folder, kept, store, advance)
    kept.coverage.write(folder)
    (folder / ENCODER_FOLDER).mkdir()
    if kept.folder is not None:
        link_tree(kept.folder / ENCODER_FOLDER, folder / ENCODER_FOLDER)
    else:
        kept.encoder.save(folder / ENCODER_FOLDER)
    return SignalRecord(
        "documents",
        n_documents,
        n_covered,
        kept.encoder.fingerprint,
        kept.encoder.dimension,
        fit=kept.fit or Fit(version, n_documents, round(kept.coverage.unknown_share, 6)),
    )


@dataclass(frozen=True)
class _Kept:
    """An encoder ready for use, and which rows it has embedded already.

    Parameters
    ----------
    origins
        Row in the parent's vectors of each document, -1 where it is still to be embedded.
    fit, folder
        What the encoder was fitted on, and the parent's folder; ``None`` when just fitted.
    """

    encoder: TermEncoder
    origins: NDArray[np.int64]
    coverage: FitCoverage
    fit: Fit | None
    folder: Path | None


def _kept_fit(
    wanted: TermEncoder, store: DocumentStore, inherited: Inheritance | None
) -> _Kept | None:
    """The parent's encoder, unless it is another or has drifted too far."""
    if inherited is None:
        return None
    parent, name = inherited.parent, wanted.name
    encoder, record = parent.encoders.get(name), parent.manifest.signals.get(name)
    if record is None or record.fit is None or not isinstance(encoder, TermEncoder):
        return None
    if not wanted.would_fit_like(encoder):
        return None
    origins = inherited.same_text
    try:
        known = FitCoverage.read(parent.folder / name, parent.manifest.n_documents)
    except IndexCorruptError:
        return None
    coverage = known.gathered(origins)
    for rows, texts in _fresh_texts(store, origins):
        weighed = encoder.weigh(texts)
        coverage.counts[rows, 0], coverage.counts[rows, 1] = weighed.n_words, weighed.n_unknown
    fit = measure_drift(record.fit, coverage)
    if drifted(fit):
        return None
    return _Kept(encoder, origins, coverage, fit, parent.folder / name)


def _fresh_texts(
    store: DocumentStore, origins: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
    """Rows to be embedded and their texts, in batches."""
    fresh = np.flatnonzero(origins < 0)
    for begin in range(0, len(fresh), _DOCUMENTS_AT_ONCE):
        rows = fresh[begin : begin + _DOCUMENTS_AT_ONCE]
        documents = store.documents(rows.tolist())
        yield rows, [encoder_text(document.title, document.text) for document in documents]


def _write_rows(folder: Path, kept: _Kept, store: DocumentStore, advance: Advance) -> int:
    """Write vectors, and the sparse ones of tfidf, which explain its score word by word."""
    encoder, old = kept.encoder, None if kept.folder is None else StoredVectors(kept.folder)
    with ExitStack() as stack:
        sparse = None
        if isinstance(encoder, TfidfEncoder):
            sparse = stack.enter_context(_SparseWriter(folder, kept))

        center = Center.read(kept.folder) if kept.folder is not None else None
        fitted = CenterOfRows(encoder.dimension)

        def embedded() -> Iterator[Embeddings]:
            for rows, texts in _fresh_texts(store, kept.origins):
                weighed = encoder.weigh(texts)
                if kept.fit is None:
                    kept.coverage.counts[rows] = np.stack(
                        [weighed.n_words, weighed.n_unknown, np.ones(len(rows), np.int64)], axis=1
                    )
                if sparse is not None:
                    sparse.add(rows, weighed)
                embeddings = encoder.embed(weighed)
                fitted.add(embeddings)
                yield embeddings if center is None else center.held(embeddings)
                advance(len(rows))

        n_covered = write_vector_index(
            folder, merge_embeddings(kept.origins, old, embedded()), encoder.dimension
        )
    if center is not None and kept.folder is not None:
        center.link(kept.folder, folder)
    elif kept.fit is None and encoder.favors_unseen_texts:
        fitted.write(folder)
    return n_covered


_SPARSE_ARRAYS = (("data", "<f4"), ("indices", "<i4"), ("indptr", "<i8"))


class _SparseWriter:
    """Writes the sparse rows in row order: those taken over between those just weighed."""

    def __init__(self, folder: Path, kept: _Kept) -> None:
        self._origins = kept.origins
        self._old = _no_rows()
        if kept.folder is not None:
            data, indices, indptr = (
                load_array(kept.folder / f"sparse_{part}.npy", dtype)
                for part, dtype in _SPARSE_ARRAYS
            )
            self._old = Runs(indptr, (data, indices))
        self._files = ExitStack()
        self._data, self._indices, self._indptr = (
            self._files.enter_context(ArrayWriter(folder / f"sparse_{part}.npy", dtype))
            for part, dtype in _SPARSE_ARRAYS
        )
        self._indptr.append(np.zeros(1, np.int64))
        self._n_rows = self._n_entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._files:
            while kind is None and self._n_rows < len(self._origins):
                end = min(self._n_rows + _DOCUMENTS_AT_ONCE, len(self._origins))
                self._write(end, _no_rows())

    def add(self, rows: NDArray[np.int64], weighed: WeighedTexts) -> None:
        """Write the given rows, and before them what is taken over."""
        weights = weighed.weights
        columns = (weights.data.astype(np.float32), weights.indices.astype(np.int32))
        self._write(int(rows[-1]) + 1, Runs(weights.indptr.astype(np.int64), columns))

    def _write(self, end: int, new: Runs) -> None:
        merged = merge_runs(self._origins[self._n_rows : end], self._old, new)
        self._data.append(merged.columns[0])
        self._indices.append(merged.columns[1])
        self._indptr.append(merged.offsets[1:] + self._n_entries)
        self._n_rows, self._n_entries = end, self._n_entries + int(merged.offsets[-1])


def _no_rows() -> Runs:
    return Runs(np.zeros(1, np.int64), (np.zeros(0, np.float32), np.zeros(0, np.int32)))


class _StoredTexts:
    """Every document's title and text, read from disk anew at each iteration."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def __iter__(self) -> Iterator[str]:
        return (encoder_text(document.title, document.text) for document in self._store.stream())
