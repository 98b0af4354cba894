"""Averages, differences and neighbours of embeddings, and documents that steer a query."""

from __future__ import annotations

import json

import numpy as np
import pytest

from encoders.term_encoder import TermEncoder
from ingest.documents import Document
from ingest.errors import DocumentNotFoundError, QueryError
from pipeline.command_line.main import main
from pipeline.search.embedding_space import EmbeddingSpace, Point
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher

ENCODERS = ("tfidf", "word2vec", "bert")


@pytest.fixture(scope="module")
def spaces(searcher: Searcher) -> dict[str, EmbeddingSpace]:
    return {name: searcher.space(name) for name in ENCODERS}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_average_lies_between_its_texts(spaces: dict[str, EmbeddingSpace], encoder: str) -> None:
    space = spaces[encoder]
    texts = ["read the file", "open the socket"]
    first, second = (space.embed(Point("text", text)) for text in texts)
    mean = space.combine([Point("text", text) for text in texts])
    expected = (first + second) / np.linalg.norm(first + second)
    assert np.allclose(mean, expected, atol=1e-6)
    assert np.isclose(mean @ first, mean @ second, atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_subtracted_moves_the_sum_away(
    spaces: dict[str, EmbeddingSpace], encoder: str
) -> None:
    space = spaces[encoder]
    wanted, unwanted = Point("text", "read a file"), Point("text", "server port address")
    plain, pushed = space.combine([wanted]), space.combine([wanted], [unwanted])
    assert pushed @ space.embed(unwanted) < plain @ space.embed(unwanted)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_neighbours_are_those_numpy_finds(
    spaces: dict[str, EmbeddingSpace], searcher: Searcher, encoder: str
) -> None:
    space = spaces[encoder]
    target = space.combine([Point("document", "files/03"), Point("text", "copy a folder")])
    found = space.nearest_documents(target, 5)
    doc_ids = searcher.doc_ids(range(searcher.n_documents))
    by_hand = {}
    for row, doc_id in enumerate(doc_ids):
        vectors = searcher._version.vectors[encoder].vectors
        begin, end = row, row + 1
        if encoder == "bert":
            begin, end = searcher._version.passages.offsets[row : row + 2]
        if vectors[begin:end].any():
            by_hand[doc_id] = float((vectors[begin:end] @ target).max())
    expected = sorted(by_hand, key=lambda doc_id: (-round(by_hand[doc_id], 5), doc_id))[:5]
    assert {neighbor.name for neighbor in found} == set(expected)
    assert [neighbor.similarity for neighbor in found] == pytest.approx(
        sorted((by_hand[doc_id] for doc_id in expected), reverse=True), abs=1e-5
    )


@pytest.mark.parametrize("encoder", ["tfidf", "word2vec"])
def test_nearest_words_are_those_numpy_finds(
    spaces: dict[str, EmbeddingSpace], searcher: Searcher, encoder: str
) -> None:
    space = spaces[encoder]
    state = searcher._version.encoders[encoder]
    assert isinstance(state, TermEncoder)
    unit = state.vectors / np.maximum(np.linalg.norm(state.vectors, axis=1, keepdims=True), 1e-12)
    target = space.combine(
        [Point("word", "file"), Point("word", "socket")], [Point("word", "read")]
    )
    similarities = dict(zip(state.vocabulary, (unit @ target).tolist(), strict=True))
    for given in ("file", "socket", "read"):
        similarities.pop(state.term(given))
    expected = sorted(similarities.values(), reverse=True)[:6]
    found = space.neighbors(
        [Point("word", "file"), Point("word", "socket")],
        [Point("word", "read")],
        among="words",
        k=6,
    )
    assert [neighbor.similarity for neighbor in found] == pytest.approx(expected, abs=1e-5)
    assert not {"file", "socket", "read"} & {neighbor.name for neighbor in found}


def test_a_document_is_most_like_itself(spaces: dict[str, EmbeddingSpace]) -> None:
    for space in spaces.values():
        one = Point("document", "network/04")
        assert space.similarity(one, one) == pytest.approx(1.0, abs=1e-5)
        assert space.similarity(one, Point("text", "")) == 0.0
        nearest = space.neighbors([one], k=3)
        assert "network/04" not in {neighbor.name for neighbor in nearest}


def test_what_cannot_be_asked_says_why(spaces: dict[str, EmbeddingSpace]) -> None:
    words, texts = spaces["word2vec"], spaces["bert"]
    with pytest.raises(QueryError, match="does not know the word 'sokcet'; similar ones: socket"):
        words.embed(Point("word", "sokcet"))
    with pytest.raises(QueryError, match="bert reads whole texts"):
        texts.neighbors([Point("text", "read a file")], among="words")
    with pytest.raises(QueryError, match="cancels out"):
        words.combine([Point("word", "file")], [Point("word", "file")])
    with pytest.raises(QueryError, match="1 to 100"):
        words.combine([])
    with pytest.raises(QueryError, match="k is 0"):
        words.neighbors([Point("word", "file")], k=0)
    with pytest.raises(QueryError, match="among is 'hits'"):
        words.neighbors([Point("word", "file")], among="hits")
    with pytest.raises(QueryError, match="must be above 0"):
        Point("word", "file", weight=-1.0)
    with pytest.raises(DocumentNotFoundError):
        words.embed(Point("document", "nowhere"))


def test_an_encoder_the_version_lacks_is_refused(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="holds tfidf, word2vec, bert"):
        searcher.space("bm25")


def test_like_finds_documents_of_the_same_subject_without_words(searcher: Searcher) -> None:
    answer = searcher.search(Query("", like=("numbers/02", "numbers/05"), k=5))
    assert not {"numbers/02", "numbers/05"} & {hit.doc_id for hit in answer.hits}
    assert answer.hits[0].doc_id.startswith("numbers/")
    for hit in answer.hits:
        parts = [part.contribution for part in hit.explanation.values()]
        assert sum(parts) + hit.regularization + hit.exactness == hit.score
        assert hit.explanation["bm25"].contribution == 0


def test_unlike_pushes_a_document_down(searcher: Searcher) -> None:
    def rank(**steering: tuple[str, ...]) -> dict[str, float]:
        found = searcher.search(Query("open the address", k=70, correct=False, **steering))
        return {hit.doc_id: hit.explanation["bert"].raw or 0.0 for hit in found.hits}

    plain, pushed = rank(), rank(unlike=("files/01",))
    assert "files/01" in plain
    assert "files/01" not in pushed
    space = searcher.space("bert")
    alike = space.neighbors([Point("document", "files/01")], k=1)[0].name
    assert pushed[alike] < plain[alike]


def test_pages_of_similar_documents_neither_overlap_nor_gap(searcher: Searcher) -> None:
    whole = searcher.search(Query("", like=("time/03",), k=40)).hits
    paged = [
        hit.doc_id
        for page in (1, 2, 3, 4)
        for hit in searcher.search(Query("", like=("time/03",), k=10, page=page)).hits
    ]
    assert paged == [hit.doc_id for hit in whole]


def test_words_of_a_document_still_add_up_when_documents_steer(searcher: Searcher) -> None:
    query = Query("read a file", like=("files/02",), explain_words=True, k=3)
    for hit in searcher.search(query).hits:
        assert hit.attribution is not None
        for name, entries in hit.attribution.document.items():
            total = sum(entry.contribution for entry in entries)
            assert total == pytest.approx(hit.explanation[name].raw, abs=1e-4)
        assert set(hit.attribution.query) <= {"bm25"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"unlike": ("files/01",)}, "the query is empty"),
        ({"like": ("files/01",), "unlike": ("files/01",)}, "named twice"),
        ({"like": tuple(map(str, range(101)))}, "at most 100"),
        ({"like": ("files/01",), "rerank": "model"}, "re-ranking needs words"),
    ],
)
def test_steering_that_makes_no_sense_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Query("", **asked)  # type: ignore[arg-type]


