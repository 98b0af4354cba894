"""Calibration is measured as others measure it; what is fitted is served and stays monotone."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ingest.documents import Document
from ingest.errors import IndexCorruptError
from pipeline.command_line.main import main
from pipeline.encoding.adopt import adopt_ranking
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.evaluation.confidence import (
    area_under_roc,
    ask_foreign,
    ask_without_answers,
    gibberish,
    pooled,
)
from pipeline.evaluation.evaluate import judge_hits
from pipeline.evaluation.folds import fold_positions
from pipeline.evaluation.platt import fit_platt
from pipeline.evaluation.recalibrate import fit_calibration
from pipeline.evaluation.reliability import (
    JudgedHits,
    cross_validated,
    expected_calibration_error,
    measure_reliability,
    reliability_bins,
    wilson_interval,
)
from pipeline.evaluation.reliability_diagram import reliability_svg
from pipeline.search.calibration import COSINE_COEFFICIENT, Recalibration
from pipeline.search.query import Query
from pipeline.search.ranking_settings import RankingSettings
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder

QUERIES = {
    "1": "open and read a file",
    "2": "socket timeout",
    "3": "parse a date",
    "4": "rounding a decimal",
    "5": "replace in a string",
    "6": "temporary folder",
}
QRELS = {
    "1": {"files/00": 2, "files/01": 1, "network/00": 0},
    "2": {"network/03": 1},
    "3": {"time/05": 1, "not in the collection": 1},
    "4": {"numbers/02": 1},
    "5": {"text/01": 1, "text/02": 1},
    "6": {"files/05": 1},
}


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)  # noqa: S314 (we wrote it)


def drawn(n_queries: int, *, level: float = 0.0, seed: int = 0) -> JudgedHits:
    """Ten hits a query whose log-odds of being relevant are ``level`` above what they say."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.0, 1.5, 10 * n_queries)
    probability = 1 / (1 + np.exp(-logit))
    truth = 1 / (1 + np.exp(-(logit + level)))
    return JudgedHits(
        [f"query {number}" for number in range(n_queries)],
        np.repeat(np.arange(n_queries), 10),
        probability,
        np.zeros(len(logit)),
        np.zeros(len(logit), np.bool_),
        rng.random(len(logit)) < truth,
        np.ones(n_queries, np.bool_),
    )


def test_the_error_and_the_bins_agree_with_scikit_learn() -> None:
    hits = drawn(100, level=1.0)
    observed, predicted = calibration_curve(
        hits.relevant, hits.probability, n_bins=10, strategy="quantile"
    )
    bins = reliability_bins(hits.probability, hits.relevant)
    assert [one.n_hits for one in bins] == [100] * 10
    assert [one.predicted for one in bins] == pytest.approx(predicted.tolist())
    assert [one.observed for one in bins] == pytest.approx(observed.tolist())
    wanted = np.abs(observed - predicted).mean()
    assert expected_calibration_error(hits.probability, hits.relevant) == pytest.approx(wanted)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
)
def test_the_error_agrees_with_its_definition(judged: list[tuple[float, bool]]) -> None:
    ordered = sorted(judged, key=lambda hit: hit[0])
    # The first bins are one larger where the hits do not divide by ten.
    whole, over = divmod(len(ordered), 10)
    error, begin = 0.0, 0
    for position in range(10):
        part = ordered[begin : begin + whole + (position < over)]
        begin += len(part)
        error += abs(sum(p for p, _ in part) - sum(hit for _, hit in part)) / len(ordered)
    probability, relevant = (np.array(values) for values in zip(*judged, strict=True))
    assert expected_calibration_error(probability, relevant) == pytest.approx(error, abs=1e-12)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_wilsons(found: tuple[int, int]) -> None:
    theirs = stats.binomtest(*found).proportion_ci(method="wilson")
    assert wilson_interval(*found) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_fit_agrees_with_scikit_learn() -> None:
    hits = drawn(40, level=-1.5, seed=3)
    cosine = np.random.default_rng(1).uniform(0, 1, len(hits.relevant))
    n_relevant, n_hits = np.count_nonzero(hits.relevant), len(hits.relevant)
    target = np.where(
        hits.relevant, (n_relevant + 1) / (n_relevant + 2), 1 / (n_hits - n_relevant + 2)
    )
    evidence = np.stack([np.log(hits.probability / (1 - hits.probability)), cosine], axis=1)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.concatenate([evidence, evidence]),
        np.repeat([1, 0], n_hits),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    ours = fit_platt(hits.probability, cosine, hits.relevant)
    wanted = (theirs.intercept_[0], *theirs.coef_[0])
    assert (ours.intercept, ours.slope, ours.cosine) == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(-1, 1) | st.just(math.nan), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_any_judgments_give_a_finite_level_that_never_falls(
    judged: list[tuple[float, float, bool]],
) -> None:
    probability, cosine, relevant = (np.array(values) for values in zip(*judged, strict=True))
    level = fit_platt(probability, cosine, relevant)
    # Served are probabilities of the curve: the cosine raises them by its coefficient.
    rising = np.linspace(-1, 1, 41)
    for share in (0.0, 0.5, 1.0):
        logit = -6 + COSINE_COEFFICIENT * rising + share
        assert np.all(np.diff(level.apply(1 / (1 + np.exp(-logit)), rising)) >= -1e-12)
    with_words = level.apply(np.linspace(0, 1, 101), np.full(101, 0.4))
    assert np.all(np.diff(with_words) >= 0)
    assert np.all((with_words > 0) & (with_words < 1))


