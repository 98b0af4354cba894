"""Arrays of a version: ``.npy`` files, memory-mapped, never pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.errors import IndexCorruptError

__all__ = ["load_array"]


def load_array(path: Path) -> NDArray[Any]:
    """Map an array into memory, read-only.

    Raises
    ------
    IndexCorruptError
        If the file is missing or damaged.
    """
    try:
        # A plain view: numpy.memmap pays for its own class at every slice.
        array: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:
        # A damaged header makes NumPy's parser fail in half a dozen ways, EOFError among them.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IndexCorruptError(f"{path} cannot be read as an array: {reason}") from error
    return array
