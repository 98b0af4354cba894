"""Relevance over public collections (``make collections``): floors no change may break.

The collections lie in ``$TRINE_COLLECTIONS``, in BEIR layout. Each is indexed with the defaults of
``trine index`` and asked through the public Searcher, as ``trine evaluate`` does.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
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
from pipeline.version.collection import CollectionFolder
from pipeline.version.open_version import OpenVersion, open_version
from pipeline.version.vector_index import EXHAUSTIVE_ROWS, VectorIndex

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


# ---- re-indexing --------------------------------------------------------------------------


def passages_of(version: OpenVersion) -> set[tuple[str, str]]:
    """Title and text of every passage."""
    offsets, spans = version.passages.offsets.tolist(), version.passages.spans.tolist()
    return {
        (document.title, document.text[start:end])
        for row, document in enumerate(version.documents.stream())
        for start, end in spans[offsets[row] : offsets[row + 1]]
    }


def test_one_percent_of_scifact_edited(collections: Path, data_dir: Path, tmp_path: Path) -> None:
    """Exactly the changed passages are encoded, in a tenth of the time of a full build at most."""
    source = collections / "scifact"
    evaluated(source, data_dir)
    name = evaluation_collection(source)
    shutil.copytree(data_dir / name, tmp_path / "data" / name)
    folder = CollectionFolder(tmp_path / "data", name)
    before = open_version(folder.version_path(folder.current()))
    with (source / "corpus.jsonl").open(encoding="utf-8") as file:
        entries = [json.loads(line) for line in file]
    for number, entry in enumerate(entries[::100]):
        first, _, rest = entry["text"].partition(". ")
        entry["text"] = f"{first}. Sentence {number} was put in near the top. {rest}"
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    arguments = ("index", str(corpus), "--collection", name)
    began = time.perf_counter()
    built = trine(*arguments, data_dir=folder.data_dir)
    built_s = time.perf_counter() - began
    after = open_version(folder.version_path(folder.current()))
    began = time.perf_counter()
    again = trine(*arguments, data_dir=folder.data_dir)
    again_s = time.perf_counter() - began
    full_s = sum(before.manifest.timings_s.values())
    print(f"\n1 % edited: {built_s:.1f} s of {full_s:.1f}, {built['passages_encoded']} passages; "
          f"nothing edited: {again_s:.1f} s\n{json.dumps(built['seconds'])}")  # fmt: skip
    assert built["changed"] == len(entries[::100])
    assert built["passages_encoded"] == len(passages_of(after) - passages_of(before))
    assert built_s <= 0.1 * full_s
    assert not again["published"]
    assert again_s <= 3


MEASURED = """
import json, resource, subprocess, sys
subprocess.run([sys.executable, "-m", "pipeline.command_line.main", *sys.argv[1:]], check=True)
# Kilobytes on Linux.
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def test_nine_hundred_thousand_texts_fit_in_four_gigabytes(
    collections: Path, tmp_path: Path
) -> None:
    """From nothing, and again with one text in a hundred edited."""
    corpus = tmp_path / "corpus.jsonl"
    with gzip.open(collections / "package_summaries" / "corpus.jsonl.gz", "rt") as file:
        lines = file.readlines()
    for step in (None, 100):
        if step:
            lines[::step] = [
                line.replace('"text": "', '"text": "Edited. ') for line in lines[::step]
            ]
        corpus.write_text("".join(lines), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "index", str(corpus), "--json",
             "--signals", "bm25,tfidf,word2vec", "--data-dir", str(tmp_path / "data")],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        built, resident_bytes = json.loads(done.stdout), 1024 * int(done.stderr.split()[-1])
        print(f"\n{built['documents']} texts: {resident_bytes / 1e9:.2f} GB, {built['seconds']}")
        assert resident_bytes <= 4e9
    folder = CollectionFolder(tmp_path / "data", "default")
    version = open_version(folder.version_path(folder.current()))
    for signal in ("tfidf", "word2vec"):
        check_proposals(signal, version.vectors[signal])


def check_proposals(signal: str, index: VectorIndex) -> None:
    """What the codes of very many embeddings miss, and what they save."""
    assert index.n_rows > EXHAUSTIVE_ROWS
    drawn = np.random.default_rng(1).choice(np.flatnonzero(index.covered), (40, 2), replace=False)
    took: dict[bool, list[float]] = {True: [], False: []}
    found = []
    for first, second in drawn:
        # Between two texts: no query is a text that is there.
        sought = index.vectors[first] + 0.7 * index.vectors[second]
        query = (sought / np.linalg.norm(sought)).astype(np.float32)
        scores = {}
        for exact in (True, False):
            began = time.perf_counter()
            scores[exact] = index.nearest(query, 200, exact=exact)[1]
            took[exact].append(time.perf_counter() - began)
        # By similarity: many texts are the same, and any of them will do.
        found.append([np.mean(scores[False][:k] >= scores[True][k - 1] - 1e-6) for k in (10, 200)])
    of_10, of_200 = np.mean(found, axis=0)
    exact_ms, proposed_ms = (1000 * statistics.median(took[exact]) for exact in (True, False))
    print(
        f"{signal}: recall@10 {of_10:.3f}, recall@200 {of_200:.3f}, {proposed_ms:.1f} ms a query; "
        f"all rows {exact_ms:.1f} ms"
    )
    assert of_10 >= 0.98
    assert of_200 >= 0.95
