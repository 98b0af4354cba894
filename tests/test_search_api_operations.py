"""Operations beyond a single search, over two tiny collections."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import make_library
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from search_api.addresses import path_of_doc_id
from web import Settings, create_app

API = "/api/v1"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Path:
    folder = tmp_path_factory.mktemp("operations")
    documents = make_library()
    clash = [
        Document("guide", "Guide", "A guide to the alphabet, letter by letter."),
        Document("guide/passages", "Passages", "Through mountains."),
        Document("guide/similar", "Similar", "Alike."),
        Document("a,b", "Comma", "Commas separate."),
    ]
    build_version(CollectionFolder(folder, "default"), documents, settings=tiny_settings)
    build_version(
        CollectionFolder(folder, "other"), [*documents[:40:2], *clash], settings=tiny_settings
    )
    return folder


@pytest.fixture(scope="module")
def client(data_dir: Path) -> FlaskClient:
    return create_app(Settings(data_dir)).test_client()


@pytest.fixture(scope="module")
def admin(data_dir: Path) -> FlaskClient:
    return create_app(Settings(data_dir, admin=True)).test_client()


def _ok(response: TestResponse) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.get_json()
    return content


def _problem(response: TestResponse, status: int, parameter: str | None = None) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    problem = response.get_json(force=True)
    assert problem.get("parameter") == parameter, problem
    return str(problem["detail"])


def _hits(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(hit.get("collection", ""), hit["doc_id"]) for hit in answer["hits"]]


# Several collections


def test_several_collections_are_merged_by_probability_each_in_its_own_order(
    client: FlaskClient,
) -> None:
    merged = _ok(client.get(f"{API}/search?q=open+file&k=30&collection=default,other"))
    alone = {
        name: _ok(client.get(f"{API}/search?q=open+file&k=30&collection={name}"))
        for name in ("default", "other")
    }
    assert merged["collection"] == "default,other"
    assert merged["total"] == sum(answer["total"] for answer in alone.values())
    assert [hit["rank"] for hit in merged["hits"]] == list(range(1, 31))
    for name, answer in alone.items():
        own = [doc_id for collection, doc_id in _hits(merged) if collection == name]
        assert own == [hit["doc_id"] for hit in answer["hits"]][: len(own)]
        (told,) = [entry for entry in merged["collections"] if entry["collection"] == name]
        assert (told["total"], told["version"]) == (answer["total"], answer["version"])
    # At each place stood the more probable of the two that were next.
    left = {name: [hit["probability"] for hit in a["hits"]] for name, a in alone.items()}
    for hit in merged["hits"]:
        assert hit["probability"] == max(values[0] for values in left.values() if values)
        left[hit["collection"]].pop(0)


def test_pages_over_several_collections_neither_overlap_nor_gap(client: FlaskClient) -> None:
    whole = _ok(client.get(f"{API}/search?q=date+time&k=60&collection=default,other"))
    given_back = f"collection={whole['collection']}&version={whole['version']}"
    paged = [
        hit
        for page in range(1, 10)
        for hit in _hits(_ok(client.get(f"{API}/search?q=date+time&k=7&page={page}&{given_back}")))
    ]
    assert paged[:60] == _hits(whole)
    assert len(set(paged)) == len(paged)


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ("collection=default,other&sort=number", "sort"),
        ("collection=default,other&like=files/01", "like"),
        ("collection=default,other&unlike=files/01", "unlike"),
        ("collection=default,other&k=100&page=11", "page"),
        ("collection=default,other&version=x", "version"),
        ("version=x,y", "version"),
        ("collection=" + ",".join(f"c{n}" for n in range(11)), "collection"),
        ("collection=default,../x", "collection"),
    ],
)
def test_what_several_collections_cannot_be_asked(
    client: FlaskClient, asked: str, parameter: str
) -> None:
    _problem(client.get(f"{API}/search?q=file&{asked}"), 400, parameter)


def test_one_missing_collection_of_several_is_named(client: FlaskClient) -> None:
    missing = client.get(f"{API}/search?q=x&collection=default,nope")
    assert "'nope'" in _problem(missing, 404, "collection")


# Batches


def test_each_query_of_a_batch_has_its_answer_or_its_problem(client: FlaskClient) -> None:
    queries: list[dict[str, object]] = [
        {"q": "open file", "k": 2},
        {"q": 1},
        {"q": "x", "color": "red"},
        {"q": "x", "collection": "nope"},
        {"q": "date", "collection": ["default", "other"], "k": 1},
    ]
    entries = _ok(client.post(f"{API}/search/batch", json={"queries": queries}))["answers"]
    assert [entry["status"] for entry in entries] == [200, 400, 400, 404, 200]
    alone = _ok(client.post(f"{API}/search", json=queries[0]))
    assert entries[0]["answer"]["hits"] == alone["hits"]
    named = [entry["problem"].get("parameter") for entry in entries[1:4]]
    assert named == ["q", "color", "collection"]


@pytest.mark.parametrize(
    ("path", "asked", "status", "parameter", "told"),
    [
        ("search?q=x", {"q": "x"}, 400, "q", "parameters stand in the body"),
        ("search/batch", {"queries": [{"q": "x"}, 5]}, 400, "queries", "it must be an object"),
        ("similarity", {"first": "file"}, 400, "second", "second is missing: the other one"),
        ("neighbors", {"positive": [{"document": "nope"}]}, 404, "positive", "'nope'"),
        (
            "neighbors",
            {"positive": [{"text": "a"}], "negative": [{"document": "nope"}]},
            *(404, "negative", "'nope'"),
        ),
    ],
)
def test_problems_say_where_to_look(
    client: FlaskClient, path: str, asked: object, status: int, parameter: str, told: str
) -> None:
    assert told in _problem(client.post(f"{API}/{path}", json=asked), status, parameter)


def test_a_body_of_no_stated_type_is_asked_for_one(client: FlaskClient) -> None:
    assert "is of no stated type; send JSON" in _problem(client.post(f"{API}/search"), 415)


def test_what_was_liked_twice_counts_once(client: FlaskClient) -> None:
    def recommended(*liked: str) -> object:
        asked = {"liked": [*liked], "disliked": ["time/01", "time/01"], "k": 5}
        return _ok(client.post(f"{API}/recommend", json=asked))["hits"]

    assert recommended("files/01", "text/02", "files/01") == recommended("files/01", "text/02")


@pytest.mark.parametrize(
    "queries", [None, [], [{"q": "x"}] * 101, {"q": "x"}, ["x"], [{"q": "x"}, None]]
)
def test_a_batch_is_a_list_of_1_to_100_objects(client: FlaskClient, queries: object) -> None:
    _problem(client.post(f"{API}/search/batch", json={"queries": queries}), 400, "queries")


def test_a_batch_asks_for_no_more_hits_than_one_query_may_page(client: FlaskClient) -> None:
    queries = [{"q": "x", "k": 1000, "explain": False}] * 11
    entries = _ok(client.post(f"{API}/search/batch", json={"queries": queries}))["answers"]
    assert [entry["status"] for entry in entries] == [200] * 10 + [400]


# Documents


def test_the_passages_of_a_document_are_its_text(
    client: FlaskClient, library: list[Document]
) -> None:
    for document in library:
        address = f"{API}/documents/{path_of_doc_id(document.doc_id)}/passages"
        passages = _ok(client.get(address))["passages"]
        for passage in passages:
            assert passage["text"] == document.text[passage["start"] : passage["end"]]
    assert len(_ok(client.get(f"{API}/documents/long/passages"))["passages"]) > 1
    _problem(client.get(f"{API}/documents/nope/passages"), 404)


def test_similar_documents_are_a_search_with_like(client: FlaskClient, data_dir: Path) -> None:
    similar = _ok(client.get(f"{API}/documents/files/03/similar?k=5&filter=subject:files"))
    by_search = _ok(client.get(f"{API}/search?like=files/03&k=5&filter=subject:files"))
    direct = Searcher.open(data_dir=data_dir).search(
        Query("", like=("files/03",), k=5, filter="subject:files")
    )
    assert similar["hits"] == by_search["hits"] == json.loads(json.dumps(direct.to_json()))["hits"]
    assert "files/03" not in [hit["doc_id"] for hit in similar["hits"]]
    _problem(client.get(f"{API}/documents/nope/similar"), 404)
    _problem(client.get(f"{API}/documents/files/03/similar?q=x"), 400, "q")


def test_a_document_whose_id_ends_like_an_operation_is_found(client: FlaskClient) -> None:
    for name in ("passages", "similar"):
        shown = _ok(client.get(f"{API}/documents/guide/{name}?collection=other"))
        assert shown["doc_id"] == f"guide/{name}"
    assert _ok(client.get(f"{API}/documents/guide?collection=other"))["title"] == "Guide"


def test_ids_with_commas_are_one_id(client: FlaskClient) -> None:
    for answer in (
        client.get(f"{API}/search?like=a,b&like=guide&collection=other"),
        client.post(f"{API}/search", json={"like": "a,b", "collection": "other"}),
        client.post(f"{API}/recommend", json={"liked": ["a,b"], "collection": "other"}),
    ):
        assert "a,b" not in [hit["doc_id"] for hit in _ok(answer)["hits"]]


# Suggestions, recommendations, embeddings


def test_suggestions_are_those_of_the_searcher(client: FlaskClient, data_dir: Path) -> None:
    found = _ok(client.get(f"{API}/suggest?q=rea&limit=3"))["suggestions"]
    direct = Searcher.open(data_dir=data_dir).suggest("rea", 3)
    assert [entry["text"] for entry in found] == [suggestion.text for suggestion in direct]
    assert found
    for wrong, parameter in (("", "q"), ("q=x&limit=0", "limit"), ("q=x&filter=no:1", "filter")):
        _problem(client.get(f"{API}/suggest?{wrong}"), 400, parameter)


def test_recommendations_leave_out_what_was_named(client: FlaskClient) -> None:
    body = {"liked": ["files/01", "files/02"], "disliked": ["time/01"], "k": 5}
    found = [hit["doc_id"] for hit in _ok(client.post(f"{API}/recommend", json=body))["hits"]]
    assert len(found) == 5
    assert not {"files/01", "files/02", "time/01"} & set(found)
    for wrong, parameter in (
        ({}, "liked"),
        ({"liked": []}, "liked"),
        ({"liked": ["nope"]}, "liked"),
        ({"liked": ["files/01"], "disliked": ["nope"]}, "disliked"),
        ({"liked": ["files/01"], "disliked": ["files/01"]}, "liked"),
        ({"liked": [f"d{n}" for n in range(101)]}, "liked"),
    ):
        detail = _problem(client.post(f"{API}/recommend", json=wrong), 400, parameter)
        assert not detail.startswith(("like:", "unlike:"))


def test_embeddings_are_unit_vectors_in_the_order_of_the_texts(client: FlaskClient) -> None:
    texts = ["read a file", "xqzzy", "open a socket"]
    for encoder in ("tfidf", "word2vec", "bert"):
        answer = _ok(client.post(f"{API}/embeddings", json={"texts": texts, "encoder": encoder}))
        lengths = [sum(x * x for x in row) for row in answer["embeddings"]]
        assert {len(row) for row in answer["embeddings"]} == {answer["dimension"]}
        assert lengths == pytest.approx([1, 1 if encoder == "bert" else 0, 1], abs=1e-4)
    for wrong, parameter in (
        ({"texts": []}, "texts"),
        ({"texts": ["x"] * 101}, "texts"),
        ({"texts": ["x" * 10_001]}, "texts"),
        ({"texts": "x"}, "texts"),
        ({"texts": ["x"], "encoder": "bm25"}, "encoder"),
    ):
        _problem(client.post(f"{API}/embeddings", json=wrong), 400, parameter)


def test_neighbors_can_be_given_again_as_points(client: FlaskClient) -> None:
    words = {"positive": ["file", "socket"], "negative": ["clock"], "among": "words", "k": 3}
    found = _ok(client.post(f"{API}/neighbors", json=words))
    assert found["encoder"] == "word2vec"
    near = [{"word": entry["word"]} for entry in found["neighbors"]]
    assert not {"file", "socket", "clock"} & {entry["word"] for entry in near}
    of_these = _ok(client.post(f"{API}/neighbors", json={"positive": near}))["neighbors"]
    again = {"positive": [{"document": entry["document"], "weight": 2} for entry in of_these]}
    answer = _ok(client.post(f"{API}/neighbors", json=again))
    assert answer["encoder"] == "bert"
    both = {"first": {"text": "open a file"}, "second": {"document": "files/01"}}
    assert -1 <= _ok(client.post(f"{API}/similarity", json=both))["similarity"] <= 1
    for word in ("file", "socket", "open"):
        twice = {"first": word, "second": word}
        assert _ok(client.post(f"{API}/similarity", json=twice))["similarity"] <= 1
    _problem(client.post(f"{API}/similarity", json={**both, "encoder": ""}), 400, "encoder")


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({}, "positive"),
        ({"positive": []}, "positive"),
        ({"positive": "king"}, "positive"),
        ({"positive": [1]}, "positive"),
        ({"positive": [{"text": "x", "word": "x"}]}, "positive"),
        ({"positive": [{"weight": 1}]}, "positive"),
        ({"positive": [{"text": "x", "color": 1}]}, "positive"),
        ({"positive": [{"text": "x", "weight": 0}]}, "positive"),
        ({"positive": [{"text": "x", "weight": True}]}, "positive"),
        ({"positive": [{"text": "x", "weight": 1e300}]}, "positive"),
        ({"positive": ["x"] * 101}, "positive"),
        ({"positive": ["file"], "among": "things"}, "among"),
        ({"positive": ["file"], "k": 0}, "k"),
        ({"positive": ["file"], "encoder": "bm25"}, "encoder"),
        ({"positive": ["file"], "encoder": ""}, "encoder"),
        ({"positive": ["file", "xqzzy"]}, "positive"),
        ({"positive": ["file"], "negative": ["xqzzy"]}, "negative"),
        ({"positive": ["file"], "encoder": "bert"}, "encoder"),
    ],
)
def test_points_that_make_no_sense_are_named(
    client: FlaskClient, body: dict[str, object], parameter: str
) -> None:
    _problem(client.post(f"{API}/neighbors", json=body), 400, parameter)


# Versions


def test_versions_need_the_scope_admin(client: FlaskClient, admin: FlaskClient) -> None:
    for asking, environ, headers in (
        (client, {}, {}),
        (admin, {"REMOTE_ADDR": "192.0.2.1"}, {}),
        (admin, {}, {"Host": "evil.example"}),
        (admin, {}, {"Host": "["}),
    ):
        shown = asking.get(f"{API}/versions", environ_base=environ, headers=headers)
        assert shown.status_code == 403
        changed = asking.post(
            f"{API}/versions/x/activate", json={}, environ_base=environ, headers=headers
        )
        assert changed.status_code == 403


def test_a_version_is_rolled_back_and_served_at_once(
    data_dir: Path, admin: FlaskClient, tiny_settings: IndexSettings
) -> None:
    first = _ok(admin.get(f"{API}/search?q=file&collection=other"))["version"]
    result = build_version(
        CollectionFolder(data_dir, "other"), make_library()[:20], settings=tiny_settings
    )
    listed = _ok(admin.get(f"{API}/versions?collection=other"))
    assert [entry["current"] for entry in listed["versions"]] == [False, True]
    assert _ok(admin.get(f"{API}/versions/{first}?collection=other"))["documents"] == 24
    verified = _ok(admin.post(f"{API}/versions/{first}/verify", json={"collection": "other"}))
    assert verified["problems"] == []
    activated = _ok(admin.post(f"{API}/versions/{first}/activate", json={"collection": "other"}))
    assert activated["previous"] == listed["versions"][1]["version"] == result.version
    assert _ok(admin.get(f"{API}/search?q=file&collection=other"))["version"] == first
    _problem(admin.post(f"{API}/versions/nope/activate", json={}), 404)
    # What a form of another site's page can send is refused.
    _problem(admin.post(f"{API}/versions/{first}/activate", data={"collection": "other"}), 415)
    with CollectionFolder(data_dir, "other").writing():
        _problem(admin.post(f"{API}/versions/{first}/activate", json={"collection": "other"}), 409)


def test_damage_is_told_without_the_place_of_the_data(copied_data_dir: Path) -> None:
    folder = CollectionFolder(copied_data_dir, "default")
    version = folder.current()
    admin = create_app(Settings(copied_data_dir, admin=True)).test_client()
    (folder.version_path(version) / "documents.sqlite").unlink()
    answers = [
        admin.post(f"{API}/versions/{version}/verify", json={}),
        admin.post(f"{API}/versions/{version}/activate", json={}),
        admin.get(f"{API}/search?q=file"),
        admin.post(f"{API}/search/batch", json={"queries": [{"q": "file"}]}),
    ]
    assert answers[0].get_json()["problems"]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    (folder.version_path(version) / "manifest.json").write_text("{")
    answers += [admin.get(f"{API}/{path}") for path in ("versions", "health", "health/ready")]
    answers += [admin.get("/"), admin.get("/?q=file")]
    for answer in answers:
        assert str(copied_data_dir) not in answer.text
    assert answers[-3].status_code == 503


# What HTTP wants around an answer


def test_an_answer_that_is_known_is_not_made_again(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{API}/search?q=open+file&k=3"
    first = client.get(address)
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    pinned = client.get(f"{address}&version={first.get_json()['version']}")
    assert "max-age" in pinned.headers["Cache-Control"]
    assert client.get(address).headers["ETag"] == etag
    assert client.get(f"{API}/search?q=open+file&k=4").headers["ETag"] != etag
    assert client.post(f"{API}/search", json={"q": "x"}).headers["Cache-Control"] == "no-store"
    assert client.get(f"{API}/search").headers["Cache-Control"] == "no-store"

    def fail(*_: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(Searcher, "search", fail)
    known = client.get(address, headers={"If-None-Match": f'"other", {etag}'})
    assert (known.status_code, known.data, known.headers["ETag"]) == (304, b"", etag)


def test_a_new_version_has_another_etag(
    copied_data_dir: Path, tiny_settings: IndexSettings
) -> None:
    client = create_app(Settings(copied_data_dir, admin=True)).test_client()
    address = f"{API}/documents/long"
    before = client.get(address)
    folder = CollectionFolder(copied_data_dir, "default")
    build_version(folder, make_library()[::-1][:30], settings=tiny_settings)
    assert client.post(f"{API}/versions/{folder.current()}/activate", json={}).status_code == 200
    after = client.get(address, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert after.headers["ETag"] != before.headers["ETag"]


@pytest.mark.parametrize("address", ["/api/v1/search?q=x", "/api/v1/nope", "/", "/api/v1/suggest"])
def test_every_answer_has_the_requests_id(client: FlaskClient, address: str) -> None:
    given_id = "client-1.2:3_4"
    assert client.get(address, headers={"X-Request-ID": given_id}).headers["X-Request-ID"] == (
        given_id
    )
    made = {
        client.get(address, headers={"X-Request-ID": wrong}).headers["X-Request-ID"]
        for wrong in ("", " ", "a b", "x" * 129, "é", "<script>")
    }
    assert len(made) == 6
    assert all(len(request_id) == 32 for request_id in made)


def test_what_a_client_is_not_told_is_in_the_log_with_the_requests_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = create_app(Settings(tmp_path / "nothing")).test_client()
    with caplog.at_level(logging.WARNING):
        answer = client.get(f"{API}/search?q=private", headers={"X-Request-ID": "id-1"})
    assert str(tmp_path) not in answer.text
    assert str(tmp_path) in caplog.text
    assert "id-1" in caplog.text
    assert "private" not in caplog.text


def test_a_server_without_an_index_lives_and_is_not_ready(
    tmp_path: Path, client: FlaskClient
) -> None:
    empty = create_app(Settings(tmp_path / "nothing")).test_client()
    assert _ok(empty.get(f"{API}/health/live")) == {"status": "ok"}
    _problem(empty.get(f"{API}/health/ready"), 503)
    assert _ok(client.get(f"{API}/health/ready"))["collection"] == "default"


def test_the_reference_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get(f"{API}/docs")
    assert page.status_code == 200
    assert "/api/v1/documents/{doc_id}/similar" in page.text
    loaded = re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', page.text)
    assert loaded
    assert all(re.match(r"/(?!/)", address) for address in loaded)
    assert "@import" not in page.text
