"""How good a version was found to be on judged queries: one small file beside the versions.

``state/quality/<version>.json`` holds ``{"judged_by", "ndcg@10", "n_queries", "at"}``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.version.collection import CollectionFolder
from pipeline.version.remarks import write_remark

__all__ = ["Quality", "read_quality", "write_quality"]

_NDCG = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Quality:
    """One judged measurement of a version, asked as it ranks by default.

    Parameters
    ----------
    judged_by
        Where the judgments come from, as a person named them: a BEIR folder's full path.
    ndcg_at_10
        Mean nDCG@10 of the hybrid ranking, in [0, 1].
    n_queries
        Judged queries it is the mean of.
    at
        When it was measured: ISO 8601, UTC; now when empty.

    Examples
    --------
    >>> Quality("/data/scifact", 0.743, 300, "2026-01-31T12:00:00+00:00").to_json()["ndcg@10"]
    0.743
    """

    judged_by: str
    ndcg_at_10: float
    n_queries: int
    at: str = ""

    def __post_init__(self) -> None:
        if not self.at:
            object.__setattr__(self, "at", datetime.now(UTC).isoformat(timespec="seconds"))

    def to_json(self) -> dict[str, object]:
        """The measurement as JSON-ready values."""
        return {
            "judged_by": self.judged_by,
            _NDCG: self.ndcg_at_10,
            "n_queries": self.n_queries,
            "at": self.at,
        }


def write_quality(collection: CollectionFolder, version: str, quality: Quality) -> None:
    """Keep a version's measurement in place of the one before.

    Raises
    ------
    IndexFolderError
        If it cannot be written.
    """
    write_remark(collection.quality_path(version), quality.to_json())


def read_quality(collection: CollectionFolder, version: str) -> Quality | None:
    """What was measured on a version, or ``None`` where nothing was or the file makes no sense."""
    try:
        return _parsed(collection.quality_path(version))
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        # A remark about a version, not part of it: without it nothing is lost but the remark.
        return None


def _parsed(path: Path) -> Quality:
    content = json.loads(path.read_text(encoding="utf-8"))
    ndcg, n_queries = float(content[_NDCG]), int(content["n_queries"])
    if not math.isfinite(ndcg):
        raise ValueError(f"{path}: {_NDCG} is {ndcg}")
    return Quality(str(content["judged_by"]), ndcg, n_queries, str(content["at"]))
