"""What a person types: words, ``"phrases"``, ``+required``, ``-excluded``, ``field:value``.

Nothing typed is an error: what is not an operator is text. A sign is an operator only before a
letter or a quotation mark (``E2f-1, -2`` is text), and a query longer than 30 words is prose,
in which quotation marks and signs are punctuation, and identifiers words like others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from encoders.words import words
from pipeline.search.query_words import QueryWords
from pipeline.version.keyword_index import KeywordQuery

__all__ = ["ParsedText", "identifiers", "is_camel_case", "parse_query_text", "plain_words"]

# An optional sign, then a phrase or a run without blanks, each at the start of a word.
_PIECE = re.compile(r'(?<!\S)([+-](?=["]|[^\W\d_]))?(?:"([^"]*)"|([^\s"]\S*))|(\S+)')
_MAX_OPERATOR_WORDS = 30
# Letters, hyphens and apostrophes between the punctuation of a sentence: no name of a program.
_PLAIN_PIECE = re.compile(
    r"[(\[\u201c\u2018]?([^\W\d_]+(?:[-'\u2019][^\W\d_]+)*)[.,;:!?)\]\u2019\u201d]*"
)
_FIELD_PIECE = re.compile(r'(?<!\S)([+-]?)([^\s:"+-][^\s:"]*):(?:"([^"]*)"|([^\s"]\S*))')
# Words joined by single dots or hyphens: os.path, str.__add__, ERR-1234.
_RUN = re.compile(r"\w+(?:[.-]\w+)*")
# Parts of two characters at least: neither e.g. nor U.S. nor the histone H2A.Z.
_DOTTED = re.compile(r"[^\W\d]\w+(?:\.[^\W\d]\w+)+")
_SNAKE = re.compile(r"(?=.*[^\W_])(?:\w+_\w*|_\w+)")
# TypeError, readLine, HTTPServer, innerHTML; not mRNA, McDonald or, biology's own, lincRNA.
_CAMEL = re.compile(r"(?!\w*[DR]NAs?$)(?:\w*[a-z]{2}[A-Z]\w+|\w*[A-Z]{2,}[A-Z][a-z]{2}\w*)")
# Fewer than three digits make a name of science more often than an error: IL-6, CD40, COVID-19.
_CODE = re.compile(r"[A-Z]+-?\d{3,}(?:-\d+)*|[A-Za-z]+\d{3,}|0[xX][0-9A-Fa-f]{4,}")


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
    quoted, identifiers
        Quoted strings, and words that look like identifiers, as written, each once.
    asks_exactly
        Whether these are what the query asks for: something is quoted, or it is all identifiers.
    known
        What of ``meaning`` the encoders that were fitted to the documents get to read; all of it
        when ``None``.
    """

    meaning: str
    keywords: KeywordQuery
    phrases: tuple[tuple[str, ...], ...] = ()
    filters: tuple[tuple[str, str, bool], ...] = ()
    quoted: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    asks_exactly: bool = False
    known: str | None = None

    def read_by(self, encoder: str) -> str:
        """What an encoder gets to read of ``meaning``."""
        return self.meaning if self.known is None or encoder == "bert" else self.known


def identifiers(text: str) -> list[str]:
    """List what looks like an identifier: dotted, snake_case, CamelCase, an error code.

    Examples
    --------
    >>> identifiers("why does str.__add__ in my_module, say, raise TypeError E0308 (ERR-1234)?")
    ['str.__add__', 'my_module', 'TypeError', 'E0308', 'ERR-1234']
    >>> identifiers("e.g. IL-6 and COVID-19 in the U.S. since mid-1990, 3.5 McDonalds, siRNA")
    []
    """
    found = []
    for match in _RUN.finditer(text):
        run = match.group()
        if _DOTTED.fullmatch(run) or _CODE.fullmatch(run):
            found.append(run)
        else:
            found += [part for part in re.split("[.-]", run) if _is_identifier(part)]
    return found


def is_camel_case(word: str) -> bool:
    """Whether a word is told from others by its capitals.

    Examples
    --------
    >>> is_camel_case("HTTPServer"), is_camel_case("HTTP"), is_camel_case("siRNA")
    (True, False, False)
    """
    return bool(_CAMEL.fullmatch(word))


def _is_identifier(word: str) -> bool:
    return is_camel_case(word) or bool(_SNAKE.fullmatch(word) or _CODE.fullmatch(word))


def parse_query_text(
    text: str,
    fields: Collection[str] = (),
    reader: QueryWords | None = None,
    *,
    operators: bool = True,
) -> ParsedText:
    """Take a query text apart.

    Parameters
    ----------
    fields
        Metadata fields of the version; ``name:value`` is a filter only for these, and text
        otherwise (``std::vector`` and ``https://...`` are things people search for).
    reader
        Knows the version's languages and synonyms; English and none when ``None``.
    operators
        Whether signs and fields are operators; a query that is a name is only that.

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
        return ParsedText(text, _keywords(reader, text))
    if not operators:
        return _parsed(reader, text, [phrase for _, phrase, _, _ in _PIECE.findall(text)])
    filters = []

    def take_field(match: re.Match[str]) -> str:
        sign, field, phrase, word = match.groups()
        if field not in fields:
            return match.group()
        filters.append((field, phrase if phrase is not None else word, sign != "-"))
        return " "

    rest = _FIELD_PIECE.sub(take_field, text)
    meaning: list[str] = []
    quoted: list[str] = []
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
            quoted.append(phrase)
        meaning.append(content)
    return _parsed(reader, " ".join(meaning), quoted, required, excluded, filters)


def _keywords(
    reader: QueryWords,
    text: str,
    required: Sequence[tuple[str, ...]] = (),
    excluded: Sequence[tuple[str, ...]] = (),
) -> KeywordQuery:
    found, instead = reader.read(text)
    return KeywordQuery(found, tuple(required), tuple(excluded), instead)


def _parsed(
    reader: QueryWords,
    meaning: str,
    quoted: Sequence[str],
    required: Sequence[tuple[str, ...]] = (),
    excluded: Sequence[tuple[str, ...]] = (),
    filters: Sequence[tuple[str, str, bool]] = (),
) -> ParsedText:
    phrases = {phrase.strip(): found for phrase in quoted if (found := tuple(words(phrase)))}
    named = identifiers(meaning)
    n_named_stems = sum(len(_keywords(reader, name).stems) for name in named)
    keywords = _keywords(reader, meaning, required, excluded)
    return ParsedText(
        meaning=meaning,
        keywords=keywords,
        phrases=tuple(phrases.values()),
        filters=tuple(filters),
        quoted=tuple(phrases),
        identifiers=tuple(name for name in dict.fromkeys(named) if name not in phrases),
        asks_exactly=bool(phrases) or 0 < len(keywords.stems) == n_named_stems,
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
