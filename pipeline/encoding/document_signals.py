"""The signals that score whole documents: bm25, tfidf and word2vec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import numpy as np

from encoders.protocol import Encoder, FittedEncoder
from encoders.tfidf import TfidfEncoder
from pipeline.encoding.document_languages import DocumentLanguages
from pipeline.encoding.stages import Stages
from pipeline.version.document_store import DocumentStore
from pipeline.version.encoder_text import encoder_text
from pipeline.version.keyword_index import write_keyword_index
from pipeline.version.manifest import SignalRecord
from pipeline.version.open_version import ENCODER_FOLDER
from pipeline.version.vector_index import write_vector_index

__all__ = ["build_document_signal", "build_keyword_signal", "is_fitted_encoder"]


def is_fitted_encoder(encoder: Encoder) -> TypeGuard[FittedEncoder]:
    """Whether an encoder learns from the corpus; reads no property, which may need fitting."""
    return callable(getattr(type(encoder), "fit", None))


def build_keyword_signal(
    folder: Path, store: DocumentStore, languages: DocumentLanguages, stages: Stages
) -> SignalRecord:
    """Index every document's words in an existing folder."""
    with stages.stage("bm25", store.n_documents) as advance:
        counted = (advance.each(document) for document in store.stream())
        n_covered = write_keyword_index(folder, counted, languages.of_documents)
    return SignalRecord("documents", store.n_documents, n_covered)


def build_document_signal(
    folder: Path, encoder: FittedEncoder, store: DocumentStore, stages: Stages
) -> SignalRecord:
    """Fit an encoder, embed every document and save both in an existing folder."""
    name, n_documents = encoder.name, store.n_documents
    with stages.stage(f"{name} fit", encoder.fit_passes * n_documents) as advance:
        encoder.fit(_StoredTexts(store), progress=advance)
    with stages.stage(name, n_documents) as advance:
        batches = (
            encoder.encode_documents(
                [encoder_text(document.title, document.text) for document in documents],
                progress=advance,
            )
            for documents in store.iterate()
        )
        n_covered = write_vector_index(folder, batches, encoder.dimension)
    if isinstance(encoder, TfidfEncoder):
        _write_sparse_rows(folder, encoder, store)
    (folder / ENCODER_FOLDER).mkdir()
    encoder.save(folder / ENCODER_FOLDER)
    return SignalRecord("documents", n_documents, n_covered, encoder.fingerprint, encoder.dimension)


class _StoredTexts:
    """Every document's title and text, read from disk anew at each iteration."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def __iter__(self) -> Iterator[str]:
        return (encoder_text(document.title, document.text) for document in self._store.stream())


def _write_sparse_rows(folder: Path, encoder: TfidfEncoder, store: DocumentStore) -> None:
    """Keep the sparse vectors too: they explain a tfidf score exactly, word by word."""
    data, indices, indptr = [], [], [np.zeros(1, np.int64)]
    for documents in store.iterate():
        rows = encoder.sparse([encoder_text(entry.title, entry.text) for entry in documents])
        data.append(rows.data.astype(np.float32))
        indices.append(rows.indices.astype(np.int32))
        indptr.append(rows.indptr[1:].astype(np.int64) + indptr[-1][-1])
    np.save(folder / "sparse_data.npy", np.concatenate(data))
    np.save(folder / "sparse_indices.npy", np.concatenate(indices))
    np.save(folder / "sparse_indptr.npy", np.concatenate(indptr))
