"""A version that is worse, or that lost most documents, is kept back; a changed encoder is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.beir import BeirFolder
from ingest.documents import Document
from ingest.errors import CorpusError, QueryError
from pipeline.command_line.main import main
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.evaluation.evaluate import judged_queries, run_queries
from pipeline.evaluation.gate import Judgments, PublishGate
from pipeline.evaluation.metrics import measure
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.quality import read_quality

TINY_BERT = Path(__file__).parent / "data" / "tiny_bert"
SUBJECTS = ("apples", "bridges", "clouds", "drums", "engines", "falcons")


def documents(*, good: bool = True, n_each: int = 2) -> list[Document]:
    """Some documents on each subject; bad ones say nothing of it but in their id."""
    return [
        Document(
            f"{subject}/{number}",
            f"On {subject}" if good else "Untitled",
            f"All about {subject} and how {subject} came to be." if good else "Lorem ipsum dolor.",
        )
        for subject in SUBJECTS
        for number in range(n_each)
    ]


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Judgments of every subject, and of one that no document is about."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    asked = [*SUBJECTS, "zebras"]
    lines = [json.dumps({"_id": f"q-{word}", "text": f"about {word}"}) for word in asked]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    rows = [f"q-{word}\t{word}/{number}\t1" for word in asked for number in range(2)]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "data", "default")


def _gate(folder: CollectionFolder, beir: Path, max_drop: float = 0.02) -> PublishGate:
    return PublishGate(folder, Judgments.read(BeirFolder(beir), max_drop))


def _ndcg(folder: CollectionFolder, version: str, beir: Path) -> float:
    texts = BeirFolder(beir).queries()
    judged = judged_queries(texts, BeirFolder(beir).qrels())
    qrels = {name: judged[name] for name in judged if name != "q-zebras"}
    searcher = Searcher.open(folder.name, data_dir=folder.data_dir, version=version)
    run = run_queries(searcher, {name: texts[name] for name in qrels}, Query("?"), lambda _: None)
    return measure(run, qrels)["ndcg@10"]


def test_a_worse_version_is_kept_but_not_published(
    folder: CollectionFolder, beir: Path, tiny_settings: IndexSettings
) -> None:
    first = build_version(folder, documents(), settings=tiny_settings)
    gate = _gate(folder, beir)
    worse = build_version(folder, documents(good=False), settings=tiny_settings, gate=gate)
    assert not worse.published
    assert folder.current() == first.version
    assert folder.versions() == [first.version, worse.version]
    before, after = (_ndcg(folder, built.version, beir) for built in (first, worse))
    assert before - after > 0.02
    assert worse.refused == (
        f"nDCG@10 over 6 judged queries falls from {before:.4f} to {after:.4f}, by more than 0.02"
    )
    assert worse.gate == {
        "compared_with": first.version,
        "judged_by": str(beir),
        "n_queries": 6,
        "n_left_out": 1,
        "max_drop": 0.02,
        "ndcg@10": {"current": before, "new": after},
    }
    gate.keep_quality()
    kept = read_quality(folder, worse.version)
    assert kept is not None
    assert (kept.ndcg_at_10, kept.n_queries, kept.judged_by) == (after, 6, str(beir))
    # By hand it can be had all the same, and the next run begins from what is current.
    folder.publish(worse.version)
    better = build_version(folder, documents(), settings=tiny_settings, gate=_gate(folder, beir))
    assert better.published
    assert better.gate["ndcg@10"] == {"current": after, "new": before}


def test_the_bound_decides(
    folder: CollectionFolder, beir: Path, tiny_settings: IndexSettings
) -> None:
    build_version(folder, documents(), settings=tiny_settings)
    allowed = _gate(folder, beir, max_drop=1.0)
    assert build_version(
        folder, documents(good=False), settings=tiny_settings, gate=allowed
    ).published
    with pytest.raises(QueryError, match="between 0 and 1"):
        _gate(folder, beir, max_drop=1.5)


def test_losing_the_judged_documents_counts(
    folder: CollectionFolder, beir: Path, tiny_settings: IndexSettings
) -> None:
    build_version(folder, documents(), settings=tiny_settings)
    kept = [found for found in documents() if not found.doc_id.startswith("apples")]
    summary = build_version(folder, kept, settings=tiny_settings, gate=_gate(folder, beir))
    assert summary.refused
    # Its query is asked of both, though only the current version could answer it.
    assert summary.gate["n_queries"] == 6


def test_a_first_version_is_measured_and_published(
    folder: CollectionFolder, beir: Path, tiny_settings: IndexSettings
) -> None:
    gate = _gate(folder, beir)
    summary = build_version(folder, documents(), settings=tiny_settings, gate=gate)
    assert summary.published
    expected = _ndcg(folder, summary.version, beir)
    assert summary.gate["ndcg@10"] == {"current": None, "new": expected}


def test_judgments_of_something_else_are_refused_before_building(
    folder: CollectionFolder, beir: Path, tiny_settings: IndexSettings
) -> None:
    build_version(folder, [Document("other", "Other", "Other text.")], settings=tiny_settings)
    with pytest.raises(CorpusError, match="holds no relevant document of any of its 7"):
        _gate(folder, beir)


def test_a_gate_that_fails_leaves_no_trace(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    first = build_version(folder, documents(), settings=tiny_settings)

    def broken(_: Path) -> Any:  # noqa: ANN401
        raise CorpusError("the judgments are gone")

    with pytest.raises(CorpusError, match="are gone"):
        build_version(folder, documents(good=False), settings=tiny_settings, gate=broken)
    assert folder.current() == first.version
    assert [path.name for path in folder.versions_path.iterdir()] == [first.version]


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    """The tiny BERT with another length: another fingerprint."""
    model = Path(shutil.copytree(TINY_BERT, tmp_path / "other-model"))
    config = model / "sentence_bert_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_seq_length": 24}))
    return model


def test_a_changed_encoder_is_built_beside_and_told(
    folder: CollectionFolder, tiny_settings: IndexSettings, other_model: Path
) -> None:
    first = build_version(folder, documents(), settings=tiny_settings)
    changed = tiny_settings.with_encoder("bert", model=str(other_model))
    summary = build_version(folder, documents(), settings=changed, gate=PublishGate(folder))
    assert summary.published
    assert summary.gate["compared_with"] == first.version
    assert summary.gate["encoders_changed"] == ["bert"]
    overlap = summary.gate["overlap@10"]
    assert isinstance(overlap, dict)
    assert overlap["n_queries"] == len(SUBJECTS)  # as many titles
    assert 0 < overlap["mean"] <= 1
    # The same encoders again: nothing to tell.
    again = [*documents(), Document("one-more", "One more", "And its text.")]
    assert build_version(folder, again, settings=changed, gate=PublishGate(folder)).gate == {}


def test_a_model_that_is_gone_keeps_nobody_from_another(
    folder: CollectionFolder, tiny_settings: IndexSettings, other_model: Path
) -> None:
    build_version(
        folder, documents(), settings=tiny_settings.with_encoder("bert", model=str(other_model))
    )
    shutil.rmtree(other_model)
    summary = build_version(folder, documents(), settings=tiny_settings, gate=PublishGate(folder))
    assert summary.published
    assert summary.gate["overlap@10"] is None
    assert str(other_model) in str(summary.gate["not_comparable"])


def test_more_than_half_may_not_vanish_unless_allowed(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    keyword_only = tiny_settings.with_signals(["bm25"])
    every = documents()
    first = build_version(folder, every, settings=keyword_only)

    def built(kept: list[Document]) -> Callable[..., Any]:
        return lambda **options: build_version(folder, kept, settings=keyword_only, **options)

    for full in (False, True):
        with pytest.raises(CorpusError, match=r"7 of the 12 documents .* --allow-shrink"):
            built(every[:5])(allow_shrink=False, full=full)
        assert folder.current() == first.version
        assert [path.name for path in folder.versions_path.iterdir()] == [first.version]
    # Moved files have not vanished, and half is not more than half.
    moved = [Document(f"moved/{found.doc_id}", found.title, found.text) for found in every]
    assert built(moved)(allow_shrink=False).published
    assert built(moved[:6])(allow_shrink=False).published
    assert built(moved[:2])(allow_shrink=True).published


def _trine(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as done:
        main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return int(done.value.code or 0), json.loads(out), err


def test_the_command_keeps_a_worse_version_back(
    tmp_path: Path, beir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.jsonl"

    def write(found: list[Document]) -> None:
        lines = [json.dumps({"id": d.doc_id, "title": d.title, "text": d.text}) for d in found]
        notes.write_text("\n".join(lines))

    write(documents())
    place = ("--data-dir", tmp_path / "data", "--collection", "mine")
    status, first, _ = _trine(capsys, "index", notes, "--signals", "bm25", "--judge", beir, *place)
    assert status == 0
    assert first["gate"]["n_queries"] == 6
    write(documents(good=False))
    status, worse, err = _trine(capsys, "reindex", "--judge", beir, *place)
    assert status == 1
    assert worse["published"] is False
    assert worse["gate"]["ndcg@10"]["new"] < worse["gate"]["ndcg@10"]["current"]
    assert err == (
        f"trine: {worse['refused']}: version {worse['version']} is kept but not published; to "
        f"publish it: trine versions activate {worse['version']} --collection mine\n"
    )
    _, listed, _ = _trine(capsys, "versions", "list", *place)
    assert [entry["current"] for entry in listed] == [True, False]
    assert [entry["quality"]["n_queries"] for entry in listed] == [6, 6]
    status, published, _ = _trine(capsys, "reindex", "--judge", beir, "--max-drop", "1", *place)
    assert (status, published["published"]) == (0, True)
    write(documents()[:3])
    status, told, err = _trine(capsys, "reindex", *place)
    assert status == 1
    assert "--allow-shrink" in told["error"]
    assert err.count("\n") == 1
    assert _trine(capsys, "reindex", "--allow-shrink", *place)[0] == 0


def test_a_version_whose_model_has_changed_is_not_activated(
    folder: CollectionFolder,
    tiny_settings: IndexSettings,
    other_model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = tiny_settings.with_encoder("bert", model=str(other_model))
    old = build_version(folder, documents(), settings=theirs)
    new = build_version(folder, documents(), settings=tiny_settings)
    config = other_model / "sentence_bert_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_seq_length": 20}))
    status, told, _ = _trine(
        capsys, "versions", "activate", old.version, "--data-dir", folder.data_dir
    )
    assert status == 1
    assert "has changed since this index was built" in told["error"]
    assert folder.current() == new.version


def test_another_file_of_word_vectors_at_the_same_path_is_noticed(
    folder: CollectionFolder, tiny_settings: IndexSettings, tmp_path: Path
) -> None:
    vectors = tmp_path / "vectors.txt"
    settings = tiny_settings.with_signals(["word2vec"]).with_encoder(
        "word2vec", vectors_path=str(vectors)
    )

    def write(first: float) -> None:
        vectors.write_text("".join(f"{word} {first} {n} 0.5\n" for n, word in enumerate(SUBJECTS)))

    write(1.0)
    assert build_version(folder, documents(), settings=settings).published
    known = IndexSettings.from_manifest(folder.manifest(folder.current()).settings)
    assert not build_version(folder, documents(), settings=known).published
    write(3.0)
    rebuilt = build_version(folder, documents(), settings=known, gate=PublishGate(folder))
    assert rebuilt.published
    assert rebuilt.gate["encoders_changed"] == ["word2vec"]
    assert rebuilt.drift["word2vec"].refitted
    # Nothing has changed by its being gone, as long as it need not be read.
    known = IndexSettings.from_manifest(folder.manifest(folder.current()).settings)
    vectors.unlink()
    assert not build_version(folder, documents(), settings=known).published
