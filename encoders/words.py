"""Words of a text, as the keyword index, TF-IDF and Word2Vec count them.

A word is a run of letters, marks and digits, folded for case and compatibility (NFKC). So an
identifier gives its parts: ``os.path.join`` gives ``os path join``, ``ERR-1234`` gives
``err 1234``. CamelCase gives the whole and its parts at one span. Scripts written without
spaces give overlapping pairs of characters. An English contraction loses its tail
(``corpus's`` gives ``corpus``).

References
----------
Stemmer: Porter, "Snowball: a language for stemming algorithms", 2001,
https://snowballstem.org/algorithms/english/stemmer.html.
Character pairs for Chinese, Japanese and Korean: Nie & Ren, Information Processing and
Management 35(4), 1999, doi:10.1016/S0306-4573(99)00017-1.
"""

from __future__ import annotations

import itertools
import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import regex  # type: ignore[import-untyped]
import Stemmer

__all__ = [
    "STEMMERS",
    "STOP_WORDS",
    "is_plain",
    "stem",
    "stems",
    "stop_words",
    "word_spans",
    "words",
]

STOP_WORDS: frozenset[str] = frozenset(
    """
    a about above after again against all am an and any are as at be because been before being
    below between both but by can cannot could did do does doing down during each few for from
    further had has have having he her here hers herself him himself his how i if in into is it
    its itself me more most my myself no nor not of off on once only or other ought our ours
    ourselves out over own same she should so some such than that the their theirs them
    themselves then there these they this those through to too under until up very was we were
    what when where which while who whom why will with would you your yours yourself yourselves
    ain aren couldn didn doesn don hadn hasn haven isn mustn needn shan shouldn wasn weren won
    wouldn
    """.split()  # noqa: SIM905 (a paragraph reads better than 150 quoted words)
)
"""English words that say nothing about the subject: Snowball's list, contractions cut as here."""

STEMMERS = MappingProxyType(
    {
        "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german",
        "el": "greek", "en": "english", "eo": "esperanto", "es": "spanish", "et": "estonian",
        "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
        "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian",
        "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish",
        "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
        "ta": "tamil", "tr": "turkish", "yi": "yiddish",
    }
)  # fmt: skip
"""Language (ISO 639-1) -> its Snowball stemmer; words of other languages stay as they are."""

_STOP_WORDS_FOLDER = Path(__file__).parent / "stop_words"
_STEM_CACHE_SIZE = 1 << 18  # about 40 MB when full; a large English collection's whole vocabulary
_FOLD_CACHE_SIZE = 1 << 16

# 's, n't and the like: the tail is matched, so it starts no word of its own, but not captured.
_CONTRACTION = r"(?:['\u2019](?:[sS]|[tT]|[rR][eE]|[vV][eE]|[lL][lL]|[dD]|[mM])\b)?"

# Most texts hold precomposed Latin, Greek or Cyrillic only; `re` reads those several times as
# fast as `regex`, which knows scripts and marks and reads the rest.
_NEEDS_SCRIPTS = re.compile(
    "[\u00ad\u0300-\u036f\u0483-\u0489\u0590-\u1dff\u200b-\u200f\u2060-\u206f\u20d0-\u20ff"
    "\u2c00-\U0010ffff]"
)
_ASCII_CONTRACTION = re.compile(r"([^\W_])'(?:s|t|re|ve|ll|d|m)\b", re.IGNORECASE | re.ASCII)
# Letters in lower case, digits, and blanks for all else.
_ASCII_LOWERED = bytes(
    code if chr(code).isalnum() and code < 128 else 32 for code in bytes(range(256)).lower()
)
_PLAIN_WORD = re.compile(r"([^\W_]+)" + _CONTRACTION)

# Joiners and the soft hyphen are invisible inside a word; folding removes them.
_JOINERS = r"\u00AD\u200C\u200D\u2060"
# Scripts without spaces. Half-width katakana writes its sound marks as separate letters.
_UNSPACED = (
    r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30FC\uFF70]"
    r"&&[\p{L}\p{N}]]"
)
_SOUND_MARKS = r"[\p{M}\uFF9E\uFF9F]*"
_LETTER = rf"[[\p{{L}}\p{{N}}\p{{M}}]--{_UNSPACED}]"
_SCRIPT_WORD = regex.compile(
    rf"(?P<unspaced>(?:{_UNSPACED}{_SOUND_MARKS})+)"
    rf"|(?P<word>(?!\p{{M}}){_LETTER}+(?:[{_JOINERS}]+{_LETTER}+)*)" + _CONTRACTION,
    flags=regex.V1,
)
_UNSPACED_CHARACTER = regex.compile(f"{_UNSPACED}{_SOUND_MARKS}", flags=regex.V1)
_INVISIBLE = regex.compile(rf"[{_JOINERS}\uFE00-\uFE0F]")

# Parts of at least two letters, so that mRNA, IgG and McDonald's Mc stay as they are.
# It begins with the capital, although what counts may stand before it: a search for one class of
# characters skips the rest of a text five times as fast.
_CAMEL = re.compile(r"[A-Z](?:(?<=[a-z]{2}[A-Z])[A-Za-z]|[A-Z]{2}[a-z]{2})")
_CAMEL_BORDER = re.compile(r"(?<=[a-z]{2})(?=[A-Z][A-Za-z])|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})")


