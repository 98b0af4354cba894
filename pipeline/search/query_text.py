"""What a person types: words, ``"phrases"``, ``+required``, ``-excluded``, ``field:value``.

Nothing typed is an error: what is not an operator is text. A sign is an operator only before a
letter or a quotation mark (``E2f-1, -2`` is text), and a query longer than 30 words is prose,
in which quotation marks and signs are punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from encoders.words import words
from pipeline.search.query_words import QueryWords
from pipeline.version.keyword_index import KeywordQuery

__all__ = ["ParsedText", "parse_query_text"]

# An optional sign, then a phrase or a run without blanks, each at the start of a word.
_PIECE = re.compile(r'(?<!\S)([+-](?=["]|[^\W\d_]))?(?:"([^"]*)"|([^\s"]\S*))|(\S+)')
_MAX_OPERATOR_WORDS = 30
_FIELD_PIECE = re.compile(r'(?<!\S)([+-]?)([^\s:"+-][^\s:"]*):(?:"([^"]*)"|([^\s"]\S*))')


@dataclass(frozen=True, slots=True)
class ParsedText:
    """A query text taken apart.

    Parameters
    ----------
    meaning
        What to embed: the words and phrases asked for, operators gone.
    keywords
        What to match by keyword.
    phrases
        Words of each quoted phrase.
    filters
        (field, value, wanted) conditions; ``wanted`` is ``False`` after ``-``.
    """

    meaning: str
    keywords: KeywordQuery
    phrases: tuple[tuple[str, ...], ...]
    filters: tuple[tuple[str, str, bool], ...]


def parse_query_text(
    text: str, fields: Collection[str] = (), reader: QueryWords | None = None
) -> ParsedText:
    """Take a query text apart.

    Parameters
    ----------
    fields
        Metadata fields of the version; ``name:value`` is a filter only for these, and text
        otherwise (``std::vector`` and ``https://...`` are things people search for).
    reader
        Knows the version's languages and synonyms; English and none when ``None``.

    Examples
    --------
    >>> parsed = parse_query_text('read +json -xml "line by line" kind:function', {"kind"})
    >>> parsed.meaning
    'read json line by line'
    >>> parsed.keywords.required, parsed.keywords.excluded, parsed.filters
    ((('json',),), (('xml',),), (('kind', 'function', True),))
    """
    reader = reader or QueryWords()
    if len(text.split()) > _MAX_OPERATOR_WORDS:
        found, instead = reader.read(text)
        return ParsedText(text, KeywordQuery(found, alternatives=instead), (), ())
    filters = []

    def take_field(match: re.Match[str]) -> str:
        sign, field, phrase, word = match.groups()
        if field not in fields:
            return match.group()
        filters.append((field, phrase if phrase is not None else word, sign != "-"))
        return " "

    rest = _FIELD_PIECE.sub(take_field, text)
    meaning: list[str] = []
    phrases: list[tuple[str, ...]] = []
    required: list[tuple[str, ...]] = []
    excluded: list[tuple[str, ...]] = []
    for sign, phrase, word, other in _PIECE.findall(rest):
        content = phrase or word or other
        if word in {"+", "-"} or not content:
            continue
        inside = tuple(words(content))
        if sign == "-" and inside:
            excluded.append(inside)
            continue
        if sign == "+" and inside:
            required.append(inside)
        if phrase and inside:
            phrases.append(inside)
        meaning.append(content)
    meant = " ".join(meaning)
    found, instead = reader.read(meant)
    return ParsedText(
        meaning=meant,
        keywords=KeywordQuery(found, tuple(required), tuple(excluded), instead),
        phrases=tuple(phrases),
        filters=tuple(filters),
    )
