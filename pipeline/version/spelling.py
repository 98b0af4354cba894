"""The words a version's documents are written with, to correct misspelt queries by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.words import stem, words
from ingest.errors import IndexCorruptError
from pipeline.version.arrays import load_array
from pipeline.version.dictionaries import LANGUAGES

__all__ = ["SPELLING_FOLDER", "SpellingVocabulary", "read_spelling", "write_spelling"]

SPELLING_FOLDER = "spelling"
_VOCABULARY_FILE = "vocabulary.json"
_FREQUENCIES_FILE = "document_frequencies.npy"
# Shorter ones are never corrected; a longer one is encoded data rather than a word.
_SHORTEST, _LONGEST = 3, 40


@dataclass(frozen=True)
class SpellingVocabulary:
    """The words of a version: letters alone, 3 to 40 of them, folded as ``encoders.words`` does.

    Parameters
    ----------
    words
        Row of each word, in order of their code points.
    document_frequencies
        int32, shape (n_words,): how many documents contain each, at least 1.
    stems
        Stems of these words, which are what keyword search matches.
    languages
        Main languages of the documents; none where one of them has no dictionary.
    """

    words: dict[str, int]
    document_frequencies: NDArray[np.int32]
    stems: frozenset[str]
    languages: tuple[str, ...]

    def has_form_of(self, word: str) -> bool:
        """Whether some document contains a word with the same stem."""
        return stem(word) in self.stems


def write_spelling(
    folder: Path,
    texts: Iterable[tuple[str, str]],
    languages: Sequence[str],
    *,
    known: SpellingVocabulary | None = None,
    removed: Iterable[tuple[str, str]] = (),
) -> None:
    """Count the words of documents and write them into an existing folder.

    Parameters
    ----------
    texts
        Title and text of each document, or of those alone that ``known`` does not count.
    languages
        Main languages of the documents. Unless all of them have a dictionary none is kept, and
        nothing is corrected: words of the others would pass for misspellings.
    known
        Words counted already.
    removed
        Title and text of each document that ``known`` counts and the collection no longer has.
    """
    frequencies: Counter[str] = Counter()
    if known is not None:
        frequencies.update(dict(zip(known.words, known.document_frequencies.tolist(), strict=True)))
    for title, text in texts:
        frequencies.update({*words(title), *words(text)})
    for title, text in removed:
        frequencies.subtract({*words(title), *words(text)})
    found = sorted(
        word
        for word, count in frequencies.items()
        if count > 0 and _SHORTEST <= len(word) <= _LONGEST and word.isalpha()
    )
    content = {
        "languages": list(languages) if set(languages) <= set(LANGUAGES) else [],
        "words": found,
        "stems": sorted(set(map(stem, found))),
    }
    text = json.dumps(content, ensure_ascii=False, indent=0)
    (folder / _VOCABULARY_FILE).write_text(text + "\n", encoding="utf-8")
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
    path = folder / _VOCABULARY_FILE
    frequencies = load_array(folder / _FREQUENCIES_FILE, np.int32)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, stems, languages = (content[name] for name in ("words", "stems", "languages"))
        vocabulary = SpellingVocabulary(
            {word: row for row, word in enumerate(found)},
            frequencies,
            frozenset(stems),
            tuple(name for name in languages if name in LANGUAGES),
        )
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise IndexCorruptError(f"{path} cannot be read as a vocabulary: {error!r}") from error
    if frequencies.shape != (len(vocabulary.words),) or (frequencies < 1).any():
        raise IndexCorruptError(f"{folder} cannot be read: its files do not fit together")
    return vocabulary
