"""A server under way: what it tells about itself, whatever its workers and clients do."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from load_clients import PATIENCE_S, RunningServer, running_server

from pipeline.version.collection import CollectionFolder
from pipeline.version.query_log import QueryLog
from search_api.server_state import process_tree
from web.arrival import GATHERED_BYTES

SECRET = "zanzibar"


def metric(server: RunningServer, name: str) -> float:
    """Sum of a metric over its labels."""
    status, told = server.get("/metrics")
    assert status == 200
    lines = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", told.decode(), re.MULTILINE)
    return sum(map(float, lines))


def workers(server: RunningServer) -> list[int]:
    return [process_id for process_id, depth in process_tree(server.process.pid) if depth == 1]


def records(log: Path) -> list[dict[str, object]]:
    """What of a log is JSON; each line is, but those of the command before it serves."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


# Clients are given up after two seconds here, so that nobody needs to wait for ten.
IMPATIENT = """
import sys
import web.worker
from pipeline.command_line.main import main
web.worker.RECEIVE_TIMEOUT_S = 2.0
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def logging_server(
    library_data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, Path]]:
    log = tmp_path_factory.mktemp("server") / "log"
    options = ("--workers", "2", "--log-format", "json")
    with running_server(library_data_dir, log, *options, program=IMPATIENT) as server:
        yield server, log


def test_counts_of_all_workers_are_added_up_and_outlive_them(
    logging_server: tuple[RunningServer, Path],
) -> None:
    server, _ = logging_server
    before = metric(server, "trine_searches_total")
    for number in range(20):
        assert server.get(f"/api/v1/search?q=read+file+{number}")[0] == 200
    assert metric(server, "trine_searches_total") == before + 20
    for process_id in workers(server):
        os.kill(process_id, signal.SIGKILL)
    # Asked while the one is gone and the other is starting, too.
    assert metric(server, "trine_searches_total") == before + 20
    assert metric(server, "trine_requests_in_flight") == 1
    assert metric(server, "trine_resident_memory_bytes") > 10_000_000
    assert server.get("/api/v1/search?q=after")[0] == 200
    assert metric(server, "trine_searches_total") == before + 21


def test_the_log_has_one_line_a_request_and_no_query(
    logging_server: tuple[RunningServer, Path],
) -> None:
    server, log = logging_server
    n_before = len(records(log))
    connection = server.connect()
    for path in (f"/api/v1/search?q={SECRET}", f"/?q={SECRET}", f"/api/v1/search?q={SECRET}&k=0"):
        connection.request("GET", path, headers={"X-Request-ID": "mine-1"})
        connection.getresponse().read()
    headers = {"X-Request-ID": "mine-1", "Authorization": f"Bearer {SECRET}"}
    connection.request("GET", "/api/v1/search?q=file", headers=headers)
    connection.getresponse().read()
    connection.close()
    found = records(log)[n_before:]
    assert [(line["operation"], line["status"]) for line in found] == [
        ("search", 200),
        ("search_page", 200),
        ("search", 400),
        ("search", 401),
    ]
    assert {line["request_id"] for line in found} == {"mine-1"}
    assert found[0]["collection"] == "default"
    assert found[0]["version"]
    assert isinstance(found[0]["duration_ms"], float)
    assert SECRET not in log.read_text()


def test_clients_that_say_nothing_or_never_leave_hold_up_nobody(
    logging_server: tuple[RunningServer, Path],
) -> None:
    server, _ = logging_server
    silent = [socket.create_connection(server.address) for _ in range(20)]
    staying = [socket.create_connection(server.address) for _ in range(20)]
    for client in staying:
        # The server is to close; the client does not.
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    _answered(server)
    for client in (*silent, *staying):
        client.close()
    _answered(server)


def _answered(server: RunningServer) -> None:
    """A search is answered once the server has caught up with all that was asked before it."""
    until = time.monotonic() + PATIENCE_S
    while (status := server.get("/api/v1/search?q=file")[0]) == 503:
        assert time.monotonic() < until
    assert status == 200


def test_stopping_answers_what_was_asked(library_data_dir: Path, tmp_path: Path) -> None:
    asked = json.dumps({"q": "read a file", "k": 1}).encode()
    # Of the large ones a thread reads the rest; the small one is still gathered.
    large = asked + b" " * 2 * GATHERED_BYTES
    sent = [(large, GATHERED_BYTES), (large, GATHERED_BYTES), (asked, 5)]
    with running_server(library_data_dir, tmp_path / "log") as server:
        asking = [server.connect() for _ in sent]
        for connection, (body, n_sent) in zip(asking, sent, strict=True):
            connection.putrequest("POST", "/api/v1/search")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:n_sent])
        until = time.monotonic() + PATIENCE_S
        while metric(server, "trine_requests_in_flight") < 3:
            assert time.monotonic() < until
        server.process.send_signal(signal.SIGTERM)
        for connection, (body, n_sent) in zip(asking, sent, strict=True):
            connection.send(body[n_sent:])
        responses = [connection.getresponse() for connection in asking]
        assert [response.status for response in responses] == [200] * len(asking)
        assert all(json.loads(response.read())["hits"] for response in responses)
        for connection in asking:
            connection.close()
        assert server.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_queries_are_kept_by_all_workers_where_wanted(
    copied_data_dir: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    options = ("--workers", "2", "--log-queries", "--log-format", "text")
    with running_server(copied_data_dir, log, *options) as server:
        for number in range(30):
            assert server.get(f"/api/v1/search?q=Read++a+FILE&k={1 + number % 3}")[0] == 200
        assert server.get("/?q=read+a+file")[0] == 200
        assert server.get("/api/v1/search?q=qqqxxx+vvvzzz&signals=bm25")[0] == 200
        assert server.get("/api/v1/search?q=read+a+file&page=2")[0] == 200
    kept = QueryLog(CollectionFolder(copied_data_dir, "default"))
    assert kept.count() == 32
    assert [(found.query, found.times) for found in kept.popular(1)] == [("read a file", 31)]
    assert "qqqxxx vvvzzz" in [found.query for found in kept.without_result()]
    assert '"Read  a FILE"' in log.read_text()
    assert kept.path.stat().st_mode & 0o077 == 0
