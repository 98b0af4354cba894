"""Platt scaling: the level of a collection's probabilities, fitted on judged hits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.search.calibration import log_odds

__all__ = ["fit_platt"]

_N_ROUNDS = 100
_CONVERGED = 1e-10
# Keeps Newton's step finite where all probabilities are alike.
_RIDGE = 1e-9


def fit_platt(probability: NDArray[np.float64], relevant: NDArray[np.bool_]) -> tuple[float, float]:
    """Intercept and slope of ``log-odds -> log-odds`` that make the judgments likeliest.

    Labels are drawn toward the middle as Platt does, so that judgments that are all alike, or
    perfectly told apart, still give finite numbers. Where relevant hits are not the likelier
    ones the slope is 0, and every hit gets the share that is relevant.

    Parameters
    ----------
    probability
        float64, shape (n_hits,), in [0, 1].
    relevant
        bool, shape (n_hits,).

    Returns
    -------
    (intercept, slope)
        Both finite, the slope at least 0; (0, 1), which changes nothing, where there are no hits.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin
    Classifiers, 1999; Newton's method with backtracking: Lin, Lin & Weng, Machine Learning 2007,
    doi:10.1007/s10994-007-5018-6.

    Examples
    --------
    >>> twice_as_sure = fit_platt(np.repeat([0.4, 0.6], 1000), np.arange(2000) % 1000 < 692)
    >>> [round(number, 2) for number in twice_as_sure]
    [0.81, 0.0]
    """
    if not len(probability):
        return 0.0, 1.0
    n_relevant = int(np.count_nonzero(relevant))
    n_others = len(relevant) - n_relevant
    wanted = np.where(relevant, (n_relevant + 1) / (n_relevant + 2), 1 / (n_others + 2))
    design = np.stack([np.ones(len(probability)), log_odds(probability)], axis=1)
    found = _newton(design, wanted)
    if found[1] < 0:
        found = np.array([_newton(design[:, :1], wanted)[0], 0.0])
    return float(found[0]), float(found[1])


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
