"""What is noted about every request: counters, one line in the log, the query log if wanted.

Searches of the API and the page go through ``searched``, so that what they took and found is known
when their request is answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, g, has_request_context, request

from pipeline.search.answer import Answer
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.search.time_limit import time_limited
from pipeline.version.query_log import SearchedFor
from search_api import metrics as metrics_of_app
from search_api.access import (
    ForbiddenError,
    asker,
    is_from_here,
    keys_are_required,
    require,
)
from search_api.auditing import Auditor
from search_api.metrics import Metrics, current_metrics
from search_api.query_logging import QueryLogger
from search_api.request_ids import request_id
from search_api.server_state import ServerState
from search_api.snapshot import pool_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = [
    "REQUEST_LOG",
    "TIME_LIMIT_S",
    "Observer",
    "Observing",
    "init_app",
    "observer_of",
    "searched",
]

REQUEST_LOG = "trine.requests"
"""Name of the logger that gets one record a request."""
_EXTENSION = "trine_observer"
_logger = logging.getLogger(REQUEST_LOG)
TIME_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Observing:
    """What of a server's requests is noted, and how.

    Parameters
    ----------
    log_queries
        Whether queries are kept in the query log, and stand in the log of requests.
    time_limit_s
        Seconds after which a request that searches or encodes is given up.
    metrics_folder
        Where the workers of a server keep their counters; ``None`` where this process is alone.
    server
        Id of the process that started this worker, if one did.
    """

    log_queries: bool = False
    time_limit_s: float = TIME_LIMIT_S
    metrics_folder: Path | None = None
    server: int | None = None


@dataclass(slots=True)
class _Noted:
    """What is known of the request at hand."""

    began_s: float = field(default_factory=time.monotonic)
    answers: list[Answer] = field(default_factory=list)


class Observer:
    """What one application notes its requests with.

    Parameters
    ----------
    observing
        What is noted.
    data_dir
        The data folder.
    """

    def __init__(self, observing: Observing, data_dir: Path) -> None:
        self.observing = observing
        self.metrics = Metrics(observing.metrics_folder)
        self.auditor = Auditor(self.metrics)
        self.query_logger = QueryLogger(data_dir, self.metrics)

    def close(self) -> None:
        """Finish what is done in the background."""
        self.auditor.close()
        self.query_logger.close()

    def searched(self, searcher: Searcher, query: Query, answer: Answer) -> None:
        """Note a search."""
        self.metrics.searched(answer)
        if query.text.strip():
            self.auditor.searched(searcher, query.text)
        # Whoever turns a page asks nothing new.
        if self.observing.log_queries and query.text.strip() and query.page == 1:
            self.query_logger.add(
                answer.collection,
                SearchedFor(
                    time.time(), query.text, answer.took_ms, answer.total, answer.no_good_result
                ),
            )


def init_app(app: Flask, observing: Observing) -> None:
    """Have everything noted that an application is asked, and told at ``/metrics``."""
    pool = pool_of(app)
    observer = app.extensions[_EXTENSION] = Observer(observing, pool.data_dir)
    observer.metrics.add_state(ServerState(pool, observing.server))
    metrics_of_app.init_app(app, observer.metrics)
    app.add_url_rule("/metrics", "metrics", _tell_metrics)
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_leave)
    answer = app.wsgi_app

    def answer_in_time(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        with time_limited(time.monotonic() + observing.time_limit_s):
            return answer(environ, start)

    app.wsgi_app = answer_in_time  # type: ignore[assignment,method-assign]


def observer_of(app: Flask) -> Observer:
    """What an application notes its requests with."""
    observer: Observer = app.extensions[_EXTENSION]
    return observer


def searched(searcher: Searcher, query: Query) -> Answer:
    """Answer a query, and note what that took and found.

    Raises
    ------
    QueryTimeoutError
        If there is no time left.
    QueryError
        As ``Searcher.search`` does.
    """
    if not has_request_context():
        return searcher.search(query)
    observer, noted = observer_of(current_app), _noted()
    answer = searcher.search(query)
    noted.answers.append(answer)
    observer.searched(searcher, query, answer)
    return answer


def _noted() -> _Noted:
    noted: _Noted | None = g.get("trine_noted")
    if noted is None:
        noted = g.trine_noted = _Noted()
    return noted


def _begin() -> None:
    _noted()
    current_metrics().in_flight.inc()


def _leave(_error: BaseException | None) -> None:
    if "trine_noted" in g:
        current_metrics().in_flight.dec()


def _end(response: Response) -> Response:
    noted, metrics = _noted(), current_metrics()
    took_s = time.monotonic() - noted.began_s
    operation = _operation()
    metrics.requests.labels(operation, str(response.status_code)).inc()
    metrics.request_seconds.labels(operation).observe(took_s)
    metrics.open_versions.set(pool_of(current_app).n_open)
    if _logger.isEnabledFor(logging.INFO):
        _logger.info("%s", operation, extra={"request": _record(response, noted, took_s)})
    return response


def _record(response: Response, noted: _Noted, took_s: float) -> dict[str, object]:
    answers = noted.answers
    record: dict[str, object] = {
        "request_id": request_id(),
        "operation": _operation(),
        "method": request.method,
        "status": response.status_code,
        "duration_ms": round(took_s * 1000, 3),
        "collection": ",".join(dict.fromkeys(answer.collection for answer in answers)) or None,
        "version": ",".join(dict.fromkeys(answer.version for answer in answers)) or None,
        "total": sum(answer.total for answer in answers) if answers else None,
    }
    if observer_of(current_app).observing.log_queries:
        record["queries"] = list(dict.fromkeys(answer.query for answer in answers))
    return record


def _operation() -> str:
    """Name of what is asked for; of everything that is nowhere the same."""
    return (request.endpoint or "unknown").rpartition(".")[2]


def _tell_metrics() -> Response:
    """Tell what was counted, to whoever has the scope admin; without keys, to this machine."""
    if keys_are_required() or not is_from_here():
        require("admin")
        if asker().collections:
            raise ForbiddenError("this tells of all collections: use a key that is bound to none")
    content, media_type = current_metrics().text()
    response = Response(content, content_type=media_type)
    response.headers["Cache-Control"] = "no-store"
    return response
