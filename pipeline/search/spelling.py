"""Misspelt words of a query, corrected by the words of the collection.

A word is corrected only where it is certain to say nothing as it stands: no document holds it
or another form of it, and it is no English word. What it becomes is the likeliest of the
collection's words within one edit, or two where the word is long: an edit is a letter added,
left out, replaced, or swapped with its neighbour.

References
----------
The edits: Damerau, CACM 7(3), 1964, doi:10.1145/363958.363994; that a first letter is seldom
wrong: Pollock & Zamora, CACM 27(4), 1984, doi:10.1145/358027.358048; choice by distance and
frequency after Kernighan, Church & Gale, COLING 1990, doi:10.3115/997939.997975.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA
from spellchecker import SpellChecker

from encoders.words import word_spans
from pipeline.version.spelling import SpellingVocabulary

__all__ = ["Speller"]

_SHORTEST = 5
_SHORTEST_SWAPPED = 4
_SHORTEST_OTHER_FIRST_LETTER = 6
_SHORTEST_TWO_EDITS = 8
_LONGEST = 40
# Reading on costs time and gains nothing: who misspells more than this pasted something.
_MAX_CORRECTIONS = 8
# Where more than so many are strange, and the larger part, they are another language's.
_MAX_STRANGE_OF_FEW = 2
# In units of one natural logarithm of a document frequency.
_COST_OF_EDIT = 4.0
_COST_OF_FIRST_LETTER = 2.0
_WORTH_OF_ENGLISH = 2.0
_WORTH_OF_FREQUENCY = 0.5


class Speller:
    """Corrects queries over one version; safe to share among threads.

    Parameters
    ----------
    vocabulary
        The words of the version's documents.

    Examples
    --------
    >>> words = {"nozzle": 0, "turbulence": 1}
    >>> vocabulary = SpellingVocabulary(words, np.array([3, 9], np.int32), frozenset(words))
    >>> Speller(vocabulary).corrected("Turbulance in a nozzel", [(0, 10), (11, 13), (16, 22)])
    'Turbulence in a nozzle'
    """

    def __init__(self, vocabulary: SpellingVocabulary) -> None:
        self._vocabulary = vocabulary
        self._words = list(vocabulary.words)
        self._letters, self._lengths = _letter_sets(self._words)

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
            better = self.correction(word)
            if better is not None:
                pieces += [text[done:start], _in_case_of(text[start:end], better)]
                done = end
        return "".join([*pieces, text[done:]]) if pieces else None

    def correction(self, word: str) -> str | None:
        """What a folded word should be; ``None`` where it is known, or nothing comes near."""
        if not self._is_strange(word):
            return None
        limit = 2 if len(word) >= _SHORTEST_TWO_EDITS else 1
        candidates = [
            (self._cost(word, candidate, distance, row), candidate)
            for row in self._within(word, limit)
            if _is_plausible(
                word,
                candidate := self._words[row],
                distance := OSA.distance(word, candidate, score_cutoff=limit),
                limit,
            )
        ]
        return min(candidates)[1] if candidates else None

    def warm(self) -> None:
        """Load what the first misspelt word needs."""
        english_words()

    def _is_strange(self, word: str) -> bool:
        """Whether a word may be a misspelling: neither the collection nor English knows it."""
        return (
            _SHORTEST_SWAPPED <= len(word) <= _LONGEST
            and word.isalpha()
            and word not in self._vocabulary
            and word not in english_words()
        )

    def _within(self, word: str, limit: int) -> list[int]:
        """Rows of the words that can be within ``limit`` edits, judged by letters and length."""
        asked = _letter_sets([word])[0][0]
        near = np.abs(self._lengths - len(word)) <= limit
        # An edit takes away at most one letter, and brings at most one.
        near &= np.bitwise_count(self._letters & ~asked) <= limit
        near &= np.bitwise_count(asked & ~self._letters) <= limit
        rows: list[int] = np.flatnonzero(near).tolist()
        return rows

    def _cost(self, word: str, candidate: str, distance: int, row: int) -> float:
        frequency = int(self._vocabulary.document_frequencies[row])
        return (
            _COST_OF_EDIT * distance
            + _COST_OF_FIRST_LETTER * (candidate[0] != word[0])
            - _WORTH_OF_ENGLISH * (candidate in english_words())
            - _WORTH_OF_FREQUENCY * math.log(frequency)
        )


@cache
def english_words() -> frozenset[str]:
    """English words, whether the collection has them or not."""
    return frozenset(SpellChecker(language="en").word_frequency.words())


def _is_plausible(word: str, candidate: str, distance: int, limit: int) -> bool:
    """Whether someone who means ``candidate`` may type ``word``; short words are seldom typos."""
    if distance > limit:
        return False
    if distance == 2:
        # Someone else's word is often two edits away; both ends right and the length about so.
        return (
            abs(len(word) - len(candidate)) <= 1
            and word[0] == candidate[0]
            and word[-1] == candidate[-1]
            and candidate in english_words()
        )
    if word[0] != candidate[0]:
        # Replaced or added, it rather makes a name: cprofile, gspread.
        left_out = candidate[1:] == word
        swapped = candidate[:2] == word[1::-1]
        return len(word) >= _SHORTEST_OTHER_FIRST_LETTER and (left_out or swapped)
    if len(word) < _SHORTEST:
        return len(word) == len(candidate) and sorted(word) == sorted(candidate)
    return True


def _letter_sets(found: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A bit for each letter (by its code point's last six bits) of each word, and its length."""
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    bits = np.zeros(len(found), np.uint64)
    if len(found):
        codes = np.frombuffer("".join(found).encode("utf-32-le"), np.uint32)
        ones = np.uint64(1) << (codes & 63).astype(np.uint64)
        # No word is empty, so that every one begins where the one before it ends.
        bits = np.bitwise_or.reduceat(ones, np.cumsum(lengths) - lengths)
    return bits, lengths


def _in_case_of(typed: str, word: str) -> str:
    """Write a word as another is written: Capitalized, CAPITALS or small."""
    if len(typed) > 1 and typed.isupper():
        return word.upper()
    return word.capitalize() if typed[0].isupper() else word
