"""Choose weights, fusion and the level of probability on judged queries, and say their worth.

Every query is asked once, and ranked under every setting of a grid. The choice is made by
cross-validation: for each fold of the queries on all others, so that what it is worth is measured
on queries it has not seen. Measured without that, the best of a grid always looks better than the
default.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingest.errors import CorpusError, QueryError
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.evaluation.evaluate import judge_hits, judged_queries
from pipeline.evaluation.folds import fold_positions
from pipeline.evaluation.metrics import NDCG_AT_10, ndcg
from pipeline.evaluation.recalibrate import CalibrationReport, fit_calibration
from pipeline.evaluation.significance import SIGNIFICANT, paired_randomization_test
from pipeline.search.calibration import RECALIBRATED
from pipeline.search.fusion import DEFAULT_WEIGHTS, MIN_MAX, Z_SCORE
from pipeline.search.query import Query
from pipeline.search.ranking import Retrieval
from pipeline.search.ranking_settings import RankingSettings
from pipeline.search.reweighing import best_rows
from pipeline.search.searcher import Searcher

__all__ = ["MIN_QUERIES", "Fold", "TuningReport", "tune_searcher"]

MIN_QUERIES = 20
N_FOLDS = 5
# Tenths: finer weights differ by less than a few hundred queries can tell.
_STEPS = 10
# Reciprocal rank fusion is left out: it was behind both on every collection tried.
_FUSIONS = (Z_SCORE, MIN_MAX)
_K = 10
# Settings one step apart, a tenth of weight moved from one signal to another.
_ONE_STEP = 2 / _STEPS + 1e-9
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of the queries, and what the other parts chose for it.

    Parameters
    ----------
    n_queries
        Queries held out.
    default, tuned
        Mean nDCG@10 over them.
    """

    n_queries: int
    chosen: RankingSettings
    default: float
    tuned: float

    def to_json(self) -> dict[str, object]:
        """The fold as JSON-ready values."""
        return {
            "n_queries": self.n_queries,
            **self.chosen.to_manifest(),
            NDCG_AT_10: {"default": self.default, "tuned": self.tuned},
        }


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What tuning found for one version.

    Parameters
    ----------
    n_settings
        Weightings times fusions that were tried.
    default, chosen
        Trine's own ranking, and what all queries together chose.
    held_out
        Mean nDCG@10 of ``default``, and ``tuned``: of each query under its fold's choice.
    p_value
        Of that difference, two-sided.
    better
        Whether the choice should be adopted; ``reason`` says why or why not.
    current
        What the version ranks by.
    calibration
        The level of probability fitted on the ranking that is served if this report is adopted;
        ``None`` where that ranking does without bm25 or bert.
    adopted
        Id of the version that was published with the choice, or ``None``.
    """

    collection: str
    version: str
    n_queries: int
    seed: int
    n_settings: int
    default: RankingSettings
    chosen: RankingSettings
    folds: list[Fold]
    held_out: dict[str, float]
    p_value: float
    better: bool
    reason: str
    current: RankingSettings
    calibration: CalibrationReport | None
    seconds: float
    adopted: str | None = None

    def to_json(self) -> dict[str, object]:
        """The report as JSON-ready values."""
        return {
            "collection": self.collection,
            "version": self.version,
            "n_queries": self.n_queries,
            "n_settings": self.n_settings,
            "seed": self.seed,
            "default": self.default.to_manifest(),
            "chosen": self.chosen.to_manifest(),
            "folds": [fold.to_json() for fold in self.folds],
            NDCG_AT_10: self.held_out,
            "p_value": self.p_value,
            "significant_below": SIGNIFICANT,
            "better": self.better,
            "reason": self.reason,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "adopted": self.adopted,
            "seconds": round(self.seconds, 3),
        }

    @property
    def improved(self) -> RankingSettings | None:
        """What to rank by from now on, where weights or calibration are better."""
        weights = self.chosen if self.better else self.current
        if self.calibration is not None and self.calibration.better:
            return replace(weights, calibration=self.calibration.fitted)
        return weights if self.better else None

    def ranking(self) -> dict[str, object]:
        """What a version that adopts what is better keeps in its settings, and why."""
        kept = (self.improved or self.current).to_manifest()
        found = {"version": self.version, "n_queries": self.n_queries}
        if self.better:
            kept["tuned"] = {**found, NDCG_AT_10: self.held_out, "p_value": self.p_value}
        if self.calibration is not None and self.calibration.better:
            kept["calibrated"] = {**found, **self.calibration.figures()}
        return kept


def tune_searcher(
    searcher: Searcher,
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    n_folds: int = N_FOLDS,
    seed: int = 0,
    progress: BuildProgress | None = None,
) -> TuningReport:
    """Choose weights and fusion by cross-validation, and test them against the default.

    The level of probability is then fitted on the hits of the ranking that is to be served.

    A setting counts by its mean gain in nDCG@10 over the default, averaged with the settings one
    step from it, less one standard error (the one-standard-error rule: Breiman et al.,
    Classification and Regression Trees, 1984, section 3.4.3): with few queries, or little to
    gain, the default stays. The weights are treated as the searcher treats its own defaults.

    Parameters
    ----------
    qrels
        Judgments; only queries that occur here, with a relevant document, are asked.
    n_folds
        Parts the queries are cut into; queries with the same words share one.
    seed
        Of the folds and of the test.

    Raises
    ------
    CorpusError
        If fewer than 20 queries are judged, or one has no text.
    QueryError
        If the version holds fewer than two signals, or the folds are not 2 to 20.
    """
    began = time.perf_counter()
    judged = judged_queries(queries, qrels)
    if len(judged) < MIN_QUERIES:
        raise CorpusError(
            f"{len(judged)} queries with a relevant document are too few to tune on: "
            f"at least {MIN_QUERIES} are needed"
        )
    if len(searcher.signals) < 2:
        raise QueryError("the version holds one signal only: there is nothing to weigh")
    if not 2 <= n_folds <= MIN_QUERIES:
        raise QueryError(f"folds is {n_folds}; it must be 2 to {MIN_QUERIES}")
    query_ids = sorted(judged)
    grid = _Grid.over(searcher.signals)
    searcher.warm()
    with (progress or SilentProgress()).stage("tune", len(query_ids)) as advance:
        figures = np.zeros((len(query_ids), len(grid.settings)))
        for at, query_id in enumerate(query_ids):
            asked = Query(queries[query_id], signals=searcher.signals)
            figures[at] = _figures(searcher, asked, grid, query_id, judged[query_id])
            advance(1)
    folds, held_out = [], np.zeros(len(query_ids))
    for fold in fold_positions([queries[query_id] for query_id in query_ids], n_folds, seed):
        chosen = grid.choose(np.delete(figures, fold, axis=0))
        held_out[fold] = figures[fold, chosen]
        means = figures[fold, 0].mean(), held_out[fold].mean()
        folds.append(Fold(len(fold), grid.settings[chosen], *map(float, means)))
    overall = grid.choose(figures)
    p_value = paired_randomization_test((held_out - figures[:, 0]).tolist(), seed=seed)
    default, tuned = float(figures[:, 0].mean()), float(held_out.mean())
    better, reason = _judge(default, tuned, p_value, is_default=overall == 0)
    served = grid.settings[overall] if better else searcher.ranking
    calibration = _calibration(
        searcher.with_ranking(replace(served, calibration=None)),
        queries,
        judged,
        n_folds=n_folds,
        seed=seed,
        progress=progress,
    )
    return TuningReport(
        collection=searcher.collection,
        version=searcher.version,
        n_queries=len(query_ids),
        seed=seed,
        n_settings=len(grid.settings),
        default=grid.settings[0],
        chosen=grid.settings[overall],
        folds=folds,
        held_out={"default": default, "tuned": tuned},
        p_value=p_value,
        better=better,
        reason=reason,
        current=searcher.ranking,
        calibration=calibration,
        seconds=time.perf_counter() - began,
    )


def _calibration(
    searcher: Searcher,
    queries: Mapping[str, str],
    judged: Mapping[str, Mapping[str, int]],
    *,
    n_folds: int,
    seed: int,
    progress: BuildProgress | None,
) -> CalibrationReport | None:
    """The level of probability of a ranking's hits, fitted; ``None`` where there is none to fit."""
    weights = searcher.ranking.weights_over(searcher.signals, None)
    encoder = searcher.encoder_fingerprint
    asked = [name for name in searcher.signals if weights.get(name, 0.0) > 0]
    if encoder is None or not set(RECALIBRATED) <= set(asked):
        return None
    hits = judge_hits(searcher, queries, judged, progress=progress)
    return fit_calibration(hits, encoder, n_folds=n_folds, seed=seed)


