"""The words of every passage, sentence by sentence: what marking a hit would else cut out anew.

A word is stored as its row in the version's vocabulary, so that a query compares numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from encoders.words import stem, words
from ingest.errors import IndexCorruptError
from ingest.sentences import sentence_spans
from pipeline.version.arrays import load_array

__all__ = [
    "MAX_SENTENCES",
    "PASSAGE_WORDS_FOLDER",
    "PassageWords",
    "cut_passage_words",
    "cut_words",
    "read_passage_words",
    "stem_key",
    "write_passage_words",
]

PASSAGE_WORDS_FOLDER = "passage_words"
MAX_SENTENCES = 60
"""Sentences of a passage that are told apart; what follows them is one stretch."""

_VOCABULARY_FILE = "vocabulary.json"
_ARRAYS = ("stems", "sentence_offsets", "sentences", "word_offsets", "words")
_RAW_FILE = "words.raw"
_WORDS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class PassageWords:
    """Sentences of passages, and the words of each.

    Parameters
    ----------
    vocabulary
        Every word that occurs, folded as ``encoders.words`` does, each once.
    stems
        uint32, shape (n_vocabulary, n_languages): ``stem_key`` of each word's stem in each main
        language. Different stems may have the same key, so a match is to be checked.
    sentence_offsets
        int64, shape (n_passages + 1,): a passage's sentences are
        ``range(sentence_offsets[row], sentence_offsets[row + 1])``.
    sentences
        int32, shape (n_sentences, 2): start and end code points in the passage's text.
    word_offsets
        int64, shape (n_sentences + 1,): where the words of each sentence begin.
    words
        uint16 or uint32, shape (n_words,): rows in the vocabulary, in order of the text.
    """

    vocabulary: list[str]
    stems: NDArray[np.uint32]
    sentence_offsets: NDArray[np.int64]
    sentences: NDArray[np.int32]
    word_offsets: NDArray[np.int64]
    words: NDArray[np.uint16] | NDArray[np.uint32]


def cut_words(text: str) -> tuple[list[tuple[int, int]], list[list[str]]]:
    """Cut one passage into sentences, and each into its words.

    Returns
    -------
    spans, words
        Of at most 60 sentences, and of what follows them.

    Examples
    --------
    >>> cut_words("Dr. Lee left. Why?")
    ([(0, 13), (14, 18)], [['dr', 'lee', 'left'], ['why']])
    """
    spans = sentence_spans(text)
    if len(spans) > MAX_SENTENCES:
        spans[MAX_SENTENCES:] = [(spans[MAX_SENTENCES][0], len(text))]
    return spans, [words(text[start:end]) for start, end in spans]


def stem_key(stemmed: str) -> int:
    """A number for a stem, below 2**32; few stems share one."""
    return crc32(stemmed.encode())


class _Gathered:
    """Passages cut one after another; the words themselves are handed on at once."""

    def __init__(self) -> None:
        self.vocabulary: dict[str, int] = {}
        self._n_sentences: list[int] = []
        self._sentences: list[NDArray[np.int32]] = []
        self._n_words: list[NDArray[np.int32]] = []

    def add(self, text: str) -> NDArray[np.uint32]:
        """Cut a passage; returns its words' rows in the vocabulary."""
        spans, found = cut_words(text)
        self._n_sentences.append(len(spans))
        self._sentences.append(np.array(spans, np.int32).reshape(-1, 2))
        self._n_words.append(np.array([len(inside) for inside in found], np.int32))
        vocabulary = self.vocabulary
        return np.array(
            [vocabulary.setdefault(word, len(vocabulary)) for word in chain(*found)], np.uint32
        )

    def arrays(self, languages: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        """All arrays of ``PassageWords`` but the words themselves."""
        keys = [stem_key(stem(word, code)) for word in self.vocabulary for code in languages]
        none = np.zeros((0, 2), np.int32)
        return {
            "stems": np.array(keys, np.uint32).reshape(-1, len(languages)),
            "sentence_offsets": _offsets(np.array(self._n_sentences, np.int64)),
            "sentences": np.concatenate([none, *self._sentences]),
            "word_offsets": _offsets(np.concatenate([none[:, 0], *self._n_words])),
        }


def cut_passage_words(texts: Iterable[str], languages: Sequence[str]) -> PassageWords:
    """Cut passages in memory: what a version that was built without them has to do at each query.

    Parameters
    ----------
    languages
        Main languages of the documents.
    """
    gathered = _Gathered()
    rows = [gathered.add(text) for text in texts]
    found = np.concatenate([np.zeros(0, np.uint32), *rows])
    return _table(list(gathered.vocabulary), {**gathered.arrays(languages), "words": found})


def write_passage_words(folder: Path, texts: Iterable[str], languages: Sequence[str]) -> None:
    """Cut passages, in the order of their rows, and write their words into an existing folder.

    Parameters
    ----------
    texts
        Text of each passage; they are streamed.
    languages
        Main languages of the documents.
    """
    gathered = _Gathered()
    raw = folder / _RAW_FILE
    with raw.open("wb") as file:
        for text in texts:
            file.write(gathered.add(text).tobytes())
    for name, array in gathered.arrays(languages).items():
        np.save(folder / f"{name}.npy", array)
    vocabulary = json.dumps(list(gathered.vocabulary), ensure_ascii=False, indent=0)
    (folder / _VOCABULARY_FILE).write_text(vocabulary + "\n", encoding="utf-8")
    _write_words(folder / "words.npy", raw, len(gathered.vocabulary))
    raw.unlink()


def _write_words(path: Path, raw: Path, n_vocabulary: int) -> None:
    """Copy rows from a raw file, in half the space where the vocabulary allows it."""
    kind = np.uint16 if n_vocabulary <= 1 << 16 else np.uint32
    n_words = raw.stat().st_size // np.dtype(np.uint32).itemsize
    header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (n_words,)}
    with raw.open("rb") as source, path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        while (part := np.fromfile(source, np.uint32, _WORDS_AT_ONCE)).size:
            file.write(part.astype(kind).tobytes())


def read_passage_words(folder: Path, n_passages: int) -> PassageWords | None:
    """Read what ``write_passage_words`` wrote; ``None`` where a version was built without it.

    Raises
    ------
    IndexCorruptError
        If a file is damaged.
    """
    if not folder.is_dir():
        return None
    path = folder / _VOCABULARY_FILE
    try:
        vocabulary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{path} cannot be read as a vocabulary: {error!r}") from error
    arrays = {name: load_array(folder / f"{name}.npy") for name in _ARRAYS}
    if not isinstance(vocabulary, list) or not (
        arrays["stems"].shape[:1] == (len(vocabulary),)
        and len(arrays["sentence_offsets"]) == n_passages + 1
        and arrays["sentence_offsets"][-1] == len(arrays["sentences"])
        and len(arrays["word_offsets"]) == len(arrays["sentences"]) + 1
        and arrays["word_offsets"][-1] == len(arrays["words"])
    ):
        raise IndexCorruptError(f"{folder} cannot be read: its files do not fit together")
    return _table(vocabulary, arrays)


def _table(vocabulary: list[str], arrays: dict[str, NDArray[np.generic]]) -> PassageWords:
    return PassageWords(vocabulary, *(arrays[name] for name in _ARRAYS))  # type: ignore[arg-type]


def _offsets(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
