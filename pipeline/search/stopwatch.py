"""How long each stage of a search takes; each begins only where there is time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.search.time_limit import check_time

__all__ = ["Stopwatch"]


@dataclass
class Stopwatch:
    """Milliseconds by stage, since it was made."""

    stages_ms: dict[str, float] = field(default_factory=dict)
    began_s: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block.

        Raises
        ------
        QueryTimeoutError
            If there is no time left to begin it.
        """
        check_time()
        began_s = time.perf_counter()
        yield
        self.stages_ms[name] = (time.perf_counter() - began_s) * 1000

    @property
    def total_ms(self) -> float:
        """Milliseconds until now, between stages included."""
        return (time.perf_counter() - self.began_s) * 1000
