"""A picture of embeddings: two dimensions in which what is alike lies together.

A sample of the embeddings, the landmarks, is drawn by t-SNE (van der Maaten & Hinton, JMLR 2008,
https://jmlr.org/papers/v9/vandermaaten08a.html) over their principal components, beginning with
the first two so that the large distances mean something too (Kobak & Berens, Nature
Communications 2019, doi:10.1038/s41467-019-13056-x). Everything else is placed by its nearest
landmarks, so a picture of a million costs hardly more than one of a thousand, and what comes later
is placed without moving what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings

__all__ = ["MAX_LANDMARKS", "Drawing", "draw"]

MAX_LANDMARKS = 2000
"""Embeddings that are drawn; 8 s of one core."""

# Fewer points than this have no neighbourhoods to keep; their principal components are drawn.
_FEWEST = 100
_N_COMPONENTS = 50
_PERPLEXITY = 30.0
_STEPS = 500
_SEED = 20_080_101
_MOST_CLUSTERS = 24
_N_NEAREST = 8
# Landmarks further apart than this, of a picture two units wide, are not the same place.
_SAME_PLACE = 0.03
_SMALLEST = 1e-6
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Drawing:
    """Where the landmarks are, and so where anything else belongs.

    Parameters
    ----------
    mean, components
        float32, shapes (dimension,) and (n_components, dimension): the principal components.
    landmarks
        float32, shape (n_landmarks, n_components).
    positions
        float32, shape (n_landmarks, 2), in [-1, 1].
    centers
        float32, shape (n_clusters, 2): of each cluster in the picture.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    positions: NDArray[np.float32]
    centers: NDArray[np.float32]

    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """Every array by its name."""
        return dict(vars(self))

    def place(self, embeddings: Embeddings) -> NDArray[np.float32]:
        """Where embeddings belong: between those of their nearest landmarks that lie together.

        Parameters
        ----------
        embeddings
            float32, shape (n, dimension).

        Returns
        -------
        float32, shape (n, 2)
            In [-1, 1]. A landmark lies where it was drawn.
        """
        placed = np.empty((len(embeddings), 2), np.float32)
        for begin in range(0, len(embeddings), _ROWS_AT_ONCE):
            part = slice(begin, begin + _ROWS_AT_ONCE)
            placed[part] = self._place(embeddings[part])
        return placed

    def _place(self, embeddings: Embeddings) -> NDArray[np.float32]:
        points = (embeddings - self.mean) @ self.components.T
        distances = (
            np.square(points).sum(axis=1)[:, None]
            + np.square(self.landmarks).sum(axis=1)
            - 2 * points @ self.landmarks.T
        )
        n_nearest = min(_N_NEAREST, len(self.landmarks))
        nearest = np.argpartition(distances, n_nearest - 1, axis=1)[:, :n_nearest]
        # From the points themselves: the short way above is inexact where it matters most.
        apart = np.square(points[:, None] - self.landmarks[nearest]).sum(axis=2, dtype=np.float64)
        nearness = 1 / (apart + _SMALLEST)
        # A mean of two places far apart would be neither: the heaviest place alone counts.
        found = self.positions[nearest].astype(np.float64)
        between = np.square(found[:, :, None] - found[:, None]).sum(axis=3)
        together = np.exp(-between / (2 * _SAME_PLACE**2))
        heaviest = (together * nearness[:, None]).sum(axis=2).argmax(axis=1)
        weights = nearness * together[np.arange(len(points)), heaviest]
        summed = (found * weights[:, :, None]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
        placed: NDArray[np.float32] = np.clip(summed, -1, 1).astype(np.float32)
        return placed

    def clusters(self, positions: NDArray[np.float32]) -> NDArray[np.int16]:
        """The cluster whose center is nearest to each position: int16, shape (n,)."""
        distances = np.square(positions[:, None] - self.centers).sum(axis=2)
        nearest: NDArray[np.int16] = distances.argmin(axis=1).astype(np.int16)
        return nearest


def draw(embeddings: Embeddings, n_clusters: int) -> Drawing:
    """Draw embeddings, and divide the picture into clusters.

    The clusters are k-means over the positions: what has one color lies together. The same
    embeddings give the same bytes, on the same machine.

    Parameters
    ----------
    embeddings
        float32, shape (n, dimension), n at least 1; at most ``MAX_LANDMARKS`` of them, or it takes
        long. Copies count once.
    n_clusters
        How many at most; never more than there are places.

    Examples
    --------
    >>> drawing = draw(np.eye(3, dtype=np.float32), n_clusters=3)
    >>> placed = drawing.place(np.eye(3, dtype=np.float32))
    >>> bool(np.allclose(placed, drawing.positions, atol=1e-3)), len(set(drawing.clusters(placed)))
    (True, 3)
    """
    # One thread: sums that several share come out otherwise each time.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        _, first = np.unique(embeddings, axis=0, return_index=True)
        chosen = embeddings[np.sort(first)]
        mean = chosen.mean(axis=0, dtype=np.float64).astype(np.float32)
        components = _principal_components(chosen - mean)
        landmarks = (chosen - mean) @ components.T
        positions = _spread(_positions(landmarks))
        return Drawing(mean, components, landmarks, positions, _centers(positions, n_clusters))


def _principal_components(centered: NDArray[np.float32]) -> NDArray[np.float32]:
    """Directions of most variance, each pointing where it is largest; shape (n, dimension)."""
    covariance = centered.astype(np.float64).T @ centered
    found = np.linalg.eigh(covariance)[1].T[::-1][:_N_COMPONENTS]
    largest = found[np.arange(len(found)), np.abs(found).argmax(axis=1)]
    result: NDArray[np.float32] = (found * np.sign(largest)[:, None]).astype(np.float32)
    return np.ascontiguousarray(result)


def _positions(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = np.zeros((len(landmarks), 2), np.float32)
    flat[:, : landmarks.shape[1]] = landmarks[:, :2]
    spread = float(flat[:, 0].std())
    if len(landmarks) < _FEWEST or spread < _SMALLEST:
        return flat
    # Imported here: scikit-learn takes a second to import, and a search needs none of it.
    from sklearn.manifold import TSNE

    tsne: Any = TSNE(
        perplexity=_PERPLEXITY, init=flat / spread * 1e-4, max_iter=_STEPS, random_state=_SEED
    )
    drawn: NDArray[np.float32] = tsne.fit_transform(landmarks)
    return drawn


def _spread(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit positions into [-1, 1], both axes on the same scale."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    reach = max(float((high - low).max()) / 2, _SMALLEST)
    spread: NDArray[np.float32] = ((positions - (low + high) / 2) / reach).astype(np.float32)
    return spread


def _centers(positions: NDArray[np.float32], n_clusters: int) -> NDArray[np.float32]:
    places = np.unique(positions.round(3), axis=0)
    if len(places) <= n_clusters:
        return places
    from sklearn.cluster import KMeans

    means: Any = KMeans(min(n_clusters, _MOST_CLUSTERS), n_init=4, random_state=_SEED)
    found: NDArray[np.float32] = means.fit(positions).cluster_centers_.astype(np.float32)
    # In reading order, so that their numbers mean something.
    return np.ascontiguousarray(found[np.lexsort((found[:, 0], found[:, 1]))])
