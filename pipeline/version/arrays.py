"""Arrays of a version: ``.npy`` files, memory-mapped, never pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ingest.errors import IndexCorruptError

__all__ = ["check_offsets", "load_array"]


def load_array(path: Path, dtype: DTypeLike, *, n_dimensions: int = 1) -> NDArray[Any]:
    """Map an array into memory, read-only.

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
    if array.dtype != np.dtype(dtype) or array.ndim != n_dimensions:
        raise IndexCorruptError(
            f"{path} holds {array.dtype} in {array.ndim} dimensions, "
            f"expected {np.dtype(dtype)} in {n_dimensions}"
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
