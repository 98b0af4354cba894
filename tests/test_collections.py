"""Relevance over public collections (``make collections``): floors no change may break.

The collections lie in ``$TRINE_COLLECTIONS``, in BEIR layout. Each is indexed with the defaults of
``trine index`` and asked through the public Searcher, as ``trine evaluate`` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from encoders.bert import BertEncoder
from ingest.beir import BeirFolder
from ingest.sources import read_documents
from pipeline.evaluation.metrics import measure
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

pytestmark = pytest.mark.collections

REPOSITORY = Path(__file__).parent.parent
DEMO = REPOSITORY / "corpora" / "python_stdlib"
# Lowest and highest nDCG@10 each row may have; a signal outside its range is a bug.
RANGES = {
    "scifact": {"bm25": (0.67, 0.69), "bert": (0.64, 0.68), "hybrid": (0.725, 1.0)},
    "cranfield": {"bm25": (0.35, 1.0), "bert": (0.37, 0.41), "hybrid": (0.42, 1.0)},
    "cisi": {"bm25": (0.38, 1.0), "bert": (0.41, 0.45), "hybrid": (0.445, 1.0)},
}


# The same paragraphs and questions in several languages; the encoder knows English only.
LANGUAGE_FLOORS = {
    "zh": {"bm25": 0.95},
    "en": {"bm25": 0.96, "hybrid": 0.97},
    "de": {"bm25": 0.935, "hybrid": 0.935},
}


# Expected calibration error of hits 1 to 10, recalibrated within the collection.
MAX_CALIBRATION_ERROR = 0.06


@pytest.fixture(scope="module")
def collections() -> Path:
    folder = os.environ.get("TRINE_COLLECTIONS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TRINE_COLLECTIONS does not name a folder of public test collections")
    return Path(folder)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collections")


def trine(*arguments: str, data_dir: Path) -> dict[str, object]:
    """Run ``trine`` with all the cores there are and return the JSON it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.command_line.main", *arguments, "--json"],
        env={**environment, "TRINE_DATA_DIR": str(data_dir)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


def evaluation_collection(folder: Path) -> str:
    return f"evaluate-{folder.parent.name}-{folder.name}"


@cache
def evaluated(folder: Path, data_dir: Path) -> dict[str, object]:
    name = evaluation_collection(folder)
    built = trine("index", str(folder), "--collection", name, data_dir=data_dir)
    options = []
    if folder.name in RANGES:
        options = ["--missing-answers", "--foreign", str(DEMO)]
        for other in sorted({*RANGES} - {folder.name}):
            options += ["--foreign", str(folder.parent / other)]
    place = ("--collection", name)
    figures = trine("evaluate", str(folder), *place, *options, data_dir=data_dir)
    print(f"\n{folder.name}: {json.dumps(built['seconds'])}, {built['tokens_per_second']} tokens/s")
    print(json.dumps(figures, indent=1))
    return figures


def ndcg(figures: dict[str, object]) -> dict[str, float]:
    signals = figures["signals"]
    assert isinstance(signals, dict)
    return {name: row["ndcg@10"] for name, row in signals.items()}


@pytest.mark.parametrize("name", RANGES)
def test_every_signal_is_in_its_range(collections: Path, data_dir: Path, name: str) -> None:
    found = ndcg(evaluated(collections / name, data_dir))
    for signal, (low, high) in RANGES[name].items():
        assert low <= found[signal] <= high, (signal, found)


@pytest.mark.parametrize("name", RANGES)
def test_the_hybrid_is_at_least_as_good_as_any_signal(
    collections: Path, data_dir: Path, name: str
) -> None:
    found = ndcg(evaluated(collections / name, data_dir))
    assert found["hybrid"] >= max(found.values())


@pytest.mark.parametrize("name", RANGES)
def test_probabilities_are_right_within_a_collection(
    collections: Path, data_dir: Path, name: str
) -> None:
    calibration = evaluated(collections / name, data_dir)["calibration"]
    assert isinstance(calibration, dict)
    assert calibration["ece_cross_validated"] <= MAX_CALIBRATION_ERROR


def test_foreign_queries_get_no_confident_answer_and_others_do(
    collections: Path, data_dir: Path
) -> None:
    n_foreign = n_answered = 0
    for name in RANGES:
        figures = evaluated(collections / name, data_dir)
        foreign, answered = figures["foreign"], figures["answered"]
        assert isinstance(foreign, list)
        assert isinstance(answered, float)
        assert answered >= 0.9
        n_foreign += foreign[-1]["n_queries"]
        n_answered += foreign[-1]["n_queries"] * foreign[-1]["answered"]
    print(f"\nforeign queries answered with confidence: {n_answered / n_foreign:.3f}")
    assert n_answered <= 0.05 * n_foreign


@pytest.mark.parametrize("name", RANGES)
def test_the_hard_case_is_no_worse_than_measured(
    collections: Path, data_dir: Path, name: str
) -> None:
    """The relevant documents hidden: the best probability tells little, but more than nothing."""
    missing = evaluated(collections / name, data_dir)["missing_answers"]
    assert isinstance(missing, dict)
    print(f"\n{name}, answers hidden: {json.dumps(missing)}")
    assert missing["auroc_interval"][0] > 0.5


@pytest.mark.parametrize("language", LANGUAGE_FLOORS)
def test_languages_reach_their_floors(collections: Path, data_dir: Path, language: str) -> None:
    found = ndcg(evaluated(collections / "xquad" / language, data_dir))
    for signal, low in LANGUAGE_FLOORS[language].items():
        assert found[signal] >= low, (signal, found)


@pytest.mark.parametrize("name", RANGES)
def test_a_misspelling_costs_next_to_nothing(
    collections: Path, data_dir: Path, name: str, tmp_path: Path
) -> None:
    """Each query with one real misspelling of a rare word, against the same query without."""
    folder = collections / name
    evaluated(folder, data_dir)
    misspelt = BeirFolder(folder, queries=folder / "queries_typo.jsonl").queries()
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        judged = [line for line in file if line.partition("\t")[0] in {"query-id", *misspelt}]
    (tmp_path / "qrels.tsv").write_text("".join(judged), encoding="utf-8")
    found = {}
    for queries in ("queries.jsonl", "queries_typo.jsonl"):
        options = ("--queries", str(folder / queries), "--qrels", str(tmp_path / "qrels.tsv"))
        place = ("--collection", evaluation_collection(folder))
        found[queries] = ndcg(trine("evaluate", str(folder), *options, *place, data_dir=data_dir))[
            "hybrid"
        ]
    print(f"\n{name}: {json.dumps(found)}")
    assert found["queries_typo.jsonl"] >= 0.98 * found["queries.jsonl"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_hybrid_is_at_least_as_good_on_the_demo_queries(data_dir: Path, split: str) -> None:
    figures = trine(
        "evaluate", str(DEMO), "--qrels", str(DEMO / "qrels" / f"{split}.tsv"), data_dir=data_dir
    )
    found = ndcg(figures)
    print(f"\npython_stdlib {split}: {json.dumps(figures, indent=1)}")
    calibration = figures["calibration"]
    assert isinstance(calibration, dict)
    assert calibration["ece_cross_validated"] <= MAX_CALIBRATION_ERROR
    assert found["hybrid"] >= max(found.values())


def test_every_documented_name_ranks_its_documents_first(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every id, title and name of the demo collection, asked as it stands."""
    trine("index", "pydoc:stdlib", "--collection", "names", data_dir=data_dir)
    searcher = Searcher.open("names", data_dir=data_dir)
    # Names decide whatever the transformer makes of them; its work would take most of the time.
    nothing = np.zeros((1, 384), np.float32)
    monkeypatch.setattr(BertEncoder, "encode_queries", lambda *_: nothing)
    having: dict[str, set[str]] = {}
    for document in read_documents(["pydoc:stdlib"]):
        for name in {document.doc_id, document.title, *document.names} - {""}:
            having.setdefault(name, set()).add(document.doc_id)
    assert len(having) > 5000
    of_folded: dict[str, set[str]] = {}
    for name, doc_ids in having.items():
        of_folded.setdefault(name.casefold(), set()).update(doc_ids)
    for name, doc_ids in having.items():
        asked = Query(name, k=max(10, len(of_folded[name.casefold()])), highlight=False)
        found = [hit.doc_id for hit in searcher.search(asked).hits]
        assert set(found[: len(doc_ids)]) == doc_ids, name
        assert set(found[: len(of_folded[name.casefold()])]) == of_folded[name.casefold()], name


def test_scifact_recall(collections: Path, data_dir: Path) -> None:
    signals = evaluated(collections / "scifact", data_dir)["signals"]
    assert isinstance(signals, dict)
    assert signals["hybrid"]["recall@100"] >= 0.945


def test_the_encoder_by_itself_reaches_its_published_figure(collections: Path) -> None:
    """One truncated embedding a document: .645 is published for this model on scifact."""
    beir = BeirFolder(collections / "scifact")
    queries, qrels = beir.queries(), beir.qrels()
    documents = list(read_documents([str(collections / "scifact")]))
    encoder = BertEncoder()
    embeddings = encoder.encode_documents([f"{d.title} {d.text}".strip() for d in documents])
    asked = encoder.encode_queries([queries[query_id] for query_id in qrels])
    best = np.argsort(-(asked @ embeddings.T), axis=1, kind="stable")[:, :100]
    run = {
        query_id: [documents[row].doc_id for row in rows]
        for query_id, rows in zip(qrels, best, strict=True)
    }
    figure = measure(run, qrels)["ndcg@10"]
    print(f"\nscifact, one truncated embedding a document: nDCG@10 {figure:.4f}")
    assert 0.640 <= figure <= 0.650