def test_an_unknown_document_to_steer_by_names_the_parameter(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="like: no document 'nowhere'") as caught:
        searcher.search(Query("", like=("nowhere",)))
    assert caught.value.parameter == "like"


def test_a_document_unknown_to_every_encoder_finds_nothing(build: object) -> None:
    found = build(  # type: ignore[operator]
        Document("a", "", "the of and to in"), Document("b", "", "reading a file")
    ).search(Query("", like=("a",), signals=("tfidf", "word2vec")))
    assert found.hits == []
    assert found.no_good_result


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_commands_answer_in_json(
    library_data_dir: object, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--data-dir", str(library_data_dir), "--json")
    found = json.loads(_run(capsys, "similar", "files/02", "-k", "3", *place))
    assert len(found["hits"]) == 3
    near = json.loads(_run(capsys, "neighbors", "file", "-k", "4", *place))
    assert near["encoder"] == "word2vec"
    assert len(near["neighbors"]) == 4
    documents = json.loads(
        _run(capsys, "neighbors", "files/02", "--of", "document", "--among", "documents", *place)
    )
    assert documents["encoder"] == "bert"
    assert documents["neighbors"][0]["name"] != "files/02"
    moved = json.loads(_run(capsys, "analogy", "file", "socket", "--minus", "read", *place))
    assert [point["value"] for point in moved["negative"]] == ["read"]


def test_commands_show_neighbours_line_by_line(
    library_data_dir: object, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _run(capsys, "neighbors", "file", "-k", "2", "--data-dir", str(library_data_dir))
    assert len(shown.splitlines()) == 2


def test_several_words_are_told_to_be_a_text(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="'open a file' is several words: give it as a text"):
        searcher.space("word2vec").embed(Point("word", "open a file"))
