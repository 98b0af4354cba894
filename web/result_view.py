"""An answer, ready to be laid out as a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ingest.documents import MetadataValue
from ingest.errors import QueryError
from pipeline.search.answer import Answer, Hit, MarkedPassage
from pipeline.search.embedding_space import Point
from pipeline.search.query import RESULT_WINDOW
from pipeline.search.searcher import Searcher
from web.page_request import PageRequest, can_filter
from web.passage_marks import Run, excerpt_of, runs_of, tightened, unwrapped
from web.plain_text import readable, safe_link
from web.regions import region_label
from web.score_bar import PART_LABELS, ScoreBar, bars_of, percent_of

__all__ = [
    "Chip",
    "FacetChoice",
    "FacetView",
    "HitView",
    "PassageView",
    "ResultView",
    "Slider",
    "SteeringChip",
    "chips_of",
    "passage_views",
    "result_view",
]

_MAX_NAMES = 4
_MAX_CHIPS = 6
_MAX_CHIP_CHARACTERS = 60
_SHOWN_FACET_VALUES = 8
_MAX_FACET_VALUES = 60
_DATE = re.compile(r"\d{4}-[01]\d-[0-3]\d")
# How many words of the collection a search that found nothing good is pointed to, and how near
# they must come.
_N_NEARBY = 6
_LEAST_NEARBY = 0.3
# Probability at least this -> words for it.
_LIKELIHOODS = (
    (0.8, "Very likely relevant", "high"),
    (0.5, "Likely relevant", "high"),
    (0.25, "Possibly relevant", "middle"),
    (0.0, "Probably not relevant", "low"),
)


@dataclass(frozen=True, slots=True)
class Chip:
    """One metadata field as text."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class SteeringChip:
    """A document the search goes toward (``like``) or away from (``unlike``)."""

    kind: str
    title: str
    address: str


@dataclass(frozen=True, slots=True)
class Slider:
    """How much one signal counts, and how much it would if nobody had moved it."""

    name: str
    label: str
    method: str
    value: str
    default: str


@dataclass(frozen=True, slots=True)
class HitView:
    """One hit, in the words and shapes of the page."""

    hit: Hit
    title: str
    doc_id: str
    address: str
    link: str | None
    host: str
    runs: list[Run]
    cut_before: bool
    cut_after: bool
    names: list[str]
    n_more_names: int
    chips: list[Chip]
    likelihood: str
    level: str
    percent: str
    bar: ScoreBar
    date: str
    more_address: str
    less_address: str
    words_address: str
    n_more_passages: int
    passages_address: str


@dataclass(frozen=True, slots=True)
class FacetChoice:
    """A value of a facet; following its address chooses it, or takes the choice back."""

    value: str
    count: int
    address: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class FacetView:
    """A field and its values, the most frequent first."""

    field: str
    label: str
    choices: list[FacetChoice]
    more: list[FacetChoice]


@dataclass(frozen=True, slots=True)
class ResultView:
    """A page of results."""

    answer: Answer
    hits: list[HitView]
    facets: list[FacetView]
    chosen: list[tuple[str, str, str]]
    steered: list[SteeringChip]
    balance: list[Slider]
    own_balance: str | None
    nearby: list[tuple[str, str]]
    n_pages: int
    previous: str | None
    next: str | None


