"""Clients over real HTTP that keep their connections, and the memory of the server they ask."""

from __future__ import annotations

import http.client
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fork_server
import pytest
from fork_server import SCRIPT, Forked

from search_api.server_state import process_tree

TRINE = [sys.executable, "-m", "pipeline.command_line.main"]
# Of a machine that many share.
PATIENCE_S = 180.0


@dataclass
class RunningServer:
    """A server in processes of its own."""

    process: subprocess.Popen[bytes] | Forked
    port: int

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)

    def get(self, path: str) -> tuple[int, bytes]:
        return self.ask("GET", path)

    @contextmanager
    def asked_briefly(self) -> Iterator[Callable[[str], bytes]]:
        """Ask over one connection, by a client that itself takes next to no time.

        ``http.client`` reads the headers as those of an e-mail, which takes .3 ms.
        """
        with socket.create_connection(self.address, timeout=PATIENCE_S) as connection:
            answers = connection.makefile("rb")

            def get(path: str) -> bytes:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                assert answers.readline().split()[1] == b"200"
                n_bytes = 0
                while (line := answers.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        n_bytes = int(line.split()[1])
                return answers.read(n_bytes)

            yield get

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = self.connect()
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def memory(self) -> dict[str, int]:
        """Proportional set size, in bytes: of the server with its workers, and of indexers."""
        found = Counter({"server": 0, "indexer": 0})
        for process_id, depth in process_tree(self.process.pid):
            found["server" if depth < 2 else "indexer"] += proportional_bytes(process_id)
        return dict(found)


def proportional_bytes(process_id: int) -> int:
    """Memory of one process, pages it shares with others shared out among them."""
    try:
        rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def running_server(
    data_dir: Path, log: Path, *options: str, forked: bool = True, program: str | None = None
) -> Iterator[RunningServer]:
    """Serve until the block ends; what the server says goes to a file, which never fills up.

    Parameters
    ----------
    forked
        Whether it shares its libraries with other processes, whose memory cannot be told from its
        own.
    program
        Serves, in a fork, in place of ``trine``.
    """
    command = ["serve", "--port", "0", "--data-dir", str(data_dir), *options]
    started: subprocess.Popen[bytes] | Forked
    with log.open("wb") as stderr:
        if program is not None:
            started = fork_server.start(program, *command, function=SCRIPT, stderr=stderr)
        elif forked:
            started = fork_server.start(*command, stderr=stderr)
        else:
            started = subprocess.Popen([*TRINE, *command], stderr=stderr)
    with started as process:
        try:
            until = time.monotonic() + 2 * PATIENCE_S
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail("the server did not start: " + log.read_text())
                time.sleep(0.1)
            yield RunningServer(process, int(found[1]))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()


@dataclass(frozen=True)
class Exchange:
    """One request and what came of it."""

    began_s: float
    took_s: float
    status: int
    """0 where there was no answer."""
    told: str = ""


@dataclass
class Clients:
    """Threads, each with a connection of its own, that ask one request after the other.

    Parameters
    ----------
    ask
        Method, path and body of a client's next request.
    pause_s
        Seconds between the beginnings of a client's requests, on average; none when 0.
    """

    server: RunningServer
    n_clients: int
    ask: Callable[[random.Random], tuple[str, str, str | None]]
    pause_s: float = 0.0
    retries: int = 0
    """How often to ask again, after the second it is told to wait, where a server is busy."""
    seed: int = 0
    n_told_to_wait: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._ask_until_told, args=(number,))
            for number in range(self.n_clients)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in threads:
                thread.join()

    def _ask_until_told(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311
        connection = self.server.connect()
        next_s = time.monotonic()
        while not self.ended.is_set():
            if self.pause_s:
                next_s = max(next_s + chance.expovariate(1 / self.pause_s), time.monotonic() - 1)
                if self.ended.wait(max(0.0, next_s - time.monotonic())):
                    break
            asked = self.ask(chance)
            exchange = self._exchange(connection, *asked)
            for _ in range(self.retries):
                if exchange.status != 503:
                    break
                time.sleep(1.0)  # as Retry-After says
                self.n_told_to_wait += 1
                exchange = self._exchange(connection, *asked)
            self.exchanges.append(exchange)
        connection.close()

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None
    ) -> Exchange:
        began_s = time.monotonic()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        for attempt in (1, 2):
            fresh = connection.sock is None
            try:
                connection.request(method, path, body=body, headers=headers)
                response = connection.getresponse()
                told = response.read()
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError) as error:
                connection.close()
                # A server may close a connection that idles just as the next request comes.
                if fresh or attempt == 2:
                    return Exchange(began_s, time.monotonic() - began_s, 0, repr(error))
            except OSError as error:
                connection.close()
                return Exchange(began_s, time.monotonic() - began_s, 0, repr(error))
            else:
                took_s = time.monotonic() - began_s
                text = "" if response.status == 200 else told[:500].decode("utf-8", "replace")
                return Exchange(began_s, took_s, response.status, text)
        raise AssertionError


def share_of(values: Sequence[float], share: float) -> float:
    """The value that a share of all lies below; NaN of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")
