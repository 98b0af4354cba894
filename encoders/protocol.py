"""What every encoder can do: turn texts into unit vectors, save itself, load itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embeddings", "Encoder", "FittedEncoder", "ProgressCallback"]

Embeddings: TypeAlias = NDArray[np.float32]
"""float32, shape (n_texts, dimension), C-order; each row has unit L2 norm or is all zero."""

ProgressCallback: TypeAlias = Callable[[int], None]
"""Called with the number of texts (or words, when fitting) finished since the last call."""


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into embeddings.

    Always two-dimensional in and out: n texts give shape (n, dimension), no text gives
    (0, dimension). A text with no known word gives an all-zero row. A batch gives what its
    texts give one by one (within 1e-5). Saved state holds no pickle.
    """

    name: ClassVar[str]

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of all that decides an embedding: model, settings, fitted state."""
        ...

    def encode_documents(
        self, texts: Sequence[str], *, progress: ProgressCallback | None = None
    ) -> Embeddings:
        """Embed texts that are searched."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts that are searched with."""
        ...

    def save(self, folder: Path) -> None:
        """Write all state needed by ``load`` into an existing, empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; arrays are memory-mapped."""
        ...


@runtime_checkable
class FittedEncoder(Encoder, Protocol):
    """An encoder that learns from the corpus before it can encode.

    ``fit`` reports each text ``fit_passes`` times, so that the time left can be told.
    """

    fit_passes: ClassVar[int]

    def fit(self, texts: Iterable[str], *, progress: ProgressCallback | None = None) -> Self:
        """Learn from the texts, which may be iterated more than once; returns itself."""
        ...
