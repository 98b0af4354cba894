"""Publish and roll back under clients that never pause (``make soak``; a few in ``make test``).

Documents say which version they belong to, so an answer that took anything from another version
than the one it names shows it.
"""

from __future__ import annotations

import json
import random
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import fork_server
import pytest
from fork_server import PIPE, Forked

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder

N_SAMPLED = 6
N_SOAKED = 50
N_VERSIONS = 3
START_S = 120
WORDS = ("river", "mountain", "harbour", "forest", "desert", "island", "valley", "glacier")


def _documents(mark: str) -> list[Document]:
    """Equal ids in every version; title, text and metadata name the version."""
    return [
        Document(
            f"place/{number}",
            f"The {word} of {mark}",
            f"Travellers describe the {word} number {number} in chapter {mark}.",
            metadata={"mark": mark},
        )
        for number, word in enumerate(WORDS * 3)
    ]


def _get(url: str) -> str:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310
                body: bytes = response.read()
            return body.decode()
        except urllib.error.HTTPError as error:
            with error:
                # A busy machine is no fault of a swap; who is told to come again does.
                if error.code != 503 or b"overloaded" not in error.read():
                    raise
            time.sleep(int(error.headers["Retry-After"]))


@dataclass
class _Clients:
    """Threads that ask without pause, and what they found wrong."""

    url: str
    marks: dict[str, str]
    count: int
    stop: threading.Event = field(default_factory=threading.Event)
    problems: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._ask_until_told, args=(seed,))
            for seed in range(self.count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _ask_until_told(self, seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311
        while not self.stop.is_set():
            ask = choose.choice([self._search, self._search, self._page, self._document])
            try:
                version, marks = ask(choose)
            except Exception as error:
                with self.lock:
                    self.problems.append(f"{ask.__name__} failed: {error!r}")
                continue
            with self.lock:
                self.seen[version] = self.seen.get(version, 0) + 1
                if marks != {self.marks.get(version)}:
                    self.problems.append(f"{version} answered with {sorted(map(str, marks))}")

    def _search(self, choose: random.Random) -> tuple[str, set[str]]:
        query = quote(f"{choose.choice(WORDS)} {choose.choice(WORDS)}")
        answer = json.loads(_get(f"{self.url}/api/v1/search?q={query}&facets=mark&k=20"))
        marks = {hit["title"].rpartition(" ")[2] for hit in answer["hits"]}
        marks |= {hit["metadata"]["mark"] for hit in answer["hits"]}
        marks |= set(
            re.findall(r"v\d+", " ".join(hit["passage"]["text"] for hit in answer["hits"]))
        )
        marks |= {entry["value"] for entry in answer["facets"]["mark"]}
        return answer["version"], marks

    def _document(self, choose: random.Random) -> tuple[str, set[str]]:
        found = json.loads(_get(f"{self.url}/api/v1/documents/place/{choose.randrange(24)}"))
        return found["version"], {found["metadata"]["mark"], *re.findall(r"v\d+", found["text"])}

    def _page(self, choose: random.Random) -> tuple[str, set[str]]:
        page = _get(f"{self.url}/?q={choose.choice(WORDS)}")
        versions = set(re.findall(r"version=([0-9TZ.]+Z-[0-9a-f]{6})", page))
        marks = set(re.findall(r"\bv\d+\b", re.sub(r"<[^>]*>", " ", page)))
        if len(versions) != 1:
            raise AssertionError(f"a page of versions {versions}")
        return versions.pop(), marks


@contextmanager
def _serving(data_dir: Path, *options: str) -> Iterator[tuple[Forked, str]]:
    place = ("--port", "0", "--data-dir", str(data_dir))
    with fork_server.start("serve", *place, *options, stderr=PIPE) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield process, found[0]
                    break
            else:
                pytest.fail("the server did not start")
        finally:
            process.kill()


def _wait_until_served(url: str, version: str, times: int) -> None:
    """Until so many answers in a row come from a version: every worker has swapped."""
    deadline = time.monotonic() + START_S
    in_a_row = 0
    while in_a_row < times:
        answered = json.loads(_get(f"{url}/api/v1/search?q=river&k=1"))["version"]
        in_a_row = in_a_row + 1 if answered == version else 0
        assert time.monotonic() < deadline, f"{version} was not served"


def _activate(folder: CollectionFolder, version: str, *, by_command: bool) -> None:
    if by_command:
        place = ("--data-dir", str(folder.data_dir))
        fork_server.run("versions", "activate", version, *place).check_returncode()
        return
    with folder.writing():
        folder.publish(version)


def swap_under_load(
    data_dir: Path, settings: IndexSettings, n_swaps: int, *, n_clients: int
) -> None:
    folder = CollectionFolder(data_dir, "default")
    marks = {}
    for number in range(N_VERSIONS):
        built = build_version(folder, _documents(f"v{number}"), settings=settings)
        marks[built.version] = f"v{number}"
    choose = random.Random(n_swaps)  # noqa: S311
    with _serving(data_dir, "--workers", "2") as (process, url):
        clients = _Clients(url, marks, n_clients)
        with clients.asking():
            for number in range(n_swaps):
                if number % 5 == 0:
                    # A new version each time, and all but the newest gone while it is read.
                    mark = f"v{N_VERSIONS + number}"
                    built = build_version(folder, _documents(mark), settings=settings)
                    clients.marks[built.version] = mark
                    wanted = built.version
                    with folder.writing():
                        folder.prune(2)
                else:
                    others = [name for name in folder.versions() if name != folder.current()]
                    wanted = choose.choice(others)
                    _activate(folder, wanted, by_command=number % 10 == 1)
                # Some swaps are awaited, others overtaken by the next.
                if choose.random() < 0.5:
                    _wait_until_served(url, wanted, 8)
            _wait_until_served(url, wanted, 8)
        assert clients.problems == []
        assert len(clients.seen) > 1
        assert sum(clients.seen.values()) > n_swaps
        print(f"{n_swaps} swaps, {sum(clients.seen.values())} answers, 0 failed, 0 mixed")  # noqa: T201
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_few_swaps_under_load(tmp_path: Path, tiny_settings: IndexSettings) -> None:
    # Fewer clients leave the two cores of a small machine some time to build in.
    swap_under_load(tmp_path, tiny_settings, N_SAMPLED, n_clients=2)


@pytest.mark.soak
def test_fifty_swaps_under_load(tmp_path: Path, tiny_settings: IndexSettings) -> None:
    swap_under_load(tmp_path, tiny_settings, N_SOAKED, n_clients=8)