def test_no_fit_within_what_is_allowed_is_likelier() -> None:
    """Relevant hits have the lower cosines: the best allowed fit lies on an edge."""
    rng = np.random.default_rng(0)
    cosine = rng.uniform(0, 1, 500)
    logit = -6 + COSINE_COEFFICIENT * cosine + rng.uniform(0, 3, 500)
    relevant = rng.random(500) < 1 / (1 + np.exp(6 * cosine - 3))
    probability = 1 / (1 + np.exp(-logit))
    level = fit_platt(probability, cosine, relevant)

    def loss(numbers: NDArray[np.float64]) -> float:
        fitted = numbers[0] + numbers[1] * logit + numbers[2] * cosine
        wanted = np.where(
            relevant, 1 - 1 / (relevant.sum() + 2), 1 / (np.count_nonzero(~relevant) + 2)
        )
        return float(np.sum(np.logaddexp(0, fitted) - wanted * fitted))

    allowed = [
        {"type": "ineq", "fun": lambda numbers: numbers[1]},
        {"type": "ineq", "fun": lambda numbers: numbers[1] * COSINE_COEFFICIENT + numbers[2]},
    ]
    best = optimize.minimize(loss, np.zeros(3), constraints=allowed, method="SLSQP")
    found = np.array([level.intercept, level.slope, level.cosine])
    assert loss(found) <= best.fun + 1e-3


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
)
def test_the_area_agrees_with_scikit_learn(positives: list[int], negatives: list[int]) -> None:
    labels = [1] * len(positives) + [0] * len(negatives)
    ours = area_under_roc(np.array(positives, float), np.array(negatives, float))
    assert ours == pytest.approx(roc_auc_score(labels, positives + negatives))


def test_held_out_queries_have_no_part_in_their_own_probabilities() -> None:
    hits = drawn(30, level=2.0)
    found = cross_validated(hits, seed=0)
    assert found is not None
    held_out = np.isin(hits.query, fold_positions(hits.texts, 5, 0)[0])
    turned = replace(hits, relevant=np.where(held_out, ~hits.relevant, hits.relevant))
    again = cross_validated(turned, seed=0)
    assert again is not None
    assert again[held_out].tolist() == found[held_out].tolist()
    assert again[~held_out].tolist() != found[~held_out].tolist()
    assert cross_validated(drawn(1)) is None


def test_exact_hits_keep_their_probability() -> None:
    hits = drawn(30, level=-2.0)
    exact = replace(hits, exact=hits.probability > 0.8)
    found = cross_validated(exact)
    assert found is not None
    assert np.all(found[exact.exact] >= hits.probability[exact.exact])
    turned = replace(exact, relevant=np.where(exact.exact, ~exact.relevant, exact.relevant))
    assert turned.fit() == exact.fit() != hits.fit()


