"""Nearest neighbours among the embeddings of one signal, through FAISS.

Exact inner products over unit vectors, so a score is a cosine in [-1, 1]. The index file holds
the embeddings once; ``vectors`` is a view of the same memory-mapped bytes. Where they are very
many, codes beside them propose which ones to read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from ingest.errors import DimensionMismatchError, IndexCorruptError, IndexFolderError
from pipeline.version.vector_codes import VectorCodes, write_vector_codes

__all__ = ["EXHAUSTIVE_ROWS", "FILE_NAME", "StoredVectors", "VectorIndex", "write_vector_index"]

FILE_NAME = "vectors.faiss"
# Policy, not a measured break-even: one pass over all rows stays in the milliseconds up to here.
EXHAUSTIVE_ROWS = 200_000
# So many times as many rows as are wanted are scored exactly, and at least so many.
_PROPOSED_TIMES = 20
_PROPOSED_AT_LEAST = 1_000
# How FAISS begins the file of an IndexFlatIP (faiss/impl/index_write.cpp): its name, dimension,
# rows, two numbers without meaning, whether it is trained, its metric, and how many floats follow.
_HEADER = struct.Struct("<4siqqqBiQ")
_NO_MEANING = 1 << 20
_ROWS_AT_ONCE = 4096


def write_vector_index(folder: Path, batches: Iterable[Embeddings], dimension: int) -> int:
    """Write embeddings, in row order, as an index; if they are very many, codes of them too.

    Returns
    -------
    int
        Rows that are not all zero; the signal abstains for the others.

    Raises
    ------
    DimensionMismatchError
        If a batch has another width than ``dimension``.
    IndexFolderError
        If the file cannot be written.
    """
    path = folder / FILE_NAME
    n_rows = n_covered = 0
    try:
        # Written as they come: FAISS itself would hold them all in memory first.
        with path.open("wb") as file:
            file.write(_header(0, dimension))
            for batch in batches:
                if batch.ndim != 2 or batch.shape[1] != dimension:
                    raise DimensionMismatchError(
                        f"embeddings of shape {batch.shape} do not fit an index of dimension "
                        f"{dimension}"
                    )
                file.write(np.ascontiguousarray(batch, dtype="<f4").data)
                n_rows += len(batch)
                n_covered += int(np.count_nonzero(batch.any(axis=1)))
            file.seek(0)
            file.write(_header(n_rows, dimension))
    except OSError as error:
        raise IndexFolderError(f"writing {path} failed: {error.strerror or error}") from error
    if n_rows > EXHAUSTIVE_ROWS:
        write_vector_codes(folder, StoredVectors(folder))
    return n_covered


def _header(n_rows: int, dimension: int) -> bytes:
    inner_product = faiss.METRIC_INNER_PRODUCT
    return _HEADER.pack(
        b"IxFI", dimension, n_rows, _NO_MEANING, _NO_MEANING, 1, inner_product, n_rows * dimension
    )


class StoredVectors:
    """Embeddings of one signal read a few rows at a time, so that little of them is in memory.

    Parameters
    ----------
    folder
        The signal's folder inside a version.

    Raises
    ------
    IndexCorruptError
        If the file is none that ``write_vector_index`` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            with self._path.open("rb") as file:
                found = file.read(_HEADER.size)
            self.dimension, self.n_rows = _HEADER.unpack(found)[1:3]
            whole = self._path.stat().st_size == _HEADER.size + 4 * self.n_rows * self.dimension
        except (OSError, struct.error) as error:
            raise IndexCorruptError(f"{self._path} cannot be read as a vector index") from error
        if found != _header(self.n_rows, self.dimension) or not whole:
            raise IndexCorruptError(f"{self._path} cannot be read as a vector index")

    def rows(self, rows: NDArray[np.int64]) -> Embeddings:
        """Embeddings of the given rows, float32, shape (n_rows, dimension)."""
        if not len(rows):
            return np.zeros((0, self.dimension), np.float32)
        # Mapped anew each time: pages that were touched count as memory until they are unmapped.
        shape = (self.n_rows, self.dimension)
        mapped = np.memmap(self._path, "<f4", "r", offset=_HEADER.size, shape=shape)
        return np.asarray(mapped[rows], np.float32)

    def covered(self) -> NDArray[np.bool_]:
        """Which rows are not all zero, bool, shape (n_rows,)."""
        result = np.zeros(self.n_rows, np.bool_)
        for begin in range(0, self.n_rows, _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, self.n_rows)
            result[begin:end] = self.rows(np.arange(begin, end)).any(axis=1)
        return result


