"""Compressed embeddings that propose which rows to score exactly, where there are very many.

Product quantization with 4-bit codes, scanned from registers: Jegou, Douze and Schmid (2011),
"Product quantization for nearest neighbor search", https://doi.org/10.1109/TPAMI.2010.57; Andre,
Kermarrec and Le Scouarnec (2017), "Accelerated nearest neighbor search with Quick ADC",
https://doi.org/10.1145/3078971.3078992. Codes only propose: what is returned is scored by its
embedding, so an error of theirs can miss a neighbour and never misplace one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import IndexCorruptError, IndexFolderError

__all__ = ["CODES_NAME", "VectorCodes", "write_vector_codes"]

CODES_NAME = "codes.faiss"
_BITS = 4
# Embeddings of few dimensions hold more in each: they get finer codes.
_WIDE_DIMENSION = 384
_TRAINED_ON = 65_536
_ADDED_AT_ONCE = 16_384
_SEED = 0


class Vectors(Protocol):
    """Embeddings that are read a few rows at a time."""

    n_rows: int
    dimension: int

    def rows(self, rows: NDArray[np.int64]) -> Embeddings:
        """Embeddings of the given rows, float32, shape (n_rows, dimension)."""
        ...


def write_vector_codes(folder: Path, vectors: Vectors) -> None:
    """Write the codes of a signal's embeddings beside them; the codes alone are held in memory.

    Raises
    ------
    IndexFolderError
        If the file cannot be written.
    """
    n_rows, dimension = vectors.n_rows, vectors.dimension
    index = faiss.IndexPQFastScan(dimension, _n_parts(dimension), _BITS, faiss.METRIC_INNER_PRODUCT)
    count = min(n_rows, _TRAINED_ON)
    sample = np.sort(np.random.default_rng(_SEED).choice(n_rows, count, replace=False))
    # On one thread the same rows give the same codes on any number of cores.
    faiss.omp_set_num_threads(1)
    index.train(vectors.rows(sample))
    for begin in range(0, n_rows, _ADDED_AT_ONCE):
        index.add(vectors.rows(np.arange(begin, min(begin + _ADDED_AT_ONCE, n_rows))))
    path = folder / CODES_NAME
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise IndexFolderError(f"writing {path} failed") from error


def _n_parts(dimension: int) -> int:
    """How many codes a row gets, each of 4 bits for so many dimensions."""
    for width in (4, 2) if dimension >= _WIDE_DIMENSION else (2,):
        if dimension % width == 0:
            return dimension // width
    return dimension


class VectorCodes:
    """Read-only, memory-mapped codes of one signal's embeddings.

    Parameters
    ----------
    folder
        The signal's folder inside a version.
    n_rows, dimension
        What they must be of.

    Raises
    ------
    IndexCorruptError
        If they are of anything else.
    """

    def __init__(self, folder: Path, n_rows: int, dimension: int) -> None:
        path = folder / CODES_NAME
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise IndexCorruptError(f"{path} cannot be read as a vector index") from error
        if (
            not isinstance(self._index, faiss.IndexPQFastScan)
            or (self._index.ntotal, self._index.d) != (n_rows, dimension)
            or self._index.metric_type != faiss.METRIC_INNER_PRODUCT
        ):
            raise IndexCorruptError(f"{path} does not belong to the embeddings beside it")

    @staticmethod
    def are_in(folder: Path) -> bool:
        """Whether a signal has codes."""
        return (folder / CODES_NAME).is_file()

    def propose(self, query: Embeddings, count: int) -> NDArray[np.int64]:
        """Rows, int64, that are likely the ``count`` nearest to a query, in no order."""
        faiss.omp_set_num_threads(1)
        _, rows = self._index.search(query[None, :], min(count, self._index.ntotal))
        found: NDArray[np.int64] = rows[0][rows[0] >= 0]
        return found
