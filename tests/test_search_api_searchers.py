"""The pool follows what is published, and never lets go of what works."""

import logging
import threading
from pathlib import Path

import pytest

from ingest.documents import Document
from ingest.errors import IndexNotFoundError
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.query import Query
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
