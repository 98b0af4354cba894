"""Requests the server has no room for: answered at once, with 503 and when to try again.

Who decides is the server in front of the application (``web/worker.py``); it calls the application
on a thread of its own then, within ``turning_away``. Health and metrics are answered all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flask import Flask, request

from ingest.errors import TrineError
from search_api.metrics import current_metrics

__all__ = ["ALWAYS_ANSWERED", "OverloadedError", "init_app", "turning_away"]

ALWAYS_ANSWERED = frozenset({"api.live", "api.ready", "metrics", "static"})
"""Endpoints of those who watch, and files without which a page cannot be read; they cost little."""

_turned_away: ContextVar[bool] = ContextVar("trine_turned_away", default=False)


class OverloadedError(TrineError):
    """More is asked than the server can answer in time."""


def init_app(app: Flask) -> None:
    """Have an application answer 503 where it is told that there is no room."""
    app.before_request(_turn_away)


@contextmanager
def turning_away() -> Iterator[None]:
    """Have requests that this thread handles meanwhile turned away."""
    token = _turned_away.set(True)
    try:
        yield
    finally:
        _turned_away.reset(token)


def _turn_away() -> None:
    if _turned_away.get() and request.endpoint not in ALWAYS_ANSWERED:
        current_metrics().rejected.inc()
        raise OverloadedError("the server is busy: try again in a second")
