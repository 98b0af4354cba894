"""Words of a collection in several languages: the stems under which a query's words may stand.

A document is stemmed in its own language. A query is too short to tell its language, so each of
its words is looked up under its stem in every language of the collection, and only its stop words
decide which language's stop words are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from encoders.words import stem, stems, stop_words, words

__all__ = ["all_stop_words", "common_stems", "content_words", "query_forms", "word_forms"]


@lru_cache(maxsize=1 << 16)
def word_forms(word: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Distinct stems of a word, in order of the languages; those that leave it out say nothing.

    Examples
    --------
    >>> word_forms("connections", ("en", "de"))
    ('connect', 'connection')
    >>> word_forms("die", ("en", "de")), word_forms("信息", ("en", "de"))
    (('die',), ('信息',))
    """
    found = [stem(word, code) for code in languages if word not in stop_words(code)]
    return tuple(dict.fromkeys(found))


def query_forms(text: str, languages: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Stems under which each word of a query may stand, stop words left out.

    The language that has most of the query's words among its stop words decides what is left out.

    Examples
    --------
    >>> query_forms("wie hoch ist die Mauer", ("en", "de"))
    [('hoch',), ('mauer', 'mau')]
    >>> query_forms("how high are the walls", ("en", "de"))
    [('high',), ('wall',)]
    """
    found = words(text)
    counts = {code: sum(word in stop_words(code) for word in found) for code in languages}
    most = max(counts.values())
    # Of languages that have equally many, only what is a stop word in each.
    left_out = frozenset.intersection(
        *(stop_words(code) for code in languages if counts[code] == most)
    )
    forms = [word_forms(word, languages) for word in found if word not in left_out]
    return [distinct for distinct in forms if distinct]


def common_stems(text: str, languages: Sequence[str]) -> list[str]:
    """One stem a word, whatever the text's language: the shortest any language makes of it.

    The same word gives the same stem in documents and in queries, which is what an encoder needs,
    that sees texts without their language. Stop words of any of the languages are left out.

    Examples
    --------
    >>> common_stems("the connections of the Häuser", ("en", "de"))
    ['connect', 'haus']
    """
    if len(languages) == 1:
        return stems(text, languages[0])
    return [_shortest(word, tuple(languages)) for word in content_words(text, languages)]


def content_words(text: str, languages: Sequence[str]) -> list[str]:
    """Words of a text without the stop words of any of the languages.

    Examples
    --------
    >>> content_words("the sum of the Häuser", ("en",))
    ['sum', 'häuser']
    """
    left_out = all_stop_words(tuple(languages))
    return [word for word in words(text) if word not in left_out]


@lru_cache(maxsize=64)
def all_stop_words(languages: tuple[str, ...]) -> frozenset[str]:
    """Stop words of any of the languages."""
    return frozenset[str]().union(*map(stop_words, languages))


@lru_cache(maxsize=1 << 18)
def _shortest(word: str, languages: tuple[str, ...]) -> str:
    return min((stem(word, code) for code in languages), key=len)
