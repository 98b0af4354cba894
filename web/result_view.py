"""An answer, ready to be laid out as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ingest.documents import MetadataValue
from pipeline.search.answer import Answer, Hit
from pipeline.search.query import RESULT_WINDOW
from web.page_request import PageRequest, can_filter
from web.passage_marks import Run, excerpt_of, runs_of, unwrapped
from web.score_bar import PART_LABELS, ScoreBar, bars_of, percent_of

__all__ = [
    "Chip",
    "FacetChoice",
    "FacetView",
    "HitView",
    "ResultView",
    "chips_of",
    "readable",
    "result_view",
    "safe_link",
]

_MAX_NAMES = 4
_MAX_CHIPS = 6
_MAX_CHIP_CHARACTERS = 60
_SHOWN_FACET_VALUES = 8
_MAX_FACET_VALUES = 60
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
    legend: list[tuple[str, str, str]]
    n_pages: int
    previous: str | None
    next: str | None


def result_view(answer: Answer, request: PageRequest) -> ResultView:
    """Lay an answer out.

    Parameters
    ----------
    request
        What was asked, for the links.
    """
    n_shown = answer.total - answer.n_collapsed
    n_pages = -(-min(n_shown, RESULT_WINDOW // answer.k * answer.k) // answer.k)
    bars = bars_of(answer.hits)
    used = {part.name for bar in bars for part in bar.parts if part.contribution}

    def page(number: int) -> str | None:
        # Pages of one answer come from one version, or hits could repeat or be missed.
        wanted = 1 <= number <= n_pages
        return request.address(page=str(number), version=answer.version) if wanted else None

    return ResultView(
        answer=answer,
        hits=[_hit_view(hit, bar, request) for hit, bar in zip(answer.hits, bars, strict=True)],
        facets=_facet_views(answer, request),
        chosen=[
            (readable(field), readable(value), request.without_only(field, value))
            for field, value in request.only
        ],
        legend=[(name, *label) for name, label in PART_LABELS.items() if name in used],
        n_pages=n_pages,
        previous=page(answer.page - 1),
        next=page(answer.page + 1),
    )


def readable(text: str) -> str:
    r"""Show control characters instead of sending them: a page holds none but line breaks.

    Examples
    --------
    >>> readable("a\x00b\x1b[1m")
    'a␀b␛[1m'
    """
    return text.translate(_CONTROL_PICTURES)


def safe_link(url: str | None) -> str | None:
    """Return a document's own address when a browser may follow it: http and https alone.

    Examples
    --------
    >>> safe_link("javascript:alert(1)"), safe_link("https://example.org/a")
    (None, 'https://example.org/a')
    """
    if url is None:
        return None
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in {"http", "https"} and parts.netloc else None


def chips_of(metadata: Mapping[str, MetadataValue]) -> list[Chip]:
    """Metadata as short texts."""
    return [
        Chip(readable(field), readable(value))
        for field, value in ((field, _value_text(value)) for field, value in metadata.items())
        if value
    ]


_CONTROL_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\v\f\r"},
    0x0B: 0x20,
    0x0C: 0x20,
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}


def _value_text(value: MetadataValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return str(value)
    return ", ".join(value)


def _shortened(text: str) -> str:
    cut = text[: _MAX_CHIP_CHARACTERS - 1].rstrip() + "…"
    return text if len(text) <= _MAX_CHIP_CHARACTERS else cut


def _hit_view(hit: Hit, bar: ScoreBar, request: PageRequest) -> HitView:
    excerpt = excerpt_of(hit.passage.text, hit.highlights)
    likelihood, level = next(
        (words, level) for least, words, level in _LIKELIHOODS if hit.probability >= least
    )
    names = [readable(name) for name in hit.names if name not in {hit.title, hit.doc_id}]
    link = safe_link(hit.url)
    return HitView(
        hit=hit,
        title=readable(hit.title.strip() or hit.doc_id),
        doc_id=readable(hit.doc_id),
        address=request.document_address(hit.doc_id, hit.passage.start, hit.passage.end),
        link=link,
        host=urlsplit(link).netloc if link else "",
        runs=runs_of(unwrapped(readable(excerpt.text)), excerpt.highlights),
        cut_before=excerpt.cut_before,
        cut_after=excerpt.cut_after,
        names=names[:_MAX_NAMES],
        n_more_names=max(len(names) - _MAX_NAMES, 0),
        chips=[
            Chip(chip.field, _shortened(chip.value)) for chip in chips_of(hit.metadata)[:_MAX_CHIPS]
        ],
        likelihood=likelihood,
        level=level,
        percent=percent_of(hit.probability),
        bar=bar,
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
