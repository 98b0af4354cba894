"""What an application notes of its requests, and to whom it tells that."""

from __future__ import annotations

import gc
import json
import logging
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from pipeline.search.searcher import Searcher
from search_api.observing import REQUEST_LOG, Observing, observer_of
from search_api.overload import turning_away
from search_api.snapshot import pool_of
from web import Settings, create_app
from web.logs import JsonLines, TextLines

SECRET = "zanzibar"


def client_of(data_dir: Path, **settings: object) -> FlaskClient:
    observing = Observing(**settings)  # type: ignore[arg-type]
    return create_app(Settings(data_dir, observing=observing)).test_client()


@pytest.fixture
def client(library_data_dir: Path) -> FlaskClient:
    return client_of(library_data_dir)


def metrics(client: FlaskClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_requests_searches_and_stages_are_counted(client: FlaskClient) -> None:
    client.get("/api/v1/search?q=read+a+file")
    client.get("/?q=read+a+file")
    client.get("/api/v1/search?q=qqqxxx&signals=bm25")
    client.get("/api/v1/search?k=0&q=x")
    found = metrics(client)
    of_library = (("collection", "default"),)
    assert found["trine_requests_total", (("operation", "search"), ("status", "200"))] == 2
    assert found["trine_requests_total", (("operation", "search"), ("status", "400"))] == 1
    assert found["trine_requests_total", (("operation", "search_page"), ("status", "200"))] == 1
    assert found["trine_searches_total", of_library] == 3
    assert found["trine_searches_without_result_total", of_library] == 1
    assert found["trine_searches_no_good_result_total", of_library] >= 1
    assert found["trine_search_stage_seconds_count", (("stage", "encode"),)] == 3
    assert found["trine_requests_in_flight", ()] == 1  # this very one
    assert found["trine_open_versions", ()] == 1
    assert found["trine_documents", of_library] == 65
    assert found["trine_version_age_seconds", of_library] >= 0


def test_a_sampled_query_is_looked_at_again(client: FlaskClient) -> None:
    client.get("/api/v1/search?q=read+a+file")
    observer_of(client.application).auditor.wait()
    found = metrics(client)
    of_library = (("collection", "default"),)
    assert found["trine_ann_recall_count", of_library] == 1
    assert found["trine_ann_recall_sum", of_library] == 1
    assert found["trine_query_drift_deviations_count", of_library] == 1


def test_an_application_that_is_given_up_keeps_no_version_open(library_data_dir: Path) -> None:
    app = create_app(Settings(library_data_dir))
    app.test_client().get("/api/v1/search?q=read+a+file")
    observer_of(app).auditor.wait()
    searcher = weakref.ref(pool_of(app).get())
    del app
    gc.collect()
    assert searcher() is None


def test_nothing_a_client_makes_up_becomes_a_label(client: FlaskClient) -> None:
    n_series = []
    for attempt in range(2):
        for number in range(20):
            made_up = f"{SECRET}{attempt}{number}"
            client.get(f"/nowhere/{made_up}")
            client.get(f"/api/v1/search?q={made_up}&collection={made_up}")
            client.get(f"/api/v1/documents/{made_up}")
            client.open("/api/v1/search", method=made_up.upper())
        assert SECRET not in client.get("/metrics").text.lower()
        n_series.append(len(metrics(client)))
    assert n_series[0] == n_series[1]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "192.0.2.7"),
        ({"X-Forwarded-For": "192.0.2.7"}, "127.0.0.1"),
        ({"Forwarded": "for=192.0.2.7"}, "127.0.0.1"),
        ({"Host": "search.example"}, "127.0.0.1"),
    ],
)
def test_metrics_are_for_this_machine(
    client: FlaskClient, headers: dict[str, str], address: str
) -> None:
    response = client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert response.status_code in {401, 403}
    assert "trine_" not in response.text


def test_what_there_is_no_room_for_is_told_when_to_come_again(client: FlaskClient) -> None:
    with turning_away():
        refused = client.get("/api/v1/search?q=file")
        page = client.get("/?q=file")
        assert client.get("/api/v1/health/live").status_code == 200
        assert client.get("/api/v1/health/ready").status_code == 200
        assert metrics(client)["trine_requests_rejected_total", ()] == 2
    assert refused.status_code == page.status_code == 503
    assert refused.headers["Retry-After"] == page.headers["Retry-After"] == "1"
    assert refused.get_json(force=True)["type"] == "/problems/overloaded"
    assert page.mimetype == "text/html"
    assert client.get("/api/v1/search?q=file").status_code == 200


