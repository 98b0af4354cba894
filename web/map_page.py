"""The map: the documents as a picture, the hits of a query lit up in it, a part of it searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import numpy as np
from flask import Blueprint, Flask, Response, request
from numpy.typing import NDArray

from ingest.errors import QueryError, TrineError
from pipeline.search.map_region import region_rows
from pipeline.search.searcher import Searcher
from pipeline.version.document_map import DocumentMap
from search_api.map_routes import map_of
from search_api.problems import problem_of
from search_api.snapshot import current_pool
from web.layout import problem_page, render_page
from web.page_request import PageRequest, own
from web.plain_text import readable
from web.regions import cluster_name, region_label

__all__ = [
    "ClusterView",
    "MapHitView",
    "MapView",
    "RegionView",
    "blueprint",
    "cluster_colors",
    "init_app",
]

N_COLORS = 12
_N_LIT = 100
_N_LISTED = 25
_N_INSIDE = 12
_KEPT = ("collection", "filter", "signals", "weights", "fusion", "correct")

blueprint = Blueprint("map", __name__)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A cluster; ``color`` is its number from 1, ``address`` a search of it by its own words."""

    number: int
    color: int
    name: str
    n_documents: int
    address: str


@dataclass(frozen=True, slots=True)
class MapHitView:
    """A document that was found, or lies in the region."""

    row: int
    number: int
    title: str
    address: str
    percent: str
    color: int


@dataclass(frozen=True, slots=True)
class RegionView:
    """The part of the map that was chosen; ``results`` leads to the search page's results."""

    label: str
    n_documents: int
    without: str
    results: str


@dataclass(frozen=True, slots=True)
class MapView:
    """All that stands beside the picture."""

    version: str
    data_address: str
    n_documents: int
    clusters: list[ClusterView]
    region: RegionView | None
    hits: list[MapHitView]
    lit: list[int]
    total: int
    doubtful: bool
    did_you_mean: str | None
    results: str


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.register_blueprint(blueprint)


@blueprint.get("/map")
def map_page() -> Response:
    """Show the map; without scripts, its clusters and hits as lists."""
    return _map("map.html", "problem.html")


@blueprint.get("/parts/map")
def map_part() -> Response:
    """Show what stands beside the picture, for a script to put there."""
    return _map("map_part.html", "problem_part.html")


def _map(template: str, problem_template: str) -> Response:
    try:
        asked = PageRequest.read(request.args.to_dict(flat=False), "/map")
    except QueryError as error:
        return problem_page(problem_of(error), template=problem_template)
    try:
        searcher = current_pool().get(
            asked.arguments.get("collection"), asked.arguments.get("version")
        )
        view = _view(searcher, map_of(searcher), asked.within(searcher.fields))
    except TrineError as error:
        return problem_page(problem_of(error), asked, problem_template)
    return render_page(template, asked, view=view, kept_names=_KEPT)


def _view(searcher: Searcher, found: DocumentMap, asked: PageRequest) -> MapView:
    region = asked.arguments.get("map_region")
    inside = region_rows(found, region) if region else None
    hits: list[MapHitView] = []
    lit: list[int] = []
    total, doubtful, did_you_mean = 0, False, None
    colors = cluster_colors(found)
    if asked.text or asked.like:
        query = asked.narrowed(replace(asked.search().query, k=_N_LIT, page=1), ())
        answer = searcher.search(replace(query, explain=False, highlight=False))
        lit = searcher.rows([hit.doc_id for hit in answer.hits])
        total, doubtful = answer.total, answer.no_good_result
        did_you_mean = answer.did_you_mean
        for row, hit in list(zip(lit, answer.hits, strict=True))[:_N_LISTED]:
            address = asked.document_address(hit.doc_id, hit.passage.start, hit.passage.end)
            percent = f"{hit.probability:.0%}"
            title = readable(hit.title.strip() or hit.doc_id)
            color = _color(found, colors, row)
            hits.append(MapHitView(row, hit.rank, title, address, percent, color))
    elif inside is not None:
        rows = _near_the_middle(found, inside)
        total = int(np.count_nonzero(inside))
        for number, (row, document) in enumerate(
            zip(rows, searcher.documents_at(rows), strict=True), start=1
        ):
            title = readable(document.title.strip() or document.doc_id)
            address = asked.document_address(document.doc_id, 0, 0)
            hits.append(MapHitView(row, number, title, address, "", _color(found, colors, row)))
    pairs = {"collection": asked.arguments.get("collection"), "version": searcher.version}
    return MapView(
        version=searcher.version,
        data_address=own("/api/v1/map?" + urlencode([(n, v) for n, v in pairs.items() if v])),
        n_documents=searcher.n_documents,
        clusters=_cluster_views(found, colors, asked),
        region=None if inside is None else _region_view(found, str(region), inside, asked),
        hits=hits,
        lit=lit,
        total=total,
        doubtful=doubtful,
        did_you_mean=did_you_mean,
        results=replace(asked, path="/").address(page=None, version=None),
    )


def _cluster_views(
    found: DocumentMap, colors: Sequence[int], asked: PageRequest
) -> list[ClusterView]:
    kept = {"collection": asked.arguments.get("collection")}
    views = []
    for number, (terms, count) in enumerate(zip(found.names, found.counts().tolist(), strict=True)):
        region = f"{found.drawing_id}:cluster:{number}"
        # Without words nothing can be ranked; a cluster without a name has none to offer.
        pairs = {**kept, "q": " ".join(terms[:3]), "map_region": region}
        path = "/?" if terms else "/map?"
        address = own(path + urlencode([(name, value) for name, value in pairs.items() if value]))
        views.append(
            ClusterView(number, colors[number], cluster_name(terms, number), count, address)
        )
    return sorted(views, key=lambda view: -view.n_documents)


def _region_view(
    found: DocumentMap, region: str, inside: NDArray[np.bool_], asked: PageRequest
) -> RegionView:
    return RegionView(
        label=region_label(found, region),
        n_documents=int(np.count_nonzero(inside)),
        without=asked.address(map_region=None, page=None, version=None),
        results=replace(asked, path="/").address(page=None, version=None),
    )


def _near_the_middle(found: DocumentMap, inside: NDArray[np.bool_]) -> list[int]:
    """Rows of the documents nearest to the middle of a region."""
    rows = np.flatnonzero(inside)
    if not len(rows):
        return []
    apart = found.positions[rows] - np.median(found.positions[rows], axis=0)
    nearest = np.argsort(np.square(apart).sum(axis=1), kind="stable")[:_N_INSIDE]
    nearest_rows: list[int] = rows[nearest].tolist()
    return nearest_rows


def _color(found: DocumentMap, colors: Sequence[int], row: int) -> int:
    cluster = int(found.clusters[row])
    return colors[cluster] if cluster >= 0 else 0


def cluster_colors(found: DocumentMap) -> list[int]:
    """A color for each cluster, 1 to 12: clusters that share one lie as far apart as can be."""
    centers = found.drawing.centers
    colors: list[int] = []
    for number, center in enumerate(centers):
        apart = np.square(centers[:number] - center).sum(axis=1)
        nearest = [
            min((apart[other] for other in range(number) if colors[other] == color), default=np.inf)
            for color in range(1, N_COLORS + 1)
        ]
        colors.append(int(np.argmax(nearest)) + 1)
    return colors
