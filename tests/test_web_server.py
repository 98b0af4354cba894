"""The real server, in a process of its own."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import fork_server
import pytest
from click.testing import CliRunner
from fork_server import PIPE, Forked

from ingest.errors import TrineError
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import read_manifest, write_manifest
from web import command_line
from web.server import listen

TRINE = [sys.executable, "-m", "pipeline.command_line.main"]


def _fetch(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} if body else {}
    asked = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=60) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@contextmanager
def _serving(
    data_dir: Path, *options: str, forked: bool = True
) -> Iterator[tuple[subprocess.Popen[str] | Forked, str]]:
    command = ["serve", "--port", "0", "--data-dir", str(data_dir), *options]
    started = (
        fork_server.start(*command, stderr=PIPE)
        if forked
        else subprocess.Popen([*TRINE, *command], stderr=PIPE, text=True)
    )
    with started as process:
        try:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield process, found[0]
                    break
            else:
                pytest.fail("the server did not start: " + "".join(lines))
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops_cleanly(library_data_dir: Path, stop: signal.Signals) -> None:
    # One of them a new process from its first import to its last breath.
    with _serving(library_data_dir, forked=stop != signal.SIGTERM) as (process, url):
        began = time.perf_counter()
        status, body = _fetch(url + "/api/v1/search?q=read+a+file")
        assert status == 200
        assert json.loads(body)["hits"]
        # The searcher was warmed before the address was printed.
        assert time.perf_counter() - began < 5
        status, page = _fetch(url + "/?q=read+a+file")
        assert status == 200
        assert b'<ol class="hits">' in page
        posted = json.dumps({"q": "read a file", "k": 1}).encode()
        assert _fetch(url + "/api/v1/search", posted)[0] == 200
        odd = quote("ünï/cødé?x=1&y#2 %20")
        assert json.loads(_fetch(f"{url}/api/v1/documents/{odd}")[1])["title"] == "Odd id"
        long_query = quote("\N{HIGH VOLTAGE SIGN}" * 10_000)
        assert _fetch(f"{url}/api/v1/search?q={long_query}")[0] == 200
        assert _fetch(f"{url}/api/v1/search?q={long_query}x")[0] == 400
        large = json.dumps({"q": "x" * 1_100_000}).encode()
        assert _fetch(url + "/api/v1/search", large)[0] == 413
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_several_workers_answer(library_data_dir: Path) -> None:
    with _serving(library_data_dir, "--workers", "2") as (process, url):
        versions = {
            json.loads(_fetch(url + f"/api/v1/search?q=file&k={k}")[1])["version"]
            for k in range(1, 9)
        }
        assert len(versions) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_taken_port_is_one_clear_line(library_data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = fork_server.run("serve", "--port", port, "--data-dir", str(library_data_dir))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("trine: cannot listen on 127.0.0.1 port")
    assert "--port" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::ffff:999"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(TrineError, match="cannot listen"):
        listen(host, 0)


def test_nothing_to_serve_says_how_to_index(tmp_path: Path, library_data_dir: Path) -> None:
    done = fork_server.run("serve", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "trine index SOURCE" in done.stderr
    other = fork_server.run("serve", "--data-dir", str(library_data_dir), "--collection", "nope")
    assert other.returncode == 1
    assert "--collection: default" in other.stderr


def test_a_half_deleted_version_is_not_served(copied_data_dir: Path) -> None:
    version = (copied_data_dir / "default" / "CURRENT").read_text().strip()
    (copied_data_dir / "default" / "versions" / version / "documents.sqlite").unlink()
    done = fork_server.run("serve", "--data-dir", str(copied_data_dir))
    assert done.returncode == 1
    assert "documents.sqlite is missing" in done.stderr
    assert done.stderr.count("\n") == 1


class _Demo:
    """What ``trine demo`` would have started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
        self.indexed: list[list[str]] = []
        self.served: list[str] = []
        self._data_dir = data_dir
        monkeypatch.setattr(command_line.subprocess, "run", self._index)
        monkeypatch.setattr(command_line, "serve_forever", self._serve)

    def _index(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.indexed.append(command[3:])
        folder = CollectionFolder(self._data_dir, "default")
        path = folder.version_path(folder.current())
        write_manifest(path, replace(read_manifest(path), sources=["pydoc:stdlib"]))
        return subprocess.CompletedProcess(command, 0)

    def _serve(self, settings: object, **options: object) -> None:
        self.served.append(str(options["host"]))

    def run(self) -> int:
        arguments = ["--data-dir", str(self._data_dir), "--collection", "default"]
        return CliRunner().invoke(command_line.demo, arguments, catch_exceptions=False).exit_code


def test_demo_indexes_once_for_each_python(
    copied_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = _Demo(monkeypatch, copied_data_dir)
    assert demo.run() == 0
    assert demo.indexed == [
        ["index", "pydoc:stdlib", "--collection", "default", "--data-dir", str(copied_data_dir)]
    ]
    assert demo.served == ["127.0.0.1"]
    demo.run()
    assert len(demo.indexed) == 1
    monkeypatch.setattr(command_line.platform, "python_version", lambda: "3.99.0")
    demo.run()
    assert len(demo.indexed) == 2
    assert len(demo.served) == 3


def test_demo_gives_up_when_indexing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = _Demo(monkeypatch, tmp_path)
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(command_line.subprocess, "run", lambda *_, **__: failed)
    assert demo.run() == 1
    assert demo.served == []
