"""Two rankings of the same judged queries: which is better, is it chance, and where it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.metrics import NDCG_AT_10, measure, measure_each
from pipeline.evaluation.significance import paired_randomization_test

__all__ = ["TEST_NAME", "Comparison", "QueryChange", "compare_runs"]

TEST_NAME = "paired randomization test over the queries, two-sided"
_N_SHOWN = 10


@dataclass(frozen=True, slots=True)
class QueryChange:
    """One query that the two rankings answer differently well.

    Parameters
    ----------
    baseline, compared
        nDCG@10 of either.
    """

    query_id: str
    text: str
    baseline: float
    compared: float

    @property
    def difference(self) -> float:
        """What the query gained, or lost where it is below 0."""
        return self.compared - self.baseline

    def to_json(self) -> dict[str, object]:
        """The change as JSON-ready values."""
        return {
            "query_id": self.query_id,
            "query": self.text,
            "baseline": self.baseline,
            "compared": self.compared,
            "difference": self.difference,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one ranking does against another on the same queries.

    Parameters
    ----------
    baseline, compared
        What was asked of either, in words.
    measures
        Measure -> ``baseline``, ``compared``, ``difference`` and ``p_value`` of the difference.
    gained, lost
        The ten queries whose nDCG@10 changed most either way, the most first.
    """

    baseline: str
    compared: str
    measures: dict[str, dict[str, float]]
    gained: list[QueryChange]
    lost: list[QueryChange]
    n_gained: int
    n_lost: int
    n_equal: int

    def to_json(self) -> dict[str, object]:
        """The comparison as JSON-ready values."""
        return {
            "baseline": self.baseline,
            "compared": self.compared,
            "test": TEST_NAME,
            "measures": self.measures,
            "n_gained": self.n_gained,
            "n_lost": self.n_lost,
            "n_equal": self.n_equal,
            "gained": [change.to_json() for change in self.gained],
            "lost": [change.to_json() for change in self.lost],
        }


def compare_runs(
    baseline: tuple[str, Mapping[str, Sequence[str]]],
    compared: tuple[str, Mapping[str, Sequence[str]]],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> Comparison:
    """Compare two runs, query by query.

    Parameters
    ----------
    baseline, compared
        A name, and for each query the doc_ids found, best first.
    queries
        Text of each query.
    qrels
        Judgments of every query to compare.

    Examples
    --------
    >>> found = compare_runs(("a", {"1": ["x", "y"]}), ("b", {"1": ["y", "x"]}),
    ...     {"1": "why"}, {"1": {"y": 1}})
    >>> found.n_gained, found.measures["mrr@10"]["difference"], found.measures["mrr@10"]["p_value"]
    (1, 0.5, 1.0)
    """
    before, after = measure_each(baseline[1], qrels), measure_each(compared[1], qrels)
    means, new_means = measure(baseline[1], qrels), measure(compared[1], qrels)
    measures = {
        name: {
            "baseline": mean,
            "compared": new_means[name],
            "difference": new_means[name] - mean,
            "p_value": paired_randomization_test(
                [after[query_id][name] - before[query_id][name] for query_id in qrels]
            ),
        }
        for name, mean in means.items()
    }
    changes = [
        QueryChange(
            query_id,
            queries[query_id],
            before[query_id][NDCG_AT_10],
            after[query_id][NDCG_AT_10],
        )
        for query_id in qrels
    ]
    gained = [change for change in changes if change.difference > 0]
    lost = [change for change in changes if change.difference < 0]
    return Comparison(
        baseline=baseline[0],
        compared=compared[0],
        measures=measures,
        gained=sorted(gained, key=lambda change: -change.difference)[:_N_SHOWN],
        lost=sorted(lost, key=lambda change: change.difference)[:_N_SHOWN],
        n_gained=len(gained),
        n_lost=len(lost),
        n_equal=len(changes) - len(gained) - len(lost),
    )