def word_spans(text: str) -> list[tuple[int, int, str]]:
    """Find the words of a text and where they stand.

    Parameters
    ----------
    text
        Any text; offsets count code points of exactly this string.

    Returns
    -------
    list of (start, end, word)
        In order of start; words of one span follow each other, the whole word first.

    Examples
    --------
    >>> word_spans("Ada's json.dumps")
    [(0, 3, 'ada'), (6, 10, 'json'), (11, 16, 'dumps')]
    >>> word_spans("ThreadPool")
    [(0, 10, 'threadpool'), (0, 10, 'thread'), (0, 10, 'pool')]
    """
    if is_plain(text):
        return [(*match.span(1), match[1]) for match in _PLAIN_WORD.finditer(text.lower())]
    found = _script_tokens(text) if _NEEDS_SCRIPTS.search(text) else _plain_tokens(text)
    return [(start, end, word) for start, end, token in found for word in _folded_words(token)]


def words(text: str) -> list[str]:
    """List the words of a text, as ``word_spans`` finds them.

    Examples
    --------
    >>> words("The café's straße, mRNA and HTTPServer")
    ['the', 'café', 'strasse', 'mrna', 'and', 'httpserver', 'http', 'server']
    >>> words("信息检索")
    ['信息', '息检', '检索']
    """
    if is_plain(text):
        if "'" in text:
            text = _ASCII_CONTRACTION.sub(r"\1 ", text)
        # Five times as fast as a search for words.
        return text.encode("ascii").translate(_ASCII_LOWERED).decode("ascii").split()
    if _NEEDS_SCRIPTS.search(text):
        return [word for _, _, word in word_spans(text)]
    return [word for token in _PLAIN_WORD.findall(text) for word in _folded_words(token)]


def is_plain(text: str) -> bool:
    """True for ASCII without CamelCase, whose words are runs of characters in lower case.

    Examples
    --------
    >>> is_plain("Ada's json.dumps"), is_plain("ThreadPool"), is_plain("café")
    (True, False, False)
    """
    return text.isascii() and not _CAMEL.search(text)


@lru_cache(maxsize=_STEM_CACHE_SIZE)
def stem(word: str, language: str = "en") -> str:
    """Reduce a word to its Snowball stem; words of other languages mostly stay as they are.

    Examples
    --------
    >>> stem("retrieval"), stem("retrieving"), stem("häuser", "de")
    ('retriev', 'retriev', 'haus')
    """
    if language not in STEMMERS:
        return word
    stemmed: str = _stemmers.of(language).stemWord(word)
    return stemmed


@lru_cache(maxsize=64)
def stop_words(language: str) -> frozenset[str]:
    """Words of a language that say nothing about the subject; none where no list is known.

    Examples
    --------
    >>> "der" in stop_words("de"), "der" in stop_words("en"), len(stop_words("vi"))
    (True, False, 0)
    """
    if language == "en":
        return STOP_WORDS
    path = _STOP_WORDS_FOLDER / f"{language}.txt"
    if not language.isalpha() or not path.is_file():
        return frozenset()
    return frozenset(words(path.read_text(encoding="utf-8")))


def stems(text: str, language: str = "en") -> list[str]:
    """List the stems of a text's words, stop words left out.

    Examples
    --------
    >>> stems("The wings of the airplanes don't flutter")
    ['wing', 'airplan', 'flutter']
    >>> stems("Die Häuser der Stadt", "de")
    ['haus', 'stadt']
    """
    if language == "en":
        return [stem(word) for word in words(text) if word not in STOP_WORDS]
    left_out = stop_words(language)
    return [stem(word, language) for word in words(text) if word not in left_out]


class _ThreadStemmers(threading.local):
    """One stemmer a thread: a PyStemmer object keeps state while it works."""

    def __init__(self) -> None:
        self._by_language: dict[str, Stemmer.Stemmer] = {}

    def of(self, language: str) -> Stemmer.Stemmer:
        """The stemmer of a language that has one."""
        if language not in self._by_language:
            # The module's own cache stands in front, so the stemmer needs none.
            self._by_language[language] = Stemmer.Stemmer(STEMMERS[language], maxCacheSize=0)
        return self._by_language[language]


_stemmers = _ThreadStemmers()


def _plain_tokens(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _PLAIN_WORD.finditer(text):
        yield match.start(1), match.end(1), match[1]


def _script_tokens(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _SCRIPT_WORD.finditer(text):
        if match["word"] is not None:
            yield match.start("word"), match.end("word"), match["word"]
        else:
            yield from _character_pairs(text, match.start("unspaced"), match.end("unspaced"))


def _character_pairs(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    spans = [match.span() for match in _UNSPACED_CHARACTER.finditer(text, start, end)]
    if len(spans) == 1:
        yield start, end, text[start:end]
    for (first, _), (_, last) in itertools.pairwise(spans):
        yield first, last, text[first:last]


@lru_cache(maxsize=_FOLD_CACHE_SIZE)
def _folded_words(token: str) -> tuple[str, ...]:
    """Fold one token; CamelCase gives the whole word, then its parts."""
    whole = token.lower() if token.isascii() else _fold(token)
    if _CAMEL.search(token) is None:
        return (whole,)
    parts = _CAMEL_BORDER.split(token)
    return (whole, *map(_fold, parts)) if len(parts) > 1 else (whole,)


def _fold(token: str) -> str:
    """Give one form to what differs only in case, width or composition."""
    composed = unicodedata.normalize("NFKC", _INVISIBLE.sub("", token)).casefold()
    # Casefolding a Turkish dotted capital I leaves a combining dot that no one types.
    return unicodedata.normalize("NFKC", composed.replace("i\u0307", "i"))
