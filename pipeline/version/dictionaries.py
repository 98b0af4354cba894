"""Which words a language has, whether a collection uses them or not.

The dictionaries are those of pyspellchecker, which only this module knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from spellchecker import SpellChecker

from encoders.words import words

__all__ = ["LANGUAGES", "dictionary", "languages_of"]

LANGUAGES = ("en", "de", "es", "fr", "it", "nl", "pt")
"""Languages with a dictionary large enough to tell a word from a misspelling (ISO 639-1)."""

# Shares of a collection's words that a dictionary holds. Measured: .85 to .99 for the language a
# collection is written in, at most .31 for another.
_ENOUGH_FOR_ALL = 0.8
_ENOUGH_FOR_MAIN = 0.5
_ENOUGH_FOR_SECOND = 0.35
_SHORTEST_TELLING = 4
# Loading every dictionary takes seconds, and so few words would not decide among them.
_FEWEST_TELLING = 200


@cache
def dictionary(language: str) -> frozenset[str]:
    """Words of a language, folded as ``encoders.words`` folds them.

    Parameters
    ----------
    language
        One of ``LANGUAGES``.

    Examples
    --------
    >>> "nozzle" in dictionary("en"), "nozzel" in dictionary("en")
    (True, False)
    """
    return _read_dictionary(language)


def languages_of(frequencies: Mapping[str, int]) -> list[str]:
    """Tell the languages a collection is written in by its words.

    Parameters
    ----------
    frequencies
        How many documents contain each folded word.

    Returns
    -------
    list of str
        Some of ``LANGUAGES``; none where the collection is written in others, or in many.

    Examples
    --------
    >>> languages_of({"turbulent": 1, "flow": 3, "around": 2})
    ['en']
    """
    counted = {
        word: count
        for word, count in frequencies.items()
        if len(word) >= _SHORTEST_TELLING and word.isalpha()
    }
    english = _share(counted, dictionary("en"))
    if len(counted) < _FEWEST_TELLING:
        return ["en"] if english >= _ENOUGH_FOR_MAIN else []
    if english >= _ENOUGH_FOR_ALL:
        return ["en"]
    # Read and dropped again: all of them together take hundreds of megabytes.
    shares = {
        name: english if name == "en" else _share(counted, _read_dictionary(name))
        for name in LANGUAGES
    }
    if max(shares.values()) < _ENOUGH_FOR_MAIN:
        return []
    return [name for name, share in shares.items() if share >= _ENOUGH_FOR_SECOND]


def _read_dictionary(language: str) -> frozenset[str]:
    found = SpellChecker(language=language).word_frequency.words()
    return frozenset(
        folded for word in found for folded in ([word.lower()] if word.isascii() else words(word))
    )


def _share(counted: Mapping[str, int], known: frozenset[str]) -> float:
    total = sum(counted.values())
    return sum(count for word, count in counted.items() if word in known) / total if total else 0.0
