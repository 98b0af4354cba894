"""Misspelt words of a query, corrected by the words of the collection.

A word is corrected only where it surely says nothing as it stands: no document holds it, and no
dictionary of the collection's languages has it. What it becomes is the likeliest of the
collection's words within one edit, or two where the word is long. An edit is a letter added,
left out, replaced, or swapped with its neighbour. A word whose stem the collection holds finds
the same documents by keyword already, so it becomes only a word of that stem (resistent,
resistant), and never for its ending alone, which is grammar.

References
----------
The edits: Damerau, CACM 7(3), 1964, doi:10.1145/363958.363994; that a first letter is seldom
wrong: Pollock & Zamora, CACM 27(4), 1984, doi:10.1145/358027.358048; choice by distance and
frequency after Kernighan, Church & Gale, COLING 1990, doi:10.3115/997939.997975.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from encoders.words import STOP_WORDS, stem, word_spans
from pipeline.version.dictionaries import dictionary
from pipeline.version.spelling import SpellingVocabulary

__all__ = ["Speller", "similar_words"]

# Lengths from which a strange word is more often a misspelling than a name or an abbreviation.
_SHORTEST_SWAPPED = 4
_SHORTEST = 5
# A first letter is seldom wrong; another one, or one more, rather makes a name: cprofile.
_SHORTEST_OTHER_FIRST_LETTER = 6
_SHORTEST_TWO_EDITS = 8
_LONGEST = 40
# Reading on costs time and gains nothing: who misspells more than this pasted something.
_MAX_CORRECTIONS = 8
# Where more than so many are strange, and the larger part, they are another language's.
_MAX_STRANGE_OF_FEW = 2
# In natural logarithms of odds.
_COST_OF_EDIT = 4.0
_COST_OF_FIRST_LETTER = 2.0
_WORTH_OF_DICTIONARY = 2.0
_WORTH_OF_FREQUENCY = 0.5
_LONGEST_ENDING = 2
_LEAST_ALIKE = 60  # of 100


class Speller:
    """Corrects queries over one version; safe to share among threads.

    Parameters
    ----------
    vocabulary
        The words of the version's documents.

    Examples
    --------
    >>> words = {"nozzle": 0, "turbulence": 1}
    >>> vocabulary = SpellingVocabulary(
    ...     words, np.array([3, 9], np.int32), frozenset(words), ("en",)
    ... )
    >>> Speller(vocabulary).corrected("Turbulance in a nozzel", [(0, 10), (11, 13), (16, 22)])
    'Turbulence in a nozzle'
    """

    def __init__(self, vocabulary: SpellingVocabulary) -> None:
        self._vocabulary = vocabulary
        self._words = list(vocabulary.words)
        self._letters, self._lengths = _letter_sets(self._words)
        self._first_letters = sorted({word[0] for word in self._words})

    def corrected(self, text: str, spans: Sequence[tuple[int, int]]) -> str | None:
        """Correct a query text.

        Parameters
        ----------
        spans
            Start and end of each run of letters that may be corrected, in order.

        Returns
        -------
        str or None
            The text with its misspelt words replaced; ``None`` where nothing is to correct.
        """
        found = [
            (start + begin, start + end, word)
            for start, stop in spans
            for begin, end, word in word_spans(text[start:stop])
        ]
        strange = [place for place in found if self._is_strange(place[2])]
        if len(strange) > _MAX_STRANGE_OF_FEW and 2 * len(strange) > len(found):
            return None
        pieces, done = [], 0
        for start, end, word in strange[:_MAX_CORRECTIONS]:
            better = self._likeliest(word)
            if better is not None:
                pieces += [text[done:start], _in_case_of(text[start:end], better)]
                done = end
        return "".join([*pieces, text[done:]]) if pieces else None

    def correction(self, word: str) -> str | None:
        """What a folded word should be; ``None`` where it is known, or nothing comes near."""
        return self._likeliest(word) if self._is_strange(word) else None

    def corrected_beginning(self, beginning: str) -> str | None:
        """What the beginning of a word should be; ``None`` where some word begins so, or no like.

        Of the beginnings one edit away, that of the most frequent word.
        """
        rows = [bisect_left(self._words, mark) for mark in (beginning, beginning + "\U0010ffff")]
        if len(beginning) < _SHORTEST_SWAPPED or rows[0] < rows[1]:
            return None
        first, last = (
            bisect_left(self._words, mark) for mark in (beginning[0], chr(ord(beginning[0]) + 1))
        )
        near: dict[str, int] = {}
        lengths = (len(beginning) - 1, len(beginning), len(beginning) + 1)
        frequencies = self._vocabulary.document_frequencies
        for length in lengths:
            heads = [word[:length] for word in self._words[first:last]]
            for head, _, position in process.extract(
                beginning, heads, scorer=OSA.distance, score_cutoff=1, limit=None
            ):
                found = int(frequencies[first + position])
                near[head] = max(near.get(head, 0), found)
        # The longer of two beginnings of one word says more of what was meant.
        return max(near, key=lambda head: (near[head], len(head), head), default=None)

    def completed(self, beginning: str) -> str | None:
        """The most frequent word that begins like this; ``None`` where it is a word itself.

        Parameters
        ----------
        beginning
            A folded word that may not be finished.

        Examples
        --------
        >>> words = {"nozzle": 0, "turbulence": 1, "turbulent": 2}
        >>> frequencies = np.array([3, 4, 9], np.int32)
        >>> vocabulary = SpellingVocabulary(words, frequencies, frozenset(words), ("en",))
        >>> Speller(vocabulary).completed("turb")
        'turbulent'
        """
        if not beginning or beginning in self._vocabulary.words or beginning in STOP_WORDS:
            return None
        if self._is_in_dictionary(beginning):
            return None
        first, last = (
            bisect_left(self._words, mark) for mark in (beginning, beginning + "\U0010ffff")
        )
        if first == last:
            return None
        frequencies = self._vocabulary.document_frequencies[first:last]
        return self._words[first + int(np.argmax(frequencies))]

    def warm(self) -> None:
        """Load what the first strange word needs."""
        _ = self._dictionaries

    @cached_property
    def _dictionaries(self) -> list[frozenset[str]]:
        return [dictionary(language) for language in self._vocabulary.languages]

    def _is_in_dictionary(self, word: str) -> bool:
        return any(word in known for known in self._dictionaries)

    def _is_strange(self, word: str) -> bool:
        """Whether a word may be a misspelling: it is known nowhere."""
        return (
            _SHORTEST_SWAPPED <= len(word) <= _LONGEST
            and word.isalpha()
            and word not in self._vocabulary.words
            # What is left of a contraction (shouldn't) stands in no dictionary.
            and word not in STOP_WORDS
            # Without a dictionary of its language, any word may be right.
            and bool(self._vocabulary.languages)
            and not self._is_in_dictionary(word)
        )

    def _likeliest(self, word: str) -> str | None:
        limit = 2 if len(word) >= _SHORTEST_TWO_EDITS else 1
        stemmed = stem(word) if self._vocabulary.has_form_of(word) else None
        candidates = []
        for row in self._rows_near(word, limit):
            candidate = self._words[row]
            if stemmed is not None and (
                stem(candidate) != stemmed or _differ_in_ending(word, candidate)
            ):
                continue
            distance = OSA.distance(word, candidate, score_cutoff=limit)
            if distance <= limit and self._is_plausible(word, candidate, distance):
                candidates.append((self._cost(word, row, distance), candidate))
        return min(candidates)[1] if candidates else None

    def _rows_near(self, word: str, limit: int) -> list[int]:
        """Rows of the words that can be within ``limit`` edits, judged by letters and length.

        Words that begin otherwise are left out, but for those whose first letter was itself left
        out, or swapped with the second.
        """
        # Words are sorted, so those with one first letter stand together.
        begin, end = (bisect_left(self._words, first) for first in (word[0], chr(ord(word[0]) + 1)))
        letters = self._letters[begin:end]
        asked = _letter_sets([word])[0][0]
        near = np.abs(self._lengths[begin:end] - len(word)) <= limit
        # An edit takes away at most one letter, and brings at most one.
        near &= np.bitwise_count(letters & ~asked) <= limit
        near &= np.bitwise_count(asked & ~letters) <= limit
        rows: list[int] = (begin + np.flatnonzero(near)).tolist()
        if len(word) >= _SHORTEST_OTHER_FIRST_LETTER:
            others = [first + word for first in self._first_letters if first != word[0]]
            if word[0] != word[1]:
                others.append(word[1] + word[0] + word[2:])
            known = self._vocabulary.words
            rows += [known[other] for other in others if other in known]
        return rows

    def _is_plausible(self, word: str, candidate: str, distance: int) -> bool:
        """Whether someone who means ``candidate`` may type ``word``."""
        if self._vocabulary.languages != ("en",) and _differ_in_ending(word, candidate):
            return False
        if distance == 2:
            # Two edits away there is often another word: autologous is not autonomous misspelt.
            lost, gained = Counter(candidate) - Counter(word), Counter(word) - Counter(candidate)
            return (
                max(lost.total(), gained.total()) <= 1
                and (word[0], word[-1]) == (candidate[0], candidate[-1])
                and self._is_in_dictionary(candidate)
            )
        return len(word) >= _SHORTEST or sorted(word) == sorted(candidate)

    def _cost(self, word: str, row: int, distance: int) -> float:
        candidate = self._words[row]
        frequency = int(self._vocabulary.document_frequencies[row])
        return (
            _COST_OF_EDIT * distance
            + _COST_OF_FIRST_LETTER * (candidate[0] != word[0])
            - _WORTH_OF_DICTIONARY * self._is_in_dictionary(candidate)
            - _WORTH_OF_FREQUENCY * math.log(frequency)
        )


def similar_words(word: str, vocabulary: Sequence[str], *, limit: int = 3) -> list[str]:
    """Words of a vocabulary written much like another, most alike first.

    Examples
    --------
    >>> similar_words("sokcet", ["socket", "sock", "timeout"])
    ['socket', 'sock']
    """
    found = process.extract(
        word, vocabulary, scorer=fuzz.ratio, limit=limit, score_cutoff=_LEAST_ALIKE
    )
    return [similar for similar, *_ in found]


def _differ_in_ending(word: str, candidate: str) -> bool:
    """Whether two words may be forms of one; where no stemmer tells, none is a misspelling."""
    same = max(len(word), len(candidate)) - _LONGEST_ENDING
    return word[:same] == candidate[:same]


def _letter_sets(found: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A bit for each letter (by its code point's last six bits) of each word, and its length."""
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    bits = np.zeros(len(found), np.uint64)
    if len(found):
        codes = np.frombuffer("".join(found).encode("utf-32-le"), np.uint32)
        ones = np.uint64(1) << (codes & 63).astype(np.uint64)
        # No word is empty, so every one begins where the one before it ends.
        bits = np.bitwise_or.reduceat(ones, np.cumsum(lengths) - lengths)
    return bits, lengths


def _in_case_of(typed: str, word: str) -> str:
    """Write a word as another is written: Capitalized, CAPITALS or small."""
    if len(typed) > 1 and typed.isupper():
        return word.upper()
    return word.capitalize() if typed[0].isupper() else word
