"""Why a hit is there, word by word: one passage, drawn as each signal reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.search.answer import Hit, WordContribution
from pipeline.version.open_version import SIGNALS
from web.plain_text import readable
from web.score_bar import PART_LABELS

__all__ = ["N_LEVELS", "Reading", "Stretch", "WordRow", "readings_of"]

N_LEVELS = 5
"""Strengths a word can be drawn in, from 1; 0 is not drawn."""

_N_ROWS = 10
_SOURCES = {
    "title": "in the title",
    "document": "elsewhere in the document",
    "model": "what the model adds to every text",
    "rest": "all other words",
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Text of a passage that brings equally much; ``level`` is below 0 where it takes away."""

    text: str
    level: int


@dataclass(frozen=True, slots=True)
class WordRow:
    """One word's share of a signal's score; ``width`` in percent of the largest share."""

    word: str
    where: str
    contribution: float
    width: float


@dataclass(frozen=True, slots=True)
class Reading:
    """How one signal reads a hit; the rows and ``others`` add up to ``raw``."""

    name: str
    label: str
    method: str
    raw: float
    stretches: list[Stretch]
    rows: list[WordRow]
    others: float


def readings_of(hit: Hit) -> list[Reading]:
    """Every signal's reading of a hit that was asked for word by word.

    Returns
    -------
    list of Reading
        In the signals' own order; signals that say nothing about the hit are left out.
    """
    if hit.attribution is None:
        return []
    # BM25 weighs the query's words; the others weigh the document's, which tells more.
    entries = {**hit.attribution.query, **hit.attribution.document}
    return [
        _reading(name, entries[name], hit)
        for name in SIGNALS
        if entries.get(name) and hit.explanation[name].raw is not None
    ]


def _reading(name: str, entries: Sequence[WordContribution], hit: Hit) -> Reading:
    most = max((abs(entry.contribution) for entry in entries), default=0.0) or 1.0
    shown = sorted(entries, key=lambda entry: -abs(entry.contribution))[:_N_ROWS]
    return Reading(
        name,
        *PART_LABELS[name],
        raw=hit.explanation[name].raw or 0.0,
        stretches=_stretches(hit.passage.text, entries, most),
        rows=[
            WordRow(
                readable(entry.word),
                "" if entry.spans else _SOURCES.get(entry.source, ""),
                entry.contribution,
                round(100 * abs(entry.contribution) / most, 1),
            )
            for entry in shown
        ],
        others=sum(entry.contribution for entry in entries)
        - sum(entry.contribution for entry in shown),
    )


def _stretches(text: str, entries: Sequence[WordContribution], most: float) -> list[Stretch]:
    """Cut a passage at every place a word begins or ends; where words overlap, the larger counts.

    A word that stands several times brings its share by all of them together.
    """
    marks = [
        (start, end, entry.contribution)
        for entry in entries
        for start, end in entry.spans
        if 0 <= start < end <= len(text)
    ]
    places = sorted({0, len(text), *(mark[0] for mark in marks), *(mark[1] for mark in marks)})
    level_at = dict.fromkeys(places, 0)
    for start, end, contribution in sorted(marks, key=lambda mark: abs(mark[2])):
        level = round(N_LEVELS * contribution / most)
        for place in places:
            if start <= place < end:
                level_at[place] = level
    return [Stretch(readable(text[a:b]), level_at[a]) for a, b in pairwise(places)]
