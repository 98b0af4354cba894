"""What a version ranks by where a query does not say, and its own level of probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.errors import IndexCorruptError
from pipeline.search.calibration import Recalibration
from pipeline.search.fusion import DEFAULT_FUSION, DEFAULT_WEIGHTS, FUSIONS
from pipeline.version.open_version import SIGNALS

__all__ = ["RankingSettings"]


@dataclass(frozen=True, slots=True)
class RankingSettings:
    """Weights and fusion of queries that give none, Trine's own or tuned ones.

    Parameters
    ----------
    weights
        Weight of each signal, at least 0 and not all 0; a signal without weight is not asked.
    fusion
        One of ``FUSIONS``.
    calibration
        The collection's own level of probability, fitted on judged hits of this very ranking;
        Trine's own where ``None``.

    Raises
    ------
    IndexCorruptError
        If they are anything else: they are read from a manifest.

    Examples
    --------
    >>> RankingSettings.from_manifest({"ranking": {"weights": {"bert": 1.0}}})
    RankingSettings(weights={'bert': 1.0}, fusion='z_score', calibration=None)
    >>> RankingSettings.from_manifest({}).weights == DEFAULT_WEIGHTS
    True
    """

    weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)
    fusion: str = DEFAULT_FUSION
    calibration: Recalibration | None = None

    def __post_init__(self) -> None:
        sound = (
            isinstance(self.weights, Mapping)
            and all(
                name in SIGNALS
                and isinstance(weight, int | float)
                and math.isfinite(weight)
                and weight >= 0
                for name, weight in self.weights.items()
            )
            and any(weight > 0 for weight in self.weights.values())
            and self.fusion in FUSIONS
        )
        if not sound:
            raise IndexCorruptError(
                f"weights {self.weights!r} with fusion {self.fusion!r} make no ranking: "
                "activate another version (trine versions list) or rebuild (trine reindex --full)"
            )

    @classmethod
    def from_manifest(cls, settings: Mapping[str, object]) -> RankingSettings:
        """Ranking as a manifest's settings keep it; Trine's own where they keep none."""
        kept = settings.get("ranking")
        if not isinstance(kept, Mapping):
            return cls()
        return cls(
            kept.get("weights", DEFAULT_WEIGHTS),
            kept.get("fusion", DEFAULT_FUSION),
            Recalibration.from_manifest(kept.get("calibration")),
        )

    def to_manifest(self) -> dict[str, object]:
        """Ranking as JSON keeps it."""
        kept: dict[str, object] = {"weights": dict(self.weights), "fusion": self.fusion}
        if self.calibration is not None:
            kept["calibration"] = self.calibration.to_manifest()
        return kept

    def weights_over(self, held: Sequence[str], asked: Sequence[str] | None) -> Mapping[str, float]:
        """Weights to rank by, given the signals there are and those a query names.

        A signal tuned to 0 is dropped, but a query that names it shall get it: then, and where
        none with a weight is left, Trine's own weights count.

        Parameters
        ----------
        held
            Signals of the version.
        asked
            Signals the query names, or ``None``.
        """
        weighted = [name for name in asked or held if self.weights.get(name, 0.0) > 0]
        complete = bool(weighted) and (asked is None or len(weighted) == len(asked))
        return self.weights if complete else DEFAULT_WEIGHTS
