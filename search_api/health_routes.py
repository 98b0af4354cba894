"""Health: whether the process is alive, can answer, and over what."""

from __future__ import annotations

from flask import current_app

from search_api.answer_models import Health, Live, Ready
from search_api.caching import Answered
from search_api.contract import Operations
from search_api.snapshot import current_pool, pool_of

__all__ = ["operations"]

operations = Operations("Health", "For load balancers and those who watch.")


@operations.add(
    "GET",
    "/health/live",
    name="live",
    summary="Tell that the process answers",
    answers=Live,
    scope=None,
    statuses=(),
)
def live() -> Answered:
    """Tell that the process answers; opens nothing."""
    return Answered(lambda: {"status": "ok"})


@operations.add(
    "GET",
    "/health/ready",
    name="ready",
    summary="Tell that the default collection can be searched",
    answers=Ready,
    scope=None,
    statuses=(503,),
)
def ready() -> Answered:
    """Tell that the default collection is open, or open it."""
    # The server's own: whoever watches it shows no key, and learns no name.
    searcher = pool_of(current_app).get()
    is_told = searcher.collection in current_pool().names()
    return Answered(
        lambda: {
            "status": "ok",
            "collection": searcher.collection if is_told else None,
            "version": searcher.version if is_told else None,
        }
    )


@operations.add(
    "GET",
    "/health",
    name="health",
    summary="Tell that queries can be answered, and over what",
    answers=Health,
    statuses=(503,),
)
def health() -> Answered:
    """Tell that queries can be answered, and over what."""
    pool = current_pool()
    pool.get()
    states = [pool.state(name) for name in pool.names()]
    return Answered(
        lambda: {
            "status": "ok",
            "default_collection": pool.default_collection,
            "collections": [state.to_json() for state in states],
        }
    )