def _judge(default: float, tuned: float, p_value: float, *, is_default: bool) -> tuple[bool, str]:
    if is_default:
        return False, "no setting is better than the default by more than a standard error"
    if tuned <= default:
        return False, "on held-out queries the tuned ranking is not better than the default"
    if p_value >= SIGNIFICANT:
        return False, (
            f"on held-out queries the gain may be chance (p = {p_value:.3f}; "
            f"it must be below {SIGNIFICANT})"
        )
    return True, f"on held-out queries the gain is significant (p = {p_value:.2g})"


@dataclass(frozen=True)
class _Grid:
    """All settings tried, the default first, and which are a step from which."""

    settings: list[RankingSettings]
    near: NDArray[np.float64]
    from_default: NDArray[np.float64]

    @classmethod
    def over(cls, signals: Sequence[str]) -> _Grid:
        default = RankingSettings({name: DEFAULT_WEIGHTS[name] for name in signals})
        points = np.array(list(_simplex(len(signals), _STEPS))) / _STEPS
        apart = np.abs(points[:, None] - points).sum(axis=-1)
        near = (apart < _ONE_STEP).astype(np.float64)
        weightings = [dict(zip(signals, point.tolist(), strict=True)) for point in points]
        tried = [RankingSettings(weights, fusion) for fusion in _FUSIONS for weights in weightings]
        shares = np.array(list(default.weights.values()))
        from_default = np.abs(points - shares / shares.sum()).sum(axis=1)
        return cls(
            [default, *tried],
            near / near.sum(axis=1, keepdims=True),
            # The default's own fusion comes first.
            np.concatenate([from_default + len(points) * at for at in range(len(_FUSIONS))]),
        )

    def choose(self, figures: NDArray[np.float64]) -> int:
        """The setting to use, given one row of figures a query; 0 is the default.

        Among settings as good as the best, the one nearest the default.
        """
        gains = figures[:, 1:] - figures[:, :1]
        smooth = np.concatenate(
            [part @ self.near.T for part in np.split(gains, len(_FUSIONS), axis=1)], axis=1
        )
        surely = smooth.mean(axis=0) - smooth.std(axis=0, ddof=1) / np.sqrt(len(figures))
        best = np.flatnonzero(surely >= surely.max() - _ROUNDING)
        nearest = int(best[self.from_default[best].argmin()])
        return nearest + 1 if surely[nearest] > _ROUNDING else 0


