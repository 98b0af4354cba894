"""However much is asked at once, the time is looked at again before long.

A clock that ticks when it is looked at counts how often that is, and so how long can pass at most.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import pytest

from ingest.errors import QueryTimeoutError
from pipeline.search import time_limit
from pipeline.search.embedding_space import Point
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.search.time_limit import time_limited

WORDS = ["read", "write", "open", "close", "file", "folder", "path", "disk", "copy", "rename"]


class TickingClock:
    """Stands in for the module ``time``: a second passes whenever it is looked at."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        self.now_s += 1.0
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[TickingClock]:
    ticking = TickingClock()
    monkeypatch.setattr(time_limit, "time", ticking)
    yield ticking
    monkeypatch.setattr(time_limit, "time", time)


def subject_ids(searcher: Searcher, n: int) -> tuple[str, ...]:
    return tuple(searcher.doc_ids(list(range(n))))


def texts(searcher: Searcher) -> None:
    searcher.space("bert").encode([f"text number {number}" for number in range(80)])


def points(searcher: Searcher) -> None:
    liked = [Point("document", doc_id) for doc_id in subject_ids(searcher, 20)]
    liked += [Point("text", f"text {number}") for number in range(20)]
    searcher.space("bert").neighbors(liked)


def liked(searcher: Searcher) -> None:
    searcher.search(Query("", like=subject_ids(searcher, 40)))


def long_filter(searcher: Searcher) -> None:
    either = " OR ".join(f"number:{number}" for number in range(150))
    searcher.search(Query("file", filter=f"({either}) AND subject:files"))


def explained_words(searcher: Searcher) -> None:
    searcher.search(Query(" ".join(WORDS), k=60, explain_words=True))


# What is asked, and how often the time is looked at meanwhile at least.
ASKED: dict[str, tuple[Callable[[Searcher], None], int]] = {
    "many texts, eight at once": (texts, 10),
    "many documents and texts to add up": (points, 40),
    "many documents liked, by each signal": (liked, 3 * 40),
    "many conditions": (long_filter, 150),
    "words of many hits, by each signal": (explained_words, 3 * 60),
}


@pytest.mark.parametrize(("ask", "n_looks"), ASKED.values(), ids=ASKED)
def test_the_time_is_looked_at_in_every_loop(
    searcher: Searcher, clock: TickingClock, ask: Callable[[Searcher], None], n_looks: int
) -> None:
    with time_limited(math.inf):
        ask(searcher)
    assert clock.now_s >= n_looks
    # And whenever it is over, that is noticed at the next look.
    for limit_s in (1, n_looks // 2, n_looks - 1):
        clock.now_s = 0.0
        with time_limited(limit_s), pytest.raises(QueryTimeoutError):
            ask(searcher)
        assert clock.now_s == limit_s + 1


def test_without_a_limit_nobody_looks(searcher: Searcher, clock: TickingClock) -> None:
    searcher.search(Query("read a file"))
    assert clock.now_s == 0


def test_models_are_loaded_however_little_time_is_left(searcher: Searcher) -> None:
    with time_limited(time.monotonic() - 1.0):
        searcher.warm()
