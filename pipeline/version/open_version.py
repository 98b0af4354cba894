"""A version opened for reading: documents, passages, metadata and every signal's index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Encoder
from encoders.registry import load_encoder
from encoders.word2vec import Word2VecEncoder
from ingest.documents import Passage
from ingest.errors import IndexCorruptError, TrineError
from pipeline.version.arrays import check_offsets, load_array
from pipeline.version.document_map import MAP_FOLDER, DocumentMap, read_document_map
from pipeline.version.document_store import DocumentStore
from pipeline.version.hold import VersionHold, hold_version
from pipeline.version.keyword_index import KeywordIndex
from pipeline.version.manifest import Manifest, read_manifest, verify_files
from pipeline.version.metadata_columns import MetadataColumns
from pipeline.version.passage_words import (
    PASSAGE_WORDS_FOLDER,
    PassageWords,
    read_passage_words,
)
from pipeline.version.vector_index import VectorIndex

__all__ = [
    "ENCODER_FOLDER",
    "METADATA_FOLDER",
    "PASSAGES_FOLDER",
    "SIGNALS",
    "OpenVersion",
    "PassageTable",
    "open_version",
    "write_passage_table",
]

SIGNALS = ("bm25", "tfidf", "word2vec", "bert")
PASSAGES_FOLDER = "passages"
PASSAGE_ARRAYS = ("offsets", "spans", "pages")
METADATA_FOLDER = "metadata"
ENCODER_FOLDER = "encoder"


@dataclass(frozen=True)
class PassageTable:
    """Which passages each document has, and where in its text they stand.

    Parameters
    ----------
    offsets
        int64, shape (n_documents + 1,): a document's passage rows are
        ``range(offsets[row], offsets[row + 1])``.
    spans
        int64, shape (n_passages, 2): start and end code points in the document's text.
    pages
        int32, shape (n_passages,): page number from 1, or 0 where there are no pages.
    """

    offsets: NDArray[np.int64]
    spans: NDArray[np.int64]
    pages: NDArray[np.int32]

    @property
    def n_passages(self) -> int:
        """Rows of the passage space."""
        return len(self.spans)

    def passage(self, passage_row: int) -> Passage:
        """One passage."""
        start, end = self.spans[passage_row].tolist()
        return Passage(start, end, int(self.pages[passage_row]) or None)

    def document_rows(self) -> NDArray[np.int64]:
        """int64, shape (n_passages,): the document each passage belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def write_passage_table(folder: Path, table: PassageTable) -> None:
    """Write the table into an existing folder."""
    for name in PASSAGE_ARRAYS:
        np.save(folder / f"{name}.npy", getattr(table, name))


def _read_passage_table(folder: Path) -> PassageTable:
    table = PassageTable(
        load_array(folder / "offsets.npy", np.int64),
        load_array(folder / "spans.npy", np.int64, n_dimensions=2),
        load_array(folder / "pages.npy", np.int32),
    )
    check_offsets(folder / "offsets.npy", table.offsets, len(table.spans))
    if table.spans.shape[1] != 2 or len(table.pages) != len(table.spans):
        raise IndexCorruptError(f"{folder} cannot be read: its arrays do not fit together")
    return table


@dataclass(frozen=True)
class OpenVersion:
    """One immutable version, memory-mapped; safe to share among threads.

    While it lives, no process prunes the version.

    Parameters
    ----------
    permitted
        bool, shape (n_documents,): the documents that may be seen; all of them when ``None``.
    """

    folder: Path
    manifest: Manifest
    documents: DocumentStore
    passages: PassageTable
    metadata: MetadataColumns
    keywords: KeywordIndex | None
    vectors: dict[str, VectorIndex]
    encoders: dict[str, Encoder]
    hold: VersionHold
    passage_words: PassageWords | None = None
    permitted: NDArray[np.bool_] | None = None
    map: DocumentMap | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals this version holds, in their fixed order."""
        return tuple(name for name in SIGNALS if name in self.manifest.signals)

    def count_problems(self) -> list[str]:
        """Hold what each part counts against the manifest: one line a disagreement."""
        manifest = self.manifest
        n_rows = {"documents": manifest.n_documents, "passages": manifest.n_passages}
        found = {
            "documents": (self.documents.n_documents, manifest.n_documents),
            "passage offsets": (len(self.passages.offsets) - 1, manifest.n_documents),
            "passages": (self.passages.n_passages, manifest.n_passages),
        }
        if self.keywords is not None:
            found["bm25 rows"] = (self.keywords.n_documents, manifest.n_documents)
        for name, index in self.vectors.items():
            found[f"{name} rows"] = (index.n_rows, n_rows[manifest.signals[name].rows])
        return [
            f"{name}: {count}, expected {expected}"
            for name, (count, expected) in found.items()
            if count != expected
        ]

    @cached_property
    def word_vector_rows(self) -> NDArray[np.int64] | None:
        """Word2Vec's row of each word of ``passage_words``; ``None`` without either of them."""
        encoder = self.encoders.get("word2vec")
        if self.passage_words is None or not isinstance(encoder, Word2VecEncoder):
            return None
        return encoder.rows(self.passage_words.vocabulary)


def open_version(folder: Path, *, verify: bool = False) -> OpenVersion:
    """Open a version for reading.

    Parameters
    ----------
    verify
        Whether to hold every byte against the manifest first, by CRC-32; otherwise only the
        manifest itself, that each file is there, and how many bytes they hold together.

    Raises
    ------
    IndexNotFoundError
        If the version is being pruned.
    IndexCorruptError, IndexVersionError
        If a file is missing, altered or of another format; the published version is untouched.
    """
    hold = hold_version(folder)
    manifest = read_manifest(folder)
    if problems := verify_files(folder, manifest, check="crc32" if verify else "size"):
        raise IndexCorruptError(
            f"version {manifest.version} of {manifest.collection!r} is damaged: {problems[0]}"
            + (f" (and {len(problems) - 1} more)" if problems[1:] else "")
            + "; activate another version (trine versions list) or rebuild (trine reindex --full)"
        )
    passages = _read_passage_table(folder / PASSAGES_FOLDER)
    embedded = [name for name in SIGNALS if name in manifest.signals and name != "bm25"]
    version = OpenVersion(
        folder=folder,
        manifest=manifest,
        documents=DocumentStore(folder),
        passages=passages,
        metadata=MetadataColumns(folder / METADATA_FOLDER),
        keywords=KeywordIndex(folder / "bm25") if "bm25" in manifest.signals else None,
        vectors={
            name: VectorIndex(folder / name, all_covered=record.n_covered == record.n_rows)
            for name, record in manifest.signals.items()
            if name in embedded
        },
        encoders={name: _read_encoder(name, folder / name / ENCODER_FOLDER) for name in embedded},
        hold=hold,
        passage_words=read_passage_words(folder / PASSAGE_WORDS_FOLDER, passages.n_passages),
        map=read_document_map(folder / MAP_FOLDER, manifest.n_documents),
    )
    if problems := version.count_problems():
        raise IndexCorruptError(f"version {manifest.version} is damaged: {problems[0]}")
    return version


def _read_encoder(name: str, folder: Path) -> Encoder:
    try:
        return load_encoder(name, folder)
    except TrineError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IndexCorruptError(f"{folder} cannot be read as an encoder: {reason}") from error
