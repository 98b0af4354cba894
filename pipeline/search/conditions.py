"""Which documents a query lets in: by its filters, its required words and a part of the map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.errors import QueryError
from pipeline.search.filters import parse_filter
from pipeline.search.map_region import region_rows
from pipeline.search.query_reading import ReadQuery
from pipeline.version.open_version import OpenVersion

__all__ = ["allowed_rows"]


def allowed_rows(
    version: OpenVersion, read: ReadQuery, left_out: Sequence[int]
) -> NDArray[np.bool_] | None:
    """Documents that meet every condition of a query.

    Parameters
    ----------
    left_out
        Rows of documents not to be found in any case.

    Returns
    -------
    bool, shape (n_documents,), or None
        ``None`` where there is no condition.

    Raises
    ------
    QueryError
        If a condition cannot be read, or asks for what the version does not hold.
    """
    query, parsed = read.query, read.parsed
    masks = [] if version.permitted is None else [version.permitted]
    if left_out:
        shown = np.ones(version.manifest.n_documents, np.bool_)
        shown[left_out] = False
        masks.append(shown)
    if query.filter and query.filter.strip():
        masks.append(parse_filter(query.filter).rows(version.metadata))
    if query.map_region:
        masks.append(region_rows(version.map, query.map_region))
    for field_name, value, wanted in parsed.filters:
        mask = version.metadata.column(field_name).equal_to(value)
        masks.append(mask if wanted else ~mask)
    if parsed.keywords.required or parsed.keywords.excluded:
        if version.keywords is None:
            raise QueryError(
                "+required and -excluded words need the bm25 signal, "
                "which this version does not hold",
                parameter="q",
            )
        masks.append(version.keywords.rows_allowed(parsed.keywords))
    return np.logical_and.reduce(masks) if masks else None
