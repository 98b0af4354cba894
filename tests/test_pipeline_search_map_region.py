"""A region of the map is a condition like any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.errors import QueryError
from pipeline.search.map_region import MAP_UNITS, NO_PLACE, map_units, region_rows
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.document_map import UNMAPPED, DocumentMap


@pytest.fixture
def drawn(searcher: Searcher) -> DocumentMap:
    assert searcher.map is not None
    return searcher.map


def polygon(found: DocumentMap, *corners: tuple[int, int]) -> str:
    return f"{found.drawing_id}:polygon:" + ",".join(f"{x},{y}" for x, y in corners)


def box(found: DocumentMap, low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    return polygon(found, (left, top), (right, top), (right, bottom), (left, bottom))


def test_units_run_from_the_top_left(drawn: DocumentMap) -> None:
    units = map_units(drawn)
    assert units.max() == MAP_UNITS
    highest = int(np.argmax(drawn.positions[:, 1]))
    assert units[highest, 1] == units[:, 1].min()
    nowhere = replace(drawn, positions=np.full_like(drawn.positions, np.nan))
    assert (map_units(nowhere) == NO_PLACE).all()


def test_a_box_holds_what_lies_between_its_sides(drawn: DocumentMap) -> None:
    units = map_units(drawn).astype(np.int64)
    low, high = np.array([10_001, 20_001]), np.array([45_001, 60_001])
    expected = ((units > low) & (units < high)).all(axis=1)
    assert 0 < expected.sum() < len(units)
    assert (region_rows(drawn, box(drawn, low, high)) == expected).all()


def test_a_star_is_no_box(drawn: DocumentMap) -> None:
    spots = np.array([[0.0, 0.45], [0.0, 0.0], [0.35, -0.1], [-0.9, -0.9]], np.float32)
    placed = replace(drawn, positions=spots, clusters=np.zeros(4, np.int16))
    # A pentagram, drawn in one stroke: its middle is crossed twice, and so outside.
    turns = 2 * np.pi * np.arange(5) * 2 / 5
    corners = [
        (round((np.sin(t) * 0.5 + 1) / 2 * MAP_UNITS), round((1 - np.cos(t) * 0.5) / 2 * MAP_UNITS))
        for t in turns
    ]
    assert region_rows(placed, polygon(drawn, *corners)).tolist() == [True, False, False, False]


def test_a_cluster_holds_its_documents(drawn: DocumentMap, searcher: Searcher) -> None:
    found = searcher.search(Query("file", k=100, map_region=f"{drawn.drawing_id}:cluster:1"))
    rows = searcher.rows([hit.doc_id for hit in found.hits])
    assert rows
    assert set(drawn.clusters[rows].tolist()) == {1}
    assert found.total <= drawn.counts()[1]


def test_it_joins_with_filters_and_totals_are_exact(drawn: DocumentMap, searcher: Searcher) -> None:
    units = map_units(drawn).astype(np.int64)
    half = box(drawn, np.array([0, 0]), np.array([MAP_UNITS // 2, MAP_UNITS]))
    everything = searcher.search(Query("file", k=100, filter="subject:files", facets=("subject",)))
    there = searcher.search(
        Query("file", k=100, filter="subject:files", facets=("subject",), map_region=half)
    )
    kept = [
        hit.doc_id
        for hit in everything.hits
        if units[searcher.rows([hit.doc_id])[0], 0] < MAP_UNITS // 2
    ]
    assert {hit.doc_id for hit in there.hits} == set(kept)
    assert there.total == len(kept) == sum(value.count for value in there.facets["subject"])


def test_documents_without_a_place_lie_in_no_region(drawn: DocumentMap) -> None:
    clusters, positions = drawn.clusters.copy(), drawn.positions.copy()
    clusters[3], positions[3] = UNMAPPED, np.nan
    lost = replace(drawn, clusters=clusters, positions=positions)
    whole = box(drawn, np.array([0, 0]), np.array([MAP_UNITS, MAP_UNITS]))
    assert not region_rows(lost, whole)[3]


@pytest.mark.parametrize(
    ("region", "told"),
    [
        ("", "cannot be read"),
        ("somewhere", "cannot be read"),
        ("{id}:polygon:1,2,3", "3 numbers"),
        ("{id}:polygon:1,2,3,4", "3 to 200 corners"),
        ("{id}:polygon:1,2,3,4,5,65535", "65535"),
        ("{id}:polygon:-1,2,3,4,5,6", "cannot be read"),
        ("{id}:polygon:" + "1,2," * 200 + "1,2", "402 numbers"),
        ("{id}:polygon:" + "1,2," * 9_999 + "1,2", "cannot be read"),
        ("{id}:cluster:999", "no cluster 999"),
        ("{id}:cluster:x", "cannot be read"),
        ("00000000:cluster:0", "drawn anew"),
        ("{id}:cluster:0\n", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_told(drawn: DocumentMap, region: str, told: str) -> None:
    with pytest.raises(QueryError, match=told) as caught:
        region_rows(drawn, region.format(id=drawn.drawing_id))
    assert caught.value.parameter == "map_region"


def test_without_a_map_there_are_no_regions() -> None:
    with pytest.raises(QueryError, match="no map"):
        region_rows(None, "0a1b2c3d:cluster:0")
