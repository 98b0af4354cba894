"""What a run of the encoding pipeline did."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BuildSummary", "SignalDrift"]


@dataclass(frozen=True, slots=True)
class SignalDrift:
    """Drift of one signal; ``pipeline.version.manifest.Fit`` says what the shares mean."""

    unknown_words: float
    changed_documents: float
    refitted: bool


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a run of the encoding pipeline did.

    Parameters
    ----------
    version
        The version that is current afterwards; the one built and kept where it was refused.
    published
        Whether this run made a version current; ``False`` when nothing had changed.
    refused
        Why the version that was built is kept but not published; ``None`` otherwise.
    gate
        What was found before publishing, as JSON-ready values: ``ndcg@10`` and ``n_queries``
        where there were judgments, ``overlap@10`` where encoders changed.
    seconds
        Time each stage took, and ``total``.
    tokens_per_second
        Speed of the bert encoder over the passages it encoded, or ``None`` if none were.
    drift
        For tfidf and word2vec how far the documents have moved from those it was fitted on, and
        whether this run fitted it.
    """

    collection: str
    version: str
    published: bool
    documents: int
    passages: int
    added: int
    changed: int
    removed: int
    unchanged: int
    passages_encoded: int = 0
    passages_reused: int = 0
    tokens_per_second: float | None = None
    drift: dict[str, SignalDrift] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    refused: str | None = None
    gate: dict[str, object] = field(default_factory=dict)