def test_a_level_is_better_only_where_it_is() -> None:
    off = fit_calibration(drawn(400, level=-1.5), "x", n_folds=5, seed=0)
    assert off is not None
    assert off.better
    assert off.ece.after < off.ece.before
    assert off.fitted.intercept == pytest.approx(-1.5, abs=0.2)
    assert off.fitted.slope == pytest.approx(1, abs=0.2)
    right = fit_calibration(drawn(60), "x", n_folds=5, seed=0)
    assert right is not None
    assert not right.better
    assert fit_calibration(drawn(1), "x", n_folds=5, seed=0) is None


def test_chance_alone_shows_an_error_too() -> None:
    found = measure_reliability(drawn(300))
    assert found.ece_cross_validated is not None
    assert max(found.ece, found.ece_cross_validated) < 2.5 * found.ece_by_chance
    assert measure_reliability(drawn(300, level=2.0)).ece > 4 * found.ece_by_chance


def test_the_first_ten_hits_are_judged_as_served(searcher: Searcher) -> None:
    queries = {**QUERIES, "files/00": "open and read a file"}
    qrels = {**QRELS, "files/00": {"files/00": 1, "files/01": 1}}
    hits = judge_hits(searcher, queries, qrels)
    for position, (query_id, text) in enumerate(queries.items()):
        answer = searcher.search(Query(text, k=11))
        served = [hit for hit in answer.hits if hit.doc_id != query_id][:10]
        of_query = hits.query == position
        assert hits.probability[of_query].tolist() == [hit.probability for hit in served]
        relevant = [qrels[query_id].get(hit.doc_id, 0) > 0 for hit in served]
        assert hits.relevant[of_query].tolist() == relevant
        assert hits.answered[position] == (not answer.no_good_result)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([*QUERIES.values(), "socket", "files/00", '"open the file"', "zzz"]),
    st.sets(st.sampled_from(["files/00", "files/05", "network/03", "long", "no such", "\ud800"])),
)
def test_hidden_documents_never_occur(searcher: Searcher, text: str, hidden: set[str]) -> None:
    shown = searcher.search(Query(text, k=1000, facets=("subject",)))
    answer = searcher.search(Query(text, k=1000, facets=("subject",)), hidden=hidden)
    assert not {hit.doc_id for hit in answer.hits} & hidden
    assert answer.total == len(answer.hits)
    assert sum(found.count for found in answer.facets["subject"]) <= answer.total
    assert {hit.doc_id for hit in shown.hits} - hidden <= {hit.doc_id for hit in answer.hits}


def test_hidden_documents_count_for_nothing(searcher: Searcher, library: list[Document]) -> None:
    # A filter takes documents out before anything is scored; hiding must do the same.
    files = {entry.doc_id for entry in library if entry.metadata.get("subject") == "files"}
    for text in [*QUERIES.values(), "files/00"]:
        hidden = searcher.search(Query(text, k=20), hidden=files)
        filtered = searcher.search(Query(text, k=20, filter="NOT subject:files"))
        assert hidden.hits == filtered.hits
        assert hidden.no_good_result == filtered.no_good_result
    nothing = searcher.search(Query("file"), hidden={entry.doc_id for entry in library})
    assert (nothing.hits, nothing.total, nothing.no_good_result) == ([], 0, True)


def test_the_hard_case_is_measured_query_by_query(searcher: Searcher) -> None:
    found = ask_without_answers(searcher, QUERIES, QRELS, Query("?"), lambda _: None)
    best = np.zeros((2, len(QUERIES)))
    for position, (query_id, text) in enumerate(QUERIES.items()):
        relevant = {doc_id for doc_id, level in QRELS[query_id].items() if level > 0}
        for side, hidden in enumerate((set(), relevant)):
            hits = searcher.search(Query(text), hidden=hidden).hits
            best[side, position] = max(hit.probability for hit in hits)
    labels = [1] * len(QUERIES) + [0] * len(QUERIES)
    assert found.auroc == pytest.approx(roc_auc_score(labels, best.ravel()))
    assert 0 <= found.low <= found.auroc <= found.high <= 1
    assert found.n_queries == len(QUERIES)
    again = ask_without_answers(searcher, QUERIES, QRELS, Query("?"), lambda _: None)
    assert again == found