class VectorIndex:
    """Read-only, memory-mapped embeddings of one signal.

    Parameters
    ----------
    folder
        The signal's folder inside a version.
    all_covered
        Whether every row is known to have an embedding; spares reading them all to find out.
    """

    def __init__(self, folder: Path, *, all_covered: bool = False) -> None:
        path = folder / FILE_NAME
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise IndexCorruptError(f"{path} cannot be read as a vector index") from error
        self.n_rows: int = self._index.ntotal
        self.dimension: int = self._index.d
        self.vectors: Embeddings = (
            faiss.rev_swig_ptr(self._index.get_xb(), self.n_rows * self.dimension).reshape(
                self.n_rows, self.dimension
            )
            if self.n_rows
            else np.zeros((0, self.dimension), np.float32)
        )
        self.covered: NDArray[np.bool_] = (
            np.ones(self.n_rows, np.bool_) if all_covered else StoredVectors(folder).covered()
        )
        self._codes = (
            VectorCodes(folder, self.n_rows, self.dimension) if VectorCodes.are_in(folder) else None
        )

    @property
    def is_exhaustive(self) -> bool:
        """Whether a query is best held against every row."""
        return self.n_rows <= EXHAUSTIVE_ROWS

    def nearest(
        self,
        query: Embeddings,
        depth: int,
        allowed: NDArray[np.bool_] | None = None,
        *,
        exact: bool = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows nearest to one query, best first.

        Parameters
        ----------
        query
            float32, shape (dimension,), unit norm.
        depth
            How many rows to return at most.
        allowed
            Rows that may be returned, bool, shape (n_rows,); all when ``None``.
        exact
            Whether no neighbour may be missed, however long it takes.

        Returns
        -------
        rows, similarities
            Equal lengths, at most ``depth``; similarities are exact in any case, equal ones go by
            row. Rows without an embedding are never returned.

        Raises
        ------
        DimensionMismatchError
            If the query has another width than the index.
        """
        self._check(query)
        usable = self.covered if allowed is None else self.covered & allowed
        n_usable = int(np.count_nonzero(usable))
        count = min(depth, n_usable)
        if count == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        # Few rows that are allowed would hardly be among those proposed.
        if self._codes is not None and not exact and 2 * n_usable >= self.n_rows:
            proposed = self._codes.propose(query, max(_PROPOSED_TIMES * depth, _PROPOSED_AT_LEAST))
            near = np.sort(proposed[usable[proposed]])
            if len(near) >= count:
                scores = self.similarities(query, near)
                best = np.lexsort((near, -scores))[:count]
                return near[best], scores[best]
        # One query on several OpenMP threads costs more in waking them than it saves.
        faiss.omp_set_num_threads(1)
        parameters = None
        if n_usable < self.n_rows:
            # The packed bits must outlive the search: the selector only points at them.
            bits = np.packbits(usable, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        similarities, rows = self._index.search(query[None, :], count, params=parameters)
        found = rows[0] >= 0
        order = np.lexsort((rows[0][found], -similarities[0][found]))
        return rows[0][found][order], similarities[0][found][order]

    def all_similarities(self, query: Embeddings) -> NDArray[np.float32]:
        """Cosine of one query with every row: float32, shape (n_rows,); one pass over the index."""
        self._check(query)
        result = np.empty(self.n_rows, np.float32)
        if self.n_rows:
            asked = np.ascontiguousarray(query, np.float32)
            faiss.fvec_inner_products_ny(
                faiss.swig_ptr(result),
                faiss.swig_ptr(asked),
                faiss.swig_ptr(self.vectors),
                self.dimension,
                self.n_rows,
            )
        return result

    def similarities(self, query: Embeddings, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosine of one query with each of the given rows, exactly."""
        self._check(query)
        # Not a BLAS product: there a row's last bits depend on how many rows are asked for, and a
        # document's score would change from page to page.
        result: NDArray[np.float32] = np.einsum("ij,j->i", self.vectors[rows], query)
        return result

    def _check(self, query: Embeddings) -> None:
        if query.shape != (self.dimension,):
            raise DimensionMismatchError(
                f"a query of shape {query.shape} met an index of dimension {self.dimension}"
            )
