"""The words of every passage, sentence by sentence: what marking a hit would else cut out anew.

A word is stored as its row in the version's vocabulary, so that a query compares numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from encoders.words import stem, word_spans
from ingest.errors import IndexCorruptError
from ingest.sentences import sentence_spans
from pipeline.version.arrays import Runs, check_offsets, load_array, merge_runs

__all__ = [
    "MAX_SENTENCES",
    "PASSAGE_WORDS_FOLDER",
    "PassageWords",
    "cut_passage_words",
    "cut_words",
    "read_passage_words",
    "stem_key",
    "update_passage_words",
    "write_passage_words",
]

PASSAGE_WORDS_FOLDER = "passage_words"
MAX_SENTENCES = 60
"""Sentences of a passage that are told apart; what follows them is one stretch."""

_VOCABULARY_FILE = "vocabulary.json"
_COLUMNS = ("words", "starts", "lengths")
# Number of dimensions, and what the entries are.
_ARRAYS: Mapping[str, tuple[int, type[np.integer[Any]]]] = {
    "stems": (2, np.uint32),
    "sentence_offsets": (1, np.int64),
    "sentences": (2, np.int32),
    "word_offsets": (1, np.int64),
    **dict.fromkeys(_COLUMNS, (1, np.unsignedinteger)),
}
_RAW_FILE = "words.raw"
_ROWS_AT_ONCE = 1 << 20


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
    words, starts, lengths
        Unsigned integers as wide as they need to be, shape (n_words,), in order of the text: row
        in the vocabulary, and the code points of the passage the word stands at.
    """

    vocabulary: list[str]
    stems: NDArray[np.uint32]
    sentence_offsets: NDArray[np.int64]
    sentences: NDArray[np.int32]
    word_offsets: NDArray[np.int64]
    words: NDArray[np.unsignedinteger]
    starts: NDArray[np.unsignedinteger]
    lengths: NDArray[np.unsignedinteger]


def cut_words(
    text: str,
) -> tuple[list[tuple[int, int]], list[list[tuple[int, int, str]]]]:
    """Cut one passage into sentences, and each into its words.

    Returns
    -------
    spans, words
        Start and end of at most 60 sentences, and of what follows them; and start, end and folded
        form of the words of each.

    Examples
    --------
    >>> cut_words("Dr. Lee left. Why?")
    ([(0, 13), (14, 18)], [[(0, 2, 'dr'), (4, 7, 'lee'), (8, 12, 'left')], [(14, 17, 'why')]])
    """
    spans = sentence_spans(text)
    if len(spans) > MAX_SENTENCES:
        spans[MAX_SENTENCES:] = [(spans[MAX_SENTENCES][0], len(text))]
    return spans, [
        [(begin + start, begin + end, word) for start, end, word in word_spans(text[begin:last])]
        for begin, last in spans
    ]


def stem_key(stemmed: str) -> int:
    """A number for a stem, below 2**32; few stems share one."""
    return crc32(stemmed.encode())


