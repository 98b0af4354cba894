"""The JSON API over a real, tiny collection."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest.documents import Document
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from search_api.addresses import path_of_doc_id
from search_api.json_format import json_bytes
from search_api.searchers import RerankSettings
from web import Settings, create_app

SEARCH = "/api/v1/search"


@pytest.fixture(scope="module")
def client(library_data_dir: Path) -> FlaskClient:
    return create_app(Settings(library_data_dir)).test_client()


def _without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in {"took_ms", "stages_ms"}}


def _assert_problem(
    response: TestResponse, status: int, parameter: str | None = None
) -> dict[str, Any]:
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = response.get_json(force=True)
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("/api/")
    assert problem.get("parameter") == parameter
    assert "Traceback" not in response.text
    return problem


def test_get_and_post_and_the_python_call_give_one_answer(
    client: FlaskClient, searcher: Searcher
) -> None:
    by_get = client.get(SEARCH + "?q=read+a+file&k=5&facets=subject&filter=number:[1+TO+9]")
    asked = {"q": "read a file", "k": 5, "facets": ["subject"], "filter": "number:[1 TO 9]"}
    by_post = client.post(SEARCH, json=asked)
    direct = searcher.search(
        Query("read a file", k=5, facets=("subject",), filter="number:[1 TO 9]")
    )
    assert by_get.status_code == by_post.status_code == 200
    assert by_get.content_type == "application/json"
    expected = _without_times(json.loads(json.dumps(direct.to_json())))
    assert _without_times(by_get.get_json()) == _without_times(by_post.get_json()) == expected
    assert by_get.get_json()["hits"]


def test_the_score_is_the_sum_of_its_parts(client: FlaskClient) -> None:
    for hit in client.get(SEARCH + "?q=parse+a+date").get_json()["hits"]:
        parts = [part["contribution"] for part in hit["explanation"].values()]
        total = 0.0
        for part in parts:
            total += part
        assert hit["score"] == pytest.approx(total, abs=1e-12)


def test_pages_neither_overlap_nor_gap(client: FlaskClient) -> None:
    whole = client.get(SEARCH + "?q=date+time&k=60").get_json()
    pages = [
        client.get(f"{SEARCH}?q=date+time&k=7&page={page}&version={whole['version']}").get_json()
        for page in range(1, 10)
    ]
    paged = [hit["doc_id"] for page in pages for hit in page["hits"]]
    assert paged[:60] == [hit["doc_id"] for hit in whole["hits"]]
    assert {page["total"] for page in pages} == {whole["total"]}
    beyond = client.get(SEARCH + "?q=date+time&k=10&page=900")
    assert beyond.status_code == 200
    assert beyond.get_json()["hits"] == []


def test_explain_words_tells_what_each_word_brought(client: FlaskClient) -> None:
    hits = client.get(SEARCH + "?q=copy+the+file&explain=words").get_json()["hits"]
    for hit in hits:
        for side in ("query", "document"):
            for signal, entries in hit["attribution"][side].items():
                total = sum(entry["contribution"] for entry in entries)
                assert total == pytest.approx(hit["explanation"][signal]["raw"], abs=1e-4)
    assert all("attribution" not in hit for hit in client.get(SEARCH + "?q=x").get_json()["hits"])


def test_explain_false_leaves_the_explanation_out(client: FlaskClient) -> None:
    hits = client.get(SEARCH + "?q=file&explain=false").get_json()["hits"]
    assert all(hit["explanation"] == {} for hit in hits)


@pytest.mark.parametrize(
    "query",
    ["the of and", "?!... --", "🎈🎈", "ابحث عن ملف", "x" * 10_000, '"', "+", "-file", "\0"],
)
def test_odd_queries_get_an_answer(client: FlaskClient, query: str) -> None:
    response = client.get(f"{SEARCH}?q={quote(query)}")
    assert response.status_code == 200
    assert response.get_json()["query"] == query
    assert b"NaN" not in response.data


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        ("", "q"),
        ("?q=", "q"),
        ("?q=" + "x" * 10_001, "q"),
        ("?q=file&k=0", "k"),
        ("?q=file&k=1000000", "k"),
        ("?q=file&color=red", "color"),
        ("?q=file&filter=nope:1", "filter"),
        ("?q=file&filter=(((", "filter"),
        ("?q=file&facets=nope", "facets"),
        ("?q=file&sort=nope", "sort"),
        ("?q=file&sort=subject:up", "sort"),
        ("?q=file&weights=bm25:0", "weights"),
        ("?q=file&collection=../etc", "collection"),
    ],
)
def test_bad_requests_name_the_parameter(client: FlaskClient, address: str, parameter: str) -> None:
    _assert_problem(client.get(SEARCH + address), 400, parameter)


def test_bad_bodies_are_problems(client: FlaskClient) -> None:
    _assert_problem(client.post(SEARCH, data="{", content_type="application/json"), 400)
    _assert_problem(client.post(SEARCH, json=["q"]), 400)
    _assert_problem(client.post(SEARCH, data={"q": "file"}), 415)
    _assert_problem(client.post(SEARCH, data=b"x"), 415)
    _assert_problem(client.post(SEARCH + "?q=file", json={"q": "file"}), 400, "q")
    large = json.dumps({"q": "x" * 1_100_000})
    _assert_problem(client.post(SEARCH, data=large, content_type="application/json"), 413)
    half_a_pair = b'{"\\ud800": 1, "q": "x"}'
    _assert_problem(
        client.post(SEARCH, data=half_a_pair, content_type="application/json"), 400, "?"
    )


def test_unknown_addresses_methods_collections_and_versions(client: FlaskClient) -> None:
    _assert_problem(client.get("/api/v1/nothing"), 404)
    _assert_problem(client.get("/api/"), 404)
    refused = client.delete(SEARCH)
    _assert_problem(refused, 405)
    assert "GET" in refused.headers["Allow"]
    _assert_problem(client.get(SEARCH + "?q=file&collection=nope"), 404, "collection")
    _assert_problem(client.get(SEARCH + "?q=file&version=nope"), 404, "version")
    _assert_problem(client.get(SEARCH + "?q=file&version=../../x"), 404, "version")


def test_without_an_index_the_service_is_unavailable(tmp_path: Path) -> None:
    client = create_app(Settings(tmp_path / "nothing")).test_client()
    problem = _assert_problem(client.get(SEARCH + "?q=file"), 503)
    assert "trine index" in problem["detail"]
    _assert_problem(client.get("/api/v1/health"), 503)
    _assert_problem(client.get(SEARCH + "?q=file&collection=docs"), 404, "collection")


def test_a_half_deleted_version_is_a_problem(copied_data_dir: Path) -> None:
    version = (copied_data_dir / "default" / "CURRENT").read_text().strip()
    folder = copied_data_dir / "default" / "versions" / version
    (folder / "documents.sqlite").unlink()
    client = create_app(Settings(copied_data_dir)).test_client()
    _assert_problem(client.get(SEARCH + "?q=file"), 503)
    (folder / "manifest.json").unlink()
    _assert_problem(client.get("/api/v1/health"), 503)


def test_an_unforeseen_error_tells_nothing(
    library_data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Searcher, "search", fail)
    monkeypatch.setattr(Searcher, "warm", lambda _: None)
    client = create_app(Settings(library_data_dir)).test_client()
    with caplog.at_level(logging.CRITICAL + 1):
        response = client.get(SEARCH + "?q=file")
    problem = _assert_problem(response, 500)
    assert problem["type"] == "/problems/internal-error"
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text


def test_health(client: FlaskClient, library: list[Document]) -> None:
    health = client.get("/api/v1/health").get_json()
    assert health["status"] == "ok"
    (collection,) = health["collections"]
    assert collection["collection"] == "default"
    assert collection["documents"] == len(library)
    assert collection["signals"] == ["bm25", "tfidf", "word2vec", "bert"]


def test_documents_by_every_id(client: FlaskClient, library: list[Document]) -> None:
    for document in library:
        shown = client.get("/api/v1/documents/" + path_of_doc_id(document.doc_id)).get_json()
        assert shown["doc_id"] == document.doc_id
        assert shown["title"] == document.title
        assert shown["text"] == document.text
        assert shown["url"] == document.url
        assert shown["metadata"] == dict(document.metadata)
        assert shown["names"] == list(document.names)
        assert shown["collection"] == "default"


ODD_IDS = [
    "/", "//", "/leading", "trailing/", "a//b", "a/../b", "./a", "..%2f", "50%", "%41", "a b",
    "a+b", "a?b=c", "a#b", "a;b", "ü/日本", "line\nbreak", "\x01", "<script>", "'\"", "a\\b", "🎈",
]  # fmt: skip


def test_documents_by_odd_ids(build: Callable[..., Searcher], tmp_path: Path) -> None:
    build(*(Document(doc_id, f"Title {n}", "Some text.") for n, doc_id in enumerate(ODD_IDS)))
    client = create_app(Settings(tmp_path / "built")).test_client()
    for number, doc_id in enumerate(ODD_IDS):
        shown = client.get("/api/v1/documents/" + path_of_doc_id(doc_id))
        assert shown.get_json()["title"] == f"Title {number}", doc_id
        page = client.get("/documents/" + path_of_doc_id(doc_id))
        assert page.status_code == 200, doc_id
        assert f"Title {number}" in page.text


def test_a_document_that_is_not_there(client: FlaskClient) -> None:
    _assert_problem(client.get("/api/v1/documents/nope"), 404)
    _assert_problem(client.get("/api/v1/documents/long?k=1"), 400, "k")
    _assert_problem(client.get("/api/v1/documents/long?version=nope"), 404, "version")


def test_json_never_holds_nan() -> None:
    assert json_bytes({"a": [float("inf"), 1.5], "b": "é"}) == '{"a":[null,1.5],"b":"é"}'.encode()


TINY_CROSS_ENCODER = Path(__file__).parent / "data" / "tiny_cross_encoder"


def test_a_request_may_ask_for_the_servers_re_ranker_and_for_no_other(
    client: FlaskClient, library_data_dir: Path, searcher: Searcher
) -> None:
    _assert_problem(client.get(SEARCH + "?q=file&rerank=true"), 400, "rerank")
    offered = RerankSettings(str(TINY_CROSS_ENCODER), depth=9, budget_ms=60_000)
    app = create_app(Settings(library_data_dir, reranking=offered))
    offering = app.test_client()
    plain = offering.get(SEARCH + "?q=file").get_json()
    assert plain["rerank"] is None
    by_get = offering.get(SEARCH + "?q=file&rerank=true").get_json()
    by_post = offering.post(SEARCH, json={"q": "file", "rerank": True}).get_json()
    for answer in (by_get, by_post):
        assert (answer["rerank"]["applied"], answer["rerank"]["scored"]) == (True, 9)
        assert [hit["doc_id"] for hit in answer["hits"][:9]] == [
            hit.doc_id
            for hit in searcher.search(
                Query("file", rerank=offered.model, rerank_depth=9, rerank_budget_ms=60_000)
            ).hits[:9]
        ]
    # A path from a client is never taken, nor may a client spend more time than the operator.
    for name, value in (("rerank", str(TINY_CROSS_ENCODER)), ("rerank", "."), ("rerank", 1)):
        _assert_problem(offering.post(SEARCH, json={"q": "file", name: value}), 400, name)
    for name in ("rerank_depth", "rerank_budget_ms"):
        _assert_problem(offering.get(f"{SEARCH}?q=file&{name}=1000"), 400, name)
    page = offering.get("/?q=file&rerank=true").text
    assert "Re-ranking" in page
    assert "Not re-ranked" not in page


def test_diversity_and_collapse_are_parameters(client: FlaskClient, searcher: Searcher) -> None:
    for given, query in (
        ("diversity=0.7", Query("open file", diversity=0.7)),
        ("collapse=true", Query("open file", collapse=True)),
        ("collapse=0.5", Query("open file", collapse=0.5)),
        ("collapse=false", Query("open file")),
    ):
        answer = client.get(f"{SEARCH}?q=open+file&{given}").get_json()
        assert answer["hits"] == json.loads(json.dumps(searcher.search(query).to_json()))["hits"]
    for wrong in ("diversity=much", "diversity=2", "collapse=yes", "collapse=0", "collapse=nan"):
        _assert_problem(client.get(f"{SEARCH}?q=file&{wrong}"), 400, wrong.partition("=")[0])
    page = client.get("/?q=open+file&collapse=0.3").text
    assert "Stands for" in page
    assert "near-duplicates of others" in page
