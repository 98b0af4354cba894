"""Platt scaling: the level of a collection's probabilities, fitted on judged hits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.search.calibration import COSINE_COEFFICIENT, Recalibration, log_odds

__all__ = ["fit_platt"]

_N_ROUNDS = 100
_CONVERGED = 1e-10
# The loss is convex, so where the free fit would fall with a piece of evidence the best fit lies on
# an edge of what is allowed: the log-odds count for nothing, or the cosine's part in them is taken
# back, or both.
_EDGES = (
    np.eye(2),
    np.array([[0.0], [1.0]]),
    np.array([[1.0], [-COSINE_COEFFICIENT]]),
    np.zeros((2, 0)),
)
# Keeps Newton's step finite where all probabilities are alike.
_RIDGE = 1e-9


def fit_platt(
    probability: NDArray[np.float64], cosine: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> Recalibration:
    """Fit the level that makes the judgments likeliest, and never falls with the evidence.

    Labels are drawn toward the middle as Platt does, so that judgments that are all alike, or
    perfectly told apart, still give finite numbers.

    Parameters
    ----------
    probability, cosine
        float64, shape (n_hits,), as `Recalibration.apply` takes them.
    relevant
        bool, shape (n_hits,).

    Returns
    -------
    Recalibration
        Of no encoder; one that changes nothing where there are no hits.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin
    Classifiers, 1999; Newton's method with backtracking: Lin, Lin & Weng, Machine Learning 2007,
    doi:10.1007/s10994-007-5018-6.

    Examples
    --------
    >>> said, relevant = np.repeat([0.4, 0.6], 1000), np.arange(2000) % 1000 < 692
    >>> level = fit_platt(said, np.zeros(2000), relevant)
    >>> round(level.intercept, 2), round(level.slope, 2), level.cosine
    (0.81, 0.0, 0.0)
    """
    if not len(probability):
        return Recalibration(0.0, 1.0, 0.0, "")
    n_relevant = int(np.count_nonzero(relevant))
    n_others = len(relevant) - n_relevant
    wanted = np.where(relevant, (n_relevant + 1) / (n_relevant + 2), 1 / (n_others + 2))
    known = np.where(np.isnan(cosine), 0.0, cosine)
    evidence = np.stack([log_odds(probability), known], axis=1)
    fits = []
    for edge in _EDGES:
        design = np.column_stack([np.ones(len(evidence)), evidence @ edge])
        found = _newton(design, wanted)
        slope, along = (edge @ found[1:]).tolist()
        if slope >= 0 and slope * COSINE_COEFFICIENT + along >= 0:
            fits.append((_loss(design @ found, wanted), found[0], slope, along))
    _, intercept, slope, along = min(fits)
    return Recalibration(float(intercept), slope, along, "")


def _newton(design: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.zeros(design.shape[1])
    loss = _loss(design @ found, wanted)
    for _ in range(_N_ROUNDS):
        fitted = 1 / (1 + np.exp(-np.clip(design @ found, -36.0, 36.0)))
        slope = design.T @ (fitted - wanted)
        curve = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(curve + _RIDGE * np.eye(len(found)), slope)
        length, moved = 1.0, found - step
        while (new := _loss(design @ moved, wanted)) > loss and length > _CONVERGED:
            length /= 2
            moved = found - length * step
        if loss - new <= _CONVERGED * abs(loss):
            break
        found, loss = moved, new
    return found


def _loss(logit: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0.0, logit) - wanted * logit))
