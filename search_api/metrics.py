"""What is counted about a server, for Prometheus (https://prometheus.io/docs/concepts/metric_types).

Several workers count each in files of their own, in one folder, which whichever of them is asked
adds up (prometheus-client's multiprocess mode). No label holds anything that a client can make up.

The library reads an environment variable when it is imported, so it is imported here only once
that is set, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flask import Flask, current_app

from pipeline.search.answer import Answer

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["Metrics", "StateCollector", "current_metrics", "forget_process", "init_app"]

_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_EXTENSION = "trine_metrics"
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_STAGE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class StateCollector(Protocol):
    """Something that is looked up when metrics are asked for, rather than counted."""

    def collect(self) -> Iterable[Metric]:
        """What there is to tell now."""
        ...


class Metrics:
    """The counters of one process.

    Parameters
    ----------
    folder
        Where the processes of a server keep their counters; of this process alone when ``None``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            os.environ[_FOLDER_VARIABLE] = str(folder)
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

        self._folder = folder
        self._states: list[StateCollector] = []
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "trine_requests",
            "Requests answered.",
            ("operation", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "trine_request_seconds",
            "From reading a request to its answer.",
            ("operation",),
            buckets=_REQUEST_S,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "trine_search_stage_seconds",
            "Each stage of a search.",
            ("stage",),
            buckets=_STAGE_S,
            registry=registry,
        )
        self.searches = Counter("trine_searches", "Searches.", ("collection",), registry=registry)
        self.without_result = Counter(
            "trine_searches_without_result",
            "Searches that found nothing.",
            ("collection",),
            registry=registry,
        )
        self.no_good_result = Counter(
            "trine_searches_no_good_result",
            "Searches that found nothing likely to be relevant.",
            ("collection",),
            registry=registry,
        )
        self.rejected = Counter(
            "trine_requests_rejected", "Requests turned away for want of room.", registry=registry
        )
        self.in_flight = Gauge(
            "trine_requests_in_flight",
            "Requests being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "trine_requests_waiting",
            "Requests that wait for a thread.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.open_versions = Gauge(
            "trine_open_versions",
            "Versions that workers have open; each worker opens its own.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.recall = Summary(
            "trine_ann_recall",
            "Share of the ten nearest documents that the vector index found, of sampled queries.",
            ("collection",),
            registry=registry,
        )
        self.drift = Summary(
            "trine_query_drift_deviations",
            "How many deviations less typical of the collection a query is than its passages.",
            ("collection",),
            registry=registry,
        )
        self.nearest = Summary(
            "trine_query_nearest_cosine",
            "Cosine of a sampled query with the nearest passage.",
            ("collection",),
            registry=registry,
        )
        self.unlogged = Counter(
            "trine_queries_not_logged", "Queries the query log missed.", registry=registry
        )

    def add_state(self, state: StateCollector) -> None:
        """Have something told beside the counters."""
        self._states.append(state)

    def searched(self, answer: Answer) -> None:
        """Count a search."""
        for stage, took_ms in answer.stages_ms.items():
            self.stage_seconds.labels(stage).observe(took_ms / 1000)
        self.searches.labels(answer.collection).inc()
        if not answer.total:
            self.without_result.labels(answer.collection).inc()
        if answer.no_good_result:
            self.no_good_result.labels(answer.collection).inc()

    def text(self) -> tuple[bytes, str]:
        """All of it, of all processes, in Prometheus' text format, and the media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        told = CollectorRegistry()
        if self._folder is None:
            told.register(self._registry)
        else:
            MultiProcessCollector(told, str(self._folder))  # type: ignore[no-untyped-call]
        for state in self._states:
            told.register(state)
        return generate_latest(told), CONTENT_TYPE_LATEST


def init_app(app: Flask, metrics: Metrics) -> None:
    """Give an application its counters."""
    app.extensions[_EXTENSION] = metrics


def current_metrics() -> Metrics:
    """Counters of the application that handles this request."""
    metrics: Metrics = current_app.extensions[_EXTENSION]
    return metrics


def forget_process(folder: Path, process_id: int) -> None:
    """Note that a process is gone: what it had counted stays, what it was doing does not."""
    os.environ[_FOLDER_VARIABLE] = str(folder)
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(process_id, str(folder))  # type: ignore[no-untyped-call]
