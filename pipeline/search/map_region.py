"""A part of the map as a condition: the documents inside a polygon, or of a cluster.

Written ``<drawing>:polygon:x,y,x,y,...`` or ``<drawing>:cluster:<number>``, in the units of the map
that a program is given: 0 to 65,534 from left to right and from top to bottom. The drawing stands
with it because places mean something in that picture alone.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ingest.errors import QueryError
from pipeline.version.document_map import DocumentMap

__all__ = ["MAP_UNITS", "MAX_CORNERS", "NO_PLACE", "map_units", "region_rows"]

MAP_UNITS = 65_534
"""The map is so many units wide and high."""

NO_PLACE = 65_535
"""Both coordinates of a document that has no place on the map."""

MAX_CORNERS = 200

_REGION = re.compile(
    r"(?P<drawing>[0-9a-f]{8}):(?:cluster:(?P<cluster>[0-9]{1,4})"
    r"|polygon:(?P<corners>[0-9]{1,5}(?:,[0-9]{1,5})*))"
)
_LONGEST = 4_000


def map_units(found: DocumentMap) -> NDArray[np.uint16]:
    """Where documents lie, in whole units from the top left: uint16, shape (n_documents, 2)."""
    has_place = np.isfinite(found.positions[:, 0])
    units = np.full(found.positions.shape, NO_PLACE, np.uint16)
    x, y = found.positions[has_place].T.astype(np.float64)
    units[has_place] = np.rint(np.stack([x + 1, 1 - y], axis=1) / 2 * MAP_UNITS).astype(np.uint16)
    return units


def region_rows(found: DocumentMap | None, text: str) -> NDArray[np.bool_]:
    """Which documents lie in a region: bool, shape (n_documents,).

    A polygon may cross itself; what an odd number of its edges lie to the right of is inside.

    Raises
    ------
    QueryError
        If the region cannot be read, or is of another picture than this version's.
    """
    match = _REGION.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise _wrong(
            "map_region cannot be read: write DRAWING:cluster:NUMBER or "
            f"DRAWING:polygon:x,y,x,y,... with whole numbers up to {MAP_UNITS}"
        )
    if found is None:
        raise _wrong("this version has no map, so nothing lies in map_region: trine reindex")
    if match["drawing"] != found.drawing_id:
        raise _wrong(
            f"map_region is of the picture {match['drawing']}, and the map has been drawn anew "
            f"since, as {found.drawing_id}: choose the region again"
        )
    if match["cluster"] is not None:
        cluster = int(match["cluster"])
        if cluster >= len(found.names):
            raise _wrong(f"there is no cluster {cluster}: the last is {len(found.names) - 1}")
        inside: NDArray[np.bool_] = found.clusters == cluster
        return inside
    return _inside(map_units(found), _corners(match["corners"]))


def _wrong(message: str) -> QueryError:
    return QueryError(message, parameter="map_region")


def _corners(text: str) -> NDArray[np.float64]:
    numbers = [int(number) for number in text.split(",")]
    if len(numbers) % 2 or not 3 <= len(numbers) // 2 <= MAX_CORNERS or max(numbers) > MAP_UNITS:
        raise _wrong(
            f"the polygon in map_region has {len(numbers)} numbers up to {max(numbers)}; it needs "
            f"3 to {MAX_CORNERS} corners of two numbers up to {MAP_UNITS}"
        )
    return np.array(numbers, np.float64).reshape(-1, 2)


def _inside(points: NDArray[np.uint16], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Even-odd rule, edge by edge (Shimrat, CACM 1962, doi:10.1145/368637.368653)."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    x, y = points[near].T.astype(np.float64)
    odd = np.zeros(len(near), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            odd ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    inside = np.zeros(len(points), np.bool_)
    inside[near[odd]] = True
    return inside