def test_foreign_queries_are_counted_and_pooled(searcher: Searcher) -> None:
    texts = ["open the file", "qwx jkv zzq"]
    expected = [not searcher.search(Query(text)).no_good_result for text in texts]
    part = ask_foreign(searcher, "mixed", texts, Query("?"), lambda _: None)
    assert (part.n_queries, part.n_answered) == (2, sum(expected))
    every = pooled([part, part, ask_foreign(searcher, "none", [], Query("?"), lambda _: None)])
    assert (every.n_queries, every.answered) == (4, part.answered)
    assert len(set(gibberish())) == len(gibberish())


def level_of(
    searcher: Searcher, intercept: float, slope: float, cosine: float = 0.0, encoder: str = ""
) -> Searcher:
    fingerprint = encoder or str(searcher.encoder_fingerprint)
    calibration = Recalibration(intercept, slope, cosine, fingerprint)
    return searcher.with_ranking(RankingSettings(calibration=calibration))


@pytest.mark.parametrize("numbers", [(-2.0, 0.4, -2.0), (1.5, 3.0, 0.0), (-1.0, 0.0, 1.5)])
def test_a_level_changes_probabilities_and_nothing_else(
    searcher: Searcher, numbers: tuple[float, float, float]
) -> None:
    level = level_of(searcher, *numbers)
    for text in [*QUERIES.values(), "zzz qqq"]:
        before, after = (one.search(Query(text, k=30)) for one in (searcher, level))
        assert [hit.doc_id for hit in before.hits] == [hit.doc_id for hit in after.hits]
        assert [hit.score for hit in before.hits] == [hit.score for hit in after.hits]
        assert before.no_good_result == after.no_good_result
        old = np.array([hit.probability for hit in before.hits])
        new = np.array([hit.probability for hit in after.hits])
        cosine = np.array([hit.explanation["bert"].raw or 0.0 for hit in before.hits])
        logit = numbers[0] + numbers[1] * np.log(old / (1 - old)) + numbers[2] * cosine
        assert new == pytest.approx(1 / (1 + np.exp(-logit)))
        least = float(np.median(new))
        kept = level.search(Query(text, k=30, min_probability=least)).hits
        assert all(hit.probability >= least for hit in kept)
        likely = {hit.doc_id for hit in after.hits if hit.probability >= least}
        assert {hit.doc_id for hit in kept} >= likely


def test_a_level_takes_nothing_from_what_is_exactly_asked_for(searcher: Searcher) -> None:
    before, after = (
        one.search(Query("files/00")).hits[0]
        for one in (searcher, level_of(searcher, -9.0, 0.0, 0.0))
    )
    assert before.doc_id == after.doc_id == "files/00"
    assert after.probability == before.probability > 0.5


def test_a_level_holds_for_the_evidence_it_was_fitted_on_only(searcher: Searcher) -> None:
    text = QUERIES["1"]
    other = level_of(searcher, -2.0, 0.5, encoder="another encoder")
    assert other.search(Query(text)).hits == searcher.search(Query(text)).hits
    level = level_of(searcher, -2.0, 0.5)
    for signals in (("bm25",), ("bert",), ("tfidf", "word2vec")):
        asked = Query(text, signals=signals)
        assert level.search(asked).hits == searcher.search(asked).hits
    asked = Query(text, signals=("bm25", "bert"))
    assert level.search(asked).hits != searcher.search(asked).hits


@pytest.mark.parametrize(
    "kept",
    [
        5,
        {},
        {"intercept": 0.0, "slope": -1.0, "cosine": 0.0, "encoder": "x"},
        {"intercept": 0.0, "slope": 1.0, "cosine": -9.0, "encoder": "x"},
        {"intercept": float("nan"), "slope": 1.0, "cosine": 0.0, "encoder": "x"},
        {"intercept": 0.0, "slope": float("inf"), "cosine": 0.0, "encoder": "x"},
        {"intercept": "0", "slope": 1.0, "cosine": 0.0, "encoder": "x"},
        {"intercept": 0.0, "slope": 1.0, "cosine": 0.0},
    ],
)
def test_a_manifest_with_an_impossible_level_is_damaged(kept: object) -> None:
    with pytest.raises(IndexCorruptError, match="make no calibration") as told:
        RankingSettings.from_manifest({"ranking": {"calibration": kept}})
    assert "\n" not in str(told.value)


