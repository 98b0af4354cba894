"""What a key may not see is not there: for every operation, whatever is asked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hidden_documents import MARKERS, PUBLIC, build_hidden, public_documents
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from search_api.addresses import path_of_doc_id
from search_api.keys import KeyStore
from search_api.routes import ALL_OPERATIONS
from web import Settings, create_app

API = "/api/v1"
WORDS = ("file", "socket", "open", "date", "string", "zzword", "zztitle", "zzwrod", "quaternion")


@dataclass(frozen=True)
class _Keys:
    """Keys by what they are bound to."""

    filtered: str
    one_collection: str
    everything: str
    of_scope: dict[str, str]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Path:
    folder = tmp_path_factory.mktemp("access")
    build_hidden(folder, tiny_settings)
    return folder


@pytest.fixture(scope="module")
def keys(data_dir: Path) -> _Keys:
    store = KeyStore(data_dir)
    scopes = ("search", "write", "admin")
    return _Keys(
        store.create("f", ["search"], collections=["clean", "mixed"], filter=PUBLIC)[1],
        store.create("c", scopes, collections=["clean"])[1],
        store.create("e", scopes)[1],
        {name: store.create(name, [name])[1] for name in scopes},
    )


@pytest.fixture(scope="module")
def app(data_dir: Path, keys: _Keys) -> Flask:
    return create_app(Settings(data_dir, "mixed", keys_required=True))


@pytest.fixture(scope="module")
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True)
class _Request:
    """One request; the collection is named apart, so that it can be asked of another."""

    operation: str
    method: str
    path: str
    asks: dict[str, Any]
    content_type: str = "application/json"
    body: str = ""

    def send(self, client: FlaskClient, key: str | None, collection: str | None) -> TestResponse:
        named = {} if collection is None else {"collection": collection}
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if self.operation == "searchBatch":
            queries = [{**query, **named} for query in self.asks["queries"]]
            return client.post(API + self.path, json={"queries": queries}, headers=headers)
        if self.method == "GET" or self.body or self.operation in IN_ADDRESS:
            return client.open(
                API + self.path,
                method=self.method,
                query_string={**self.asks, **named},
                data=self.body or None,
                content_type=self.content_type if self.method != "GET" else None,
                headers=headers,
            )
        return client.open(
            API + self.path, method=self.method, json={**self.asks, **named}, headers=headers
        )


Given: TypeAlias = st.SearchStrategy[Any]
Requests: TypeAlias = st.SearchStrategy[_Request]
_text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
_queries = st.one_of(
    _text,
    st.sampled_from(
        [
            "zzident/1",
            "Zztitle 2",
            '"zzword socket"',
            "+zzword file",
            "file -zzword",
            "zzfield:zzvalue1 file",
            "-zzfield:zzvalue1",
            "zzname.3",
            "quaternion",
            "File and folder",
            "level:secret file",
            "opne flie",
            "zzwordd",
        ]
    ),
)
_ids = st.sampled_from(
    ["files/01", "text/03", "title-only", "zzident/1", "zzident/3", "nothing/1", "zzother"]
)
_points = st.lists(
    st.one_of(
        st.builds(lambda v: {"text": v}, _text),
        st.builds(lambda v: {"document": v}, _ids),
        st.builds(lambda v: {"word": v}, st.sampled_from(WORDS)),
    ),
    min_size=1,
    max_size=3,
)
_filters = st.sampled_from(
    [
        "level:secret",
        "NOT level:public",
        "level:public OR level:secret",
        "zzfield:zzvalue1",
        "NOT zzfield:zzvalue1",
        "zzfield:[a TO z]",
        "number:[1 TO 5]",
        "subject:zzvalue1",
        ") OR (level:secret",
        'level:public" OR level:secret',
    ]
)
_options = st.fixed_dictionaries(
    {"k": st.sampled_from([3, 100])},
    optional={
        "filter": _filters,
        "facets": st.sampled_from(["level", "subject", "subject,tags", "zzfield"]),
        "sort": st.sampled_from(["number", "subject:desc", "zzfield"]),
        "signals": st.sampled_from(["bm25", "bert", "bm25,bert"]),
    },
)
_steered = st.fixed_dictionaries(
    {}, optional={"like": st.lists(_ids, max_size=2), "unlike": st.lists(_ids, max_size=1)}
)


def _request(operation: str, method: str, path: str, **asks: Given) -> Requests:
    built = st.fixed_dictionaries(asks)
    return st.builds(lambda given: _Request(operation, method, path, given), built)


def _with_options(operation: str, method: str, path: str, **asks: Given) -> Requests:
    return st.builds(
        lambda given, options: _Request(operation, method, path, {**options, **given}),
        st.fixed_dictionaries(asks),
        _options,
    )


def _on_document(operation: str, below: str, options: Given) -> Requests:
    return st.builds(
        lambda doc_id, given: _Request(
            operation, "GET", f"/documents/{path_of_doc_id(doc_id)}{below}", given
        ),
        _ids,
        options,
    )


REQUESTS = {
    "search": _with_options("search", "GET", "/search", q=_queries, explain=st.just("words")),
    "searchByBody": st.builds(
        lambda q, options, steered: _Request(
            "searchByBody", "POST", "/search", {"q": q, **options, **steered, "collapse": True}
        ),
        _queries,
        _options.map(lambda options: {n: v for n, v in options.items() if n != "sort"}),
        _steered,
    ),
    "searchBatch": _request(
        "searchBatch",
        "POST",
        "/search/batch",
        queries=st.lists(st.fixed_dictionaries({"q": _queries}), min_size=1, max_size=3),
    ),
    "recommend": _with_options(
        "recommend", "POST", "/recommend", liked=st.lists(_ids, min_size=1, max_size=2)
    ),
    "suggest": _request(
        "suggest",
        "GET",
        "/suggest",
        q=st.sampled_from(
            ["z", "zz", "zzw", "zztit", "Zztitel", "f", "file a", "op", "the zzw", "socket", "q"]
        ),
        limit=st.sampled_from([5, 50]),
    ),
    "document": _on_document("document", "", st.just({})),
    "passages": _on_document("passages", "/passages", st.just({})),
    "similarDocuments": _on_document("similarDocuments", "/similar", _options),
    "encode": _request(
        "encode",
        "POST",
        "/embeddings",
        texts=st.lists(_text, min_size=1, max_size=2),
        encoder=st.sampled_from(["bert", "tfidf", "word2vec"]),
    ),
    "neighbors": _request(
        "neighbors",
        "POST",
        "/neighbors",
        positive=_points,
        among=st.sampled_from(["documents", "words"]),
        encoder=st.sampled_from([None, "bert", "tfidf", "word2vec"]),
        k=st.just(100),
    ),
    "similarity": st.builds(
        lambda points, encoder: _Request(
            "similarity",
            "POST",
            "/similarity",
            {"first": points[0], "second": points[-1], "encoder": encoder},
        ),
        _points,
        st.sampled_from([None, "bert", "tfidf", "word2vec"]),
    ),
    "map": _request("map", "GET", "/map"),
    "mapDocuments": _request(
        "mapDocuments", "GET", "/map/documents", rows=st.sampled_from(["0", "1,2", "70", "9999"])
    ),
    "mapHits": _request("mapHits", "GET", "/map/hits", q=_queries),
    "versions": _request("versions", "GET", "/versions"),
    "version": _request("version", "GET", "/versions/x"),
    "activateVersion": _request("activateVersion", "POST", "/versions/x/activate"),
    "verifyVersion": _request("verifyVersion", "POST", "/versions/x/verify"),
}
# Their parameters stand in the address, whatever the method.
IN_ADDRESS = {"putDocument", "deleteDocument", "uploadDocuments", "reindex"}
# These take no collection; they have tests of their own below.
WITHOUT_COLLECTION = {"health", "live", "ready"}
WRITES = [
    _Request("putDocument", "PUT", "/documents/new", {}, body='{"text": "A new document."}'),
    _Request("deleteDocument", "DELETE", "/documents/zzident/1", {}),
    _Request(
        "uploadDocuments",
        "POST",
        "/documents",
        {},
        content_type="application/x-ndjson",
        body='{"id": "a", "text": "b"}\n',
    ),
    _Request("reindex", "POST", "/reindex", {}),
    _Request("task", "GET", "/tasks/zzword", {}),
    _Request("tasks", "GET", "/tasks", {}),
    _Request("judgments", "GET", "/judgments", {}),
    _Request("judge", "POST", "/judgments", {"query": "file", "doc_id": "files/01"}),
    _Request("importJudgments", "POST", "/judgments/import", {"queries": "", "qrels": ""}),
]
_any_request = st.sampled_from(sorted(REQUESTS)).flatmap(lambda name: REQUESTS[name])


def test_every_operation_is_tried() -> None:
    named = {operation.name for group in ALL_OPERATIONS for operation in group.all}
    assert named == REQUESTS.keys() | WITHOUT_COLLECTION | {one.operation for one in WRITES}


def _told(response: TestResponse) -> str:
    """All of an answer, headers too."""
    headers = "\n".join(f"{name}: {value}" for name, value in response.headers)
    return f"{headers}\n{response.text}".lower()


def _assert_no_marker(request: _Request, response: TestResponse) -> None:
    asked = f"{request.path} {json.dumps(request.asks)}".lower()
    told = _told(response)
    for marker in MARKERS:
        if marker not in asked:
            assert marker not in told, (request, told)
    # Nor anything of which only a part was asked.
    for found in re.findall(r"zz(?:value|ident/|title |name\.)\d+", told):
        assert found in asked, (request, found)


def _comparable(response: TestResponse, *, collapsed: bool = False) -> object:
    """What must not depend on documents that are not seen; scores may, through statistics.

    So may, among hits much alike, which one comes first, and with that how many are left of them.
    """
    content = response.get_json(force=True)
    if response.status_code >= 400:
        return response.status_code, re.sub(
            r"clean|mixed|zzother|nope|\d{8}T[\d.]+Z-\w{6}", "*", response.text
        )
    entries = [entry.get("answer") or entry for entry in content.get("answers", [content])]
    found = []
    for entry in entries:
        ids = [hit["doc_id"] for hit in entry.get("hits", ())]
        found.append(
            {
                "status": entry.get("status"),
                "total": entry.get("total"),
                "facets": entry.get("facets"),
                "did_you_mean": entry.get("did_you_mean"),
                "hits": (
                    None
                    if collapsed
                    else sorted(ids)
                    if len(ids) == entry.get("total")
                    else len(ids)
                ),
                "suggestions": entry.get("suggestions"),
                "document": [entry.get(name) for name in ("doc_id", "text", "metadata", "names")],
                "passages": entry.get("passages"),
                "embeddings": entry.get("embeddings"),
                "neighbors": entry.get("neighbors"),
                "similarity": entry.get("similarity"),
            }
        )
    return response.status_code, found


@given(request=_any_request)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_nothing_of_documents_outside_a_keys_filter_is_told(
    client: FlaskClient, keys: _Keys, request: _Request
) -> None:
    mixed = request.send(client, keys.filtered, "mixed")
    _assert_no_marker(request, mixed)
    assert mixed.status_code < 500
    clean = request.send(client, keys.filtered, "clean")
    collapsed = "collapse" in request.asks
    assert _comparable(mixed, collapsed=collapsed) == _comparable(clean, collapsed=collapsed)
    if "Cache-Control" in mixed.headers:
        assert mixed.headers["Cache-Control"].startswith(("private", "no-store"))


@given(request=_any_request)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_another_collection_is_as_one_that_is_not_there(
    client: FlaskClient, keys: _Keys, request: _Request
) -> None:
    for key in (keys.filtered, keys.one_collection):
        hidden = request.send(client, key, "zzother")
        assert _comparable(hidden) == _comparable(request.send(client, key, "nope"))
        assert hidden.status_code == 200 or hidden.status_code >= 400
        if request.operation != "searchBatch":
            assert hidden.status_code in {400, 403, 404}


@pytest.mark.parametrize("request_", WRITES, ids=lambda request: str(request.operation))
def test_writing_elsewhere_than_in_a_keys_own_collections_is_refused(
    client: FlaskClient, keys: _Keys, data_dir: Path, request_: _Request
) -> None:
    before = sorted(path for path in data_dir.rglob("*") if "state" not in path.parts)
    hidden = request_.send(client, keys.one_collection, "zzother")
    assert hidden.status_code == 404
    assert _comparable(hidden) == _comparable(request_.send(client, keys.one_collection, "nope"))
    assert request_.send(client, keys.filtered, "mixed").status_code == 403
    assert sorted(path for path in data_dir.rglob("*") if "state" not in path.parts) == before
    assert not (data_dir / "zzother" / "state" / "writes.sqlite").exists()


def test_several_collections_are_refused_as_one(client: FlaskClient, keys: _Keys) -> None:
    for others in ("clean,zzother", "zzother,clean", "mixed,zzother"):
        asked = _Request("search", "GET", "/search", {"q": "file"})
        hidden = asked.send(client, keys.filtered, others)
        assert hidden.status_code == 404
        missing = asked.send(client, keys.filtered, others.replace("zzother", "nope"))
        assert _comparable(hidden) == _comparable(missing)
    both = asked.send(client, keys.filtered, "clean,mixed").get_json()
    totals = {entry["collection"]: entry["total"] for entry in both["collections"]}
    assert totals["clean"] == totals["mixed"]


def test_versions_of_another_collection_cannot_be_named(
    client: FlaskClient, keys: _Keys, data_dir: Path
) -> None:
    theirs = CollectionFolder(data_dir, "zzother").current()
    headers = {"X-API-Key": keys.one_collection}
    for path in (f"search?q=x&version={theirs}", f"search?q=x&collection=zzother&version={theirs}"):
        assert client.get(f"{API}/{path}", headers=headers).status_code == 404
    assert client.get(f"{API}/versions/{theirs}", headers=headers).status_code == 404


def test_health_tells_of_a_keys_own_collections_alone(
    client: FlaskClient, keys: _Keys, data_dir: Path
) -> None:
    def health(key: str) -> dict[str, Any]:
        told = client.get(f"{API}/health", headers={"X-API-Key": key})
        return {} if told.status_code != 200 else dict(told.get_json())

    told = health(keys.filtered)
    assert told["default_collection"] == "mixed"
    counts = {entry["collection"]: entry["documents"] for entry in told["collections"]}
    assert counts == {"clean": len(public_documents()), "mixed": len(public_documents())}
    assert health(keys.one_collection)["default_collection"] == "clean"
    assert [e["collection"] for e in health(keys.one_collection)["collections"]] == ["clean"]
    assert len(health(keys.everything)["collections"]) == 3
    anybody = client.get(f"{API}/health/ready")
    assert anybody.get_json() == {"status": "ok", "collection": None, "version": None}
    watcher = client.get(f"{API}/health/ready", headers={"X-API-Key": keys.everything})
    assert watcher.get_json()["collection"] == "mixed"
    assert client.get(f"{API}/health/live").get_json() == {"status": "ok"}


@given(request=st.one_of(_any_request, st.sampled_from(WRITES)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_key_without_the_scope_learns_nothing(
    client: FlaskClient, keys: _Keys, request: _Request
) -> None:
    scopes = {op.name: op.scope for group in ALL_OPERATIONS for op in group.all}
    needed = scopes[request.operation]
    for scope, key in keys.of_scope.items():
        if scope != needed:
            refused = {
                re.sub(r'"instance":"[^"]*"', "", request.send(client, key, name).text)
                for name in ("mixed", "zzother", "nope", "../x")
            }
            assert len(refused) == 1
            assert '"/problems/forbidden"' in refused.pop()
    for nobody in (None, "trine_000000000000_" + "0" * 64, "x", keys.filtered[:-1]):
        answer = request.send(client, nobody, "mixed")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.get_json(force=True)["type"] == "/problems/unauthorized"
        assert nobody is None or nobody not in _told(answer).split(" ")


@pytest.mark.parametrize("text", ["open {} file", '"{} socket" file', "+file {}", "{}", "-{} date"])
@pytest.mark.parametrize("signals", ["bm25,tfidf,word2vec", "tfidf", "word2vec", "bm25"])
def test_whether_others_hold_a_word_cannot_be_asked(
    client: FlaskClient, keys: _Keys, text: str, signals: str
) -> None:
    def told(word: str) -> tuple[int, str]:
        answer = client.get(
            f"{API}/search",
            query_string={
                "q": text.format(word),
                "signals": signals,
                "explain": "words",
                "k": 100,
                "collection": "mixed",
            },
            headers={"X-API-Key": keys.filtered},
        )
        without_times = re.sub(r'"(took_ms|stages_ms)":(\{[^}]*\}|[0-9.]+)', "", answer.text)
        return answer.status_code, without_times.replace(word, "*")

    # No document at all holds the other one.
    assert told("zzword") == told("zzqqqq")


# What only hidden documents have, and what nobody has; as long, so that answers are, too.
ABSENT = {
    "zzident": "zzidxnt",
    "zztitle": "zztitxe",
    "zzword": "zzwoxd",
    "zzfield": "zzfixld",
    "zzvalue": "zzvaxue",
    "zzname": "zznaxe",
    "zzother": "zzotxer",
}
# A text that a transformer reads has another embedding with every other word.
READS_TEXTS = {"encode", "neighbors", "similarity"}
# What is told of documents themselves; scores, and so the order of hits, know rarities of words.
WHOLE_ANSWERS = {
    *("document", "passages", "suggest", "encode", "neighbors", "similarity"),
    *("map", "mapDocuments", "mapHits", "versions", "version", "activateVersion", "verifyVersion"),
}
PASSING = {"Date", "X-Request-ID", "ETag", "Content-Length"}


def _absent(text: str) -> str:
    for hidden, absent in ABSENT.items():
        text = text.replace(hidden, absent).replace(hidden.title(), absent.title())
    return text


def _whole(response: TestResponse) -> tuple[int, str, list[tuple[str, str]], bool]:
    """All of an answer but what is another each time."""
    body = re.sub(r'"(?:took_ms|stages_ms)":(?:\{[^}]*\}|[0-9.]+)', "", response.text)
    headers = sorted((name, value) for name, value in response.headers if name not in PASSING)
    return response.status_code, body, headers, "ETag" in response.headers


@given(request=_any_request)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_what_is_hidden_is_as_what_is_not_there_to_the_last_byte(
    client: FlaskClient, keys: _Keys, request: _Request
) -> None:
    asks = dict(request.asks)
    asked = [asks, *asks.get("queries", ())]
    for one in asked:
        if "q" in one and request.operation in {"search", "searchByBody", "searchBatch"}:
            one["signals"] = ["bm25", "tfidf", "word2vec"]
            if request.method == "GET":
                one["signals"] = ",".join(one["signals"])
    text = json.dumps(asks)
    if request.operation in READS_TEXTS:
        assume('"text": "' not in text and "texts" not in asks)
    hidden = replace(request, asks=asks)
    absent = replace(request, path=_absent(request.path), asks=json.loads(_absent(text)))
    found = _whole(hidden.send(client, keys.filtered, "mixed"))
    status, body, headers, tagged = found
    other = _whole(absent.send(client, keys.filtered, "mixed"))
    assert (status, _absent(body), headers, tagged) == other


@given(request=_any_request)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_answers_are_the_same_where_nothing_is_hidden(
    client: FlaskClient, keys: _Keys, request: _Request
) -> None:
    assume(request.operation in WHOLE_ANSWERS)

    def told(collection: str) -> object:
        status, body, headers, tagged = _whole(request.send(client, keys.filtered, collection))
        unnamed = re.sub(rf"\b{collection}\b|\d{{8}}T[\d.]+Z-\w{{6}}", "*", body)
        return status, unnamed, headers, tagged

    assert told("mixed") == told("clean")


def test_metrics_are_for_keys_that_are_bound_to_nothing(client: FlaskClient, keys: _Keys) -> None:
    for key in (keys.one_collection, keys.filtered):
        refused = client.get("/metrics", headers={"X-API-Key": key})
        assert refused.status_code == 403
        assert "zzother" not in refused.text
    assert "zzother" in client.get("/metrics", headers={"X-API-Key": keys.everything}).text
