"""The pool follows what is published, and never lets go of what works."""

import gc
import logging
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.documents import Document
from ingest.errors import IndexNotFoundError
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from search_api.problems import UnknownIndexError
from search_api.searchers import SearcherPool


def _publish_other(data_dir: Path, settings: IndexSettings, name: str = "default") -> str:
    documents = [Document(f"new/{n}", f"New {n}", "Entirely new text.") for n in range(4)]
    return build_version(CollectionFolder(data_dir, name), documents, settings=settings).version


def test_swaps_between_requests_when_a_version_is_published(
    copied_data_dir: Path, tiny_settings: IndexSettings
) -> None:
    pool = SearcherPool(copied_data_dir, "default")
    old = pool.get()
    assert pool.get() is old
    published = _publish_other(copied_data_dir, tiny_settings)
    pool.refresh()
    new = pool.get()
    assert new.version == published != old.version
    assert new.n_documents == 4
    # Who holds the old one goes on with it, and pages of the old version can still be asked for.
    assert old.search(Query("file")).version == old.version
    pinned = pool.get(version=old.version)
    assert pinned.version == old.version
    assert pool.get(version=old.version) is pinned
    # Rolling back is only another swap.
    CollectionFolder(copied_data_dir, "default").publish(old.version)
    pool.refresh()
    assert pool.get().version == old.version


def test_keeps_the_old_version_when_the_new_one_cannot_be_opened(
    copied_data_dir: Path, tiny_settings: IndexSettings, caplog: pytest.LogCaptureFixture
) -> None:
    pool = SearcherPool(copied_data_dir, "default")
    old = pool.get()
    published = _publish_other(copied_data_dir, tiny_settings)
    damaged = copied_data_dir / "default" / "versions" / published / "documents.sqlite"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with caplog.at_level(logging.WARNING):
        pool.refresh()
        assert pool.get() is old
        pool.refresh()
        assert pool.get() is old
    assert len(caplog.records) == 1
    assert "keeps its old version" in caplog.text
    (copied_data_dir / "default" / "CURRENT").write_text("no-such-version\n")
    assert pool.get() is old


def test_a_collection_that_was_deleted_is_gone(copied_data_dir: Path) -> None:
    pool = SearcherPool(copied_data_dir, "default")
    pool.get()
    (copied_data_dir / "default" / "CURRENT").unlink()
    with pytest.raises(IndexNotFoundError):
        pool.get()
    with pytest.raises(UnknownIndexError):
        pool.get("default")


def test_threads_share_one_searcher(library_data_dir: Path) -> None:
    pool = SearcherPool(library_data_dir, "default")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(id(pool.get()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_collections_of_evaluations_are_not_offered(
    tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    keyword_only = tiny_settings.with_signals(["bm25"])
    for name in ("docs", "evaluate-docs-x", "notes"):
        _publish_other(tmp_path, keyword_only, name)
    pool = SearcherPool(tmp_path, "docs")
    assert pool.names() == ["docs", "notes"]
    assert pool.state("notes").n_documents == 4
    assert pool.state("nope").error
    assert pool.get("evaluate-docs-x").n_documents == 4


def test_nothing_is_opened_before_the_first_request(tmp_path: Path) -> None:
    pool = SearcherPool(tmp_path / "not" / "there", "default")
    assert pool.names() == []


class _GatedOpening:
    """Makes every opening of a version but the first wait until it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.may_go_on = threading.Event(), threading.Event()
        self.n_opened = 0
        real = Searcher.open

        def opened(*arguments: str, **options: object) -> Searcher:
            self.n_opened += 1
            if self.n_opened > 1:
                self.began.set()
                assert self.may_go_on.wait(60)
            return real(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(Searcher, "open", opened)


def _until(reached: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(6000):
        if reached():
            return
        waiting.wait(0.01)
    pytest.fail("it never came to this")


def test_no_request_waits_while_a_new_version_is_opened(
    copied_data_dir: Path, tiny_settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = _GatedOpening(monkeypatch)
    pool = SearcherPool(copied_data_dir, "default")
    old = pool.get()
    published = _publish_other(copied_data_dir, tiny_settings)
    assert pool.get() is old
    # Nobody has to ask again: an idle server looks by itself.
    assert opening.began.wait(60)
    assert all(pool.get() is old for _ in range(20))
    opening.may_go_on.set()
    _until(lambda: pool.get().version == published)
    assert opening.n_opened == 2
    pool.close()


def test_an_idle_pool_swaps_by_itself(
    copied_data_dir: Path, tiny_settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = _GatedOpening(monkeypatch)
    opening.may_go_on.set()
    pool = SearcherPool(copied_data_dir, "default")
    pool.get()
    _publish_other(copied_data_dir, tiny_settings)
    assert opening.began.wait(60)
    pool.close()
    assert pool.get().n_documents == 4


def _mapped(folder: Path) -> list[str]:
    return [
        line for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line
    ]


def _opened_files(folder: Path) -> list[str]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue  # the one that listed the folder
        if str(folder) in target:
            found.append(target)
    return found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_the_old_version_is_let_go_once_its_last_request_is_answered(
    copied_data_dir: Path, tiny_settings: IndexSettings
) -> None:
    pool = SearcherPool(copied_data_dir, "default")
    old = pool.get()
    old.search(Query("read files", facets=("subject",), explain_words=True))
    folder = copied_data_dir / "default" / "versions" / old.version
    assert _mapped(folder)
    assert _opened_files(folder)
    gone = weakref.ref(old)
    _publish_other(copied_data_dir, tiny_settings)
    gc.collect()
    gc.disable()
    try:
        pool.refresh()
        # A request in flight still has it, whole.
        assert old.search(Query("file")).total
        del old
        assert gone() is None
        assert _mapped(folder) == []
        assert _opened_files(folder) == []
    finally:
        gc.enable()
    pool.close()


def test_a_version_removed_from_disk_answers_the_requests_that_have_it(
    copied_data_dir: Path, tiny_settings: IndexSettings
) -> None:
    pool = SearcherPool(copied_data_dir, "default")
    old = pool.get()
    everything = Query(
        "raed files",
        facets=("subject", "tags"),
        filter="number:[0 TO 9]",
        sort="published",
        explain_words=True,
    )
    before = old.search(everything)
    _publish_other(copied_data_dir, tiny_settings)
    # Pruning spares what is open; a file system without locks, or somebody's rm, does not.
    shutil.rmtree(copied_data_dir / "default" / "versions" / old.version)
    answers: list[object] = []

    def ask() -> None:
        for _ in range(3):
            answers.append((old.search(everything).hits == before.hits, old.document("long").title))

    # Threads that never read this version before, more than have a connection to it.
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(True, "A long document")] * 18
    with pytest.raises(UnknownIndexError, match="any more"):
        SearcherPool(copied_data_dir, "default").get(version=old.version)
    pool.close()


def test_a_pool_that_nobody_needs_ends_its_thread(library_data_dir: Path) -> None:
    known = set(threading.enumerate())
    pool = SearcherPool(library_data_dir, "default")
    pool.get()
    (follower,) = set(threading.enumerate()) - known
    del pool
    follower.join(60)
    assert not follower.is_alive()
