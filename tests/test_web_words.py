"""The words page: what is near a sum of words is what the API says is near."""

import html
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from encoders.state import unit_rows
from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from search_api.addresses import path_of_doc_id
from web import Settings, create_app
from web.constellation import SIZE, constellation
from web.words import Sum, read_sum


@pytest.fixture(scope="module")
def client(library_data_dir: Path) -> FlaskClient:
    return create_app(Settings(library_data_dir)).test_client()


def words_of(page: str) -> list[str]:
    parts = page.split('class="near-word"')[1:]
    return [html.unescape(part.split("<bdi>")[1].split("</bdi>")[0]) for part in parts]


def test_the_page_tells_the_neighbors_of_the_api(client: FlaskClient) -> None:
    page = client.get("/words?q=file+-+folder").text
    body = {"positive": ["file"], "negative": ["folder"], "among": "words", "k": 18}
    answer = client.post("/api/v1/neighbors", json=body).get_json()
    assert words_of(page) == [one["word"] for one in answer["neighbors"]]
    assert f"{answer['neighbors'][0]['similarity']:.2f}" in page
    documents = client.post(
        "/api/v1/neighbors", json={**body, "among": "documents", "k": 5, "encoder": "word2vec"}
    ).get_json()
    for one in documents["neighbors"]:
        assert f'href="/documents/{path_of_doc_id(one["document"])}' in page


def test_an_analogy_is_a_sum(client: FlaskClient) -> None:
    by_form = client.get("/words?a=read&b=file&c=socket").text
    assert words_of(by_form) == words_of(client.get("/words?q=file+socket+-+read").text)
    assert 'value="file + socket - read"' in by_form


@pytest.mark.parametrize(
    ("text", "added", "taken"),
    [
        ("", (), ()),
        ("king - man +woman", ("king", "woman"), ("man",)),
        ("king \N{MINUS SIGN}man", ("king",), ("man",)),
        ("e-mail", ("e-mail",), ()),
        ("-man", (), ("man",)),
        ("a a - a", (), ("a",)),
        ("+ - + x", ("x",), ()),
        ("- - -", (), ()),
    ],
)
def test_sums_are_read_as_they_are_written(
    text: str, added: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    assert read_sum(text) == Sum(added, taken)
    assert read_sum(str(Sum(added, taken))) == Sum(added, taken)


def test_what_leads_nowhere_is_said(client: FlaskClient) -> None:
    page = client.get("/words?q=fiel")
    assert page.status_code == 200
    assert "does not know the word" in page.text
    assert "file" in page.text
    assert client.get("/words?q=" + "+".join(["a"] * 50)).status_code == 200
    many = "+".join(f"w{n}" for n in range(50))
    assert client.get(f"/words?q={many}").status_code == 400
    assert client.get("/words?collection=nope").status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\0\x1b",
        "x" * 9_000,
        "\N{MINUS SIGN}",
        "file +",
        "🎈",
        "file - file",
    ],
)
def test_any_text_gets_a_page(client: FlaskClient, text: str) -> None:
    for address in ("/words", "/parts/words"):
        response = client.get(address, query_string={"q": text})
        assert response.status_code == 200
        assert "<script>alert" not in response.text
        assert "\x1b" not in response.text


def test_without_vectors_of_words_the_page_says_so(
    tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    build_version(
        CollectionFolder(tmp_path, "default"),
        [Document("d", "Title", "Text.")],
        settings=tiny_settings.with_signals(["bm25"]),
    )
    page = create_app(Settings(tmp_path)).test_client().get("/words?q=text")
    assert page.status_code == 400
    assert "no vectors of words" in page.text


def test_nearer_words_stand_nearer_to_the_middle() -> None:
    random = np.random.default_rng(7)
    words = [f"w{n}" for n in range(18)]
    embeddings = unit_rows(random.normal(size=(18, 24)))
    target = unit_rows(random.normal(size=(1, 24)))[0]
    stars = constellation(words, list(embeddings), target)
    far = {star.word: math.hypot(star.x - SIZE / 2, star.y - SIZE / 2) for star in stars}
    cosines = embeddings @ target
    assert sorted(words, key=far.__getitem__) == [words[i] for i in np.argsort(-cosines)]
    for side in ("start", "end"):
        heights = sorted(star.label_y for star in stars if star.side == side)
        assert all(b - a > 40 for a, b in pairwise(heights))
        assert all(0 < height < SIZE for height in heights)
    assert constellation([], [], target) == []
    assert len(constellation(["one"], list(embeddings[:1]), target)) == 1
