"""The words of a query as the keyword index knows them: stems, in which languages, and synonyms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from encoders.languages import DEFAULT_LANGUAGES
from encoders.word_forms import query_forms, word_forms
from encoders.words import stem, stems
from pipeline.version.keyword_index import Alternative

__all__ = ["SYNONYM_WEIGHT", "QueryWords"]

SYNONYM_WEIGHT = 0.7
"""What a synonym counts for, where the word itself counts 1."""


class QueryWords:
    """Reads queries to one version; immutable.

    Parameters
    ----------
    languages
        Languages the version's documents are stemmed in, the most frequent first.
    synonyms
        Words as a query may hold them -> what else to look for.

    Examples
    --------
    >>> reader = QueryWords(("en",), {"nyc": ["new york"], "lift": ["elevator"]})
    >>> found, instead = reader.read("lifts in NYC")
    >>> found, instead["lift"]
    (('lift', 'nyc'), (Alternative(stems=('elev',), weight=0.7),))
    """

    def __init__(
        self,
        languages: Sequence[str] = DEFAULT_LANGUAGES,
        synonyms: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.languages = tuple(languages) or DEFAULT_LANGUAGES
        self._expansions: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for words, others in (synonyms or {}).items():
            key = tuple(forms[0] for forms in query_forms(words, self.languages))
            if key:
                known = self._expansions.setdefault(key, [])
                known += [found for other in others for found in self._stemmed(other)]
        self._longest = max(map(len, self._expansions), default=0)

    def read(self, text: str) -> tuple[tuple[str, ...], Mapping[str, tuple[Alternative, ...]]]:
        """Stems of a text, stop words left out, and what may stand in their place."""
        if self.languages == DEFAULT_LANGUAGES and not self._expansions:
            return tuple(stems(text)), {}
        forms = query_forms(text, self.languages)
        first = tuple(found[0] for found in forms)
        # A dict keeps what is the same twice once.
        instead: dict[str, dict[Alternative, None]] = {}
        for primary, *others in forms:
            if others:
                known = instead.setdefault(primary, {})
                known.update(dict.fromkeys(Alternative((other,)) for other in others))
        for start, key in self._keys(first):
            known = instead.setdefault(first[start], {})
            for expansion in self._expansions[key]:
                # As many words' worth as it stands for, whatever number of words it has itself.
                weight = SYNONYM_WEIGHT * len(key) / len(expansion)
                known.setdefault(Alternative(expansion, weight))
        return first, {primary: tuple(known) for primary, known in instead.items()}

    def forms(self, word: str) -> tuple[str, ...]:
        """Stems under which a document may hold a word."""
        if self.languages == DEFAULT_LANGUAGES:
            return (stem(word),)
        return word_forms(word, self.languages)

    def _keys(self, found: tuple[str, ...]) -> list[tuple[int, tuple[str, ...]]]:
        return [
            (start, found[start : start + length])
            for start in range(len(found))
            for length in range(1, min(self._longest, len(found) - start) + 1)
            if found[start : start + length] in self._expansions
        ]

    def _stemmed(self, text: str) -> list[tuple[str, ...]]:
        """Stems of a synonym, once for each language that stems it differently."""
        found = [tuple(stems(text, code)) for code in self.languages]
        return [distinct for distinct in dict.fromkeys(found) if distinct]
