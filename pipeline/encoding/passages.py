"""Cutting the documents of a version into the passages that the bert signal reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.bert import RECOMMENDED_OVERLAP_TOKENS, BertEncoder
from encoders.words import word_spans
from ingest.documents import Document, Passage
from ingest.passages import cut_passages
from pipeline.encoding.inheritance import Inheritance
from pipeline.encoding.stages import Advance
from pipeline.version.arrays import Runs, merge_runs
from pipeline.version.document_store import DocumentStore
from pipeline.version.encoder_text import title_limit
from pipeline.version.open_version import PassageTable

__all__ = ["PassageCut", "cut_all_passages", "texts_of_passages"]

# Without a transformer nothing limits a passage but a reader's patience.
_WORDS_PER_PASSAGE = 180
_OVERLAP_WORDS = 30
_SPECIAL_TOKENS = 2
_DOCUMENTS_AT_ONCE = 1000


@dataclass(frozen=True)
class PassageCut:
    """The passages of a version.

    Parameters
    ----------
    n_tokens
        int64, shape (n_passages,): how many tokens an encoder reads for each; 0 for those that
        were taken over.
    origins
        int64, shape (n_passages,): passage row in the parent, -1 for those that were cut anew.
    """

    table: PassageTable
    n_tokens: NDArray[np.int64]
    origins: NDArray[np.int64]

    def fresh_rows(self) -> NDArray[np.int64]:
        """Documents that were cut anew; a document's passages are all taken over or all not."""
        return np.flatnonzero(self.origins[self.table.offsets[:-1]] < 0)


def cut_all_passages(
    store: DocumentStore,
    bert: BertEncoder | None,
    inherited: Inheritance | None,
    advance: Advance,
) -> PassageCut:
    """Cut every document; in the encoder's tokens where there is one, else in words.

    Documents whose text is the parent's keep its passages, if those were cut for this encoder.
    """
    origins = np.full(store.n_documents, -1, np.int64)
    old = _runs(PassageTable(np.zeros(1, np.int64), np.zeros((0, 2), np.int64), np.zeros(0, "i4")))
    if inherited is not None and _cut_alike(bert, inherited):
        origins = inherited.same_text
        old = _runs(inherited.parent.passages)
    advance(int(np.count_nonzero(origins >= 0)))
    merged = merge_runs(origins, old, _cut_runs(store, np.flatnonzero(origins < 0), bert, advance))
    spans, pages, n_tokens, rows = merged.columns
    return PassageCut(PassageTable(merged.offsets, spans, pages), n_tokens, rows)


def _cut_alike(bert: BertEncoder | None, inherited: Inheritance) -> bool:
    record = inherited.parent.manifest.signals.get("bert")
    if bert is None or record is None:
        return bert is None and record is None
    return record.encoder_fingerprint == bert.fingerprint


def _runs(table: PassageTable) -> Runs:
    rows = np.arange(table.n_passages)
    return Runs(table.offsets, (table.spans, table.pages, np.zeros_like(rows), rows))


def _cut_runs(
    store: DocumentStore, rows: NDArray[np.int64], bert: BertEncoder | None, advance: Advance
) -> Runs:
    """Passages of the given documents: spans, pages, tokens, and -1 for where they come from."""
    lengths: list[int] = []
    spans = [np.zeros((0, 2), np.int64)]
    pages: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    n_tokens = [np.zeros(0, np.int64)]
    for begin in range(0, len(rows), _DOCUMENTS_AT_ONCE):
        documents = store.documents(rows[begin : begin + _DOCUMENTS_AT_ONCE].tolist())
        text_starts = _token_starts([document.text for document in documents], bert)
        title_starts = _token_starts([document.title for document in documents], bert)
        found: list[Passage] = []
        read: list[NDArray[np.int64]] = []
        for document, starts, heads in zip(documents, text_starts, title_starts, strict=True):
            passages, n_head = _cut(document, starts, heads, bert)
            bounds = np.array([(passage.start, passage.end) for passage in passages], np.int64)
            inside = np.searchsorted(starts, bounds)
            read.append(inside[:, 1] - inside[:, 0] + n_head + _SPECIAL_TOKENS)
            lengths.append(len(passages))
            found.extend(passages)
        spans.append(np.array([(passage.start, passage.end) for passage in found], np.int64))
        pages.append(np.array([passage.page or 0 for passage in found], np.int32))
        n_tokens.append(np.concatenate(read))
        advance(len(documents))
    offsets = np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))]).astype(np.int64)
    every = np.concatenate(spans)
    return Runs(
        offsets,
        (every, np.concatenate(pages), np.concatenate(n_tokens), np.full(len(every), -1)),
    )


def texts_of_passages(
    documents: Iterable[Document], table: PassageTable, rows: Iterable[int] | None = None
) -> Iterator[str]:
    """Text of each passage of documents, given in the order of ``rows`` (all when ``None``)."""
    for row, document in zip(itertools.count() if rows is None else rows, documents, strict=False):
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