def _simplex(n_parts: int, total: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a total as an ordered sum of parts from 0."""
    for bars in itertools.combinations(range(total + n_parts - 1), n_parts - 1):
        edges = (-1, *bars, total + n_parts - 1)
        yield tuple(after - before - 1 for before, after in itertools.pairwise(edges))


def _figures(
    searcher: Searcher, asked: Query, grid: _Grid, query_id: str, judgments: Mapping[str, int]
) -> list[float]:
    """nDCG@10 of one query under each setting."""
    ranked = _ranked(searcher.retrieve(asked), grid.settings)
    rows = sorted({row for found in ranked for row in found})
    doc_ids = dict(zip(rows, searcher.doc_ids(rows), strict=True))
    known: dict[tuple[int, ...], float] = {}
    for found in ranked:
        if found not in known:
            ranking = [doc_ids[row] for row in found if doc_ids[row] != query_id]
            known[found] = ndcg(ranking, judgments, _K)
    return [known[found] for found in ranked]


def _ranked(retrieval: Retrieval, settings: Sequence[RankingSettings]) -> list[tuple[int, ...]]:
    ranked: dict[int, tuple[int, ...]] = {}
    for fusion in _FUSIONS:
        positions = [at for at, one in enumerate(settings) if one.fusion == fusion]
        weightings = [settings[at].weights for at in positions]
        # One more, for the query's own document is left out.
        found = best_rows(retrieval, weightings, fusion, _K + 1)
        ranked |= {at: tuple(rows.tolist()) for at, rows in zip(positions, found, strict=True)}
    return [ranked[at] for at in range(len(settings))]
