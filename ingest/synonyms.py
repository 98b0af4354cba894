"""Synonym files: which words of a collection mean the same.

A line ``car, automobile, motor vehicle`` lets each stand for the others; ``nyc => new york`` lets
what is left of the arrow stand for what is right of it only. Empty lines and lines that begin with
``#`` say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ingest.errors import CorpusError

__all__ = ["read_synonyms"]

_ARROW = "=>"
_MAX_WORDS = 10


def read_synonyms(path: Path) -> Mapping[str, list[str]]:
    """Read a synonym file.

    Returns
    -------
    mapping
        Words as they stand in a query -> what else to look for, in the order of the file.

    Raises
    ------
    CorpusError
        If the file cannot be read, or a line makes no sense; names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8: byte {error.start} cannot be read") from error
    found: dict[str, dict[str, None]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            for words, others in _pairs(line, f"{path}, line {number}"):
                found.setdefault(words, {}).update(dict.fromkeys(others))
    return {words: list(others) for words, others in found.items()}


def _pairs(line: str, place: str) -> list[tuple[str, list[str]]]:
    left, arrow, right = line.partition(_ARROW)
    if _ARROW in right:
        raise CorpusError(f"{place}: more than one {_ARROW}; write words {_ARROW} other words")
    given = _entries(left, place)
    if arrow:
        others = _entries(right, place)
        return [(words, [other for other in others if other != words]) for words in given]
    if len(given) < 2:
        raise CorpusError(
            f"{place}: {line.strip()!r:.60} has no synonym; "
            f"write car, automobile or nyc {_ARROW} new york"
        )
    return [(words, [other for other in given if other != words]) for words in given]


def _entries(text: str, place: str) -> list[str]:
    entries = [" ".join(entry.split()) for entry in text.split(",")]
    for entry in entries:
        if not any(character.isalnum() for character in entry):
            raise CorpusError(f"{place}: a synonym without a letter or digit: {entry!r:.60}")
        if len(entry.split()) > _MAX_WORDS:
            raise CorpusError(
                f"{place}: a synonym of more than {_MAX_WORDS} words: {entry[:40]!r}..."
            )
    return list(dict.fromkeys(entries))