def result_view(answer: Answer, request: PageRequest, searcher: Searcher) -> ResultView:
    """Lay an answer out.

    Parameters
    ----------
    request
        What was asked, for the links.
    searcher
        Who answered: it knows titles, weights and words.
    """
    n_shown = answer.total - answer.n_collapsed
    n_pages = -(-min(n_shown, RESULT_WINDOW // answer.k * answer.k) // answer.k)
    n_passages = searcher.passage_counts([hit.doc_id for hit in answer.hits])
    hits = zip(answer.hits, bars_of(answer.hits), n_passages, strict=True)
    weak = not answer.hits or answer.no_good_result

    def page(number: int) -> str | None:
        # Pages of one answer come from one version, or hits could repeat or be missed.
        wanted = 1 <= number <= n_pages
        return request.address(page=str(number), version=answer.version) if wanted else None

    return ResultView(
        answer=answer,
        hits=[_hit_view(hit, bar, n, request, answer.version) for hit, bar, n in hits],
        facets=_facet_views(answer, request),
        chosen=_chosen(request, searcher),
        steered=_steering_chips(request, searcher),
        balance=_sliders(request, searcher),
        own_balance=request.address(weights=None, page=None)
        if "weights" in request.arguments
        else None,
        nearby=_nearby_words(request, searcher) if weak else [],
        n_pages=n_pages,
        previous=page(answer.page - 1),
        next=page(answer.page + 1),
    )


def chips_of(metadata: Mapping[str, MetadataValue]) -> list[Chip]:
    """Metadata as short texts."""
    return [
        Chip(readable(field), readable(value))
        for field, value in ((field, _value_text(value)) for field, value in metadata.items())
        if value
    ]


def _value_text(value: MetadataValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return str(value)
    return ", ".join(value)


def _date_of(metadata: Mapping[str, MetadataValue]) -> str:
    """The first of a document's fields that is a date, as it is written."""
    texts = (value for value in metadata.values() if isinstance(value, str))
    return next((text for text in texts if _DATE.fullmatch(text)), "")


def _shortened(text: str) -> str:
    cut = text[: _MAX_CHIP_CHARACTERS - 1].rstrip() + "…"
    return text if len(text) <= _MAX_CHIP_CHARACTERS else cut


def _chosen(request: PageRequest, searcher: Searcher) -> list[tuple[str, str, str]]:
    """Field, value and the address without it, of each condition that was clicked."""
    chosen = [
        (readable(field), readable(value), request.without_only(field, value))
        for field, value in request.only
    ]
    if region := request.arguments.get("map_region"):
        without = request.address(map_region=None, page=None, version=None)
        chosen.append(("map", region_label(searcher.map, region), without))
    return chosen


def _steering_chips(request: PageRequest, searcher: Searcher) -> list[SteeringChip]:
    return [
        SteeringChip(
            kind,
            readable(searcher.document(doc_id).title.strip() or doc_id),
            request.without_steering(doc_id).fresh_address(),
        )
        for kind, doc_ids in (("like", request.like), ("unlike", request.unlike))
        for doc_id in doc_ids
    ]


def _sliders(request: PageRequest, searcher: Searcher) -> list[Slider]:
    """One for each signal, where there is more than one to balance."""
    if len(searcher.signals) < 2 or "signals" in request.arguments:
        return []
    defaults = searcher.ranking.weights
    moved = request.search().query.weights
    current = defaults if moved is None else moved
    return [
        Slider(name, *PART_LABELS[name], f"{current.get(name, 0):.4g}", f"{default:.4g}")
        for name in searcher.signals
        for default in [defaults.get(name, 0.0)]
    ]


def _nearby_words(request: PageRequest, searcher: Searcher) -> list[tuple[str, str]]:
    """Words of the collection that come near what was asked, each with its search."""
    try:
        space = searcher.space("word2vec")
        found = space.neighbors([Point("text", request.text)], among="words", k=_N_NEARBY)
    except QueryError:  # nothing of it is known
        return []
    known = [neighbor.name for neighbor in found if neighbor.similarity >= _LEAST_NEARBY]
    return [
        (readable(word), request.address(q=word, page=None, version=None, correct=None))
        for word in known
    ]


@dataclass(frozen=True, slots=True)
class PassageView:
    """One more passage of a document; ``address`` is its place in the document's page."""

    runs: list[Run]
    cut_before: bool
    cut_after: bool
    page: int | None
    address: str


def passage_views(
    found: Sequence[MarkedPassage], doc_id: str, request: PageRequest
) -> list[PassageView]:
    """Lay further passages of a document out."""
    views = []
    for one in found:
        excerpt = excerpt_of(one.passage.text, one.highlights)
        views.append(
            PassageView(
                tightened(runs_of(unwrapped(readable(excerpt.text)), excerpt.highlights)),
                excerpt.cut_before,
                excerpt.cut_after,
                one.passage.page,
                request.document_address(doc_id, one.passage.start, one.passage.end),
            )
        )
    return views


def _hit_view(
    hit: Hit, bar: ScoreBar, n_passages: int, request: PageRequest, version: str
) -> HitView:
    excerpt = excerpt_of(hit.passage.text, hit.highlights)
    likelihood, level = next(
        (words, level) for least, words, level in _LIKELIHOODS if hit.probability >= least
    )
    names = [readable(name) for name in hit.names if name not in {hit.title, hit.doc_id}]
    link = safe_link(hit.url)
    date = _date_of(hit.metadata)
    return HitView(
        hit=hit,
        title=readable(hit.title.strip() or hit.doc_id),
        doc_id=readable(hit.doc_id),
        address=request.document_address(hit.doc_id, hit.passage.start, hit.passage.end),
        link=link,
        host=urlsplit(link).netloc if link else "",
        runs=tightened(runs_of(unwrapped(readable(excerpt.text)), excerpt.highlights)),
        cut_before=excerpt.cut_before,
        cut_after=excerpt.cut_after,
        names=names[:_MAX_NAMES],
        n_more_names=max(len(names) - _MAX_NAMES, 0),
        chips=[
            Chip(chip.field, _shortened(chip.value))
            for chip in chips_of(hit.metadata)
            if not (date and chip.value == date)
        ][:_MAX_CHIPS],
        likelihood=likelihood,
        level=level,
        percent=percent_of(hit.probability),
        bar=bar,
        date=date,
        more_address=request.toward(hit.doc_id),
        less_address=request.away_from(hit.doc_id),
        words_address=request.hit_address("/words-of-hit", hit.rank, version),
        n_more_passages=n_passages - 1,
        passages_address=request.passages_address(hit.doc_id, hit.passage.start, version),
    )


def _facet_views(answer: Answer, request: PageRequest) -> list[FacetView]:
    views = []
    for field, found in answer.facets.items():
        if not can_filter(field) or not found:
            continue
        choices = [
            _facet_choice(field, entry.value, entry.count, request)
            for entry in found[:_MAX_FACET_VALUES]
        ]
        views.append(
            FacetView(
                field,
                readable(field).replace("_", " ").capitalize(),
                choices[:_SHOWN_FACET_VALUES],
                choices[_SHOWN_FACET_VALUES:],
            )
        )
    return views


def _facet_choice(field: str, value: str, count: int, request: PageRequest) -> FacetChoice:
    chosen = (field, value) in request.only
    follow = request.without_only if chosen else request.with_only
    return FacetChoice(readable(value), count, follow(field, value), chosen)
