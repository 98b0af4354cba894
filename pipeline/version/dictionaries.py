"""Which words a language has, whether a collection uses them or not.

The dictionaries are those of pyspellchecker, which only this module knows.
"""

from __future__ import annotations

from functools import cache

from spellchecker import SpellChecker

from encoders.words import words

__all__ = ["LANGUAGES", "dictionary"]

LANGUAGES = ("en", "de", "es", "fr", "it", "nl", "pt")
"""Languages with a dictionary large enough to tell a word from a misspelling (ISO 639-1)."""


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
    found = SpellChecker(language=language).word_frequency.words()
    return frozenset(
        folded for word in found for folded in ([word.lower()] if word.isascii() else words(word))
    )
