"""One shape of answer for the command line, the JSON API and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from operator import attrgetter

from ingest.documents import MetadataValue

__all__ = [
    "Answer",
    "Attribution",
    "FacetValue",
    "Highlight",
    "Hit",
    "MarkedPassage",
    "RerankOutcome",
    "RerankerExplanation",
    "ShownPassage",
    "SignalExplanation",
    "WordContribution",
]


@dataclass(frozen=True, slots=True)
class Highlight:
    """A marked span of a passage, in code points of its text.

    Parameters
    ----------
    kind
        ``"keyword"``: a word of the query; ``"semantic"``: the sentence nearest in meaning.
    """

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class ShownPassage:
    """The best passage of a hit; ``start`` and ``end`` are code points in the document's text."""

    text: str
    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class MarkedPassage:
    """Another passage of a hit, its marks as those of the best one."""

    passage: ShownPassage
    highlights: list[Highlight]


@dataclass(frozen=True, slots=True)
class SignalExplanation:
    """What one signal gave to a hit's score.

    Parameters
    ----------
    raw
        The signal's own score (BM25, or a cosine); ``None`` where it abstains.
    normalized
        That score on the query's common scale, in [0, 1].
    weight, contribution
        Its share of the vote, and ``weight * normalized``.
    rank
        Rank among the signal's own candidates, from 1; ``None`` beyond its depth.
    """

    raw: float | None
    normalized: float
    weight: float
    contribution: float
    rank: int | None


@dataclass(frozen=True, slots=True)
class WordContribution:
    """What one word brings to a signal's raw score.

    Parameters
    ----------
    word
        The word as it is written, or folded where it stands in several places; empty for what
        is no word.
    contribution
        Its share of the raw score; may be negative.
    source
        Where the word is from: ``"query"``, or the document's ``"passage"`` (the one shown),
        ``"title"`` or other text (``"document"``). ``"model"``: what the model adds to every
        text. ``"rest"``: the many words of a long document that matter least.
    spans
        Code points of the passage shown: where the word stands there.
    """

    word: str
    contribution: float
    source: str
    spans: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Each signal's raw score as a sum over words, those that bring most first.

    Parameters
    ----------
    query
        What each word of the query brings: ``bm25``, ``tfidf``, ``word2vec``.
    document
        What each word of the document brings: ``tfidf``, ``word2vec``, and ``bert`` for the best
        passage.
    """

    query: dict[str, list[WordContribution]]
    document: dict[str, list[WordContribution]]


@dataclass(frozen=True, slots=True)
class RerankerExplanation:
    """What re-ranking changed in a hit's score: the re-ranker's own score, and the change."""

    raw: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found.

    ``score`` is exactly the sum, in this order, of the signals' contributions in
    ``explanation``, then ``regularization``, then ``exactness``, then that of ``rerank``, where
    the hit was re-scored. ``collapsed`` lists the near-duplicates the hit stands for.
    """

    rank: int
    doc_id: str
    title: str
    url: str | None
    score: float
    probability: float
    passage: ShownPassage
    highlights: list[Highlight]
    metadata: Mapping[str, MetadataValue]
    names: list[str]
    explanation: dict[str, SignalExplanation]
    regularization: float
    exactness: float
    attribution: Attribution | None = None
    rerank: RerankerExplanation | None = None
    collapsed: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """The hit as JSON-ready values."""
        # Member by member: asdict copies deeply, which costs more than all else in an answer.
        explanation: dict[str, object] = {n: _members(v) for n, v in self.explanation.items()}
        if explanation:
            explanation["regularization"] = {"contribution": self.regularization}
            explanation["exactness"] = {"contribution": self.exactness}
            if self.rerank is not None:
                explanation["rerank"] = _members(self.rerank)
        content: dict[str, object] = {
            "rank": self.rank,
            "doc_id": self.doc_id,
            "title": self.title,
            "url": self.url,
            "score": self.score,
            "probability": self.probability,
            "passage": _members(self.passage),
            "highlights": [_members(mark) for mark in self.highlights],
            "metadata": {
                name: value if isinstance(value, str | int | float | bool) else list(value)
                for name, value in self.metadata.items()
            },
            "names": list(self.names),
            "explanation": explanation,
        }
        if self.attribution is not None:
            content["attribution"] = asdict(self.attribution)
        return {**content, "collapsed": list(self.collapsed)}


@dataclass(frozen=True, slots=True)
class FacetValue:
    """How many matching documents hold a value."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class RerankOutcome:
    """What came of re-ranking.

    Parameters
    ----------
    applied
        Whether the order is the re-ranker's; all of the depth is re-ordered, or nothing.
    reason
        Why not; ``None`` when applied.
    scored
        Documents it scored.
    took_ms
        Milliseconds this took, loading the model not counted.
    """

    applied: bool
    reason: str | None
    scored: int
    took_ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query found.

    Parameters
    ----------
    took_ms, stages_ms
        Milliseconds in all, and by stage.
    total
        How many documents match, exactly, near-duplicates included.
    n_collapsed
        How many of them no page shows, because a near-duplicate stands for them.
    rerank
        What came of re-ranking; ``None`` where it was not asked for.
    no_good_result
        Whether nothing found is likely to answer the query.
    did_you_mean
        The query text with its misspelt words corrected, which is what was searched for; ``None``
        where nothing was corrected.
    """

    query: str
    collection: str
    version: str
    took_ms: float
    stages_ms: dict[str, float]
    total: int
    page: int
    k: int
    no_good_result: bool
    hits: list[Hit]
    facets: dict[str, list[FacetValue]] = field(default_factory=dict)
    did_you_mean: str | None = None
    n_collapsed: int = 0
    rerank: RerankOutcome | None = None

    def to_json(self) -> dict[str, object]:
        """The answer as JSON-ready values, in the documented shape."""
        return {
            "query": self.query,
            "collection": self.collection,
            "version": self.version,
            "took_ms": round(self.took_ms, 3),
            "stages_ms": {name: round(value, 3) for name, value in self.stages_ms.items()},
            "total": self.total,
            "page": self.page,
            "k": self.k,
            "no_good_result": self.no_good_result,
            "did_you_mean": self.did_you_mean,
            "n_collapsed": self.n_collapsed,
            "rerank": None if self.rerank is None else asdict(self.rerank),
            "hits": [hit.to_json() for hit in self.hits],
            "facets": {name: [asdict(v) for v in found] for name, found in self.facets.items()},
        }


def _members(
    value: SignalExplanation | RerankerExplanation | ShownPassage | Highlight,
) -> dict[str, object]:
    names = value.__slots__
    return dict(zip(names, _getter(names)(value), strict=True))


@cache
def _getter(names: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    """Gets all members at once: one by one they took a fifth of the time of an API's answer."""
    return attrgetter(*names)
