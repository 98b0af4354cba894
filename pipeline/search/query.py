"""What is asked: one immutable, checked Query."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.errors import QueryError
from pipeline.search.fusion import FUSIONS
from pipeline.version.open_version import SIGNALS

__all__ = [
    "MAX_K",
    "MAX_QUERY_CHARACTERS",
    "MAX_RERANK_DEPTH",
    "MAX_STEERING",
    "RERANK_BUDGET_MS",
    "RERANK_DEPTH",
    "RESULT_WINDOW",
    "Query",
]

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
MAX_K = 1000
RESULT_WINDOW = 10_000
MAX_QUERY_CHARACTERS = 10_000
RERANK_DEPTH = 50
MAX_RERANK_DEPTH = 1000
RERANK_BUDGET_MS = 500.0
MAX_STEERING = 100


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a collection.

    Parameters
    ----------
    text
        Words, with optional ``"phrases"``, ``+required``, ``-excluded`` and ``field:value``.
    k
        Hits on a page, 1 to 1,000.
    page
        Page number from 1; ``page * k`` reaches at most 10,000.
    filter
        Condition on metadata: ``kind:function AND year:[2020 TO 2024]``.
    facets
        Fields whose values to count over everything that matches.
    sort
        ``field``, ``field:asc`` or ``field:desc`` instead of relevance.
    signals
        Signals to use; all the version holds when ``None``.
    weights
        Weight of each signal, at least 0; the version's own when ``None``.
    fusion
        How scores are joined: ``z_score``, ``min_max`` or ``reciprocal_rank``; the version's
        own when ``None``, which is ``z_score`` unless it was tuned.
    min_probability
        Leave out hits less likely relevant than this, in [0, 1].
    correct
        Whether misspelt words are corrected.
    explain, highlight
        Whether each hit carries its explanation, and its marked passage.
    explain_words
        Whether each hit also tells what each word brought to each signal; costs one more run of
        the transformer over the passages shown.
    rerank
        Folder of a CrossEncoder that orders the best documents anew; none when ``None``.
    rerank_depth
        How many of the best documents, 1 to 1,000, whatever page is asked for.
    rerank_budget_ms
        Milliseconds this may take; where they do not suffice, the order stays as it was.
    diversity
        How much the best 100 documents are ordered to differ from each other, in [0, 1].
    like, unlike
        Ids of documents that pull the query's embeddings toward themselves, or push them away;
        they are not found themselves. With ``like`` the text may be empty.
    map_region
        A part of the map, as ``pipeline.search.map_region`` writes it: only documents in it.
    collapse
        Whether, among the best 100, one hit stands for its near-duplicates; or the cosine from
        which documents count as such, in (0, 1].

    Raises
    ------
    QueryError
        If a parameter is not allowed; names it.

    Examples
    --------
    >>> Query("parse json", k=0)
    Traceback (most recent call last):
    ...
    ingest.errors.QueryError: k is 0; it must be 1 to 1000
    """

    text: str
    k: int = 10
    page: int = 1
    filter: str | None = None
    facets: tuple[str, ...] = ()
    sort: str | None = None
    signals: tuple[str, ...] | None = None
    weights: Mapping[str, float] | None = None
    fusion: str | None = None
    min_probability: float | None = None
    correct: bool = True
    explain: bool = True
    highlight: bool = True
    explain_words: bool = False
    rerank: str | None = None
    rerank_depth: int = RERANK_DEPTH
    rerank_budget_ms: float = RERANK_BUDGET_MS
    diversity: float = 0.0
    collapse: bool | float = False
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    map_region: str | None = None

    def __post_init__(self) -> None:
        # A lone surrogate is no character: nothing downstream could store or print it.
        object.__setattr__(
            self, "text", _LONE_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", self.text)
        )
        self._check_text()
        self._check_window()
        self._check_ranking()
        self._check_arrangement()
        self._check_steering()

    def _check_text(self) -> None:
        if not self.text.strip() and not self.like:
            raise QueryError("the query is empty: give at least one word", parameter="q")
        if len(self.text) > MAX_QUERY_CHARACTERS:
            raise QueryError(
                f"the query has {len(self.text)} characters; "
                f"at most {MAX_QUERY_CHARACTERS} are allowed",
                parameter="q",
            )

    def _check_window(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise QueryError(f"k is {self.k}; it must be 1 to {MAX_K}", parameter="k")
        if self.page < 1:
            raise QueryError(f"page is {self.page}; it must be at least 1", parameter="page")
        if self.page * self.k > RESULT_WINDOW:
            raise QueryError(
                f"page {self.page} of {self.k} reaches hit {self.page * self.k}; "
                f"only the first {RESULT_WINDOW} can be paged: narrow the query or use a filter",
                parameter="page",
            )

    def _check_ranking(self) -> None:
        names = [*(self.signals or ()), *(self.weights or ())]
        for name in names:
            if name not in SIGNALS:
                raise QueryError(
                    f"unknown signal {name!r}; signals are {', '.join(SIGNALS)}",
                    parameter="signals" if name in (self.signals or ()) else "weights",
                )
        if self.signals is not None and not self.signals:
            raise QueryError("signals is empty: name at least one", parameter="signals")
        for name, weight in (self.weights or {}).items():
            if not (math.isfinite(weight) and weight >= 0):
                raise QueryError(
                    f"the weight of {name} is {weight}; it must be a number from 0",
                    parameter="weights",
                )
        if self.fusion is not None and self.fusion not in FUSIONS:
            raise QueryError(
                f"unknown fusion {self.fusion!r}; fusions are {', '.join(FUSIONS)}",
                parameter="fusion",
            )
        if self.min_probability is not None and not 0 <= self.min_probability <= 1:
            raise QueryError(
                f"min_probability is {self.min_probability}; it must lie in [0, 1]",
                parameter="min_probability",
            )

    def _check_arrangement(self) -> None:
        if not 1 <= self.rerank_depth <= MAX_RERANK_DEPTH:
            raise QueryError(
                f"rerank_depth is {self.rerank_depth}; it must be 1 to {MAX_RERANK_DEPTH}",
                parameter="rerank_depth",
            )
        if not (math.isfinite(self.rerank_budget_ms) and self.rerank_budget_ms > 0):
            raise QueryError(
                f"rerank_budget_ms is {self.rerank_budget_ms}; it must be a number above 0",
                parameter="rerank_budget_ms",
            )
        if not 0 <= self.diversity <= 1:
            raise QueryError(
                f"diversity is {self.diversity}; it must lie in [0, 1]", parameter="diversity"
            )
        if not isinstance(self.collapse, bool) and not 0 < self.collapse <= 1:
            raise QueryError(
                f"collapse is {self.collapse}; it must be true, false or a cosine in (0, 1]",
                parameter="collapse",
            )
        asked = {
            "rerank": self.rerank is not None,
            "diversity": self.diversity > 0,
            "collapse": self.collapse is not False,
        }
        if self.sort and any(asked.values()):
            name = next(name for name, wanted in asked.items() if wanted)
            raise QueryError(
                f"sort and {name} exclude each other: both decide the order", parameter=name
            )

    def _check_steering(self) -> None:
        named = [*self.like, *self.unlike]
        if len(named) > MAX_STEERING:
            raise QueryError(
                f"like and unlike name {len(named)} documents; at most {MAX_STEERING} are allowed",
                parameter="like" if self.like else "unlike",
            )
        if twice := sorted({doc_id for doc_id in named if named.count(doc_id) > 1}):
            raise QueryError(
                f"document {twice[0]!r} is named twice in like and unlike", parameter="like"
            )
        if self.rerank is not None and not self.text.strip():
            raise QueryError("re-ranking needs words to compare documents with", parameter="rerank")
