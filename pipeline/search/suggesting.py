"""Completions of what is being typed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingest.errors import QueryError
from pipeline.search.spelling import Speller
from pipeline.version.document_store import DocumentStore
from pipeline.version.suggestions import PHRASE, SuggestionTable, fold_typed, shown_title

__all__ = ["MAX_SUGGESTIONS", "Suggester", "Suggestion", "table_within"]

MAX_SUGGESTIONS = 50
_LONGEST_TYPED = 200
# Of the places that continue what was typed, so many are weighed; more would not be faster read.
_MOST_WEIGHED = 200_000
# An entry that begins with what was typed stands above one that only holds it.
_FIRST_BONUS = 1.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One completion.

    Parameters
    ----------
    kind
        ``"title"`` or ``"phrase"``.
    doc_id
        The document of that title (the first of several); ``None`` for a phrase.
    """

    text: str
    kind: str
    doc_id: str | None = None


class Suggester:
    """Completes what is typed over one version; safe to share among threads.

    Parameters
    ----------
    table
        Titles and phrases.
    documents
        Knows the documents' ids.
    speller
        Corrects words that nothing continues; none when ``None``.
    """

    def __init__(
        self, table: SuggestionTable, documents: DocumentStore, speller: Speller | None
    ) -> None:
        self._table = table
        self._documents = documents
        self._speller = speller

    def complete(
        self, typed: str, limit: int = 8, *, allowed: NDArray[np.bool_] | None = None
    ) -> list[Suggestion]:
        """Titles and phrases that continue what was typed, likeliest first.

        What begins with it comes before what holds it at the start of a later word, that before
        what holds all its words, the last one begun. Where there is none of these, misspelt words
        are corrected first.

        Parameters
        ----------
        limit
            How many at most, 1 to 50.
        allowed
            Documents whose titles may be told, bool, shape (n_documents,); phrases, which are of
            no one document, are then left out. All when ``None``.

        Raises
        ------
        QueryError
            If the limit is not allowed.
        """
        if not 1 <= limit <= MAX_SUGGESTIONS:
            raise QueryError(
                f"limit is {limit}; it must be 1 to {MAX_SUGGESTIONS}", parameter="limit"
            )
        folded = fold_typed(typed)[:_LONGEST_TYPED]
        if not folded.strip():
            return []
        found = self._continuing(folded, limit, allowed) or self._holding(folded, limit, allowed)
        if not found and (better := self._corrected(folded)) is not None:
            found = self._continuing(better, limit, allowed) or self._holding(
                better, limit, allowed
            )
        rows = [int(self._table.rows[number]) for number in found]
        titles = [row for row in rows if row != PHRASE]
        ids = dict(zip(titles, self._documents.doc_ids(titles), strict=True))
        return [
            Suggestion(self._table.entry(number), "phrase")
            if row == PHRASE
            else Suggestion(self._table.entry(number), "title", ids[row])
            for number, row in zip(found, rows, strict=True)
        ]

    def _continuing(self, folded: str, limit: int, allowed: NDArray[np.bool_] | None) -> list[int]:
        places = self._table.places(folded)
        places = slice(places.start, min(places.stop, places.start + _MOST_WEIGHED))
        entries = self._table.entries[places]
        points = self._table.weights[entries] + _FIRST_BONUS * self._table.is_first[places]
        return self._best(entries, points, limit, allowed, folded.strip())

    def _holding(self, folded: str, limit: int, allowed: NDArray[np.bool_] | None) -> list[int]:
        """Entries that hold every word typed, in any order; the last may be unfinished."""
        words = folded.split()
        if len(words) < 2:
            return []
        held: NDArray[np.int32] | None = None
        for word in words:
            places = self._table.places(word)
            if places.stop - places.start > _MOST_WEIGHED:
                continue  # says next to nothing
            entries = np.unique(self._table.entries[places])
            held = entries if held is None else np.intersect1d(held, entries, assume_unique=True)
        if held is None:
            return []
        return self._best(held, self._table.weights[held], limit, allowed)

    def _best(
        self,
        entries: NDArray[np.int32],
        points: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.bool_] | None,
        held: str = "",
    ) -> list[int]:
        """Distinct entries of most points that hold a text, ties in alphabetical order."""
        if allowed is not None:
            rows = self._table.rows[entries]
            kept = (rows != PHRASE) & allowed[np.maximum(rows, 0)]
            entries, points = entries[kept], points[kept]
        n_taken = min(len(entries), 4 * limit)
        while True:
            top = np.argpartition(-points, n_taken - 1)[:n_taken] if n_taken else entries[:0]
            best: dict[int, float] = {}
            for number, worth in zip(entries[top].tolist(), points[top].tolist(), strict=True):
                # Places are told apart by their first bytes only.
                if held in fold_typed(self._table.entry(number)):
                    best[number] = max(worth, best.get(number, 0.0))
            if len(best) >= limit or n_taken == len(entries):
                break
            n_taken = min(len(entries), 4 * n_taken)
        order = sorted(best, key=lambda number: (-best[number], self._table.entry(number)))
        return order[:limit]

    def _corrected(self, folded: str) -> str | None:
        """What was typed with its misspelt words corrected; ``None`` where none is."""
        if self._speller is None:
            return None
        *complete, last = folded.split(" ")
        better = [self._speller.correction(word) or word for word in complete]
        better.append(self._speller.corrected_beginning(last) or last)
        corrected = " ".join(better)
        return corrected if corrected != folded else None


def table_within(
    table: SuggestionTable, documents: DocumentStore, permitted: NDArray[np.bool_]
) -> SuggestionTable:
    """The same entries, each title that of the first permitted document which has it.

    Parameters
    ----------
    permitted
        Documents that may be told, bool, shape (n_documents,).
    """
    rows = table.rows.copy()
    # Titles are kept once, with their first document, which may be another's namesake.
    later = np.setdiff1d(np.flatnonzero(permitted), rows)
    for row, title, _ in documents.titles_and_texts(later.tolist()):
        shown = shown_title(title)
        places = table.places(fold_typed(shown))
        for number in table.entries[places][table.is_first[places]].tolist():
            held = int(rows[number])
            if held != PHRASE and table.entry(number) == shown:
                rows[number] = row if not permitted[held] else min(held, row)
                break
    return replace(table, rows=rows)
