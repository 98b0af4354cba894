"""The folder of a server's counters goes with the server, however that ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from web.counters_folder import counters_folder

# A server, whose worker outlives it by as long as its input is open.
SERVER = """
import os, sys
from web.counters_folder import counters_folder
with counters_folder() as folder:
    (folder / "counter_1.db").write_bytes(b"1")
    if os.fork() == 0:
        print("ready", flush=True)
        sys.stdin.read()
        os._exit(0)
    print(folder, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def folders(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("trine-*"))


def test_it_is_there_for_as_long_as_its_server(tmp_path: Path) -> None:
    with counters_folder() as first:
        assert first.stat().st_mode & 0o077 == 0
        with counters_folder() as second:
            assert folders(tmp_path) == sorted([first, second])
        assert folders(tmp_path) == [first]
    assert folders(tmp_path) == []


def test_a_killed_servers_is_removed_once_its_last_worker_is_gone(tmp_path: Path) -> None:
    code = f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n{SERVER}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        told = {server.stdout.readline().strip() for _ in range(2)} - {"ready"}
        left = Path(told.pop())
        server.wait()
        with counters_folder():
            assert left.is_dir()
        server.stdin.close()
        # Its output ends with the worker.
        server.stdout.read()
    with counters_folder() as mine:
        assert folders(tmp_path) == [mine]


def test_what_is_not_surely_abandoned_is_left_alone(tmp_path: Path) -> None:
    unlocked = tmp_path / "trine-metrics-unlocked"
    unlocked.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "server.lock").touch()
    (tmp_path / "trine-metrics-link").symlink_to(elsewhere)
    linked_lock = tmp_path / "trine-metrics-linked"
    linked_lock.mkdir()
    (linked_lock / "server.lock").symlink_to(elsewhere / "server.lock")
    (tmp_path / "trine-metrics-file").touch()
    before = folders(tmp_path)
    with counters_folder():
        pass
    assert folders(tmp_path) == before
    assert (elsewhere / "server.lock").exists()