def test_an_adopted_level_survives_reopening_and_reindexing(
    tmp_path: Path, library: list[Document], tiny_settings: IndexSettings
) -> None:
    folder = CollectionFolder(tmp_path, "default")
    settings = tiny_settings.with_signals(["bm25", "bert"])
    first = build_version(folder, library, settings=settings)
    plain = Searcher.open(data_dir=tmp_path)
    level = level_of(plain, -1.0, 0.5)
    adopt_ranking(folder, first.version, level.ranking.to_manifest(), {})
    served = Searcher.open(data_dir=tmp_path)
    assert served.ranking == level.ranking
    text = QUERIES["1"]
    assert served.search(Query(text)).hits == level.search(Query(text)).hits
    built = build_version(folder, [*library, Document("new", "", "new")], settings=settings)
    assert built.published
    assert Searcher.open(data_dir=tmp_path).ranking == level.ranking
    # Rolling back takes the level back too.
    folder.publish(first.version)
    assert Searcher.open(data_dir=tmp_path).ranking.calibration is None


def test_a_diagram_is_one_file_without_script() -> None:
    reliability = measure_reliability(drawn(30))
    drawing = parsed(reliability_svg(reliability, '<b>"zoo" & more</b>'))
    names = [element.tag.rpartition("}")[2] for element in drawing.iter()]
    assert names.count("circle") == 10
    assert not {"script", "image", "use", "a", "foreignObject"} & set(names)
    assert '<b>"zoo" & more</b>' in "".join(drawing.itertext())
    assert "30 hits" in "".join(drawing.itertext())
    assert "url(" not in reliability_svg(reliability, "x")
    # Nothing judged, nothing drawn, no failure.
    none = JudgedHits(
        ["x"],
        np.zeros(0, np.int64),
        np.zeros(0),
        np.zeros(0),
        np.zeros(0, np.bool_),
        np.zeros(0, np.bool_),
        np.zeros(1, np.bool_),
    )
    parsed(reliability_svg(measure_reliability(none), "x"))


@pytest.fixture
def beir_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": key, "text": text}) for key, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    judged = [f"{key}\t{doc}\t{level}" for key, row in QRELS.items() for doc, level in row.items()]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged))
    return folder


Evaluate = Callable[..., str]


@pytest.fixture
def evaluate(
    capsys: pytest.CaptureFixture[str], library_data_dir: Path, beir_dir: Path, tmp_path: Path
) -> Evaluate:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "mine").symlink_to(library_data_dir / "default")

    def run(*arguments: object, status: int = 0) -> str:
        place = ("--data-dir", str(data_dir), "--collection", "mine")
        with pytest.raises(SystemExit) as done:
            main(["evaluate", str(beir_dir), *place, *map(str, arguments)])
        told = capsys.readouterr()
        assert done.value.code == status, told.err
        return told.out if status == 0 else told.err

    return run


def test_everything_is_reported_in_every_format(
    evaluate: Evaluate, beir_dir: Path, tmp_path: Path, searcher: Searcher
) -> None:
    drawing = tmp_path / "reliability.svg"
    options = ("--foreign", beir_dir, "--missing-answers", "--reliability", drawing)
    told = json.loads(evaluate(*options, "--json"))
    hits = judge_hits(searcher, QUERIES, QRELS)
    assert told["answered"] == hits.answered.mean()
    assert told["calibration"]["ece"] == expected_calibration_error(hits.probability, hits.relevant)
    assert sum(one["n_hits"] for one in told["calibration"]["bins"]) == len(hits.relevant)
    assert [part["source"] for part in told["foreign"]] == ["judged", "gibberish", "blank", "all"]
    assert told["foreign"][0]["answered"] == told["answered"]
    low, high = told["missing_answers"]["auroc_interval"]
    assert low <= told["missing_answers"]["auroc"] <= high
    parsed(drawing.read_text())
    for form in ("text", "markdown"):
        text = evaluate(*options, "--format", form)
        assert "answered with confidence" in text
        assert f"{told['missing_answers']['auroc']:.3f}" in text
        assert "gibberish" in text
        assert f"{told['calibration']['ece']:.3f}" in text
    table = evaluate(*options, "--format", "csv").splitlines()
    assert f"calibration,ece,{told['calibration']['ece']}" in [line.rstrip(",") for line in table]
    assert len({line.count(",") for line in table}) == 1


