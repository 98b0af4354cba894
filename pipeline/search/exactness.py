"""Exact things first: a document that is what was typed, or literally contains a quoted phrase."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.version.document_store import DocumentStore
from pipeline.version.keyword_index import KeywordIndex

__all__ = ["exactness_bonuses", "is_name"]

# The signals add up to at most 1, so each step stands above any sum of theirs.
_NAMED_BONUS = 4.0
_CASE_EXACT_BONUS = 2.0
_PHRASE_BONUS = 1.5


def exactness_bonuses(
    text: str,
    phrases: Iterable[tuple[str, ...]],
    documents: DocumentStore,
    keywords: KeywordIndex | None,
) -> dict[int, float]:
    """Bonus of each document that is or contains what was asked for, by row.

    A query that equals a doc_id, a title or one of a document's names ranks that document
    first (equal case before other case); a quoted phrase ranks the documents that contain it
    above those that do not.

    Parameters
    ----------
    text
        The query as typed.
    phrases
        Words of each quoted phrase.
    """
    bonuses: dict[int, float] = {}
    for row, case_exact in documents.rows_named(_unquoted(text)):
        bonuses[row] = _NAMED_BONUS + _CASE_EXACT_BONUS * case_exact
    if keywords is not None:
        asked = list(phrases)
        for phrase in asked:
            for row in keywords.rows_with_phrase(phrase).tolist():
                bonuses[row] = bonuses.get(row, 0.0) + _PHRASE_BONUS / len(asked)
    return bonuses


def is_name(text: str, documents: DocumentStore) -> bool:
    """Whether a text is the doc_id, the title or a name of some document."""
    return bool(documents.rows_named(_unquoted(text)))


def _unquoted(text: str) -> str:
    return text.strip().strip('"')