def test_a_search_that_takes_too_long_is_given_up(library_data_dir: Path) -> None:
    client = client_of(library_data_dir, time_limit_s=1e-9)
    response = client.get("/api/v1/search?q=file")
    assert response.status_code == 503
    assert response.get_json(force=True)["type"] == "/problems/query-timeout"
    batch = {"queries": [{"q": "a file"}, {"q": "a date"}]}
    entries = client.post("/api/v1/search/batch", json=batch).get_json()["answers"]
    assert [entry["status"] for entry in entries] == [503, 503]
    assert client.get("/?q=file").status_code == 503
    for path, asked in (
        ("embeddings", {"texts": ["a file"], "encoder": "bert"}),
        ("neighbors", {"positive": [{"text": "a file"}]}),
        ("similarity", {"first": {"text": "a file"}, "second": {"document": "files/00"}}),
        ("recommend", {"liked": ["files/00"]}),
    ):
        assert client.post(f"/api/v1/{path}", json=asked).status_code == 503, path
    for path in ("map/hits?q=file", "documents/files/00/similar"):
        assert client.get(f"/api/v1/{path}").status_code == 503, path
    # Documents are read, not searched for.
    assert client.get("/api/v1/documents/files/00").status_code == 200


def test_an_unforeseen_error_is_logged_once_and_without_what_was_asked(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"cannot handle {SECRET}")

    client.get("/api/v1/search?q=file")
    monkeypatch.setattr(Searcher, "search", fail)
    with caplog.at_level(logging.WARNING):
        response = client.get(f"/api/v1/search?q={SECRET}", headers={"X-Request-ID": "mine-1"})
    assert response.status_code == 500
    (record,) = caplog.records
    for lines, tells in ((JsonLines, False), (TextLines, False), (JsonLines, True)):
        told = lines(tell_messages=tells).format(record)
        assert "mine-1" in told
        assert "ValueError" in told
        assert "fail" in told
        assert (SECRET in told) is tells
    assert json.loads(JsonLines(tell_messages=False).format(record))["level"] == "error"


@pytest.mark.parametrize("lines", [JsonLines, TextLines])
def test_a_record_is_one_line_whatever_is_in_it(lines: type[JsonLines | TextLines]) -> None:
    hostile = 'a\nb\r\u2028\x00\x1b[31m\ud800"}'
    for arguments in ({"request": {"operation": "search", "queries": [hostile]}}, {}):
        record = logging.makeLogRecord(
            {"name": "x", "levelname": "INFO", "msg": "%s", "args": (hostile,), **arguments}
        )
        told = lines(tell_messages=True).format(record)
        assert not re.search(r"[\n\r\u2028\x00\x1b]", told)
        told.encode()


def test_queries_stand_in_the_log_only_where_wanted(
    copied_data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for wanted in (False, True):
        caplog.clear()
        client = client_of(copied_data_dir, log_queries=wanted)
        with caplog.at_level(logging.INFO, REQUEST_LOG):
            client.get(f"/api/v1/search?q={SECRET}")
        told = [JsonLines(tell_messages=False).format(record) for record in caplog.records]
        assert len(told) == 1
        assert (SECRET in told[0]) is wanted
        observer_of(client.application).close()
        kept = copied_data_dir / "default" / "state" / "queries.sqlite"
        assert kept.exists() is wanted


def test_a_query_log_that_cannot_be_written_fails_no_request(
    copied_data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = copied_data_dir / "default" / "state" / "queries.sqlite"
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(b"no database" * 100)
    client = client_of(copied_data_dir, log_queries=True)
    with caplog.at_level(logging.WARNING):
        assert client.get(f"/api/v1/search?q={SECRET}").status_code == 200
        observer_of(client.application).close()
    assert len(caplog.records) == 1
    assert metrics(client)["trine_queries_not_logged_total", ()] == 1
    assert SECRET not in caplog.text


def test_the_library_of_metrics_is_read_when_they_are_wanted() -> None:
    # It looks at the environment when it is imported, which a server sets first.
    done = subprocess.run(
        [sys.executable, "-c", "import web.server, sys; print('prometheus_client' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