class _Gathered:
    """Passages cut one after another; the words themselves are handed on at once."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.vocabulary = {word: row for row, word in enumerate(known)}
        self._n_sentences: list[int] = []
        self._sentences: list[NDArray[np.int32]] = []
        self._n_words: list[NDArray[np.int32]] = []

    def add(self, text: str) -> NDArray[np.uint32]:
        """Cut a passage; returns row, start and length of its words: shape (n_words, 3)."""
        spans, found = cut_words(text)
        self._n_sentences.append(len(spans))
        self._sentences.append(np.array(spans, np.int32).reshape(-1, 2))
        self._n_words.append(np.array([len(inside) for inside in found], np.int32))
        vocabulary = self.vocabulary
        cut = [
            (vocabulary.setdefault(word, len(vocabulary)), start, end - start)
            for inside in found
            for start, end, word in inside
        ]
        return np.array(cut, np.uint32).reshape(-1, len(_COLUMNS))

    def arrays(self, languages: Sequence[str]) -> dict[str, NDArray[np.integer[Any]]]:
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
    found = [gathered.add(text) for text in texts]
    columns = np.concatenate([np.zeros((0, len(_COLUMNS)), np.uint32), *found]).T
    arrays = {**gathered.arrays(languages), **dict(zip(_COLUMNS, columns, strict=True))}
    return _table(list(gathered.vocabulary), arrays)


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
    most = np.zeros(len(_COLUMNS), np.int64)
    with raw.open("wb") as file:
        for text in texts:
            found = gathered.add(text)
            most = np.maximum(most, found.max(axis=0, initial=0))
            file.write(found.tobytes())
    _write(folder, gathered, gathered.arrays(languages))
    for column, name in enumerate(_COLUMNS):
        _write_column(folder / f"{name}.npy", raw, column, np.min_scalar_type(most[column]))
    raw.unlink()


def update_passage_words(
    folder: Path,
    old: PassageWords,
    origins: NDArray[np.int64],
    texts: Iterable[str],
    languages: Sequence[str],
) -> None:
    """Write the words of passages most of which another version has cut already.

    Words that stood only in passages that are gone stay in the vocabulary; nothing refers to them.

    Parameters
    ----------
    old
        That version's, cut for the same languages.
    origins
        int64, shape (n_passages,): the passage's row there, or -1 for the next of ``texts``.
    texts
        Text of each of the others, in order.
    """
    gathered = _Gathered(old.vocabulary)
    none = np.zeros((0, len(_COLUMNS)), np.uint32)
    columns = np.concatenate([none, *(gathered.add(text) for text in texts)]).T
    arrays = gathered.arrays(languages)
    rows = np.arange(len(old.sentences))
    sentences = merge_runs(
        origins,
        Runs(old.sentence_offsets, (old.sentences, rows)),
        Runs(
            arrays["sentence_offsets"].astype(np.int64),
            (arrays["sentences"], np.full(len(arrays["sentences"]), -1)),
        ),
    )
    words = merge_runs(
        sentences.columns[1],
        Runs(old.word_offsets, (old.words, old.starts, old.lengths)),
        Runs(arrays["word_offsets"].astype(np.int64), tuple(columns)),
    )
    arrays |= {
        "sentence_offsets": sentences.offsets,
        "sentences": sentences.columns[0],
        "word_offsets": words.offsets,
    }
    for name, column in zip(_COLUMNS, words.columns, strict=True):
        arrays[name] = column.astype(np.min_scalar_type(int(column.max(initial=0))))
    _write(folder, gathered, arrays)


def _write(
    folder: Path, gathered: _Gathered, arrays: Mapping[str, NDArray[np.integer[Any]]]
) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    vocabulary = json.dumps(list(gathered.vocabulary), ensure_ascii=False, indent=0)
    (folder / _VOCABULARY_FILE).write_text(vocabulary + "\n", encoding="utf-8")


def _write_column(path: Path, raw: Path, column: int, kind: np.dtype[np.unsignedinteger]) -> None:
    """Copy a column of a raw file, which need not fit in memory."""
    n_rows = raw.stat().st_size // (np.dtype(np.uint32).itemsize * len(_COLUMNS))
    header = {"descr": kind.str, "fortran_order": False, "shape": (n_rows,)}
    with raw.open("rb") as source, path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        while (part := np.fromfile(source, np.uint32, _ROWS_AT_ONCE * len(_COLUMNS))).size:
            file.write(part[column :: len(_COLUMNS)].astype(kind).tobytes())


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
    arrays = {
        name: load_array(folder / f"{name}.npy", dtype, n_dimensions=n_dimensions)
        for name, (n_dimensions, dtype) in _ARRAYS.items()
    }
    if not (
        isinstance(vocabulary, list)
        and arrays["stems"].shape[:1] == (len(vocabulary),)
        and len(arrays["sentence_offsets"]) == n_passages + 1
        and len(arrays["word_offsets"]) == len(arrays["sentences"]) + 1
        and len({len(arrays[name]) for name in _COLUMNS}) == 1
    ):
        raise IndexCorruptError(f"{folder} cannot be read: its files do not fit together")
    for name, n_entries in (
        ("sentence_offsets", len(arrays["sentences"])),
        ("word_offsets", len(arrays["words"])),
    ):
        check_offsets(folder / f"{name}.npy", arrays[name].astype(np.int64, copy=False), n_entries)
    return _table(vocabulary, arrays)


def _table(vocabulary: list[str], arrays: Mapping[str, NDArray[np.integer[Any]]]) -> PassageWords:
    return PassageWords(vocabulary, *(arrays[name] for name in _ARRAYS))  # type: ignore[arg-type]


def _offsets(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
