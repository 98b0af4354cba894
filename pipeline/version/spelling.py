"""The words a version's documents are written with, to correct misspelt queries by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.words import stem, words
from ingest.errors import IndexCorruptError
from pipeline.version.arrays import load_array

__all__ = ["SPELLING_FOLDER", "SpellingVocabulary", "read_spelling", "write_spelling"]

SPELLING_FOLDER = "spelling"
_WORDS_FILE = "words.json"
_STEMS_FILE = "stems.json"
_FREQUENCIES_FILE = "document_frequencies.npy"


@dataclass(frozen=True)
class SpellingVocabulary:
    """The words of a version, folded as ``encoders.words`` folds them.

    Parameters
    ----------
    words
        Row of each word that consists of letters alone; words in order of their code points.
    document_frequencies
        int32, shape (n_words,): how many documents contain each.
    stems
        Stems of all these words: what keyword search can match.
    """

    words: dict[str, int]
    document_frequencies: NDArray[np.int32]
    stems: frozenset[str]

    def __contains__(self, word: object) -> bool:
        """Whether a word, or another form of it, stands in some document."""
        return word in self.words or (isinstance(word, str) and stem(word) in self.stems)


def write_spelling(folder: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Count the words of documents and write them into an existing folder.

    Parameters
    ----------
    texts
        Title and text of each document.
    """
    frequencies: Counter[str] = Counter()
    for title, text in texts:
        frequencies.update({*words(title), *words(text)})
    found = sorted(word for word in frequencies if word.isalpha())
    _write_list(folder / _WORDS_FILE, found)
    _write_list(folder / _STEMS_FILE, sorted(set(map(stem, found))))
    counts = np.array([frequencies[word] for word in found], np.int32)
    np.save(folder / _FREQUENCIES_FILE, counts)


def read_spelling(folder: Path) -> SpellingVocabulary | None:
    """Read what ``write_spelling`` wrote; ``None`` where a version was built without it.

    Raises
    ------
    IndexCorruptError
        If a file is damaged.
    """
    if not folder.is_dir():
        return None
    found = _read_list(folder / _WORDS_FILE)
    frequencies = load_array(folder / _FREQUENCIES_FILE)
    if frequencies.shape != (len(found),):
        raise IndexCorruptError(f"{folder} cannot be read: its files do not fit together")
    return SpellingVocabulary(
        {word: row for row, word in enumerate(found)},
        frequencies,
        frozenset(_read_list(folder / _STEMS_FILE)),
    )


def _write_list(path: Path, found: list[str]) -> None:
    path.write_text(json.dumps(found, ensure_ascii=False, indent=0), encoding="utf-8")


def _read_list(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
        raise IndexCorruptError(f"{path} does not hold a list of words")
    return content
