"""Two rankings compared: figures, chance, who gained and lost, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import ir_measures
import pytest
from ir_measures import AP, RR, R, nDCG
from scipy import stats

from ingest.errors import QueryError
from pipeline.command_line.evaluate import Asked
from pipeline.command_line.main import main
from pipeline.evaluation.compare import compare_runs
from pipeline.evaluation.metrics import measure, measure_each
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

MEASURES = {"ndcg@10": nDCG @ 10, "recall@100": R @ 100, "mrr@10": RR @ 10, "map": AP}
QUERIES = {
    "1": "open a file",
    "2": "socket timeout",
    "3": "parse a date | time",
    "4": "join strings",
    "5": "sum of fractions",
}
QRELS = {
    "1": {"files/00": 2, "files/01": 1},
    "2": {"network/03": 1, "network/10": 1},
    "3": {"time/05": 1, "time/07": 2},
    "4": {"text/00": 1, "text/08": 1, "text/09": 1},
    "5": {"numbers/02": 1},
}
Evaluate = Callable[..., str]


def test_figures_of_each_query_agree_with_ir_measures(searcher: Searcher) -> None:
    run = {
        key: [hit.doc_id for hit in searcher.search(Query(text, k=100)).hits]
        for key, text in QUERIES.items()
    }
    ours = measure_each(run, QRELS)
    scored = {
        key: {doc_id: float(-rank) for rank, doc_id in enumerate(found)}
        for key, found in run.items()
    }
    names = {value: name for name, value in MEASURES.items()}
    found = list(ir_measures.iter_calc(MEASURES.values(), QRELS, scored))
    assert len(found) == len(QRELS) * len(MEASURES)
    for metric in found:
        theirs = pytest.approx(metric.value, abs=1e-9)
        assert ours[metric.query_id][names[metric.measure]] == theirs


def test_a_worked_comparison() -> None:
    queries = {key: key * 2 for key in "abcd"}
    qrels = {key: {"x": 1} for key in queries}
    first = {"a": ["x"], "b": ["o", "x"], "c": ["o", "x"], "d": []}
    second = {"a": ["o", "x"], "b": ["x"], "c": ["x"], "d": []}
    found = compare_runs(("first", first), ("second", second), queries, qrels)
    assert (found.n_gained, found.n_lost, found.n_equal) == (2, 1, 1)
    assert [change.query_id for change in found.gained] == ["b", "c"]
    assert [(change.query_id, change.text) for change in found.lost] == [("a", "aa")]
    mrr = found.measures["mrr@10"]
    assert mrr["baseline"] == (1 + 1 / 2 + 1 / 2) / 4
    assert mrr["difference"] == pytest.approx(1 / 8)
    # Of eight sign patterns of three equal differences only the mean of two in six is as far.
    assert mrr["p_value"] == 1
    assert (
        mrr["p_value"]
        == stats.permutation_test(
            ([0.5, -0.5, -0.5], [0.0, 0.0, 0.0]),
            lambda left, right: sum(left) - sum(right),
            permutation_type="samples",
        ).pvalue
    )
    assert {name: figures["compared"] for name, figures in found.measures.items()} == measure(
        second, qrels
    )


@pytest.mark.parametrize(
    "text",
    ["", "fusion", "fusion=", "speed=1", "fusion=magic", "weights=bm25", "fusion=min_max fusion="],
)
def test_what_cannot_be_compared_is_told(text: str) -> None:
    # One word may be a version's id; that it is none shows when it is opened.
    if text == "fusion":
        assert Asked.parse(text).version == "fusion"
        return
    with pytest.raises(QueryError):
        Asked.parse(text)


def test_both_sides_are_read() -> None:
    asked = Asked.parse("version=v1 fusion=z_score weights=bm25:1,bert:3 signals=bm25,bert")
    assert asked.version == "v1"
    wanted = Query("?", fusion="z_score", weights={"bm25": 1, "bert": 3}, signals=("bm25", "bert"))
    assert asked.query == wanted
    assert Asked.parse("default") == Asked("default")


@pytest.fixture
def evaluate(
    capsys: pytest.CaptureFixture[str], library_data_dir: Path, tmp_path: Path
) -> Evaluate:
    (tmp_path / "qrels").mkdir()
    lines = [json.dumps({"_id": key, "text": text}) for key, text in QUERIES.items()]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    judged = [f"{key}\t{doc}\t{level}" for key, row in QRELS.items() for doc, level in row.items()]
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged))

    def run(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as done:
            # Named, so that the folder's own corpus is not asked for.
            main(["evaluate", str(tmp_path), "--data-dir", str(data_dir), *ASK, *arguments])
        told = capsys.readouterr()
        assert done.value.code == status, told.err
        return told.out

    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "mine").symlink_to(library_data_dir / "default")
    return run


ASK = ("--collection", "mine")


def test_a_setting_is_compared_in_json(evaluate: Evaluate, searcher: Searcher) -> None:
    plain = json.loads(evaluate("--format", "json"))
    assert set(plain) == {
        "collection",
        "version",
        "n_documents",
        "n_queries",
        "signals",
        "latency_ms",
        "answered",
        "calibration",
    }
    told = json.loads(evaluate("--json", "--compare", "signals=bm25"))
    assert set(told) == {*plain, "comparison"}
    assert told["signals"] == plain["signals"]
    comparison = told["comparison"]
    assert comparison["baseline"] == f"default (version {searcher.version})"
    assert comparison["compared"] == f"signals=bm25 (version {searcher.version})"
    for name, figures in comparison["measures"].items():
        assert figures["baseline"] == told["signals"]["hybrid"][name]
        assert figures["compared"] == told["signals"]["bm25"][name]
        assert figures["difference"] == figures["compared"] - figures["baseline"]
        assert 0 < figures["p_value"] <= 1
    assert comparison["n_gained"] + comparison["n_lost"] + comparison["n_equal"] == len(QUERIES)
    assert all(change["difference"] > 0 for change in comparison["gained"])
    assert all(change["difference"] < 0 for change in comparison["lost"])
    # Given twice, the first is the baseline, and the figures are its own.
    other = json.loads(evaluate("--json", "--compare", "signals=bm25", "--compare", "default"))
    assert other["signals"]["hybrid"] == plain["signals"]["bm25"]
    turned = other["comparison"]["measures"]["ndcg@10"]
    assert turned["difference"] == -comparison["measures"]["ndcg@10"]["difference"]


def test_a_version_against_itself_differs_in_nothing(
    evaluate: Evaluate, searcher: Searcher
) -> None:
    comparison = json.loads(evaluate("--json", "--compare", searcher.version))["comparison"]
    assert comparison["n_equal"] == len(QUERIES)
    assert comparison["gained"] == comparison["lost"] == []
    assert {figures["p_value"] for figures in comparison["measures"].values()} == {1.0}


def test_csv_is_one_table(evaluate: Evaluate) -> None:
    told = evaluate("--format", "csv", "--compare", "signals=bm25")
    rows = list(csv.DictReader(io.StringIO(told)))
    assert list(rows[0]) == ["row", "name", *MEASURES]
    kinds = [row["row"] for row in rows]
    assert kinds[:9] == ["signal"] * 5 + ["answered"] + ["calibration"] * 3
    assert kinds[9:13] == ["baseline", "compared", "difference", "p_value"]
    assert set(kinds[13:]) <= {"gained", "lost"}
    by_name = {row["name"]: row for row in rows if row["row"] == "signal"}
    assert rows[9]["ndcg@10"] == by_name["hybrid"]["ndcg@10"]
    assert rows[10]["map"] == by_name["bm25"]["map"]


def test_markdown_tables_are_whole(evaluate: Evaluate) -> None:
    told = evaluate("--format", "markdown", "--compare", "signals=word2vec")
    tables = [part.split("\n") for part in told.strip().split("\n\n") if part.startswith("|")]
    assert len(tables) >= 3
    for table in tables:
        widths = {line.replace("\\|", "").count("|") for line in table}
        assert len(widths) == 1
        assert set(table[1]) == set("| -")
    assert "queries gained nDCG@10" in told


def test_text_names_both_sides(evaluate: Evaluate) -> None:
    told = evaluate("--compare", "fusion=reciprocal_rank")
    assert "compared: fusion=reciprocal_rank" in told
    assert "p_value" in told


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (("--compare", "fusion=magic"), 1, "unknown fusion"),
        (("--compare", "no-such-version"), 1, "no version"),
        (("--compare", "speed=1"), 1, "--compare is"),
        (("--compare", "default") * 3, 2, "once or twice"),
    ],
)
def test_errors_are_json_where_the_answer_would_be(
    evaluate: Evaluate, arguments: tuple[str, ...], status: int, error: str
) -> None:
    for asked in (("--format", "json"), ("--format=json",), ("--json",)):
        assert error in json.loads(evaluate(*arguments, *asked, status=status))["error"]
    assert evaluate(*arguments, "--format", "csv", status=status) == ""


def test_json_and_another_format_exclude_each_other(evaluate: Evaluate) -> None:
    assert "exclude" in evaluate("--json", "--format", "csv", status=2)
