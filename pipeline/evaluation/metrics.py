"""How good a ranking is, by the field's measures.

Ranks start at 1. A document without a judgment is not relevant. A query without any relevant
document scores 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = [
    "NDCG_AT_10",
    "average_precision",
    "measure",
    "measure_each",
    "ndcg",
    "recall",
    "reciprocal_rank",
]

NDCG_AT_10 = "ndcg@10"


def ndcg(ranking: Sequence[str], judgments: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain at rank ``k``, gain = relevance, in [0, 1].

    References
    ----------
    Jaervelin & Kekaelaeinen, TOIS 2002, doi:10.1145/582415.582418.

    Examples
    --------
    >>> ndcg(["b", "a"], {"a": 1}, k=10) == 1 / math.log2(3)
    True
    """
    gains = [max(judgments.get(doc_id, 0), 0) for doc_id in ranking[:k]]
    ideal = sorted((gain for gain in judgments.values() if gain > 0), reverse=True)[:k]
    best = _discounted(ideal)
    return _discounted(gains) / best if best else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def recall(ranking: Sequence[str], judgments: Mapping[str, int], k: int) -> float:
    """Share of the relevant documents among the first ``k``, in [0, 1].

    Examples
    --------
    >>> recall(["b", "a"], {"a": 1, "c": 2}, k=10)
    0.5
    """
    relevant = _relevant(judgments)
    return len(relevant & set(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], judgments: Mapping[str, int], k: int) -> float:
    """One over the rank of the first relevant document among the first ``k``, or 0.

    Examples
    --------
    >>> reciprocal_rank(["b", "a"], {"a": 1}, k=10)
    0.5
    """
    relevant = _relevant(judgments)
    for rank, doc_id in enumerate(ranking[:k], start=1):
        if doc_id in relevant:
            return 1.0 / rank
    return 0.0


def average_precision(ranking: Sequence[str], judgments: Mapping[str, int]) -> float:
    """Mean, over the relevant documents, of the precision at the rank of each, in [0, 1].

    Examples
    --------
    >>> average_precision(["a", "b", "c"], {"a": 1, "c": 1}) == (1 / 1 + 2 / 3) / 2
    True
    """
    relevant = _relevant(judgments)
    found, total = 0, 0.0
    for rank, doc_id in enumerate(ranking, start=1):
        if doc_id in relevant:
            found += 1
            total += found / rank
    return total / len(relevant) if relevant else 0.0


def _relevant(judgments: Mapping[str, int]) -> set[str]:
    return {doc_id for doc_id, relevance in judgments.items() if relevance > 0}


def measure(
    run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    """Mean over the judged queries of nDCG@10, recall@100, MRR@10 and MAP.

    Parameters
    ----------
    run
        For each query the doc_ids found, best first, without duplicates.
    qrels
        For each judged query the relevance of documents. A query absent from ``run`` found
        nothing.
    """
    totals = dict.fromkeys(_measures((), {}), 0.0)
    for figures in measure_each(run, qrels).values():
        for name, value in figures.items():
            totals[name] += value
    return {name: total / len(qrels) if qrels else 0.0 for name, total in totals.items()}


def measure_each(
    run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    """nDCG@10, recall@100, MRR@10 and average precision of each judged query.

    Examples
    --------
    >>> measure_each({"q": ["b", "a"]}, {"q": {"a": 1}})["q"]["mrr@10"]
    0.5
    """
    return {
        query_id: _measures(run.get(query_id, ()), judgments)
        for query_id, judgments in qrels.items()
    }


def _measures(ranking: Sequence[str], judgments: Mapping[str, int]) -> dict[str, float]:
    return {
        NDCG_AT_10: ndcg(ranking, judgments, 10),
        "recall@100": recall(ranking, judgments, 100),
        "mrr@10": reciprocal_rank(ranking, judgments, 10),
        "map": average_precision(ranking, judgments),
    }
