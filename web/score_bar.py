"""Why a hit is there, drawn: one bar of parts that add up to the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.search.answer import Hit, SignalExplanation

__all__ = ["BAR_WIDTH", "PART_LABELS", "Part", "ScoreBar", "Segment", "bars_of", "percent_of"]

BAR_WIDTH = 1000.0
"""Width of a full bar, in units of its drawing."""

PART_LABELS = MappingProxyType(
    {
        "bm25": ("Keywords", "BM25"),
        "tfidf": ("Topics", "TF-IDF"),
        "word2vec": ("Related words", "Word2Vec"),
        "bert": ("Meaning", "BERT"),
        "regularization": ("Similar hits", "regularization"),
        "exactness": ("Exact match", "exactness"),
        "rerank": ("Re-ranking", "cross-encoder"),
    }
)


@dataclass(frozen=True, slots=True)
class Part:
    """One row of a hit's explanation; ``signal`` is ``None`` for what is not a signal."""

    name: str
    label: str
    method: str
    contribution: float
    signal: SignalExplanation | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the bar; ``taken`` where a part lowers the score."""

    name: str
    text: str
    x: float
    width: float
    taken: bool = False


@dataclass(frozen=True, slots=True)
class ScoreBar:
    """A hit's bar.

    Parameters
    ----------
    segments
        Parts that add to the score from the left, in their fixed order; a part that takes
        away lies over the end of them, so that what stays uncovered is the score.
    text
        The same in words.
    """

    parts: tuple[Part, ...]
    segments: tuple[Segment, ...]
    text: str


def bars_of(hits: Sequence[Hit]) -> list[ScoreBar]:
    """Draw the hits of one page to one scale.

    An exact match is worth several times what the signals are; such a hit gets a scale of its
    own, or every other bar on the page would be a stub.
    """
    parts = [_parts(hit) for hit in hits]
    gains = [sum(max(part.contribution, 0.0) for part in own) for own in parts]
    shared = [gain for hit, gain in zip(hits, gains, strict=True) if hit.exactness <= 0]
    scale = max(shared, default=0.0)
    return [
        _bar(hit, own, max(scale, gain)) for hit, own, gain in zip(hits, parts, gains, strict=True)
    ]


def percent_of(probability: float) -> str:
    """Write a probability so that it is never rounded to a certainty.

    Examples
    --------
    >>> percent_of(0.874), percent_of(0.9999), percent_of(0.001)
    ('87%', 'over 99%', 'under 1%')
    """
    if probability < 0.01:
        return "under 1%"
    if probability > 0.99:
        return "over 99%"
    return f"{probability:.0%}"


def _parts(hit: Hit) -> tuple[Part, ...]:
    contributions: dict[str, tuple[float, SignalExplanation | None]] = {
        name: (signal.contribution, signal) for name, signal in hit.explanation.items()
    }
    contributions["regularization"] = (hit.regularization, None)
    contributions["exactness"] = (hit.exactness, None)
    if hit.rerank is not None:
        contributions["rerank"] = (hit.rerank.contribution, None)
    return tuple(
        Part(name, *PART_LABELS[name], *contributions[name])
        for name in PART_LABELS
        if name in contributions
    )


def _bar(hit: Hit, parts: tuple[Part, ...], scale: float) -> ScoreBar:
    unit = BAR_WIDTH / scale if scale > 0 else 0.0
    segments, x = [], 0.0
    for part in parts:
        if part.contribution > 0:
            width = part.contribution * unit
            segments.append(Segment(part.name, _text(part), round(x, 3), round(width, 3)))
            x += width
    taken = [part for part in parts if part.contribution < 0]
    for part in taken:
        width = min(-part.contribution * unit, x)
        x -= width
        segments.append(Segment(part.name, _text(part), round(x, 3), round(width, 3), taken=True))
    told = ", ".join(_text(part) for part in parts if part.contribution)
    return ScoreBar(parts, tuple(segments), f"Score {hit.score:.3f}: {told or 'no evidence'}")


def _text(part: Part) -> str:
    sign = "\N{MINUS SIGN}" if part.contribution < 0 else ""
    return f"{part.label} {sign}{abs(part.contribution):.3f}"
