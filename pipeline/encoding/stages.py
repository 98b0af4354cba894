"""The stages of a build: each is timed, and tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from encoders.protocol import ProgressCallback
from ingest.documents import Document
from pipeline.encoding.progress import BuildProgress

__all__ = ["Advance", "Stages"]


class Advance:
    """A progress callback that can also be slipped into a stream."""

    def __init__(self, advance: ProgressCallback) -> None:
        self._advance = advance

    def __call__(self, count: int) -> None:
        """Report so many more."""
        self._advance(count)

    def each(self, document: Document) -> Document:
        """Report one more, and hand it on."""
        self._advance(1)
        return document


class Stages:
    """Runs the stages of one build, one after the other.

    Parameters
    ----------
    progress
        Who watches.
    """

    def __init__(self, progress: BuildProgress) -> None:
        self._progress = progress
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Time a stage of ``total`` units, unknown when ``None``; repeated stages add up."""
        began = time.perf_counter()
        with self._progress.stage(name, total) as advance:
            yield Advance(advance)
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    def finish(self) -> None:
        """Count the time since the beginning as ``total``."""
        self._seconds["total"] = time.perf_counter() - self._began

    @property
    def seconds(self) -> dict[str, float]:
        """Time of each stage so far, to the millisecond."""
        return {name: round(value, 3) for name, value in self._seconds.items()}
