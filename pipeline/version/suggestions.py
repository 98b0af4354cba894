"""What a search box offers while one types: titles and frequent phrases, by any of their words.

Every start of a word in an entry is a place where typing may begin. The places are kept sorted,
so those that continue what was typed lie side by side: two binary searches find them all.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.languages import DEFAULT_LANGUAGES
from encoders.word_forms import all_stop_words
from encoders.words import word_spans
from ingest.errors import IndexCorruptError
from pipeline.version.arrays import load_array

__all__ = [
    "PHRASE",
    "SUGGESTIONS_FOLDER",
    "SuggestionTable",
    "fold_typed",
    "read_suggestions",
    "shown_title",
    "write_suggestions",
]

SUGGESTIONS_FOLDER = "suggestions"
PHRASE = -1
"""Document row of an entry that is a phrase and no document's title."""

_KEY_BYTES = 24
_ARRAYS: Mapping[str, str] = {
    "text": "u1",
    "text_ends": "<i8",
    "rows": "<i8",
    "weights": "<f4",
    "keys": f"S{_KEY_BYTES}",
    "entries": "<i4",
    "is_first": "?",
}
_LONGEST_TITLE = 200
_PLACES_OF_A_TITLE = 12
# Phrases are counted over so many documents at most, drawn evenly, and pruned beyond so many.
_COUNTED_DOCUMENTS = 5_000
_COUNTED_PHRASES = 400_000
_MOST_PHRASES = 20_000
_RAREST_PHRASE = 3
_PHRASE_WORDS = (2, 3)
_SPACES = re.compile(r"\s+")
_WORD_STARTS = re.compile(r"(?<![^\W_])[^\W_]")


@dataclass(frozen=True)
class SuggestionTable:
    """All entries, and every place in them where typing may begin.

    Parameters
    ----------
    text, text_ends
        uint8 and int64: the entries as UTF-8, one after the other, and where each ends.
    rows
        int64, shape (n_entries,): the document a title belongs to, or ``PHRASE``.
    weights
        float32, shape (n_entries,): how likely an entry is meant, in (0, 1].
    keys
        bytes, shape (n_places,), ascending: the folded text that follows, its first 24 bytes.
    entries, is_first
        int32 and bool, shape (n_places,): whose place it is, and whether the entry begins there.
    """

    text: NDArray[np.uint8]
    text_ends: NDArray[np.int64]
    rows: NDArray[np.int64]
    weights: NDArray[np.float32]
    keys: NDArray[np.bytes_]
    entries: NDArray[np.int32]
    is_first: NDArray[np.bool_]

    def entry(self, number: int) -> str:
        """The text of one entry."""
        begin = int(self.text_ends[number - 1]) if number else 0
        return self.text[begin : int(self.text_ends[number])].tobytes().decode("utf-8")

    def places(self, typed: str) -> slice:
        """The places that continue what was typed (folded), by its first 24 bytes."""
        prefix = typed.encode("utf-8")[:_KEY_BYTES]
        last = prefix + b"\xff" * (_KEY_BYTES - len(prefix))
        begin = int(np.searchsorted(self.keys, np.bytes_(prefix)))
        return slice(begin, int(np.searchsorted(self.keys, np.bytes_(last), side="right")))


