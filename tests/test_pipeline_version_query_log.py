"""The query log: what it tells, how large it gets, what it survives."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingest.errors import IndexFolderError, IndexNotFoundError, IndexVersionError
from pipeline.version import query_log
from pipeline.version.collection import CollectionFolder
from pipeline.version.query_log import QueryLog, SearchedFor


def searched(
    query: str, *, time_s: float = 1.0, took_ms: float = 10.0, total: int = 5, good: bool = True
) -> SearchedFor:
    return SearchedFor(time_s, query, took_ms, total, not good)


@pytest.fixture
def log(copied_data_dir: Path) -> QueryLog:
    return QueryLog(CollectionFolder(copied_data_dir, "default"))


def test_popular_fruitless_and_slow_queries(log: QueryLog) -> None:
    assert (log.popular(), log.without_result(), log.slowest(), log.count()) == ([], [], [], 0)
    log.add(
        [
            searched("Read  a file", time_s=1, took_ms=10),
            searched("read a FILE", time_s=3, took_ms=30),
            searched("sleep", time_s=2, took_ms=500),
            searched("unknown", total=0),
            searched("beside the point", good=False),
        ]
    )
    first = log.popular(1)[0]
    assert (first.query, first.times, first.last_s, first.mean_ms) == ("read a FILE", 2, 3.0, 20.0)
    assert {found.query for found in log.without_result()} == {"unknown", "beside the point"}
    assert log.slowest(1) == [searched("sleep", time_s=2, took_ms=500)]
    assert [found.query for found in log.popular(since_s=2.5)] == ["read a FILE"]


def test_it_keeps_the_newest_and_no_endless_text(
    log: QueryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_log, "MAX_QUERIES", 10)
    for number in range(7):
        log.add([searched(f"{number}/{n}", took_ms=number) for n in range(5)])
    assert log.count() == 10
    assert {found.took_ms for found in log.slowest(100)} == {5.0, 6.0}
    log.add([searched("x" * 10_000 + "\ud800"), searched("half a pair \ud800"), searched("\x00'")])
    assert max(len(found.query) for found in log.slowest(100)) == query_log.MAX_CHARACTERS


def test_several_write_at_once(log: QueryLog) -> None:
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda n: log.add([searched(f"query {n}")] * 5), range(40)))
    assert log.count() == 200
    assert len(log.popular(100)) == 40


def test_a_collection_that_is_gone_does_not_come_back(tmp_path: Path) -> None:
    log = QueryLog(CollectionFolder(tmp_path, "nowhere"))
    with pytest.raises(IndexNotFoundError):
        log.add([searched("anything")])
    assert log.popular() == []
    assert list(tmp_path.iterdir()) == []


def test_what_it_cannot_read_is_one_clear_error(log: QueryLog) -> None:
    log.add([searched("anything")])
    with sqlite3.connect(log.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(IndexVersionError, match="format 99"):
        log.popular()
    for name in log.path.parent.glob(f"{log.path.name}*"):
        name.unlink()
    log.path.write_bytes(b"no database" * 100)
    with pytest.raises(IndexFolderError, match="remove it"):
        log.popular()
