"""How many matching documents hold each value of a metadata field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.search.answer import FacetValue
from pipeline.search.time_limit import check_time
from pipeline.version.metadata_columns import MetadataColumns

__all__ = ["count_facets", "facet_fields"]

_N_VALUES = 100
_FEW_VALUES = 60
_MIN_SHARE = 0.5


def count_facets(
    metadata: MetadataColumns, fields: Sequence[str], matching: NDArray[np.int64] | None
) -> dict[str, list[FacetValue]]:
    """The 100 most frequent values of each field, with exact counts.

    Parameters
    ----------
    matching
        int64, shape (n_matching,): rows of the documents that match; none when ``None``.

    Raises
    ------
    QueryError
        If the version does not hold such a field.
    """
    facets = {}
    for name in dict.fromkeys(fields):
        check_time()
        column = metadata.column(name, parameter="facets")
        counted = column.counts(np.zeros(0, np.int64) if matching is None else matching)
        facets[name] = [FacetValue(value, count) for value, count in counted[:_N_VALUES]]
    return facets


def facet_fields(metadata: MetadataColumns, n_documents: int) -> list[str]:
    """Fields worth offering as facets: few distinct values, held by most documents."""
    columns = [metadata.column(name) for name in metadata.fields]
    return [
        column.name
        for column in columns
        if 1 < len(column.values) <= _FEW_VALUES
        and np.count_nonzero(np.diff(column.offsets)) >= _MIN_SHARE * n_documents
    ]
