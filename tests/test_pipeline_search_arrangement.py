"""Re-ranking, diversity and collapse: what they change, and what they must not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.reranker import Reranker
from ingest.documents import Document
from ingest.errors import ModelNotFoundError, QueryError
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

TINY = str(Path(__file__).parent / "data" / "tiny_cross_encoder")
PLENTY_MS = 60_000.0
QUERIES = ["open a file", "how do I parse a date", '"read the" file', "random float -mean", "regex"]
OPTIONS: list[dict[str, object]] = [
    {"rerank": TINY, "rerank_depth": 20},
    {"rerank": TINY, "rerank_depth": 7},
    {"diversity": 0.6},
    {"collapse": 0.6},
    {"collapse": True, "diversity": 0.3, "rerank": TINY, "rerank_depth": 13},
    {"collapse": 0.5, "min_probability": 0.01},
]


def asked(text: str, **options: object) -> Query:
    return replace(Query(text, k=1000, rerank_budget_ms=PLENTY_MS), **options)  # type: ignore[arg-type]


def ids(searcher: Searcher, query: Query) -> list[str]:
    return [hit.doc_id for hit in searcher.search(query).hits]


@pytest.fixture
def fresh(library_data_dir: Path) -> Searcher:
    """A searcher that remembers nothing yet."""
    return Searcher.open(data_dir=library_data_dir)


@pytest.mark.parametrize("text", QUERIES)
def test_the_best_documents_stand_as_the_model_scores_them(searcher: Searcher, text: str) -> None:
    plain = searcher.search(asked(text))
    answer = searcher.search(asked(text, rerank=TINY, rerank_depth=10))
    assert answer.rerank is not None
    assert (answer.rerank.applied, answer.rerank.reason, answer.rerank.scored) == (True, None, 10)
    top, rest = answer.hits[:10], answer.hits[10:]
    assert {hit.doc_id for hit in top} == {hit.doc_id for hit in plain.hits[:10]}
    meaning = text.replace('"', "").replace(" -mean", "")
    by_model = Reranker(TINY).scores(meaning, [f"{h.title}\n{h.passage.text}".strip() for h in top])
    keys = [(-hit.exactness, -score) for hit, score in zip(top, by_model.tolist(), strict=True)]
    assert np.allclose(keys, sorted(keys), atol=1e-5)
    assert [hit.doc_id for hit in rest] == [hit.doc_id for hit in plain.hits[10:]]
    assert all(hit.rerank is None for hit in rest)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("text", QUERIES)
def test_scores_still_add_up_exactly(
    searcher: Searcher, text: str, options: dict[str, object]
) -> None:
    answer = searcher.search(asked(text, **options)).to_json()
    hits = answer["hits"]
    assert isinstance(hits, list)
    assert hits
    for hit in hits:
        score = 0.0
        for part in hit["explanation"].values():
            score += part["contribution"]
        assert score == hit["score"]
    if not {"diversity"} & set(options):
        assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("text", QUERIES)
def test_pages_neither_overlap_nor_gap(
    fresh: Searcher, text: str, options: dict[str, object]
) -> None:
    plain = fresh.search(replace(asked(text), min_probability=options.get("min_probability")))  # type: ignore[arg-type]
    whole = fresh.search(asked(text, **options))
    assert whole.total == plain.total == len(whole.hits) + whole.n_collapsed
    shown = [hit.doc_id for hit in whole.hits]
    folded = [doc_id for hit in whole.hits for doc_id in hit.collapsed]
    assert sorted(shown + folded) == sorted(hit.doc_id for hit in plain.hits)
    paged = []
    for page in range(1, math.ceil(len(shown) / 6) + 2):
        answer = fresh.search(replace(asked(text, **options), k=6, page=page))
        assert (answer.total, answer.n_collapsed) == (whole.total, whole.n_collapsed)
        paged += [(hit.rank, hit.doc_id, hit.score, hit.collapsed) for hit in answer.hits]
    assert paged == [(hit.rank, hit.doc_id, hit.score, hit.collapsed) for hit in whole.hits]


def test_exact_matches_stay_first(searcher: Searcher, library: list[Document]) -> None:
    for document in library[::7]:
        for options in OPTIONS:
            first = searcher.search(asked(document.doc_id, **options)).hits[0]
            assert first.doc_id == document.doc_id


def test_where_time_is_short_the_order_stands_and_the_answer_says_so(
    fresh: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = Reranker.scores

    def slow(self: Reranker, query: str, texts: list[str]) -> object:
        time.sleep(0.02)
        return scores(self, query, texts)

    plain = fresh.search(asked("open a file"))
    monkeypatch.setattr(Reranker, "scores", slow)
    short = asked("open a file", rerank=TINY, rerank_depth=40, rerank_budget_ms=50.0)
    answer = fresh.search(short)
    assert answer.rerank is not None
    assert not answer.rerank.applied
    assert answer.rerank.reason is not None
    assert "50 ms" in answer.rerank.reason
    assert answer.rerank.scored < 40
    # One batch is as much as it may take beyond the budget.
    assert answer.rerank.took_ms < 1000
    assert [(h.doc_id, h.score) for h in answer.hits] == [(h.doc_id, h.score) for h in plain.hits]
    # The second page goes with the first, although there would be time by now.
    monkeypatch.undo()
    ample = replace(short, rerank_budget_ms=PLENTY_MS)
    second = fresh.search(replace(ample, k=5, page=2))
    assert [hit.doc_id for hit in second.hits] == [hit.doc_id for hit in plain.hits[5:10]]
    # Asked from its first page again, it may succeed, and its later pages with it.
    again = fresh.search(replace(ample, k=5))
    assert again.rerank is not None
    assert again.rerank.applied
    second = fresh.search(replace(short, k=5, page=2))
    assert second.rerank is not None
    assert second.rerank.applied
    assert not {hit.doc_id for hit in again.hits} & {hit.doc_id for hit in second.hits}


def test_re_ranking_goes_with_any_signals_and_with_nothing_found(searcher: Searcher) -> None:
    answer = searcher.search(asked("open file", rerank=TINY, signals=("bm25",), rerank_depth=5))
    assert answer.rerank is not None
    assert answer.rerank.applied
    nothing = searcher.search(asked("???", rerank=TINY))
    assert nothing.rerank is not None
    assert not nothing.rerank.applied
    assert nothing.rerank.reason == "nothing was found to re-rank"
    assert searcher.search(asked("open file")).to_json()["rerank"] is None
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        searcher.search(asked("open file", rerank="nowhere"))


def test_no_diversity_changes_nothing_and_more_of_it_makes_hits_differ(searcher: Searcher) -> None:
    plain = ids(searcher, asked("open a file"))
    assert ids(searcher, asked("open a file", diversity=0.0)) == plain
    some, most = (ids(searcher, asked("open a file", diversity=d)) for d in (0.5, 1.0))
    assert plain[0] == some[0] == most[0]
    assert sorted(plain) == sorted(some) == sorted(most)

    def subjects(found: list[str]) -> set[str]:
        return {doc_id.partition("/")[0] for doc_id in found[:6]}

    assert len(subjects(plain)) < len(subjects(most))


def copies() -> list[Document]:
    text = "The red fox jumps over the fence of the garden at night."
    return [
        Document("fox/1", "", text),
        Document("fox/2", "", text),
        Document("fox/3", "", text + " It is."),
        Document("cow", "", "A cow stands in the garden and eats grass all day long."),
        Document("bell", "", "Seventeen bells ring whenever somebody opens the door."),
    ]


@pytest.mark.parametrize("signals", [None, ("bm25",), ("bm25", "tfidf")])
def test_copies_collapse_into_the_best_of_them(
    build: Callable[..., Searcher], signals: tuple[str, ...] | None
) -> None:
    searcher = build(*copies())
    query = replace(Query("red fox garden"), signals=signals)
    plain = searcher.search(query)
    answer = searcher.search(replace(query, collapse=True))
    first = next(hit for hit in plain.hits if hit.doc_id.startswith("fox"))
    kept = next(hit for hit in answer.hits if hit.doc_id.startswith("fox"))
    assert kept.doc_id == first.doc_id
    assert {"fox/1", "fox/2"} <= {kept.doc_id, *kept.collapsed}
    assert "cow" in {hit.doc_id for hit in answer.hits}
    assert answer.n_collapsed == len(kept.collapsed)
    assert answer.total == plain.total


def test_without_embeddings_collapse_says_what_it_needs(
    build: Callable[..., Searcher], tiny_settings: object
) -> None:
    searcher = build(*copies())
    for name in ("tfidf", "word2vec"):
        del searcher._version.vectors[name]
    with pytest.raises(QueryError, match="compare embeddings"):
        searcher.search(Query("red fox", signals=("bm25",), collapse=True))


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"diversity": -0.1}, "diversity"),
        ({"diversity": math.nan}, "diversity"),
        ({"collapse": 0.0}, "collapse"),
        ({"collapse": 1.5}, "collapse"),
        ({"rerank_depth": 0}, "rerank_depth"),
        ({"rerank_depth": 10_000}, "rerank_depth"),
        ({"rerank_budget_ms": 0.0}, "rerank_budget_ms"),
        ({"rerank_budget_ms": math.inf}, "rerank_budget_ms"),
        ({"sort": "number", "diversity": 0.5}, "diversity"),
        ({"sort": "number", "collapse": True}, "collapse"),
        ({"sort": "number", "rerank": TINY}, "rerank"),
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, object], parameter: str) -> None:
    with pytest.raises(QueryError) as caught:
        asked("file", **options)
    assert caught.value.parameter == parameter
