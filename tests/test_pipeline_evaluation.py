"""The measures agree with ir-measures, and evaluation asks as a user asks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import ir_measures
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, R, nDCG

from ingest.errors import CorpusError
from pipeline.command_line.main import main
from pipeline.encoding.settings import IndexSettings
from pipeline.evaluation.evaluate import evaluate_searcher
from pipeline.evaluation.metrics import (
    average_precision,
    measure,
    ndcg,
    recall,
    reciprocal_rank,
)
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

MEASURES = {"ndcg@10": nDCG @ 10, "recall@100": R @ 100, "mrr@10": RR @ 10, "map": AP}
FIGURES = {"ndcg@10", "recall@100", "mrr@10", "map"}

doc_ids = st.integers(0, 130).map("d{}".format)
qrels_of_a_query = st.dictionaries(doc_ids, st.integers(0, 3), min_size=1, max_size=30).filter(
    lambda found: any(found.values())
)
rankings = st.lists(doc_ids, unique=True, max_size=130)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["q1", "q2", "q3"]), st.tuples(qrels_of_a_query, rankings), min_size=1
    )
)
def test_measures_agree_with_ir_measures(
    queries: dict[str, tuple[dict[str, int], list[str]]],
) -> None:
    qrels = {query_id: judged for query_id, (judged, _) in queries.items()}
    run = {query_id: ranking for query_id, (_, ranking) in queries.items()}
    scored = {
        query_id: {doc_id: float(-rank) for rank, doc_id in enumerate(ranking)}
        for query_id, ranking in run.items()
    }
    ours = measure(run, qrels)
    if not any(run.values()):
        assert ours == dict.fromkeys(FIGURES, 0.0)
        return
    theirs = ir_measures.calc_aggregate(MEASURES.values(), qrels, scored)
    for name, theirs_measure in MEASURES.items():
        assert ours[name] == pytest.approx(theirs[theirs_measure], abs=1e-9), name


def test_a_worked_example() -> None:
    ranking = ["a", "x", "b", "y", "c"]
    judged = {"a": 1, "b": 3, "c": 2, "missing": 1, "x": 0}
    gained = 1 / math.log2(2) + 3 / math.log2(4) + 2 / math.log2(6)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(5)
    assert ndcg(ranking, judged, 10) == pytest.approx(gained / ideal)
    assert ndcg(ranking, judged, 1) == pytest.approx((1 / math.log2(2)) / (3 / math.log2(2)))
    assert recall(ranking, judged, 100) == 3 / 4
    assert recall(ranking, judged, 2) == 1 / 4
    assert reciprocal_rank(["x", "b"], judged, 10) == 1 / 2
    assert reciprocal_rank(["x", "b"], judged, 1) == 0
    assert average_precision(ranking, judged) == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 4)


def test_nothing_found_and_nothing_relevant_score_zero() -> None:
    for judged in ({}, {"a": 0}, {"a": -1}):
        assert ndcg(["a"], judged, 10) == recall(["a"], judged, 10) == 0
        assert reciprocal_rank(["a"], judged, 10) == average_precision(["a"], judged) == 0
    assert measure({}, {"q": {"a": 1}}) == dict.fromkeys(FIGURES, 0.0)
    assert measure({}, {}) == dict.fromkeys(FIGURES, 0.0)


def test_each_signal_is_measured_by_its_own_retrieval(searcher: Searcher) -> None:
    queries = {"1": "open a file", "2": "socket timeout", "3": "parse a date", "long": "chapter"}
    qrels = {
        "1": {"files/00": 2, "files/01": 1},
        "2": {"network/03": 1},
        "3": {"time/05": 1, "files/00": 0},
        # A document with the query's own id is left out, as BEIR does.
        "long": {"long": 1, "title-only": 1},
        "nothing relevant": {"files/00": 0},
        "worse than nothing": {"files/00": -1},
    }
    evaluation = evaluate_searcher(searcher, queries, qrels)
    assert evaluation.n_queries == 4
    assert list(evaluation.signals) == ["bm25", "tfidf", "word2vec", "bert", "hybrid"]
    for name, run in evaluation.runs.items():
        signals = None if name == "hybrid" else (name,)
        for query_id, found in run.items():
            answer = searcher.search(Query(queries[query_id], k=100, signals=signals))
            assert found == [hit.doc_id for hit in answer.hits if hit.doc_id != query_id]
        judged = {query_id: qrels[query_id] for query_id in run}
        assert evaluation.signals[name] == measure(run, judged)


@pytest.mark.parametrize("qrels", [{}, {"1": {}}, {"1": {"a": 0}}, {"1": {"a": -1}}])
def test_no_relevant_document_is_an_error(
    searcher: Searcher, qrels: dict[str, dict[str, int]]
) -> None:
    with pytest.raises(CorpusError, match="nothing to evaluate"):
        evaluate_searcher(searcher, {"1": "file"}, qrels)


def test_a_judged_query_without_text_is_named(searcher: Searcher) -> None:
    with pytest.raises(CorpusError, match="'2'"):
        evaluate_searcher(searcher, {"1": "file"}, {"1": {"a": 1}, "2": {"a": 1}})


@pytest.fixture
def beir_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "collections" / "zoo & more"
    (folder / "qrels").mkdir(parents=True)
    corpus = {"p": "Penguins swim under the ice.", "s": "Sparrows fly.", "w": "Whales sing."}
    (folder / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"_id": doc_id, "title": "", "text": text}) + "\n"
            for doc_id, text in corpus.items()
        )
    )
    queries = {"1": "penguins", "2": "sparrows", "3": "unjudged"}
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in queries.items())
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n1\tp\t1\n2\ts\t2\n2\tw\t0\n"
    )
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n1\ts\t1\n")
    return folder


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    with pytest.raises(SystemExit) as done:
        main(["evaluate", *arguments, "--json"])
    told = capsys.readouterr()
    assert done.value.code == 0, told.err
    answer: dict[str, object] = json.loads(told.out)
    return answer


def test_evaluate_indexes_and_measures_a_beir_folder(
    beir_dir: Path,
    tmp_path: Path,
    tiny_settings: IndexSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The defaults name the large model.
    monkeypatch.setattr("pipeline.command_line.evaluate.IndexSettings", lambda: tiny_settings)
    data_dir = str(tmp_path / "data")
    answer = evaluated(capsys, str(beir_dir), "--data-dir", data_dir)
    assert answer["collection"] == "evaluate-collections-zoo_more"
    assert (answer["n_documents"], answer["n_queries"]) == (3, 2)
    signals, latency = answer["signals"], answer["latency_ms"]
    assert isinstance(signals, dict)
    assert isinstance(latency, dict)
    assert list(signals) == ["bm25", "tfidf", "word2vec", "bert", "hybrid"]
    assert all(set(figures) == FIGURES for figures in signals.values())
    assert signals["bm25"] == signals["hybrid"] == dict.fromkeys(FIGURES, 1.0)
    assert set(latency) == {"p50", "p95", "p99"}
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    # Indexed already: the same version is asked, with other judgments.
    again = evaluated(
        capsys, str(beir_dir), "--data-dir", data_dir, "--qrels", str(beir_dir / "qrels/dev.tsv")
    )
    assert again["version"] == answer["version"]
    assert again["n_queries"] == 1
