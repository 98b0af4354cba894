"""What the clusters of a map, and parts of it, are called."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.version.document_map import DocumentMap
from web.plain_text import readable

__all__ = ["cluster_name", "region_label"]

_N_TERMS = 3


def cluster_name(terms: Sequence[str], number: int) -> str:
    """A cluster's name.

    Examples
    --------
    >>> cluster_name(("violin", "hall", "sound", "string"), 0), cluster_name((), 1)
    ('violin · hall · sound', 'cluster 2')
    """
    return " · ".join(map(readable, terms[:_N_TERMS])) or f"cluster {number + 1}"


def region_label(found: DocumentMap | None, region: str) -> str:
    """What a region is called in a few words.

    Examples
    --------
    >>> region_label(None, "0a1b2c3d:polygon:1,2,3,4,5,6")
    'a part of the map'
    """
    kind, _, rest = region.partition(":")[2].partition(":")
    if found is not None and kind == "cluster" and rest.isdigit() and int(rest) < len(found.names):
        return cluster_name(found.names[int(rest)], int(rest))
    return "a part of the map"
