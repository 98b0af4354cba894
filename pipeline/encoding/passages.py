"""Cutting every document of a version into the passages that the bert signal reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.bert import RECOMMENDED_OVERLAP_TOKENS, BertEncoder
from encoders.protocol import ProgressCallback
from encoders.words import word_spans
from ingest.documents import Document, Passage
from ingest.passages import cut_passages
from pipeline.version.document_store import DocumentStore
from pipeline.version.encoder_text import title_limit
from pipeline.version.open_version import PassageTable

__all__ = ["PassageCut", "cut_all_passages", "texts_of_passages"]

# Without a transformer nothing limits a passage but a reader's patience.
_WORDS_PER_PASSAGE = 180
_OVERLAP_WORDS = 30
_SPECIAL_TOKENS = 2


@dataclass(frozen=True)
class PassageCut:
    """The passages of a version, and how many tokens an encoder reads for each."""

    table: PassageTable
    n_tokens: NDArray[np.int64]


def cut_all_passages(
    store: DocumentStore, bert: BertEncoder | None, progress: ProgressCallback
) -> PassageCut:
    """Cut every document; in the encoder's tokens where there is one, else in words."""
    offsets: list[int] = [0]
    spans: list[NDArray[np.int64]] = []
    pages: list[int] = []
    n_tokens: list[NDArray[np.int64]] = []
    for documents in store.iterate():
        text_starts = _token_starts([document.text for document in documents], bert)
        title_starts = _token_starts([document.title for document in documents], bert)
        for document, starts, heads in zip(documents, text_starts, title_starts, strict=True):
            passages, n_head = _cut(document, starts, heads, bert)
            bounds = np.array([(passage.start, passage.end) for passage in passages], np.int64)
            spans.append(bounds)
            pages.extend(passage.page or 0 for passage in passages)
            inside = np.searchsorted(starts, bounds)
            n_tokens.append(inside[:, 1] - inside[:, 0] + n_head + _SPECIAL_TOKENS)
            offsets.append(offsets[-1] + len(passages))
        progress(len(documents))
    table = PassageTable(
        np.array(offsets, np.int64),
        np.concatenate(spans) if spans else np.zeros((0, 2), np.int64),
        np.array(pages, np.int32),
    )
    return PassageCut(table, np.concatenate(n_tokens) if n_tokens else np.zeros(0, np.int64))


def texts_of_passages(documents: Iterable[Document], table: PassageTable) -> Iterator[str]:
    """Text of each passage of documents, given in the order of their rows."""
    for row, document in enumerate(documents):
        begin, end = table.offsets[row : row + 2].tolist()
        for start, stop in table.spans[begin:end].tolist():
            yield document.text[start:stop]


def _cut(
    document: Document,
    starts: NDArray[np.int64],
    heads: NDArray[np.int64],
    bert: BertEncoder | None,
) -> tuple[list[Passage], int]:
    if bert is None:
        room, overlap, n_head = _WORDS_PER_PASSAGE, _OVERLAP_WORDS, len(heads)
    else:
        n_head = min(len(heads), title_limit(bert.max_tokens))
        room = bert.max_tokens - n_head
        overlap = min(RECOMMENDED_OVERLAP_TOKENS, room // 4)
    passages = cut_passages(
        document.text,
        starts,
        max_tokens=room,
        overlap_tokens=overlap,
        page_starts=document.page_starts,
    )
    return passages, n_head


def _token_starts(texts: Sequence[str], bert: BertEncoder | None) -> list[NDArray[np.int64]]:
    if bert is not None:
        return bert.token_starts(texts)
    return [np.array([start for start, _, _ in word_spans(text)], np.int64) for text in texts]
