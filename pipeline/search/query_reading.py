"""A query as one version understands it: misspelt words corrected, operators and words told apart.

Where a version is narrowed to some of its documents, nothing is understood by words that only the
others hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

from encoders.words import words
from pipeline.search.calibration import best_possible_bm25
from pipeline.search.query import Query
from pipeline.search.query_text import ParsedText, parse_query_text, plain_words
from pipeline.search.query_words import QueryWords
from pipeline.search.spelling import Speller
from pipeline.version.keyword_index import Alternative
from pipeline.version.open_version import OpenVersion
from pipeline.version.spelling import SPELLING_FOLDER, read_spelling

__all__ = ["QueryReader", "ReadQuery"]


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A query that was read.

    Parameters
    ----------
    query
        It, with its text corrected.
    parsed
        What its text says.
    corrected
        Its text without the misspellings; ``None`` where there were none.
    best_bm25
        The most that ``bm25`` can score for it.
    """

    query: Query
    parsed: ParsedText
    corrected: str | None
    best_bm25: float


class QueryReader:
    """Reads queries over one version; safe to share among threads.

    Parameters
    ----------
    version
        An open version.
    """

    def __init__(self, version: OpenVersion) -> None:
        self._version = version
        self._fields = set(version.metadata.fields)
        self._words = QueryWords(version.manifest.languages, version.manifest.synonyms)
        # A cache around a method would keep the reader, and with it all its files, alive.
        frequency = lru_cache(maxsize=10_000)(partial(_frequency, version))
        self._frequency: Callable[[str], int] = frequency
        self._rarity = lru_cache(maxsize=10_000)(partial(_rarity, version, frequency))

    def read(self, query: Query) -> ReadQuery:
        """Read a query.

        Raises
        ------
        QueryError
            If its text names a field the version does not hold.
        """
        corrected = self._corrected(query)
        asked = replace(query, text=corrected or query.text)
        # What is a document's name as it stands holds no operators.
        is_name = bool(self._version.documents.rows_named(asked.text))
        parsed = parse_query_text(asked.text, self._fields, self._words, operators=not is_name)
        parsed = replace(parsed, known=self._known_part(parsed.meaning))
        return ReadQuery(asked, parsed, corrected, self._best_bm25(parsed))

    def rarity(self, stem: str) -> float:
        """Most a document can score for one occurrence of a stem in the query."""
        return self._rarity(stem)

    def forms(self, word: str) -> tuple[str, ...]:
        """Stems by which a word is looked up, one a language of the collection."""
        return self._words.forms(word)

    @cached_property
    def speller(self) -> Speller | None:
        """Corrects and completes words; ``None`` where the version has nothing to do it by."""
        if self._version.permitted is not None:
            return None  # corrects toward words of any document
        vocabulary = read_spelling(self._version.folder / SPELLING_FOLDER)
        return None if vocabulary is None else Speller(vocabulary)

    def _corrected(self, query: Query) -> str | None:
        if not query.correct or self.speller is None:
            return None
        corrected = self.speller.corrected(query.text, plain_words(query.text))
        # The name of a document is right, however it is spelt.
        if corrected and self._version.documents.rows_named(query.text.strip().strip('"')):
            return None
        return corrected

    def _best_bm25(self, parsed: ParsedText) -> float:
        if self._version.keywords is None:
            return 0.0
        return sum(
            self._best_possible(stem, parsed.keywords.alternatives.get(stem, ())) * count
            for stem, count in parsed.keywords.weights.items()
        )

    def _best_possible(self, stem: str, instead: Sequence[Alternative]) -> float:
        """Most a document can score for a stem or what may stand in its place."""
        if not instead:
            return self._rarity(stem)
        known = [
            found.weight * sum(map(self._rarity, found.stems))
            for found in (Alternative((stem,)), *instead)
            if all(map(self._is_known, found.stems))
        ]
        # What no document contains counts in full.
        return max(known, default=self._rarity(stem))

    def _is_known(self, stem: str) -> bool:
        return bool(self._frequency(stem))

    def _known_part(self, meaning: str) -> str | None:
        """A text without the words that only other documents than the permitted ones hold."""
        keywords, permitted = self._version.keywords, self._version.permitted
        if keywords is None or permitted is None:
            return None
        return " ".join(
            word for word in words(meaning) if any(map(self._is_known, self._words.forms(word)))
        )


def _frequency(version: OpenVersion, stem: str) -> int:
    """How many documents hold a stem; 0 where none that may be seen does."""
    keywords, permitted = version.keywords, version.permitted
    if keywords is None or (permitted is not None and not keywords.any_has(stem, permitted)):
        return 0
    return keywords.document_frequency(stem)


def _rarity(version: OpenVersion, frequency: Callable[[str], int], stem: str) -> float:
    """Most a document can score for one occurrence of a stem in the query."""
    if version.keywords is None:
        return 1.0
    return best_possible_bm25([(frequency(stem), 1)], version.manifest.n_documents)
