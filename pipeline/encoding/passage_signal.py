"""The signal that scores passages: bert, which encodes only passages it never met."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bert import BertEncoder
from encoders.protocol import Embeddings
from ingest.documents import passage_hash
from pipeline.encoding.embedding_cache import EmbeddingCache
from pipeline.encoding.inheritance import Inheritance, merge_embeddings
from pipeline.encoding.passages import PassageCut
from pipeline.encoding.stages import Advance, Stages
from pipeline.version.document_store import DocumentStore
from pipeline.version.encoder_text import encoder_text, fitting_title
from pipeline.version.manifest import SignalRecord
from pipeline.version.open_version import ENCODER_FOLDER
from pipeline.version.vector_index import StoredVectors, write_vector_index

__all__ = ["PassageSignal"]

_ENCODED_AT_ONCE = 2048
_DOCUMENTS_AT_ONCE = 1000
_SAMPLED_DOCUMENTS = 300


class PassageSignal:
    """Builds the bert signal of one version, and counts what it took.

    Parameters
    ----------
    encoder
        What embeds a passage.
    cache
        Embeddings by content.
    reuse
        Whether to read the cache, or only to fill it.
    """

    def __init__(self, encoder: BertEncoder, cache: EmbeddingCache, *, reuse: bool) -> None:
        self._encoder = encoder
        self._cache = cache
        self._reuse = reuse
        self.n_encoded = self.n_reused = self.n_tokens_encoded = 0

    def build(
        self,
        folder: Path,
        store: DocumentStore,
        cut: PassageCut,
        inherited: Inheritance | None,
        stages: Stages,
    ) -> SignalRecord:
        """Embed every passage and save the signal in an existing folder.

        Passages that were taken over from the parent bring their embeddings; they were cut for
        this very encoder.
        """
        encoder, n_passages = self._encoder, cut.table.n_passages
        n_taken = int(np.count_nonzero(cut.origins >= 0))
        self.n_reused += n_taken
        with stages.stage("bert", n_passages) as advance:
            advance(n_taken)
            if inherited is not None and inherited.has_same_texts and n_taken == n_passages:
                inherited.link("bert", folder)
                return inherited.parent.manifest.signals["bert"]
            old = None
            if inherited is not None and n_taken:
                old = StoredVectors(inherited.parent.folder / "bert")
            fresh = self._embeddings(store, cut, advance)
            merged = merge_embeddings(cut.origins, old, fresh)
            n_covered = write_vector_index(folder, merged, encoder.dimension)
        (folder / ENCODER_FOLDER).mkdir()
        encoder.save(folder / ENCODER_FOLDER)
        return SignalRecord(
            "passages",
            n_passages,
            n_covered,
            encoder.fingerprint,
            encoder.dimension,
            encoder.legibility(_sample_texts(store)),
        )

    def _embeddings(
        self, store: DocumentStore, cut: PassageCut, advance: Advance
    ) -> Iterator[Embeddings]:
        """Embeddings of the passages that were not taken over, in order."""
        n_tokens = cut.n_tokens[cut.origins < 0]
        pending: list[tuple[str, str]] = []
        done = 0
        for title, text in _fresh_passages(self._encoder, store, cut):
            pending.append((title, text))
            if len(pending) == _ENCODED_AT_ONCE:
                yield self._encode(pending, n_tokens[done:], advance)
                done += len(pending)
                pending = []
        if pending:
            yield self._encode(pending, n_tokens[done:], advance)

    def _encode(
        self, passages: list[tuple[str, str]], n_tokens: NDArray[np.int64], advance: Advance
    ) -> Embeddings:
        keys = [self._cache.key(passage_hash(title, text)) for title, text in passages]
        known = self._cache.get(keys, self._encoder.dimension) if self._reuse else {}
        missing = [position for position, key in enumerate(keys) if key not in known]
        advance(len(keys) - len(missing))
        self.n_reused += len(keys) - len(missing)
        self.n_encoded += len(missing)
        self.n_tokens_encoded += int(n_tokens[missing].sum())
        if missing:
            texts = [encoder_text(*passages[position]) for position in missing]
            embeddings = self._encoder.encode_documents(texts, progress=advance)
            fresh = {keys[position]: embeddings[i] for i, position in enumerate(missing)}
            self._cache.put(fresh)
            known = {**known, **fresh}
        return np.stack([known[key] for key in keys])


def _sample_texts(store: DocumentStore) -> list[str]:
    """The texts of documents drawn evenly."""
    n_drawn = min(_SAMPLED_DOCUMENTS, store.n_documents)
    rows = np.linspace(0, store.n_documents - 1, n_drawn).astype(int).tolist()
    return [document.text for document in store.documents(rows)]


def _fresh_passages(
    encoder: BertEncoder, store: DocumentStore, cut: PassageCut
) -> Iterator[tuple[str, str]]:
    """Title and text of each passage that was not taken over, in order."""
    offsets, rows = cut.table.offsets, cut.fresh_rows()
    for begin in range(0, len(rows), _DOCUMENTS_AT_ONCE):
        part = rows[begin : begin + _DOCUMENTS_AT_ONCE].tolist()
        documents = store.documents(part)
        heads = encoder.token_starts([document.title for document in documents])
        for row, document, starts in zip(part, documents, heads, strict=True):
            title = fitting_title(document.title, starts, encoder.max_tokens)
            for start, stop in cut.table.spans[offsets[row] : offsets[row + 1]].tolist():
                yield title, document.text[start:stop]
