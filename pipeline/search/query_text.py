"""What a person types: words, ``"phrases"``, ``+required``, ``-excluded``, ``field:value``.

Nothing typed is an error: what is not an operator is text. A sign is an operator only before a
letter or a quotation mark (``E2f-1, -2`` is text), and a query longer than 30 words is prose,
in which quotation marks and signs are punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from encoders.words import stems, words
from pipeline.version.keyword_index import KeywordQuery

__all__ = ["ParsedText", "parse_query_text", "plain_words"]

# An optional sign, then a phrase or a run without blanks, each at the start of a word.
_PIECE = re.compile(r'(?<!\S)([+-](?=["]|[^\W\d_]))?(?:"([^"]*)"|([^\s"]\S*))|(\S+)')
_MAX_OPERATOR_WORDS = 30
# Letters, hyphens and apostrophes between the punctuation of a sentence: no name of a program.
_PLAIN_PIECE = re.compile(
    r"[(\[\u201c\u2018]?([^\W\d_]+(?:[-'\u2019][^\W\d_]+)*)[.,;:!?)\]\u2019\u201d]*"
)
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


def parse_query_text(text: str, fields: Collection[str] = ()) -> ParsedText:
    """Take a query text apart.

    Parameters
    ----------
    fields
        Metadata fields of the version; ``name:value`` is a filter only for these, and text
        otherwise (``std::vector`` and ``https://...`` are things people search for).

    Examples
    --------
    >>> parsed = parse_query_text('read +json -xml "line by line" kind:function', {"kind"})
    >>> parsed.meaning
    'read json line by line'
    >>> parsed.keywords.required, parsed.keywords.excluded, parsed.filters
    ((('json',),), (('xml',),), (('kind', 'function', True),))
    """
    if len(text.split()) > _MAX_OPERATOR_WORDS:
        return ParsedText(text, KeywordQuery(tuple(stems(text))), (), ())
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
        found = tuple(words(content))
        if sign == "-" and found:
            excluded.append(found)
            continue
        if sign == "+" and found:
            required.append(found)
        if phrase and found:
            phrases.append(found)
        meaning.append(content)
    meant = " ".join(meaning)
    return ParsedText(
        meaning=meant,
        keywords=KeywordQuery(tuple(stems(meant)), tuple(required), tuple(excluded)),
        phrases=tuple(phrases),
        filters=tuple(filters),
    )


def plain_words(text: str) -> list[tuple[int, int]]:
    """Find the runs of letters in a query text that are words and nothing more.

    Left out is what is meant literally: phrases, what has a sign or a field, abbreviations in
    capitals, and names with digits, dots, underscores or capitals inside.

    Returns
    -------
    list of (start, end)
        In order; a run may hold hyphens and apostrophes.

    Examples
    --------
    >>> text = 'raed os.path +json "by line" kind:func HTTPServer SNP, quickly.'
    >>> [text[start:end] for start, end in plain_words(text)]
    ['raed', 'quickly']
    """
    is_prose = len(text.split()) > _MAX_OPERATOR_WORDS
    pieces = re.finditer(r"\S+", text) if is_prose else _PIECE.finditer(text)
    found = []
    for piece in pieces:
        word = _PLAIN_PIECE.fullmatch(piece.group())
        # Where all is in capitals they say nothing.
        if word and (text.isupper() or not any(map(str.isupper, word[1][1:]))):
            found.append((piece.start() + word.start(1), piece.start() + word.end(1)))
    return found
