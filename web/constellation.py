"""Words around what they are near to, as a drawing: nearer is nearer, and like stands by like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from encoders.protocol import Embeddings

__all__ = ["SIZE", "Star", "constellation"]

SIZE = 1000.0
"""Width and height of the drawing; the middle is what the words are near to."""

_INNER, _OUTER = 0.2 * SIZE / 2, 0.86 * SIZE / 2
_LABEL_HEIGHT = 44.0


@dataclass(frozen=True, slots=True)
class Star:
    """One word's place; ``side`` is where its label stands: ``start`` (right of it) or ``end``."""

    word: str
    x: float
    y: float
    label_y: float
    side: str
    nearness: float


def constellation(
    words: Sequence[str], embeddings: Sequence[Embeddings], target: Embeddings
) -> list[Star]:
    """Place words around a target.

    The distance from the middle grows as the cosine with the target falls. The angle is that of
    the first two principal components of what the words have beside the target, so words that
    differ from it in the same way stand on the same side.

    Parameters
    ----------
    embeddings
        Of the words: each float32, shape (dimension,), of unit length.
    target
        float32, shape (dimension,), of unit length.
    """
    if not words:
        return []
    matrix = np.stack(embeddings).astype(np.float64)
    cosines = matrix @ target
    beside = matrix - cosines[:, None] * target
    beside -= beside.mean(axis=0)
    left, scale, _ = np.linalg.svd(beside, full_matrices=False)
    flat = np.zeros((len(words), 2))
    flat[:, : min(2, len(scale))] = (left * scale)[:, :2]
    angles = _spread(np.arctan2(flat[:, 1], flat[:, 0]))
    low, high = float(cosines.min()), float(cosines.max())
    reach = (high - cosines) / (high - low) if high > low else np.zeros(len(words))
    radii = _INNER + (_OUTER - _INNER) * reach
    places = [
        (SIZE / 2 + radius * math.cos(angle), SIZE / 2 + radius * math.sin(angle))
        for radius, angle in zip(radii.tolist(), angles, strict=True)
    ]
    labels = _apart([y for _, y in places], [x >= SIZE / 2 for x, _ in places])
    return [
        Star(word, round(x, 1), round(y, 1), round(label, 1), side, round(cosine, 3))
        for word, (x, y), label, cosine in zip(words, places, labels, cosines.tolist(), strict=True)
        for side in ["start" if x >= SIZE / 2 else "end"]
    ]


def _spread(angles: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    """The same angles, moved half way to being equally far apart, in the same order."""
    order = np.argsort(angles, kind="stable")
    even = np.empty(len(angles))
    even[order] = -math.pi + 2 * math.pi * (np.arange(len(angles)) + 0.5) / len(angles)
    mixed: list[float] = (0.35 * angles + 0.65 * even).tolist()
    return mixed


def _apart(heights: Sequence[float], on_right: Sequence[bool]) -> list[float]:
    """Heights of labels, moved so that no two on one side cover each other."""
    moved = list(heights)
    for side in (True, False):
        order = [i for i, right in enumerate(on_right) if right is side]
        order.sort(key=moved.__getitem__)
        for above, below in pairwise(order):
            moved[below] = max(moved[below], moved[above] + _LABEL_HEIGHT)
        excess = max((moved[i] for i in order), default=0.0) - (SIZE - _LABEL_HEIGHT / 2)
        if excess > 0:
            for i in order:
                moved[i] -= excess
    return moved
