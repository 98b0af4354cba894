"""A picture keeps neighbors together, and what is placed in it later lies where it belongs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from encoders.layout import Drawing, draw
from encoders.protocol import Embeddings


def groups(n_groups: int, n_each: int, *, spread: float = 0.5, dimension: int = 40) -> Embeddings:
    """Unit vectors in groups, one group after the other."""
    generator = np.random.default_rng(3)
    centers = generator.normal(size=(n_groups, dimension))
    noise = generator.normal(size=(n_groups, n_each, dimension))
    rows = (centers[:, None] + spread * noise).reshape(-1, dimension)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


LATE = np.arange(150) % 6 == 0
GROUP = np.repeat(np.arange(5), 30)


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    return groups(5, 30)


@pytest.fixture(scope="module")
def drawing(embeddings: Embeddings) -> Drawing:
    """Of most of the embeddings; the late ones come later."""
    return draw(embeddings[~LATE], n_clusters=5)


def share_beside_own(placed: NDArray[np.float32], group: NDArray[np.int64]) -> float:
    apart = np.linalg.norm(placed[:, None] - placed, axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((group[apart.argmin(axis=1)] == group).mean())


def test_what_is_alike_lies_together(drawing: Drawing) -> None:
    assert np.abs(drawing.positions).max() <= 1
    assert np.ptp(drawing.positions, axis=0).max() == pytest.approx(2, abs=1e-5)
    assert share_beside_own(drawing.positions, GROUP[~LATE]) > 0.95


def test_few_are_drawn_by_their_principal_components() -> None:
    few = groups(5, 8)
    assert share_beside_own(draw(few, 5).place(few), np.repeat(np.arange(5), 8)) > 0.8


def test_the_same_embeddings_give_the_same_bytes(drawing: Drawing, embeddings: Embeddings) -> None:
    again = draw(embeddings[~LATE].copy(), n_clusters=5)
    for name, array in again.arrays().items():
        assert array.dtype == np.float32
        assert array.tobytes() == drawing.arrays()[name].tobytes()


def test_what_comes_later_lies_among_its_own_and_moves_nothing(
    drawing: Drawing, embeddings: Embeddings
) -> None:
    placed = drawing.place(embeddings)
    assert np.allclose(placed[~LATE], drawing.positions, atol=1e-3)
    apart = np.linalg.norm(placed[LATE][:, None] - drawing.positions, axis=2)
    assert (GROUP[~LATE][apart.argmin(axis=1)] == GROUP[LATE]).mean() > 0.9


def test_copies_are_one_landmark_and_one_place() -> None:
    embeddings = np.repeat(groups(3, 2), 50, axis=0)
    drawing = draw(embeddings, n_clusters=10)
    assert len(drawing.landmarks) == 6
    assert len(np.unique(drawing.place(embeddings).round(4), axis=0)) == 6
    assert len(drawing.centers) <= 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (2, 1), (3, 3), (120, 1)])
def test_few_points_and_few_dimensions_are_drawn_too(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    drawing = draw(rows, n_clusters=4)
    placed = drawing.place(rows)
    assert np.isfinite(placed).all()
    assert set(drawing.clusters(placed)) <= set(range(len(drawing.centers)))


def test_nothing_to_place_is_no_error() -> None:
    drawing = draw(groups(2, 3), n_clusters=2)
    none = np.zeros((0, 40), np.float32)
    assert drawing.place(none).shape == (0, 2)
    assert drawing.clusters(drawing.place(none)).shape == (0,)
