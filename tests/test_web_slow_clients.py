"""Clients that send or read as slowly as they can, and what is left for all others."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from load_clients import PATIENCE_S, RunningServer, running_server

from web.arrival import GATHERED_BYTES

N_THREADS = 4
HEAD = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
# What is sent at once, before a byte at a time.
BEGINNINGS = {
    "head": b"GET /api/v1/search?q=file HTTP/1.1\r\nX-Slow: ",
    "body": HEAD + b"Content-Length: 500\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    "large body": HEAD + b"Content-Length: 900000\r\n\r\n" + b" " * GATHERED_BYTES,
    "upload": b"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-ndjson\r\nContent-Length: 40000000\r\n\r\n"
    + b"\n"
    * GATHERED_BYTES,
    "unread body": b"GET /api/v1/health/live HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 90000\r\n\r\n" + b" " * GATHERED_BYTES,
    "large head": b"GET /api/v1/search?q=" + b"x" * GATHERED_BYTES,
}


@pytest.fixture(scope="module")
def server(
    library_data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    data_dir, log = folder / "data", folder / "log"
    shutil.copytree(library_data_dir, data_dir)
    with running_server(data_dir, log, "--writable") as server:
        yield server
    assert "Traceback" not in log.read_text()


class Dripper(threading.Thread):
    """A client that sends a byte at a time until it is answered, or let go."""

    def __init__(self, server: RunningServer, beginning: bytes) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._beginning = beginning
        self.answer = b""
        """All that came before the server closed."""

    def run(self) -> None:
        with socket.create_connection(self._server.address) as client:
            try:
                client.sendall(self._beginning)
                client.settimeout(0.5)
                while not self.answer:
                    client.send(b"1")
                    try:
                        self.answer = client.recv(65_536) or b"closed"
                    except TimeoutError:
                        continue
                client.settimeout(PATIENCE_S)
                while received := client.recv(65_536):
                    self.answer += received
            except OSError:
                self.answer = self.answer or b"reset"


def until_answered(ask: Callable[[], tuple[int, bytes]]) -> bytes:
    """Ask until there is room."""
    until = time.monotonic() + PATIENCE_S
    while True:
        status, answer = ask()
        if status == 200:
            return answer
        assert status == 503
        assert time.monotonic() < until


def n_in_flight(server: RunningServer) -> float:
    found = re.search(
        rb"^trine_requests_in_flight(?:{.*})? (\S+)$", server.get("/metrics")[1], re.M
    )
    return float(found[1]) if found else 0.0


def test_drippers_keep_nobody_from_answers_and_are_told_so(server: RunningServer) -> None:
    drippers = {
        (kind, number): Dripper(server, beginning)
        for kind, beginning in BEGINNINGS.items()
        for number in range(N_THREADS)
    }
    # Half of the threads read what is large.
    reading = [("upload", 0), ("large body", 0)]
    for key in reading:
        drippers[key].start()
    until = time.monotonic() + PATIENCE_S
    while n_in_flight(server) < len(reading) + 1:
        assert time.monotonic() < until
    for key, dripper in drippers.items():
        if key not in reading:
            dripper.start()
    # While all of them are at it; whoever watches, too.
    assert server.get("/api/v1/health/live")[0] == 200
    until_answered(lambda: server.get("/api/v1/search?q=read+a+file"))
    assert any(dripper.is_alive() for dripper in drippers.values())
    for dripper in drippers.values():
        dripper.join(PATIENCE_S)
    answers = {key: dripper.answer for key, dripper in drippers.items()}
    for (kind, number), answer in answers.items():
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head, (kind, number)
        if kind in {"head", "body", "chunks"}:
            assert head.startswith(b"HTTP/1.1 408 "), (kind, answer)
            assert b"application/problem+json" in head
            assert json.loads(body)["type"] == "/problems/request-timeout"
        elif kind == "unread body":
            # It needs no body, and is not asked to go on.
            assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 ")), (kind, answer)
        else:
            # The threads that may read it have none to spare: come again.
            assert head.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 503 ")), (kind, answer)
            assert json.loads(body)["status"] in {408, 503}
    for key in reading:
        assert answers[key].startswith(b"HTTP/1.1 408 ")
        assert b"X-Request-ID: " in answers[key]
    assert server.get("/api/v1/search?q=read+a+file")[0] == 200


def test_a_large_body_in_pieces_is_answered_and_others_meanwhile(server: RunningServer) -> None:
    lines = b"".join(
        json.dumps({"doc_id": f"slow/{number}", "text": "word " * 500}).encode() + b"\n"
        for number in range(60)
    )
    connection = server.connect()
    connection.putrequest("POST", "/api/v1/documents?collection=slow")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Content-Length", str(len(lines)))
    connection.endheaders()
    for begin in range(0, len(lines), GATHERED_BYTES):
        connection.send(lines[begin : begin + GATHERED_BYTES])
        assert server.get("/api/v1/search?q=file")[0] == 200
    response = connection.getresponse()
    assert response.status == 202
    assert json.loads(response.read())["n_put"] == 60
    connection.close()


def test_several_requests_at_once_on_one_connection_are_answered_in_order(
    server: RunningServer,
) -> None:
    asked = b"".join(
        b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"X-Request-ID: nr-%d\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)
        for number, body in enumerate([b'{"q": "file"}', b'{"q": "time"}', b'{"q": "text"}'])
    )
    with socket.create_connection(server.address, timeout=PATIENCE_S) as client:
        client.sendall(asked)
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 3 or not received.endswith(b"}"):
            got = client.recv(65_536)
            assert got
            received += got
    ids = [received.find(b"X-Request-ID: nr-%d" % number) for number in range(3)]
    assert ids == sorted(ids)
    assert -1 not in ids


def test_who_waits_to_be_told_to_send_is_told(server: RunningServer) -> None:
    body = b'{"q": "file"}'
    with socket.create_connection(server.address, timeout=PATIENCE_S) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_clients_that_take_no_answer_give_their_threads_back(server: RunningServer) -> None:
    # Each asks for more than the buffers between us hold, again and again, and reads nothing.
    asked = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60
    deaf = []
    for _ in range(2 * N_THREADS):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(server.address)
        client.sendall(asked)
        deaf.append(client)
    until_answered(lambda: server.get("/api/v1/search?q=read+a+file"))
    for client in deaf:
        client.close()
