"""A time limit for queries, checked between the steps of the search pipeline.

Nothing can interrupt a thread that computes, so whoever does a step that may take long asks here
first. The limit belongs to the thread (a context variable), and costs nothing where none is set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ingest.errors import QueryTimeoutError

__all__ = ["check_time", "time_limited"]

_ends_s: ContextVar[float | None] = ContextVar("trine_query_ends_s", default=None)


@contextmanager
def time_limited(ends_s: float) -> Iterator[None]:
    """Have queries asked on this thread meanwhile end by a time, as `time.monotonic` tells it.

    Examples
    --------
    >>> with time_limited(time.monotonic() - 1):
    ...     check_time()
    Traceback (most recent call last):
    ingest.errors.QueryTimeoutError: the query takes longer than it may: ask for less at once
    """
    token = _ends_s.set(ends_s)
    try:
        yield
    finally:
        _ends_s.reset(token)


def check_time() -> None:
    """Go on only while there is time.

    Raises
    ------
    QueryTimeoutError
        If the time is over.
    """
    ends_s = _ends_s.get()
    if ends_s is not None and time.monotonic() > ends_s:
        raise QueryTimeoutError("the query takes longer than it may: ask for less at once")
