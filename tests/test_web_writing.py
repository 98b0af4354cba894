"""Writing through real servers, which are killed in between."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fork_server
import pytest
from fork_server import PIPE, Forked

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.write_lock import indexer_runs

PATIENCE_S = 120.0
N_BURST = 200
N_KILLS = 12


@dataclass
class Server:
    """A server, and requests to it."""

    process: Forked
    api: str

    def ask(self, method: str, path: str, content: object = None) -> tuple[int, dict[str, Any]]:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.api + path, data=body, method=method)  # noqa: S310
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def put(self, doc_id: str, text: str) -> str:
        status, task = self.ask("PUT", f"/documents/{doc_id}", {"text": text})
        assert status == 202, task
        return str(task["task"])

    def published(self, task: str) -> dict[str, Any]:
        """The task, once it is published."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            _, told = self.ask("GET", f"/tasks/{task}?wait=10")
            if told["state"] == "published":
                return told
        pytest.fail(f"not published: {told}")

    def kill(self) -> None:
        """End the server, its workers and what indexes beside them, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(data_dir: Path, workers: int = 1) -> Iterator[Server]:
    command = ("serve", "--port", "0", "--data-dir", data_dir, "--writable", "--admin")
    options = ("--workers", workers)
    with fork_server.start(*command, *options, stderr=PIPE, new_session=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield Server(process, found[0] + "/api/v1")
                    break
            else:
                pytest.fail("the server did not start")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Searching:
    """People who search all the time, and what went wrong for them."""

    server: Server
    failures: list[object] = field(default_factory=list)
    n_answers: int = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        ended = threading.Event()

        def search() -> None:
            # With a pause, as people make one: two cores are not theirs alone.
            while not ended.wait(0.1):
                status, answer = self.server.ask("GET", "/search?q=read+a+file&k=3")
                self.n_answers += 1
                if status != 200 or len(answer["hits"]) != 3:
                    self.failures.append((status, answer))

        people = [threading.Thread(target=search) for _ in range(2)]
        for person in people:
            person.start()
        try:
            yield
        finally:
            ended.set()
            for person in people:
                person.join()


def texts(data_dir: Path) -> dict[str, str]:
    folder = CollectionFolder(data_dir, "default")
    store = DocumentStore(folder.version_path(folder.current()))
    try:
        return {document.doc_id: document.text for document in store.stream()}
    finally:
        store.close()


def test_writes_while_people_search_and_after_a_kill(
    tmp_path: Path, library: list[Document], tiny_settings: IndexSettings
) -> None:
    # Signals whose libraries every process has read within a second or two.
    light = tiny_settings.with_signals(["bm25", "tfidf"])
    build_version(CollectionFolder(tmp_path, "default"), library, settings=light)
    write_search_and_kill(tmp_path)


@pytest.mark.soak
def test_all_signals_while_people_search_and_after_a_kill(copied_data_dir: Path) -> None:
    write_search_and_kill(copied_data_dir)


def write_search_and_kill(data_dir: Path) -> None:
    with serving(data_dir, workers=2) as server:
        searching = Searching(server)
        with searching():
            told = server.published(server.put("zebra", "Zebras have stripes."))
            _, answer = server.ask("GET", f"/search?q=zebra&version={told['version']}")
            assert answer["hits"][0]["doc_id"] == "zebra"
            with ThreadPoolExecutor(4) as writers:
                tasks = [
                    *writers.map(
                        lambda n: server.put(f"burst/{n}", f"Number {n} of many."), range(N_BURST)
                    )
                ]
            versions = {server.published(task)["version"] for task in tasks}
            assert len(versions) < 10
        assert searching.failures == []
        assert searching.n_answers
        pending = server.put("last", "Written before the crash.")
        server.kill()
    with serving(data_dir) as server:
        server.published(pending)
        found = texts(data_dir)
        assert found["last"] == "Written before the crash."
        assert sum(name.startswith("burst/") for name in found) == N_BURST
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert not indexer_runs(data_dir)


def test_two_servers_index_once_and_sources_are_read_again(
    tmp_path: Path,
) -> None:
    data_dir, source = tmp_path / "data", tmp_path / "notes.jsonl"
    source.write_text('{"_id": "a", "text": "From the source."}\n', encoding="utf-8")
    indexed = fork_server.run("index", source, "--signals", "bm25", "--data-dir", data_dir)
    indexed.check_returncode()
    with serving(data_dir) as one, serving(data_dir) as other:
        tasks = [server.put(f"w{n}", "Written.") for n in range(10) for server in (one, other)]
        versions = {server.published(task)["version"] for task in tasks for server in (one, other)}
        assert len(versions) < 4
        # The server whose process indexes is the one to go.
        one.kill()
        lines = [{"_id": "a", "text": "Changed."}, {"_id": "w1", "text": "Not what was written."}]
        source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        status, told = other.ask("POST", "/reindex")
        assert (status, told["kind"]) == (202, "reindex")
        other.published(told["task"])
        found = texts(data_dir)
        assert found == {"a": "Changed.", **{f"w{n}": "Written." for n in range(10)}}


@pytest.mark.soak
def test_servers_and_indexers_killed_all_the_time(copied_data_dir: Path) -> None:
    chance = random.Random(1)  # noqa: S311
    expected: dict[str, str] = {}
    tasks: list[str] = []
    for _ in range(N_KILLS):
        with serving(copied_data_dir, workers=2) as server:
            searching = Searching(server)
            with searching():
                until = time.monotonic() + chance.uniform(0.0, 20.0)
                while not tasks or time.monotonic() < until:
                    name = f"soak/{chance.randrange(50)}"
                    expected[name] = f"Text {len(tasks)}."
                    tasks.append(server.put(name, expected[name]))
                    time.sleep(chance.uniform(0.0, 0.3))
            assert searching.failures == []
            server.kill()
    with serving(copied_data_dir) as server:
        for task in tasks:
            server.published(task)
    found = texts(copied_data_dir)
    assert {name: found[name] for name in expected} == expected
