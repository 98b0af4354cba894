"""Who reads is never pruned away; who writes is alone, whatever became of the writer before."""

from __future__ import annotations

import gc
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import fork_server
import pytest
from fork_server import PIPE, SCRIPT, Forked

from ingest.errors import IndexLockedError, IndexNotFoundError
from pipeline.encoding.adopt import adopt_ranking
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.backup import back_up
from pipeline.version.collection import CollectionFolder, new_version_id
from pipeline.version.hold import claimed, hold_version
from pipeline.version.manifest import read_manifest, write_manifest
from pipeline.version.open_version import open_version
from pipeline.version.restore import restore
from search_api.searchers import SearcherPool

READER = """
import sys
from pathlib import Path
from pipeline.version.hold import hold_version
hold = hold_version(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
WRITER = """
import sys
from pathlib import Path
from pipeline.version.collection import CollectionFolder
with CollectionFolder(Path(sys.argv[1]), "default").writing():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(script: str, *arguments: object) -> Iterator[Forked]:
    """Another process that has taken what it takes, until it is told to end."""
    with fork_server.start(script, *arguments, function=SCRIPT, stdin=PIPE, stdout=PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder(copied_data_dir: Path) -> CollectionFolder:
    return CollectionFolder(copied_data_dir, "default")


def more_versions(folder: CollectionFolder, count: int) -> list[str]:
    """Ids of all versions, after ``count`` more, all whole; the newest is current."""
    first = folder.version_path(folder.current())
    for _ in range(count):
        path = folder.versions_path / new_version_id()
        shutil.copytree(first, path)
        write_manifest(path, replace(read_manifest(path), version=path.name))
    folder.publish(folder.versions()[-1])
    return folder.versions()


# ---- readers ------------------------------------------------------------------------------


def test_a_version_another_process_has_open_is_not_pruned(folder: CollectionFolder) -> None:
    names = more_versions(folder, 2)
    with running(READER, folder.versions_path / names[0]) as reader:
        assert folder.prune(keep=1) == [names[1]]
        assert folder.versions() == [names[0], names[2]]
        # A reader that is killed lets go, with nobody to clean up after it.
        reader.send_signal(signal.SIGKILL)
        reader.wait()
        assert folder.prune(keep=1) == [names[0]]


def test_what_a_server_serves_or_has_pinned_stays(folder: CollectionFolder) -> None:
    names = more_versions(folder, 3)
    pool = SearcherPool(folder.data_dir, "default")
    pinned = pool.get(version=names[0])
    folder.publish(names[1])
    serving = pool.get()
    folder.publish(names[3])
    assert folder.prune(keep=1) == [names[2]]
    assert pinned.search(Query("file")).version == names[0]
    assert serving.search(Query("file")).version == names[1]
    del pinned, serving, pool
    gc.collect()
    assert folder.prune(keep=1) == names[:2]


def test_a_version_being_pruned_cannot_be_opened_and_readers_do_not_wait(
    folder: CollectionFolder,
) -> None:
    names = more_versions(folder, 1)
    path = folder.version_path(names[0])
    with claimed(path) as unused:
        assert unused
        with pytest.raises(IndexNotFoundError, match="was removed"):
            open_version(path)
    with hold_version(path), hold_version(path), claimed(path) as unused:
        assert not unused
    with claimed(path) as unused:
        assert unused
    folder.remove_version(names[0])
    with pytest.raises(IndexNotFoundError):
        hold_version(path)


def test_a_searcher_is_not_misled_by_what_is_pruned_while_it_opens(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = more_versions(folder, 1)
    real = CollectionFolder.current
    told = iter([names[0], names[0]])
    folder.remove_version(names[0])

    def current(self: CollectionFolder) -> str:
        return next(told, "") or real(self)

    monkeypatch.setattr(CollectionFolder, "current", current)
    told = iter([names[0]])
    assert Searcher.open(data_dir=folder.data_dir).version == names[1]
    told = iter([names[0]])
    assert SearcherPool(folder.data_dir, "default").get().version == names[1]


# ---- writers ------------------------------------------------------------------------------


def writers(folder: CollectionFolder, tmp_path: Path) -> dict[str, Callable[[], object]]:
    version = folder.current()

    def write() -> None:
        with folder.writing():
            pass

    return {
        "build": write,
        "adopt": lambda: adopt_ranking(folder, version, {}, {}),
        "remove": folder.remove,
        "restore": lambda: restore(tmp_path / "b.tar", folder.data_dir, replace=True),
    }


def test_a_second_writer_is_told_who_is_at_work(folder: CollectionFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "b.tar")
    version = folder.current()
    with running(WRITER, folder.data_dir) as writer:
        for name, write in writers(folder, tmp_path).items():
            with pytest.raises(IndexLockedError, match=f"process {writer.pid} .* since "):
                write()
            assert folder.current() == version, name
        # Readers and backups go on.
        assert Searcher.open(data_dir=folder.data_dir).search(Query("file")).hits
        back_up(folder, tmp_path / "again.tar.gz")


def test_a_killed_writer_blocks_nobody(folder: CollectionFolder) -> None:
    with running(WRITER, folder.data_dir) as writer:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        left = json.loads((folder.path / "state" / "writer.json").read_text())
        assert left["pid"] == writer.pid
        with folder.writing():
            assert json.loads((folder.path / "state" / "writer.json").read_text()) != left
    assert not (folder.path / "state" / "writer.json").exists()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 1}', "\x00"])
def test_what_a_writer_left_behind_never_matters(folder: CollectionFolder, left: str) -> None:
    (folder.path / "state").mkdir(exist_ok=True)
    (folder.path / "state" / "writer.json").write_text(left)
    with folder.writing(), suppress(IndexLockedError):
        (folder.path / "state" / "writer.json").write_text(left)
        with folder.writing():
            pytest.fail("two writers at once")


def test_a_server_of_a_renamed_collection_follows_the_names(folder: CollectionFolder) -> None:
    pool = SearcherPool(folder.data_dir, "other")
    open_before = SearcherPool(folder.data_dir, "default").get()
    with pytest.raises(IndexNotFoundError):
        pool.get()
    folder.path.rename(folder.data_dir / "other")
    assert pool.get().search(Query("file")).collection == "other"
    # What was being answered goes on.
    assert open_before.search(Query("file")).collection == "default"
    with pytest.raises(IndexNotFoundError):
        pool.get("default")
