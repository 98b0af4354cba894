"""Arrays of a version: ``.npy`` files, memory-mapped, never pickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ingest.errors import IndexCorruptError

__all__ = [
    "ArrayWriter",
    "Runs",
    "check_offsets",
    "load_array",
    "merge_runs",
    "run_positions",
]


def load_array(
    path: Path, dtype: DTypeLike | type[np.unsignedinteger[Any]], *, n_dimensions: int = 1
) -> NDArray[Any]:
    """Map an array into memory, read-only.

    Parameters
    ----------
    dtype
        What its entries must be; ``np.unsignedinteger`` stands for any width.

    Raises
    ------
    IndexCorruptError
        If the file is missing or damaged, or holds another kind of array.
    """
    try:
        # A plain view: numpy.memmap pays for its own class at every slice.
        array: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:
        # A damaged header makes NumPy's parser fail in half a dozen ways, EOFError among them.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IndexCorruptError(f"{path} cannot be read as an array: {reason}") from error
    fits = (
        np.issubdtype(array.dtype, np.unsignedinteger)
        if dtype is np.unsignedinteger
        else array.dtype == np.dtype(dtype)
    )
    if not fits or array.ndim != n_dimensions:
        wanted = "unsigned integers" if dtype is np.unsignedinteger else np.dtype(dtype)
        raise IndexCorruptError(
            f"{path} holds {array.dtype} in {array.ndim} dimensions, "
            f"expected {wanted} in {n_dimensions}"
        )
    return array


def check_offsets(path: Path, offsets: NDArray[np.int64], n_entries: int) -> None:
    """Check that offsets cut entries into runs, one after the other.

    Raises
    ------
    IndexCorruptError
        If they do not rise from 0 to the number of entries.
    """
    ends = offsets[[0, -1]].tolist() if offsets.size else []
    if ends != [0, n_entries] or bool((offsets[1:] < offsets[:-1]).any()):
        raise IndexCorruptError(f"{path} cannot be read: its offsets make no sense")


class ArrayWriter:
    """Writes a one-dimensional array piece by piece, as ``numpy.save`` would write the whole.

    Parameters
    ----------
    path
        File to write.
    dtype
        What its entries are.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self._n_entries = 0
        self._write_header()

    def append(self, entries: NDArray[Any]) -> None:
        """Write more entries."""
        self._file.write(np.ascontiguousarray(entries, self._dtype).data)
        self._n_entries += len(entries)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._n_entries,),
        }
        # NumPy leaves room for the length to grow, so this fits over what was written first.
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()


@dataclass(frozen=True)
class Runs:
    """Rows of varying length, one after the other.

    Parameters
    ----------
    offsets
        int64, shape (n_rows + 1,): entries of a row are ``range(offsets[row], offsets[row + 1])``.
    columns
        What is known of each entry: arrays with one entry a row of their first axis.
    """

    offsets: NDArray[np.int64]
    columns: tuple[NDArray[Any], ...]


def run_positions(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the entries of the given rows, row after row.

    Examples
    --------
    >>> run_positions(np.array([0, 2, 2, 5]), np.array([2, 0])).tolist()
    [2, 3, 4, 0, 1]
    """
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    ends = np.cumsum(lengths)
    result: NDArray[np.int64] = np.repeat(starts - (ends - lengths), lengths)
    return result + np.arange(len(result))


def merge_runs(origins: NDArray[np.int64], old: Runs, new: Runs) -> Runs:
    """Take some rows over from old runs and the others, in order, from new ones.

    Parameters
    ----------
    origins
        Row of ``old`` for each row of the result, or -1 for the next row of ``new``.

    Examples
    --------
    >>> old = Runs(np.array([0, 1, 3]), (np.array([10, 20, 21]),))
    >>> new = Runs(np.array([0, 2]), (np.array([7, 8]),))
    >>> merged = merge_runs(np.array([1, -1, 0]), old, new)
    >>> merged.offsets.tolist(), merged.columns[0].tolist()
    ([0, 2, 4, 5], [20, 21, 7, 8, 10])
    """
    taken, fresh = np.flatnonzero(origins >= 0), np.flatnonzero(origins < 0)
    lengths = np.zeros(len(origins), np.int64)
    lengths[taken] = old.offsets[origins[taken] + 1] - old.offsets[origins[taken]]
    lengths[fresh] = np.diff(new.offsets)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sources = run_positions(old.offsets, origins[taken])
    places, other_places = run_positions(offsets, taken), run_positions(offsets, fresh)
    columns = []
    for before, after in zip(old.columns, new.columns, strict=True):
        column = np.empty((len(sources) + len(after), *after.shape[1:]), after.dtype)
        column[places] = before[sources]
        column[other_places] = after
        columns.append(column)
    return Runs(offsets, tuple(columns))