def test_what_was_not_asked_is_not_told(evaluate: Evaluate) -> None:
    told = json.loads(evaluate("--json"))
    assert not {"foreign", "missing_answers"} & set(told)


def test_a_file_of_queries_is_foreign_too(evaluate: Evaluate, tmp_path: Path) -> None:
    queries = tmp_path / "strange.jsonl"
    queries.write_text('{"_id": "1", "text": "how do penguins keep warm"}\n')
    told = json.loads(evaluate("--foreign", queries, "--foreign", queries, "--json"))
    sources = [part["source"] for part in told["foreign"]]
    assert sources == ["strange.jsonl", str(queries), "gibberish", "blank", "all"]


def test_options_that_make_no_sense_are_told_in_one_line(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    empty, broken = tmp_path / "empty", tmp_path / "broken.jsonl"
    empty.mkdir()
    broken.write_text('{"_id": "1"}\n')
    for status, arguments, message in [
        (1, ("--foreign", empty), "queries.jsonl"),
        (1, ("--foreign", broken), "no field 'text'"),
        (2, ("--foreign", tmp_path / "nowhere"), "does not exist"),
        (2, ("--reliability", tmp_path / "no" / "x.svg"), "no such folder, or not writable"),
        (2, ("--reliability", tmp_path), "is a directory"),
    ]:
        told = evaluate(*arguments, status=status).strip().splitlines()
        assert message in told[-1]
        assert "Traceback" not in "".join(told)


def test_tuning_adopts_a_better_level_once(
    tmp_path: Path,
    tiny_settings: IndexSettings,
    library: list[Document],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every query holds the title of a document, and nothing else is relevant."""
    data_dir = tmp_path / "data"
    folder = CollectionFolder(data_dir, "mine")
    first = build_version(folder, library, settings=tiny_settings.with_signals(["bm25", "bert"]))
    asked = [entry for entry in library if "/" in entry.doc_id and entry.title][:40]
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_text(
        "".join(
            json.dumps({"_id": f"q{n}", "text": f"what about {d.title}"}) + "\n"
            for n, d in enumerate(asked)
        )
    )
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n"
        + "".join(f"q{n}\t{d.doc_id}\t1\n" for n, d in enumerate(asked))
    )

    def tune(*arguments: str) -> str:
        place = ("--data-dir", str(data_dir), "--collection", "mine")
        with pytest.raises(SystemExit) as done:
            main(["tune", str(tmp_path), *place, *arguments])
        told = capsys.readouterr()
        assert done.value.code == 0, told.err
        return told.out

    told = json.loads(tune("--json", "--adopt"))
    found = told["calibration"]
    assert found["better"] is True
    assert found["ece"]["after"] < found["ece"]["before"]
    assert folder.current() == told["adopted"] != first.version
    served = Searcher.open("mine", data_dir=data_dir)
    assert served.ranking.calibration == Recalibration.from_manifest(found)
    kept = folder.manifest(told["adopted"]).settings["ranking"]
    assert isinstance(kept, dict)
    assert kept["calibrated"]["ece"] == found["ece"]
    before = Searcher.open("mine", data_dir=data_dir, version=first.version)
    old, new = (one.search(Query(f"what about {asked[0].title}")) for one in (before, served))
    assert [hit.doc_id for hit in old.hits] == [hit.doc_id for hit in new.hits]
    assert old.hits[0].probability != new.hits[0].probability
    # The same judgments again choose what is there already.
    again = json.loads(tune("--json", "--adopt"))
    assert again["adopted"] == told["adopted"] == folder.current()
    assert again["calibration"] == found
    assert "expected calibration error" in tune()
