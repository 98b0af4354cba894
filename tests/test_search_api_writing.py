"""The routes that write, without a server: what they accept, refuse and answer."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from ingest.errors import QueryError
from pipeline.command_line.indexer import GATHERED_S, Indexer
from pipeline.version import write_log
from pipeline.version.collection import CollectionFolder
from pipeline.version.write_log import WriteLog
from pipeline.version.writes import Write
from search_api.written_documents import MAX_ID_CHARACTERS, document_of, writes_of_lines
from web import Settings, create_app

API = "/api/v1"
LINES = "application/x-ndjson"


@pytest.fixture
def client(copied_data_dir: Path) -> FlaskClient:
    return create_app(Settings(copied_data_dir, writable=True, admin=True)).test_client()


def index(data_dir: Path) -> None:
    """Do what the process beside a server does."""
    Indexer(data_dir, clock=lambda: time.time() + GATHERED_S).look()


def pending(data_dir: Path) -> int:
    return WriteLog(CollectionFolder(data_dir, "default")).backlog().n_writes


def problem(response: TestResponse, status: int, parameter: str | None = None) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    told: dict[str, Any] = response.get_json(force=True)
    assert told.get("parameter") == parameter
    return str(told["detail"])


def test_a_document_is_put_changed_and_deleted(client: FlaskClient, copied_data_dir: Path) -> None:
    document = {
        "title": "  Zebra\ncrossing ",
        "text": "Stripes.\r\n\r\n\r\n\r\nMore.",
        "url": "https://example.org/z",
        "metadata": {"subject": "animals", "author": {"name": "Ada"}, "none": None},
        "names": ["zebra.crossing"],
    }
    address = API + "/documents/animals/zebra?x"
    accepted = client.put(API + "/documents/animals/zebra", json=document)
    assert accepted.status_code == 202
    task = accepted.get_json()
    assert accepted.headers["Location"] == task["address"]
    assert (task["state"], task["kind"], task["n_put"], task["n_deleted"]) == (
        "accepted",
        "write",
        1,
        0,
    )
    assert client.get(API + "/documents/animals/zebra").status_code == 404
    index(copied_data_dir)
    told = client.get(task["address"]).get_json()
    assert told["state"] == "published"
    found = client.get(f"{API}/documents/animals/zebra?version={told['version']}").get_json()
    assert found["title"] == "Zebra crossing"
    assert found["text"] == "Stripes.\n\nMore."
    assert found["metadata"] == {"subject": "animals", "author.name": "Ada"}
    hits = client.get(f"{API}/search?q=zebra.crossing&version={told['version']}").get_json()["hits"]
    assert hits[0]["doc_id"] == "animals/zebra"
    deleted = client.delete(API + "/documents/animals/zebra").get_json()
    index(copied_data_dir)
    version = client.get(deleted["address"]).get_json()["version"]
    assert client.get(f"{API}/documents/animals/zebra?version={version}").status_code == 404
    problem(client.put(address, json=document), 400, "x")


def test_a_bulk_upload_is_one_task(client: FlaskClient, copied_data_dir: Path) -> None:
    lines = [json.dumps({"_id": n, "text": f"Text of {n}"}) for n in range(50)]
    lines += ["", json.dumps({"doc_id": "long", "delete": True})]
    accepted = client.post(API + "/documents", data="\n".join(lines), content_type=LINES)
    assert accepted.status_code == 202
    task = accepted.get_json()
    assert (task["n_put"], task["n_deleted"]) == (50, 1)
    index(copied_data_dir)
    version = client.get(task["address"]).get_json()["version"]
    folder = CollectionFolder(copied_data_dir, "default")
    assert folder.current() == version
    assert folder.manifest(version).n_documents == 65 + 50 - 1


@pytest.mark.parametrize(
    ("line", "parameter"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"text": "no id"}', "doc_id"),
        (b'{"_id": "x"}', "text"),
        (b'{"_id": "x", "text": 7}', "text"),
        (b'{"_id": "x", "text": "a", "titel": "b"}', "titel"),
        (b'{"_id": "x", "id": "x", "text": "a"}', "id"),
        (b'{"_id": "x", "text": "a", "text": "b"}', "text"),
        (b'{"_id": null, "text": "a"}', "_id"),
        (b'{"_id": " ", "text": "a"}', "_id"),
        (b'{"_id": true, "text": "a"}', "_id"),
        (b'{"_id": "x", "text": "a", "url": "javascript:alert(1)"}', "url"),
        (b'{"_id": "x", "text": "a", "metadata": []}', "metadata"),
        (b'{"_id": "x", "text": "a", "names": "y"}', "names"),
        (b'{"_id": "x", "delete": false}', "delete"),
        (b'{"_id": "x", "delete": true, "text": "a"}', "text"),
        (b'{"_id": "first", "text": "again"}', "doc_id"),
        (b'{"_id": "x", "text": "\xff"}', None),
        (b"[" * 100_000, None),
        (b'{"_id": ' + b"9" * 5000 + b', "text": "a"}', None),
    ],
    ids=range(20),
)
def test_one_bad_line_and_nothing_is_accepted(
    client: FlaskClient, copied_data_dir: Path, line: bytes, parameter: str | None
) -> None:
    body = b'{"_id": "first", "text": "good"}\n\n' + line + b'\n{"_id": "last", "text": "good"}'
    detail = problem(client.post(API + "/documents", data=body, content_type=LINES), 400, parameter)
    assert detail.startswith("line 3: ")
    assert detail.endswith("nothing was accepted")
    assert pending(copied_data_dir) == 0


def test_what_cannot_be_put_is_refused(client: FlaskClient, copied_data_dir: Path) -> None:
    put = API + "/documents/x"
    problem(client.put(put, json={"text": ""}), 400, "text")
    problem(client.put(put, json={"text": "a", "doc_id": "y"}), 400, "doc_id")
    problem(client.put(put, json={"text": "a", "version": "1"}), 400, "version")
    problem(client.put(put, data="text", content_type="text/plain"), 415)
    problem(client.put(put, data=b"{", content_type="application/json"), 400)
    problem(client.put(API + "/documents/" + "x" * (MAX_ID_CHARACTERS + 1), json={}), 400, "doc_id")
    problem(client.put(put + "?collection=../x", json={"text": "a"}), 400, "collection")
    problem(client.put(put + "?wait=61", json={"text": "a"}), 400, "wait")
    problem(client.put(put + "?wait=nan", json={"text": "a"}), 400, "wait")
    problem(client.put(put + "?wait=1&wait=2", json={"text": "a"}), 400, "wait")
    large = json.dumps({"text": "x" * 10_000_000})
    detail = problem(client.put(put, data=large, content_type="application/json"), 413)
    assert "10,000,000 bytes" in detail
    problem(client.post(API + "/documents", data=b"\n\n", content_type=LINES), 400)
    problem(client.post(API + "/documents", data=b"{}", content_type="application/json"), 415)
    detail = problem(
        client.post(API + "/documents", data=b"\n" * 50_000_001, content_type=LINES), 413
    )
    assert "50,000,000 bytes" in detail
    problem(client.delete(API + "/documents/x?collection=nope"), 404, "collection")
    problem(client.get(API + "/tasks/nope"), 404)
    problem(client.get(API + "/tasks?limit=1001"), 400, "limit")
    assert pending(copied_data_dir) == 0
    assert not WriteLog(CollectionFolder(copied_data_dir, "default")).exists()


def test_a_search_still_takes_no_large_body(client: FlaskClient) -> None:
    large = json.dumps({"q": "x" * 1_100_000})
    told = problem(client.post(API + "/search", data=large, content_type="application/json"), 413)
    assert "1,000,000 bytes" in told


def test_a_collection_is_made_by_writing(client: FlaskClient, copied_data_dir: Path) -> None:
    put = client.put(API + "/documents/x?collection=fresh", json={"text": "Xylophone music."})
    index(copied_data_dir)
    task = client.get(put.get_json()["address"]).get_json()
    assert (task["state"], task["collection"]) == ("published", "fresh")
    folder = CollectionFolder(copied_data_dir, "fresh")
    own = CollectionFolder(copied_data_dir, "default")
    manifests = [entry.manifest(entry.current()) for entry in (folder, own)]
    assert manifests[0].settings["encoders"] == manifests[1].settings["encoders"]
    hits = client.get(API + "/search?q=xylophone&collection=fresh").get_json()["hits"]
    assert [hit["doc_id"] for hit in hits] == ["x"]


def test_odd_documents_do_not_hold_up_others(client: FlaskClient, copied_data_dir: Path) -> None:
    odd: list[dict[str, object]] = [
        {"text": "\x00\ud800", "title": "\u200b"},
        {"text": "a", "metadata": {"subject": 7, "number": "many", "published": [1], "tags": {}}},
        {"text": "a", "metadata": {"\ud800": "\udfff", " ": 1, "": 2, "a.b": {"c": {"d": []}}}},
        {"text": "a", "metadata": {"i": 10**400 % 10**40, "f": 1e308, "b": True, "n": None}},
        {"text": "a", "metadata": {"x" * 5000: "y" * 5000, "../../up": 1, "nul\x00": 1}},
        {"text": "a", "metadata": {f"field {n}": n for n in range(300)}},
        {"text": "a", "metadata": {"language": "xx", "number": -0.0}},
        {"text": "a", "names": ["n", "n", " ", "\x00", "x" * 5000]},
        {"text": "word " * 20_000, "title": "t" * 5000},
        {"text": "\u202e\U0001f469\u200d\U0001f52c" * 50, "url": "http://"},
    ]
    ids = ["..", "a//b", "/x/", "%2e", "x" * 1000, "é", "e\u0301", "a\nb", "🙂", "id,with:\"signs'"]
    lines = [json.dumps({"doc_id": name, **each}) for name, each in zip(ids, odd, strict=True)]
    sent = client.post(API + "/documents", data="\n".join(lines), content_type=LINES)
    assert sent.status_code == 202, sent.text
    good = client.put(API + "/documents/good", json={"text": "A good document."}).get_json()
    index(copied_data_dir)
    told = client.get(good["address"]).get_json()
    assert (told["state"], told["error"]) == ("published", None)
    folder = CollectionFolder(copied_data_dir, "default")
    assert folder.manifest(folder.current()).n_documents == 65 + len(odd) + 1


@pytest.mark.parametrize("depth", [100, *range(900, 1000, 10), 100_000])
def test_deeply_nested_metadata_is_text_or_refused(client: FlaskClient, depth: int) -> None:
    body = '{"text": "a", "metadata": {"m": ' + "[" * depth + "]" * depth + "}}"
    sent = client.put(API + "/documents/x", data=body, content_type="application/json")
    assert sent.status_code in (202, 400)


def test_reading_the_sources_again(client: FlaskClient, copied_data_dir: Path) -> None:
    assert "no" in problem(client.post(API + "/reindex"), 409)
    problem(client.post(API + "/reindex?collection=nope"), 404, "collection")


def test_a_full_log_asks_for_patience(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_log, "MAX_PENDING", 1)
    client.put(API + "/documents/x", json={"text": "a"})
    refused = client.put(API + "/documents/y", json={"text": "a"})
    problem(refused, 503)
    assert refused.headers["Retry-After"] == "10"


def test_tasks_are_listed_newest_first(client: FlaskClient) -> None:
    assert client.get(API + "/tasks").get_json() == {"collection": "default", "tasks": []}
    made = [
        client.put(f"{API}/documents/{n}", json={"text": "a"}).get_json()["task"] for n in range(4)
    ]
    listed = client.get(API + "/tasks?limit=3").get_json()["tasks"]
    assert [task["task"] for task in listed] == made[:0:-1]


def test_nobody_writes_unless_told_so(copied_data_dir: Path) -> None:
    client = create_app(Settings(copied_data_dir)).test_client()
    for asked in (
        client.put(API + "/documents/x", json={"text": "a"}),
        client.delete(API + "/documents/x"),
        client.post(API + "/documents", data=b'{"_id":1,"text":"a"}', content_type=LINES),
        client.post(API + "/reindex"),
        client.get(API + "/tasks"),
    ):
        assert re.search("--(writable|admin)", problem(asked, 403))
    assert not (copied_data_dir / "default" / "state" / "writes.sqlite").exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "[half"},
    ],
    ids=str,
)
def test_other_sites_pages_cannot_write(client: FlaskClient, headers: dict[str, str]) -> None:
    asked = client.post(API + "/reindex", headers=headers)
    assert asked.status_code in (400, 403)
    far = client.put(
        API + "/documents/x", json={"text": "a"}, environ_base={"REMOTE_ADDR": "192.0.2.1"}
    )
    problem(far, 403)
    own = client.put(
        API + "/documents/x", json={"text": "a"}, headers={"Origin": "http://localhost"}
    )
    assert own.status_code == 202


def test_reading_and_writing_share_an_address(client: FlaskClient) -> None:
    allowed = client.post(API + "/documents/x").headers["Allow"]
    assert {"GET", "PUT", "DELETE"} <= {name.strip() for name in allowed.split(",")}


def write_of(line: bytes) -> Write | QueryError:
    try:
        (write,) = writes_of_lines([line])
    except QueryError as error:
        return error
    return write


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["doc_id", "title", "text", "url", "metadata", "names", "delete"]), _JSON
    )
)
def test_any_json_is_a_document_or_refused_by_name(content: dict[str, object]) -> None:
    write = write_of(json.dumps(content).encode())
    if isinstance(write, QueryError):
        assert write.parameter in {*content, "doc_id", "text"}
    elif write.document is None:
        assert content["delete"] is True
    else:
        # What was cleaned once stays as it is, in the log and in a version.
        again = write.from_json(write.doc_id, write.to_json())
        assert again.document == write.document == document_of(content)
