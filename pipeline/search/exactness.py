"""Exact things first: documents that are what was typed, then those that literally contain it.

Two promises, whatever the signals say. A query that equals a doc_id, a title or a name ranks the
documents of that name first. A quoted string, or a word that looks like an identifier, ranks the
documents that contain it above those that do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from encoders.words import words
from pipeline.search.query_text import ParsedText, is_camel_case
from pipeline.version.document_store import DocumentStore
from pipeline.version.keyword_index import KeywordIndex

__all__ = ["Exactness", "find_exact", "literal_pattern"]

# The signals add up to at most 1, so each step stands above any sum of theirs.
_STEP = 1.5
# Beyond as many, a document's words side by side must do: reading takes 7 microseconds each.
_MOST_READ = 10_000
# Where a word may begin or end: scripts without spaces have no borders to hold to.
_SPACED = r"[\w--[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
_SPACED_CHARACTER = regex.compile(_SPACED, flags=regex.V1)


@dataclass(frozen=True)
class Exactness:
    """What one query's exact matches are worth.

    Parameters
    ----------
    bonuses
        Added to a document's score, by row; a multiple of 1.5.
    certain
        Rows of documents that are, or contain, all that was asked for: evidence enough by
        itself. Who asks in sentences that hold an identifier asks for more than it.
    """

    bonuses: Mapping[int, float] = field(default_factory=dict)
    certain: frozenset[int] = frozenset()


def find_exact(
    text: str,
    parsed: ParsedText,
    documents: DocumentStore,
    keywords: KeywordIndex | None,
    permitted: NDArray[np.bool_] | None = None,
) -> Exactness:
    """Find the documents that are, or literally contain, what was typed.

    What counts, first to last: being named like the whole query (equal case before other case);
    how many of the quoted strings and identifiers the document holds as tokens, or is named by,
    ignoring case, though CamelCase is its capitals; how many of them in equal case; how many of
    the quoted strings as words side by side, whatever stands between.

    Parameters
    ----------
    text
        The query as typed.
    keywords
        Index in which to look for the words; without it names alone count.
    permitted
        Documents that may be found, bool, shape (n_documents,); all when ``None``.
    """
    named = dict(documents.rows_named(text) or documents.rows_named(parsed.meaning.strip('"')))
    held = {row: _Held() for row in named}
    asked = [*parsed.quoted, *parsed.identifiers]
    for position, one in enumerate(asked):
        is_quoted = position < len(parsed.quoted)
        by_words, by_token, by_case = _rows_holding(one, is_quoted, documents, keywords, permitted)
        for row in by_words | by_token:
            count = held.setdefault(row, _Held())
            count.words += row in by_words
            count.tokens += row in by_token
            count.equal_case += row in by_case
    ranks = {
        row: (1 + named[row] if row in named else 0, count.tokens, count.equal_case, count.words)
        for row, count in held.items()
    }
    steps = {rank: step for step, rank in enumerate(sorted(set(ranks.values())), start=1)}
    certain = set(named)
    if parsed.asks_exactly:
        certain |= {
            row for row, count in held.items() if max(count.tokens, count.words) == len(asked)
        }
    return Exactness({row: _STEP * steps[rank] for row, rank in ranks.items()}, frozenset(certain))


@dataclass(slots=True)
class _Held:
    """How many of the asked strings a document holds, by how literally."""

    tokens: int = 0
    equal_case: int = 0
    words: int = 0


def _rows_holding(
    asked: str,
    is_quoted: bool,
    documents: DocumentStore,
    keywords: KeywordIndex | None,
    permitted: NDArray[np.bool_] | None,
) -> tuple[set[int], set[int], set[int]]:
    """Rows that hold a string: as words side by side, as a token, as a token of equal case."""
    by_case_alone = not is_quoted and is_camel_case(asked)
    named = dict(documents.rows_named(asked))
    by_case = {row for row, case_exact in named.items() if case_exact}
    by_token = set(by_case) if by_case_alone else set(named)
    by_words: set[int] = set()
    if keywords is not None:
        # CamelCase is cut at its humps; who writes it all small has not cut it.
        for phrase in {tuple(words(asked)), tuple(words(asked.lower()))}:
            rows = keywords.rows_with_phrase(phrase)
            by_words.update((rows if permitted is None else rows[permitted[rows]]).tolist())
    if len(by_words) > _MOST_READ:
        return by_words, by_words | by_token, by_case
    written, folded = literal_pattern(asked), literal_pattern(asked, ignore_case=True)
    for row, title, text in documents.titles_and_texts(sorted(by_words)):
        if written.search(title) or written.search(text):
            by_case.add(row)
            by_token.add(row)
        elif not by_case_alone and (folded.search(title) or folded.search(text)):
            by_token.add(row)
    # Who quotes means these words; an identifier's parts are words like others.
    return by_words if is_quoted else set(), by_token, by_case


def literal_pattern(asked: str, *, ignore_case: bool = False) -> regex.Pattern[str]:
    """Pattern that finds a string as a token, any blank for a blank.

    Examples
    --------
    >>> pattern = literal_pattern("str.__add__", ignore_case=True)
    >>> [bool(pattern.search(text)) for text in ("Str.__add__()", "str.__add__s", "str add")]
    [True, False, False]
    """
    content = r"\s+".join(regex.escape(part) for part in asked.split())
    before = rf"(?<!{_SPACED})" if _SPACED_CHARACTER.match(asked.strip()[:1]) else ""
    after = rf"(?!{_SPACED})" if _SPACED_CHARACTER.match(asked.strip()[-1:]) else ""
    case = regex.IGNORECASE | regex.FULLCASE if ignore_case else regex.V1
    return regex.compile(before + content + after, regex.V1 | case)
