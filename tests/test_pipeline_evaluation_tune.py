"""Tuning drops a signal that misleads, keeps the default where nothing is better, and adopts."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.documents import Document
from ingest.errors import CorpusError, IndexCorruptError, IndexFolderError, QueryError
from pipeline.command_line.main import main
from pipeline.encoding.adopt import adopt_ranking
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.verification import verify_version
from pipeline.evaluation.evaluate import evaluate_searcher
from pipeline.evaluation.tune import tune_searcher
from pipeline.search.fusion import DEFAULT_WEIGHTS
from pipeline.search.query import Query
from pipeline.search.ranking_settings import RankingSettings
from pipeline.search.reweighing import best_rows
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.manifest import verify_files
from pipeline.version.open_version import open_version
from pipeline.version.quality import read_quality

N_TOPICS = 30
Trine = Callable[..., dict[str, object]]


# Nothing but words that keyword signals pass over; the topic comes last.
ASKED = "how do you do it, and how do you do this and that, with the "


def topic(number: int) -> str:
    """A word that no other topic has, and the tiny BERT knows by its letters only."""
    return "".join(chr(ord("a") + digit) for digit in divmod(number, 10)) * 2


def misleading_documents() -> list[Document]:
    """For each topic a document about it, and three that repeat the question.

    The tiny BERT finds the question itself most like the question: it misleads.
    """
    documents = []
    for number in range(N_TOPICS):
        word = topic(number)
        documents.append(Document(f"{word}-about", "", f"{word} {word} {word} {word}"))
        documents += [
            Document(f"{word}-mention-{end}", "", f"{ASKED}{word} {word} {word} and {end}")
            for end in ("this", "that", "them")
        ]
    return documents


QUERIES = {f"q{n:02}": ASKED + topic(n) for n in range(N_TOPICS)}
QRELS = {f"q{n:02}": {f"{topic(n)}-about": 1} for n in range(N_TOPICS)}


@pytest.fixture(scope="module")
def beir_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning") / "misleading"
    (folder / "qrels").mkdir(parents=True)
    write_lines(
        folder / "corpus.jsonl",
        [
            {"_id": entry.doc_id, "title": entry.title, "text": entry.text}
            for entry in misleading_documents()
        ],
    )
    write_lines(
        folder / "queries.jsonl", [{"_id": key, "text": text} for key, text in QUERIES.items()]
    )
    for name, qrels in {"test": QRELS, "few": dict(list(QRELS.items())[:19])}.items():
        lines = [f"{key}\t{doc_id}\t1\n" for key, found in qrels.items() for doc_id in found]
        (folder / "qrels" / f"{name}.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(lines)
        )
    return folder


def write_lines(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Path:
    data_dir = tmp_path_factory.mktemp("misled")
    build_version(
        CollectionFolder(data_dir, "default"), misleading_documents(), settings=tiny_settings
    )
    return data_dir


@pytest.fixture(scope="module")
def misled(built_once: Path) -> Searcher:
    return Searcher.open(data_dir=built_once)


def ndcg(searcher: Searcher) -> float:
    return evaluate_searcher(searcher, QUERIES, QRELS).signals["hybrid"]["ndcg@10"]


def test_a_misleading_signal_is_outvoted_on_held_out_queries(misled: Searcher) -> None:
    report = tune_searcher(misled, QUERIES, QRELS)
    alone = evaluate_searcher(misled, QUERIES, QRELS).signals
    assert (alone["bm25"]["ndcg@10"], alone["bert"]["ndcg@10"]) == (1, 0)
    assert report.default == RankingSettings()
    assert report.better, report.reason
    assert report.p_value < 0.001
    assert report.held_out["tuned"] > report.held_out["default"] + 0.1
    # Other weights that do as well win ties by lying nearer the default, so it need not be 0.
    assert report.chosen.weights["bert"] < DEFAULT_WEIGHTS["bert"] / 2
    assert [fold.n_queries for fold in report.folds] == [6] * 5
    assert report.held_out["tuned"] == 1
    assert all(fold.tuned > fold.default for fold in report.folds)
    again = tune_searcher(misled, QUERIES, QRELS).to_json()
    assert {**again, "seconds": 0} == {**report.to_json(), "seconds": 0}
    # What it reports of the default is what a searcher serves.
    assert report.held_out["default"] == pytest.approx(ndcg(misled))


def test_the_default_stays_where_nothing_is_better(misled: Searcher) -> None:
    best = {
        key: {misled.search(Query(text, k=1)).hits[0].doc_id: 1} for key, text in QUERIES.items()
    }
    report = tune_searcher(misled, QUERIES, best)
    assert not report.better
    assert report.chosen == report.default == RankingSettings()
    assert report.held_out == {"default": 1.0, "tuned": 1.0}
    assert report.p_value == 1
    assert "no setting is better" in report.reason


def test_chance_is_not_adopted(misled: Searcher) -> None:
    # Which of three documents alike is relevant is a matter of chance.
    texts, judged = {}, {}
    for number in range(N_TOPICS):
        # A query that goes by a document's id does not find that document.
        key = f"{topic(number)}-about"
        texts[key] = ASKED + topic(number)
        judged[key] = {f"{topic(number)}-mention-{('this', 'that', 'them')[number * 7 % 3]}": 1}
    report = tune_searcher(misled, texts, judged)
    assert not report.better


def test_too_few_queries_and_signals_are_refused(
    misled: Searcher, tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    few = dict(list(QRELS.items())[:19])
    with pytest.raises(CorpusError, match=r"19 queries .* at least 20"):
        tune_searcher(misled, QUERIES, few)
    with pytest.raises(QueryError, match="folds is 1"):
        tune_searcher(misled, QUERIES, QRELS, n_folds=1)
    folder = CollectionFolder(tmp_path, "one")
    build_version(folder, misleading_documents(), settings=tiny_settings.with_signals(["bm25"]))
    with pytest.raises(QueryError, match="one signal"):
        tune_searcher(Searcher.open("one", data_dir=tmp_path), QUERIES, QRELS)


def test_queries_with_the_same_words_share_a_fold(misled: Searcher) -> None:
    texts = {f"{key}{copy}": text for key, text in QUERIES.items() for copy in ("", " again")}
    qrels = {query_id: QRELS[query_id[:3]] for query_id in texts}
    report = tune_searcher(misled, texts, qrels, n_folds=3)
    assert [fold.n_queries for fold in report.folds] == [20, 20, 20]


WEIGHTINGS = [
    dict(DEFAULT_WEIGHTS),
    {"bm25": 0.1, "tfidf": 0.2, "word2vec": 0.3, "bert": 0.4},
    {"bm25": 0.5, "tfidf": 0.0, "word2vec": 0.0, "bert": 0.5},
    {"bm25": 1.0, "tfidf": 0.0, "word2vec": 0.0, "bert": 0.0},
    {"bm25": 0.0, "tfidf": 0.6, "word2vec": 0.4, "bert": 0.0},
    {"bert": 1.0},
]


@pytest.mark.parametrize("fusion", ["min_max", "z_score", "reciprocal_rank"])
@pytest.mark.parametrize(
    "text", ["parse a date", '"open" the file', "quux", "long", "time and text", "socket/00 time"]
)
def test_what_is_tuned_is_what_is_served(
    searcher: Searcher, library_data_dir: Path, text: str, fusion: str
) -> None:
    retrieval = searcher.retrieve(Query(text, signals=searcher.signals))
    found = best_rows(retrieval, WEIGHTINGS, fusion, 12)
    version = open_version(library_data_dir / "default" / "versions" / searcher.version)
    for weights, rows in zip(WEIGHTINGS, found, strict=True):
        served = Searcher(version, ranking=RankingSettings(weights, fusion))
        hits = served.search(Query(text, k=12)).hits
        assert searcher.doc_ids(rows.tolist()) == [hit.doc_id for hit in hits], weights


@pytest.fixture
def trine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Trine:
    def run(*arguments: object, status: int = 0) -> dict[str, object]:
        given = [str(argument) for argument in arguments]
        with pytest.raises(SystemExit) as done:
            main([*given, "--data-dir", str(tmp_path / "data"), "--json"])
        told = capsys.readouterr()
        assert done.value.code == status, told.err
        answer: dict[str, object] = json.loads(told.out)
        return answer

    return run


def test_adopting_publishes_a_child_of_the_same_files(
    trine: Trine,
    beir_dir: Path,
    tmp_path: Path,
    tiny_settings: IndexSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The defaults name the large model.
    monkeypatch.setattr("pipeline.command_line.evaluate.IndexSettings", lambda: tiny_settings)
    told = trine("tune", beir_dir)
    name, parent = str(told["collection"]), str(told["version"])
    folder = CollectionFolder(tmp_path / "data", name)
    assert told["better"] is True
    assert told["adopted"] is None
    assert folder.versions() == [parent]
    assert json.loads(folder.tuning_path(parent).read_text()) == told

    adopted = trine("tune", beir_dir, "--adopt")
    child = str(adopted["adopted"])
    assert folder.current() == child
    manifest, before = folder.manifest(child), folder.manifest(parent)
    assert manifest.parent == parent
    for path in before.files:
        new, old = folder.version_path(child) / path, folder.version_path(parent) / path
        assert new.stat().st_ino == old.stat().st_ino, path
    assert set(manifest.files) - set(before.files) == {"tuning.json"}
    report = json.loads((folder.version_path(child) / "tuning.json").read_text())
    assert report == adopted
    quality = read_quality(folder, child)
    assert quality is not None
    assert quality.ndcg_at_10 == adopted["ndcg@10"]["tuned"]  # type: ignore[index]
    assert verify_files(folder.version_path(child), manifest) == []
    assert verify_version(open_version(folder.version_path(child))) == []
    assert "ranking" not in before.settings
    kept = manifest.settings["ranking"]
    assert isinstance(kept, dict)
    assert kept["weights"] == adopted["chosen"]["weights"]  # type: ignore[index]
    assert kept["tuned"]["version"] == parent

    # It answers by the new weights.
    served = Searcher.open(name, data_dir=tmp_path / "data")
    hit = served.search(Query(QUERIES["q03"])).hits[0]
    assert hit.doc_id == f"{topic(3)}-about"
    assert hit.explanation["bert"].weight < DEFAULT_WEIGHTS["bert"] / 2
    assert served.search(Query("it", signals=("bert",))).hits[0].explanation["bert"].weight == 1
    with_weights = served.search(Query(topic(3), weights={"bert": 1, "bm25": 1})).hits[0]
    assert with_weights.explanation["bert"].weight == 0.5
    chosen = ndcg(served)
    assert chosen > adopted["ndcg@10"]["default"] + 0.1  # type: ignore[index]

    # The same judgments again change nothing; neither does evaluating, which indexes if needed.
    assert trine("tune", beir_dir, "--adopt")["adopted"] == child
    figures = trine("evaluate", beir_dir, "--compare", f"version={parent}")
    assert figures["version"] == child == folder.current()
    assert figures["signals"]["hybrid"]["ndcg@10"] == pytest.approx(chosen)  # type: ignore[index]
    loss = figures["comparison"]["measures"]["ndcg@10"]  # type: ignore[index]
    assert loss["difference"] < -0.1
    assert loss["p_value"] < 0.001
    assert folder.versions() == [parent, child]

    # A report goes with its version, once this process has let go of it.
    gc.collect()
    trine("versions", "prune", "--keep", 1, "--collection", name)
    assert not folder.tuning_path(parent).exists()
    assert ndcg(Searcher.open(name, data_dir=tmp_path / "data")) == pytest.approx(chosen)


def test_reindexing_keeps_adopted_weights_and_encodes_nothing_for_them(
    tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    folder = CollectionFolder(tmp_path, "default")
    documents = misleading_documents()
    first = build_version(folder, documents, settings=tiny_settings)
    weights = {"bm25": 0.5, "tfidf": 0.5}
    child = adopt_ranking(folder, first.version, RankingSettings(weights).to_manifest(), {})
    unchanged = build_version(folder, documents, settings=tiny_settings)
    assert (unchanged.published, unchanged.version) == (False, child)
    added = Document("added", "", "Something new.")
    for full in (False, True):
        built = build_version(folder, [*documents, added], settings=tiny_settings, full=full)
        assert built.published
        assert built.passages_encoded == (len(documents) + 1 if full else 1)
        manifest = folder.manifest(built.version)
        assert manifest.settings["ranking"] == {"weights": weights, "fusion": "z_score"}
        served = Searcher.open(data_dir=tmp_path)
        assert served.ranking == RankingSettings(weights)
        # A signal without weight is not even asked.
        assert served.search(Query("something")).hits[0].explanation.keys() == weights.keys()
        documents, added = [*documents, added], Document("again", "", "Something else.")
    # Rolling back rolls the weights back too.
    folder.publish(first.version)
    assert Searcher.open(data_dir=tmp_path).ranking == RankingSettings()


def test_nothing_is_adopted_that_is_not_better(
    trine: Trine,
    beir_dir: Path,
    tmp_path: Path,
    tiny_settings: IndexSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without the signal that misleads every query is answered, and without it no probabilities
    # are fitted either.
    monkeypatch.setattr(
        "pipeline.command_line.evaluate.IndexSettings",
        lambda: tiny_settings.with_signals(["bm25", "tfidf"]),
    )
    told = trine("tune", beir_dir, "--adopt")
    assert (told["better"], told["calibration"], told["adopted"]) == (False, None, None)
    folder = CollectionFolder(tmp_path / "data", str(told["collection"]))
    assert folder.versions() == [told["version"]]
    assert json.loads(folder.tuning_path(str(told["version"])).read_text())["reason"]
    refused = trine("tune", beir_dir, "--qrels", beir_dir / "qrels" / "few.tsv", status=1)
    assert "at least 20" in str(refused["error"])


def test_a_version_published_meanwhile_is_not_overtaken(
    tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    folder = CollectionFolder(tmp_path, "default")
    settings = tiny_settings.with_signals(["bm25", "tfidf"])
    first = build_version(folder, misleading_documents(), settings=settings)
    second = build_version(folder, misleading_documents()[:-1], settings=settings)
    with pytest.raises(IndexFolderError, match="no longer current"):
        adopt_ranking(folder, first.version, {"weights": {"bm25": 1.0}}, {})
    assert folder.current() == second.version
    (folder.version_path(second.version) / "documents.sqlite").write_bytes(b"damaged")
    with pytest.raises(IndexCorruptError):
        adopt_ranking(folder, second.version, {"weights": {"bm25": 1.0}}, {})
    assert folder.current() == second.version
    assert folder.versions() == [first.version, second.version]


@pytest.mark.parametrize(
    "ranking",
    [
        {"weights": {}},
        {"weights": {"bm25": 0}},
        {"weights": {"bm25": -1, "bert": 1}},
        {"weights": {"bm25": float("nan")}},
        {"weights": {"magic": 1}},
        {"weights": [1]},
        {"weights": {"bm25": 1}, "fusion": "magic"},
    ],
)
def test_a_manifest_with_impossible_weights_is_damaged(ranking: dict[str, object]) -> None:
    with pytest.raises(IndexCorruptError, match="make no ranking"):
        RankingSettings.from_manifest({"ranking": ranking})
