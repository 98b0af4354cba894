"""Explanations word by word: every list adds up to what it explains."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.bert import BertEncoder
from ingest.documents import Document
from ingest.sentences import sentence_spans
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.answer import Hit
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder

TINY_BERT = Path(__file__).parent / "data" / "tiny_bert"
WORDS = (
    "read file csv thread the of ThreadPool os.path.join naïve don't x 日本語 😀 json, (parse) Csv"
)


def strange_corpus(seed: int) -> list[Document]:
    """Forty documents of random words in several scripts, some without title, text or sense."""
    generator = np.random.default_rng(seed)
    known = WORDS.split()

    def some(most: int) -> str:
        return " ".join(generator.choice(known, generator.integers(0, most + 1)).tolist())

    return [
        Document(f"d{number}", some(4), ". ".join(some(30) for _ in range(number % 7)))
        for number in range(40)
    ]


@pytest.fixture(scope="module")
def corpora(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings
) -> list[Searcher]:
    folder = tmp_path_factory.mktemp("strange")
    for seed in range(3):
        collection = CollectionFolder(folder, f"seed-{seed}")
        build_version(collection, strange_corpus(seed), settings=tiny_settings)
    return [Searcher.open(f"seed-{seed}", data_dir=folder) for seed in range(3)]


def lists(hit: Hit) -> list[tuple[str, str, list[dict[str, object]]]]:
    """(side, signal, entries) of a hit, as a client reads them."""
    attribution = json.loads(json.dumps(hit.to_json()))["attribution"]
    return [
        (side, name, entries) for side, of in attribution.items() for name, entries in of.items()
    ]


def check(hit: Hit) -> None:
    found = lists(hit)
    for _, name, entries in found:
        raw = hit.explanation[name].raw
        assert raw is not None
        total = sum(entry["contribution"] for entry in entries)  # type: ignore[misc]
        assert total == pytest.approx(raw, rel=1e-4, abs=1e-4)
        for entry in entries:
            for start, end in entry["spans"]:  # type: ignore[attr-defined]
                assert 0 <= start < end <= len(hit.passage.text)
            assert bool(entry["spans"]) <= (entry["source"] in ("query", "passage"))
    speaking = {name for name, part in hit.explanation.items() if part.raw is not None}
    assert {name for _, name, _ in found} == speaking
    score = 0.0
    for part in hit.to_json()["explanation"].values():  # type: ignore[attr-defined]
        score += part["contribution"]
    assert score == hit.score


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    number=st.integers(0, 2),
    text=st.lists(st.sampled_from([*WORDS.split(), '"read file"', "-x", "zzz"]), min_size=1).map(
        " ".join
    ),
    signals=st.sampled_from([None, ("bert",), ("bm25",), ("tfidf", "word2vec")]),
)
def test_words_add_up_to_each_signal_and_rows_to_the_score(
    corpora: list[Searcher], number: int, text: str, signals: tuple[str, ...] | None
) -> None:
    asked = Query(text, k=8, signals=signals, explain_words=True)
    for hit in corpora[number].search(asked).hits:
        check(hit)


def test_a_long_document_adds_up_too(build: Callable[..., Searcher]) -> None:
    text = " ".join(
        f"word{first}{second}." for first, second in itertools.product(range(40), "abcdefgh")
    )
    searcher = build(Document("long", "Many words", text), Document("other", "", "word1a word2b"))
    hit = next(
        hit
        for hit in searcher.search(Query("word1a word2b", explain_words=True)).hits
        if hit.doc_id == "long"
    )
    check(hit)
    assert any(entry["source"] == "rest" for _, _, entries in lists(hit) for entry in entries)


def test_the_words_of_the_query_are_told_where_they_stand(searcher: Searcher) -> None:
    hit = searcher.search(Query("copying files", k=1, explain_words=True)).hits[0]
    assert hit.attribution is not None
    by_word = {entry.word: entry for entry in hit.attribution.query["bm25"]}
    assert set(by_word) == {"copying", "files"}
    marked = {hit.passage.text[s:e].lower() for entry in by_word.values() for s, e in entry.spans}
    assert marked <= {"copy", "file"}
    assert marked
    assert by_word[max(by_word, key=lambda word: by_word[word].contribution)].spans
    of_bert = hit.attribution.document["bert"]
    assert {entry.source for entry in of_bert} == {"passage", "title", "model"}
    for entry in of_bert:
        for start, end in entry.spans:
            assert hit.passage.text[start:end] == entry.word


def test_nothing_changes_unless_asked(searcher: Searcher) -> None:
    plain = searcher.search(Query("open the file"))
    asked = searcher.search(Query("open the file", explain_words=True))
    assert all("attribution" not in hit.to_json() for hit in plain.hits)
    for one, other in zip(plain.hits, asked.hits, strict=True):
        content = other.to_json()
        assert content.pop("attribution")
        assert {**content, "highlights": []} == {**one.to_json(), "highlights": []}


def test_the_sentence_that_brings_most_is_marked(searcher: Searcher) -> None:
    for hit in searcher.search(Query("sleep until the clock strikes", explain_words=True)).hits:
        assert hit.attribution is not None
        entries = [e for e in hit.attribution.document["bert"] if e.source == "passage"]
        sentences = [mark for mark in hit.highlights if mark.kind == "semantic"]
        brought = {
            (start, end): sum(e.contribution for e in entries if start <= e.spans[0][0] < end)
            for start, end in sentence_spans(hit.passage.text)
        }
        assert [(mark.start, mark.end) for mark in sentences] == [
            max(brought, key=lambda span: brought[span])
        ]


@pytest.mark.parametrize("mode", ["cls", "max"])
def test_a_model_that_takes_no_mean_is_left_out(
    mode: str, tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    model = Path(shutil.copytree(TINY_BERT, tmp_path / "model"))
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False}
    kind = "pooling_mode_cls_token" if mode == "cls" else "pooling_mode_max_tokens"
    (model / "1_Pooling" / "config.json").write_text(json.dumps({**pooling, kind: True}), "utf-8")
    assert BertEncoder(str(model)).word_shares(["a file"], np.ones(32, np.float32)) is None
    settings = IndexSettings(encoders={**tiny_settings.encoders, "bert": {"model": str(model)}})
    folder = CollectionFolder(tmp_path / "data", "default")
    build_version(folder, strange_corpus(0), settings=settings)
    hit = Searcher.open(data_dir=tmp_path / "data").search(Query("csv", explain_words=True)).hits[0]
    assert hit.attribution is not None
    assert set(hit.attribution.document) == {"tfidf", "word2vec"}


@pytest.mark.parametrize("include_prompt", [True, False])
def test_word_shares_add_up_with_prompts(include_prompt: bool, tmp_path: Path) -> None:
    model = Path(shutil.copytree(TINY_BERT, tmp_path / "model"))
    pooling = {
        "word_embedding_dimension": 32,
        "pooling_mode_mean_tokens": True,
        "include_prompt": include_prompt,
    }
    (model / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    encoder = BertEncoder(str(model))
    texts = ["naïve 😀 csv files, don't", "", "?!", "thread " * 200, "Read ThreadPool"]
    other = encoder.encode_documents(["read a csv file"])[0]
    shares = encoder.word_shares(texts, other, role="query")
    assert shares is not None
    embeddings = encoder.encode_queries(texts)
    for text, of_words, embedding in zip(texts, shares, embeddings, strict=True):
        assert sum(word.share for word in of_words) == pytest.approx(embedding @ other, abs=1e-5)
        spans = [(word.start, word.end) for word in of_words if word.start is not None]
        assert spans == sorted(spans)
        assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)
    assert [texts[0][w.start : w.end] for w in shares[0] if w.start is not None][:3] == [
        "naïve",
        "😀",
        "csv",
    ]
