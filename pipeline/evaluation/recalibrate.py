"""Fit a collection's own level of probability on its judgments, and say what it is worth.

What counts is measured on queries the fit has not seen: each fold of them is recalibrated on all
others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.reliability import (
    JudgedHits,
    cross_validated,
    expected_calibration_error,
)
from pipeline.evaluation.significance import SIGNIFICANT, paired_randomization_test
from pipeline.search.calibration import Recalibration, log_odds

__all__ = ["BeforeAndAfter", "CalibrationReport", "fit_calibration"]


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """One figure on Trine's own level, and on the collection's, of held-out queries."""

    before: float
    after: float


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What fitting a collection's own level of probability found.

    Parameters
    ----------
    fitted
        On all queries together.
    n_hits, n_relevant
        The first ten hits of each query, and how many of them are relevant.
    ece
        Expected calibration error.
    log_loss
        Mean over the queries of their hits' mean negative log-likelihood.
    p_value
        Of the difference in log-loss, two-sided.
    better
        Whether the level should be adopted; ``reason`` says why or why not.
    """

    fitted: Recalibration
    n_hits: int
    n_relevant: int
    ece: BeforeAndAfter
    log_loss: BeforeAndAfter
    p_value: float
    better: bool
    reason: str

    def to_json(self) -> dict[str, object]:
        """The report as JSON-ready values."""
        return {
            **self.fitted.to_manifest(),
            "n_hits": self.n_hits,
            "n_relevant": self.n_relevant,
            **self.figures(),
            "better": self.better,
            "reason": self.reason,
        }

    def figures(self) -> dict[str, object]:
        """Error, log-loss and p-value as JSON-ready values."""
        return {
            "ece": asdict(self.ece),
            "log_loss": asdict(self.log_loss),
            "p_value": self.p_value,
        }


def fit_calibration(
    hits: JudgedHits, encoder: str, *, n_folds: int, seed: int
) -> CalibrationReport | None:
    """Fit the level on judged hits, and test it on held-out queries.

    Parameters
    ----------
    hits
        With their probabilities on Trine's own level.
    encoder
        Fingerprint of the ``bert`` encoder whose cosines they rest on.

    Returns
    -------
    CalibrationReport
        ``None`` where nothing can be held out: fewer than two queries differ, or no hit.
    """
    after = cross_validated(hits, n_folds=n_folds, seed=seed)
    if after is None or not len(after):
        return None
    ece = BeforeAndAfter(
        expected_calibration_error(hits.probability, hits.relevant),
        expected_calibration_error(after, hits.relevant),
    )
    losses = [_log_losses(hits, probability) for probability in (hits.probability, after)]
    log_loss = BeforeAndAfter(*(float(loss.mean()) for loss in losses))
    p_value = paired_randomization_test((losses[1] - losses[0]).tolist(), seed=seed)
    better, reason = _judge(ece, log_loss, p_value)
    return CalibrationReport(
        fitted=replace(hits.fit(), encoder=encoder),
        n_hits=len(hits.relevant),
        n_relevant=int(np.count_nonzero(hits.relevant)),
        ece=ece,
        log_loss=log_loss,
        p_value=p_value,
        better=better,
        reason=reason,
    )


def _log_losses(hits: JudgedHits, probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean negative log-likelihood of each query's hits; 0 where a query has none."""
    logit = log_odds(probability)
    of_hits = np.logaddexp(0.0, np.where(hits.relevant, -logit, logit))
    sums = np.bincount(hits.query, of_hits, minlength=len(hits.texts))
    counts = np.bincount(hits.query, minlength=len(hits.texts))
    result: NDArray[np.float64] = sums / np.maximum(counts, 1)
    return result


def _judge(ece: BeforeAndAfter, log_loss: BeforeAndAfter, p_value: float) -> tuple[bool, str]:
    if ece.after >= ece.before or log_loss.after >= log_loss.before:
        return False, "on held-out queries its own probabilities are no nearer the truth"
    if p_value >= SIGNIFICANT:
        return False, (
            f"on held-out queries its own probabilities may be nearer the truth by chance "
            f"(p = {p_value:.3f}; it must be below {SIGNIFICANT})"
        )
    return (
        True,
        f"on held-out queries its own probabilities are nearer the truth (p = {p_value:.2g})",
    )
