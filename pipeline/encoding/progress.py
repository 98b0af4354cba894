"""How the encoding pipeline tells how far it is, without knowing who watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from encoders.protocol import ProgressCallback

__all__ = ["BuildProgress", "SilentProgress"]


class BuildProgress(Protocol):
    """Shows the stages of a build one after the other."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[ProgressCallback]:
        """Begin a stage of ``total`` units (unknown when ``None``); call the result to advance."""
        ...


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[ProgressCallback]:
        """Begin a stage nobody watches."""
        yield lambda _count: None
