"""Keyword search by BM25. Only this module knows tantivy.

Words are cut and stemmed by ``encoders.words``; tantivy sees them joined by blanks. Two fields:
``stems`` ranks (stop words gone), ``words`` keeps every word with its position for phrases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

from encoders.words import stems, words
from ingest.documents import Document
from ingest.errors import IndexCorruptError, IndexFolderError

__all__ = ["Alternative", "KeywordIndex", "KeywordQuery", "indexable", "write_keyword_index"]

# Between title and text, so that no phrase matches across the two.
_BOUNDARY = "\x1e"
# tantivy leaves out longer ones without a word.
_MAX_WORD_BYTES = 65_530
_WRITER_BYTES = 128_000_000
# tantivy walks a boolean query recursively for each clause; a pasted page has no more meaning.
MAX_QUERY_STEMS = 512

# Of the documents that contain a stem, so many mostly tell whether some of others do.
_FIRST_READ = 1000


def indexable(found: Iterable[str]) -> list[str]:
    """Leave out what is too long for a word: encoded data, say, pasted into a text.

    Examples
    --------
    >>> indexable(["word", "x" * 100_000])
    ['word']
    """
    # A character is at most four bytes; only a very long word needs counting.
    return [
        word
        for word in found
        if len(word) <= _MAX_WORD_BYTES // 4 or len(word.encode()) <= _MAX_WORD_BYTES
    ]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("stems", tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("words", tokenizer_name="whitespace", index_option="position")
    return builder.build()


def write_keyword_index(
    folder: Path, documents: Iterable[Document], languages: Iterable[str] | None = None
) -> int:
    """Index documents, in row order.

    Parameters
    ----------
    languages
        Language each document's words are stemmed in; English for all when ``None``.

    Returns
    -------
    int
        Documents with at least one stem; the signal abstains for the others.

    Raises
    ------
    IndexFolderError
        If the index cannot be written.
    """
    schema = _schema()
    n_covered = 0
    with _write_errors(folder):
        index = tantivy.Index(schema, path=str(folder))
        # One thread, so that the same documents always make the same segments.
        writer = index.writer(heap_size=_WRITER_BYTES, num_threads=1)
    stemmed_in = repeat("en") if languages is None else languages
    for row, (document, language) in enumerate(zip(documents, stemmed_in, strict=False)):
        found = indexable([*stems(document.title, language), *stems(document.text, language)])
        n_covered += bool(found)
        every = indexable([*words(document.title), _BOUNDARY, *words(document.text)])
        entry = {"row": row, "stems": " ".join(found), "words": " ".join(every)}
        with _write_errors(folder):
            writer.add_document(tantivy.Document.from_dict(entry, schema))
    with _write_errors(folder):
        writer.commit()
        writer.wait_merging_threads()
    return n_covered


@contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise IndexFolderError(f"writing {folder} failed: {reason}") from error


@contextmanager
def _read_errors(folder: Path) -> Iterator[None]:
    """Turn what tantivy makes of damaged bytes, a panic of its own included, into one line."""
    try:
        yield
    except ValueError as error:
        raise _unreadable(folder, error) from error
    except BaseException as error:
        # Rust's panics reach Python as a class that cannot be imported, below BaseException.
        if type(error).__name__ != "PanicException":
            raise
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: BaseException) -> IndexCorruptError:
    reason = " ".join(str(error).split())
    return IndexCorruptError(f"{folder} cannot be read as a keyword index: {reason}")


@dataclass(frozen=True, slots=True)
class Alternative:
    """What a document may hold instead of a stem of the query.

    Parameters
    ----------
    stems
        All of them must occur.
    weight
        Factor of their BM25 scores' sum, above 0.
    """

    stems: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class KeywordQuery:
    """What to match by keyword.

    Parameters
    ----------
    stems
        Scored words, repeated as often as they stand in the query.
    alternatives
        For some of the stems what may stand in their place (the stem of another language, a
        synonym); the best of them counts, so saying the same twice scores no higher.
    required, excluded
        Each a sequence of words that must, or must not, stand side by side in a document.
    """

    stems: tuple[str, ...] = ()
    required: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    alternatives: Mapping[str, tuple[Alternative, ...]] = field(default_factory=dict, hash=False)
    weights: dict[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        counted = Counter(self.stems).most_common(MAX_QUERY_STEMS)
        object.__setattr__(self, "weights", dict(counted))

    @property
    def all_stems(self) -> frozenset[str]:
        """Every stem that can match, alternatives included."""
        instead = (found for known in self.alternatives.values() for found in known)
        return frozenset(self.stems).union(*(found.stems for found in instead))


class KeywordIndex:
    """Read-only keyword index of one version.

    Parameters
    ----------
    folder
        The ``bm25`` folder inside a version.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _read_errors(folder):
            index = tantivy.Index.open(str(folder))
            self._searcher = index.searcher()
            self._schema = index.schema
            self.n_documents: int = self._searcher.num_docs

    def search(
        self, query: KeywordQuery, depth: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
        """Best documents by BM25 (k1 1.2, b 0.75).

        Returns
        -------
        rows, scores, total
            At most ``depth`` rows, best first, equal scores by row; ``total`` counts every match.
        """
        if not query.weights or not self.n_documents:
            return np.zeros(0, np.int64), np.zeros(0), 0
        with _read_errors(self._folder):
            found = self._searcher.search(
                self._matching(query, self._scored(query)), max(1, min(depth, self.n_documents))
            )
            rows, scores = self._read(found.hits)
        return rows, scores, int(found.count)

    def scores(self, query: KeywordQuery, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """BM25 score of each given row; 0 where no word matches."""
        result = np.zeros(len(rows))
        if not query.weights or not len(rows):
            return result
        must = tantivy.Query.const_score_query(self._row_set(rows), 0.0)
        combined = tantivy.Query.boolean_query(
            [(tantivy.Occur.Must, must), (tantivy.Occur.Must, self._scored(query))]
        )
        with _read_errors(self._folder):
            found = self._searcher.search(combined, len(rows), count=False)
            matched, scores = self._read(found.hits)
        order = np.argsort(rows, kind="stable")
        result[order[np.searchsorted(rows, matched, sorter=order)]] = scores
        return result

    def stem_scores(
        self, query: KeywordQuery, rows: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """What each stem of the query brings to the BM25 score of each given row.

        The stems' scores add up to ``scores``, within the rounding of 32 bits.
        """
        return {
            stem: self.scores(KeywordQuery((stem,) * count, alternatives=query.alternatives), rows)
            for stem, count in query.weights.items()
        }

    def rows_allowed(self, query: KeywordQuery) -> NDArray[np.bool_]:
        """Documents that satisfy what is required and excluded, bool, shape (n_documents,)."""
        allowed = np.zeros(self.n_documents, np.bool_)
        with _read_errors(self._folder):
            found = self._searcher.search(
                self._matching(query, tantivy.Query.all_query()), max(1, self.n_documents)
            )
            allowed[self._read(found.hits)[0]] = True
        return allowed

    def rows_with_phrase(self, phrase: Sequence[str]) -> NDArray[np.int64]:
        """Rows in which the given words stand side by side, ascending."""
        if not phrase or not self.n_documents:
            return np.zeros(0, np.int64)
        with _read_errors(self._folder):
            found = self._searcher.search(self._phrase(phrase), self.n_documents)
            return np.sort(self._read(found.hits)[0])

    def document_frequency(self, stem: str) -> int:
        """How many documents contain a stem."""
        with _read_errors(self._folder):
            return int(self._searcher.doc_freq("stems", stem))

    def any_has(self, stem: str, rows: NDArray[np.bool_]) -> bool:
        """Whether any of some documents, bool of shape (n_documents,), contains a stem."""
        n_with, n_read = self.document_frequency(stem), _FIRST_READ
        while n_with:
            with _read_errors(self._folder):
                found = self._searcher.search(self._stem(stem), n_read)
                if rows[self._read(found.hits)[0]].any():
                    return True
            if n_read >= n_with:
                break
            n_read = n_with
        return False

    def _read(self, hits: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows = np.array(
            self._searcher.fast_field_values("row", [address for _, address in hits]), np.int64
        )
        scores = np.array([score for score, _ in hits], np.float64)
        order = np.lexsort((rows, -scores))
        return rows[order], scores[order]

    def _row_set(self, rows: NDArray[np.int64]) -> tantivy.Query:
        return tantivy.Query.term_set_query(self._schema, "row", rows.tolist())

    def _scored(self, query: KeywordQuery) -> tantivy.Query:
        clauses = []
        for stem, count in query.weights.items():
            clause = self._stem(stem)
            if known := query.alternatives.get(stem):
                clause = tantivy.Query.disjunction_max_query(
                    [clause, *(self._alternative(found) for found in known)]
                )
            if count > 1:
                clause = tantivy.Query.boost_query(clause, float(count))
            clauses.append((tantivy.Occur.Should, clause))
        return tantivy.Query.boolean_query(clauses)

    def _stem(self, stem: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, "stems", stem, index_option="freq")

    def _alternative(self, found: Alternative) -> tantivy.Query:
        every = [(tantivy.Occur.Must, self._stem(stem)) for stem in found.stems]
        clause = every[0][1] if len(every) == 1 else tantivy.Query.boolean_query(every)
        return clause if found.weight == 1 else tantivy.Query.boost_query(clause, found.weight)

    def _phrase(self, phrase: Sequence[str]) -> tantivy.Query:
        if len(phrase) == 1:
            return tantivy.Query.term_query(self._schema, "words", phrase[0])
        return tantivy.Query.phrase_query(self._schema, "words", list(phrase))

    def _matching(self, query: KeywordQuery, scored: tantivy.Query) -> tantivy.Query:
        clauses = [(tantivy.Occur.Must, scored)]
        for phrase in query.required:
            clause = tantivy.Query.const_score_query(self._phrase(phrase), 0.0)
            clauses.append((tantivy.Occur.Must, clause))
        for phrase in query.excluded:
            clauses.append((tantivy.Occur.MustNot, self._phrase(phrase)))
        return clauses[0][1] if len(clauses) == 1 else tantivy.Query.boolean_query(clauses)