def fold_typed(text: str) -> str:
    r"""Fold what was typed, or an entry, so that case, accents' form and blanks do not matter.

    Examples
    --------
    >>> fold_typed("  Read\u00a0a FILE ")
    'read a file '
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACES.sub(" ", folded).lstrip()


def shown_title(title: str) -> str:
    """A title as it is suggested: one line, at most 200 characters."""
    return _SPACES.sub(" ", title).strip()[:_LONGEST_TITLE].rstrip()


def write_suggestions(
    folder: Path,
    documents: Iterable[tuple[str, str]],
    n_documents: int,
    languages: Sequence[str] = DEFAULT_LANGUAGES,
) -> None:
    """Collect titles and frequent phrases and write them into an existing folder.

    Parameters
    ----------
    documents
        Title and text of each document, in order of its row; streamed.
    languages
        Main languages of the documents: no phrase begins or ends with one of their stop words.
    """
    phrases = _PhraseCounter(languages)
    step = max(1, -(-n_documents // _COUNTED_DOCUMENTS))
    known: dict[str, int] = {}
    for row, (title, text) in enumerate(documents):
        shown = shown_title(title)
        if shown:
            known.setdefault(shown, row)
        if row % step == 0:
            phrases.count(text)
    entries = [(title, row, 1.0 / (1.0 + len(title) / 80)) for title, row in known.items()]
    titles = {fold_typed(title) for title in known}
    entries += [
        (phrase, PHRASE, weight) for phrase, weight in phrases.found() if phrase not in titles
    ]
    for name, array in zip(_ARRAYS, _arrays(entries), strict=True):
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def read_suggestions(folder: Path) -> SuggestionTable | None:
    """Read what ``write_suggestions`` wrote; ``None`` where a version was built without it.

    Raises
    ------
    IndexCorruptError
        If a file is damaged.
    """
    if not folder.is_dir():
        return None
    table = SuggestionTable(
        *(load_array(folder / f"{name}.npy", dtype) for name, dtype in _ARRAYS.items())
    )
    n_entries, n_places = len(table.text_ends), len(table.keys)
    fits = (
        len(table.rows) == len(table.weights) == n_entries
        and len(table.entries) == len(table.is_first) == n_places
        and (int(table.text_ends[-1]) if n_entries else 0) == len(table.text)
    )
    if not fits:
        raise IndexCorruptError(f"{folder} cannot be read: its arrays do not fit together")
    return table


def _arrays(entries: Sequence[tuple[str, int, float]]) -> Iterator[NDArray[np.generic]]:
    encoded = [text.encode("utf-8") for text, _, _ in entries]
    keys: list[bytes] = []
    owners: list[int] = []
    is_first: list[bool] = []
    for number, (text, _, _) in enumerate(entries):
        folded = fold_typed(text)
        starts = [match.start() for match in _WORD_STARTS.finditer(folded)][:_PLACES_OF_A_TITLE]
        for start in starts or [0]:
            keys.append(folded[start : start + _KEY_BYTES].encode("utf-8")[:_KEY_BYTES])
            owners.append(number)
            is_first.append(start == (starts[0] if starts else 0))
    sorted_keys = np.array(keys, dtype=f"S{_KEY_BYTES}")
    order = np.argsort(sorted_keys, kind="stable")
    yield np.frombuffer(b"".join(encoded), np.uint8)
    yield np.cumsum([len(text) for text in encoded], dtype=np.int64)
    yield np.array([row for _, row, _ in entries], np.int64)
    yield np.array([weight for _, _, weight in entries], np.float32)
    yield sorted_keys[order]
    yield np.array(owners, np.int32)[order]
    yield np.array(is_first, np.bool_)[order]


class _PhraseCounter:
    """Counts in how many texts each run of two or three words occurs, in bounded memory.

    Rare phrases are forgotten whenever there are too many: lossy counting (Manku & Motwani, VLDB
    2002, https://www.vldb.org/conf/2002/S10P03.pdf), which can only undercount.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        self._left_out = all_stop_words(languages)
        self._counts: Counter[str] = Counter()
        self._forgotten = 0

    def count(self, text: str) -> None:
        """Count each phrase of a text once."""
        self._counts.update(set(self._phrases(text)))
        while len(self._counts) > _COUNTED_PHRASES:
            self._forgotten += 1
            self._counts = Counter(
                {phrase: n for phrase, n in self._counts.items() if n > self._forgotten}
            )

    def found(self) -> list[tuple[str, float]]:
        """The most frequent phrases and their weights, in (0, 1]."""
        rarest = max(_RAREST_PHRASE, self._forgotten + 1)
        counted = sorted(
            ((phrase, n) for phrase, n in self._counts.items() if n >= rarest),
            key=lambda entry: (-entry[1], entry[0]),
        )[:_MOST_PHRASES]
        most = np.log1p(counted[0][1]) if counted else 1.0
        return [(phrase, float(np.log1p(n) / most)) for phrase, n in counted]

    def _phrases(self, text: str) -> Iterator[str]:
        for run in _runs(text):
            kept = [word not in self._left_out and len(word) > 1 for word in run]
            for length in _PHRASE_WORDS:
                for start in range(len(run) - length + 1):
                    if kept[start] and kept[start + length - 1]:
                        yield " ".join(run[start : start + length])


def _runs(text: str) -> Iterator[list[str]]:
    """Words of a text in runs that only blanks divide, numbers left out."""
    run: list[str] = []
    spans = list(word_spans(text))
    previous = -1
    for start, end, word in spans:
        joined = previous >= 0 and start > previous and text[previous:start].isspace()
        if not joined and run:
            yield run
            run = []
        if word.isalpha() and start >= previous:
            run.append(word)
        elif run:
            yield run
            run = []
        previous = end
    if run:
        yield run
