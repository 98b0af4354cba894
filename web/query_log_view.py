"""What people searched for, as the console shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ingest.errors import TrineError
from pipeline.version.collection import CollectionFolder
from pipeline.version.query_log import MAX_QUERIES, QueryLog, QueryTimes
from search_api.version_routes import without_folder
from web.plain_text import readable

__all__ = ["AskedView", "QueryLogView", "query_log_view"]

_N_SHOWN = 10


@dataclass(frozen=True, slots=True)
class AskedView:
    """A query of the log.

    Parameters
    ----------
    count
        How often it was asked; of a single search, how many documents matched.
    took
        Milliseconds, of several searches on average.
    last
        When, in UTC.
    """

    query: str
    count: int
    took: str
    last: str


@dataclass(frozen=True, slots=True)
class QueryLogView:
    """A summary of the log; nothing but ``error`` where it cannot be read.

    Parameters
    ----------
    kept
        Whether there is a log at all.
    n_queries
        How many searches it holds.
    most
        How many it ever holds.
    """

    kept: bool
    error: str = ""
    n_queries: int = 0
    most: int = MAX_QUERIES
    popular: list[AskedView] = field(default_factory=list)
    without_result: list[AskedView] = field(default_factory=list)
    slowest: list[AskedView] = field(default_factory=list)


def query_log_view(folder: CollectionFolder) -> QueryLogView:
    """Summarize what was asked of a collection."""
    log = QueryLog(folder)
    if not log.path.is_file():
        return QueryLogView(kept=False)
    try:
        return QueryLogView(
            kept=True,
            n_queries=log.count(),
            popular=[_of_several(found) for found in log.popular(_N_SHOWN)],
            without_result=[_of_several(found) for found in log.without_result(_N_SHOWN)],
            slowest=[
                AskedView(
                    readable(one.query), one.total, f"{one.took_ms:,.0f}", _moment(one.time_s)
                )
                for one in log.slowest(_N_SHOWN)
            ],
        )
    except TrineError as error:
        # A page elsewhere need not know where data lies.
        return QueryLogView(kept=True, error=readable(without_folder(str(error), folder)))


def _of_several(found: QueryTimes) -> AskedView:
    return AskedView(
        readable(found.query), found.times, f"{found.mean_ms:,.0f}", _moment(found.last_s)
    )


def _moment(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"
