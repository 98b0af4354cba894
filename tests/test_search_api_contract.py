"""The contract holds: whatever fits the OpenAPI document, and whatever does not, is answered so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from conftest import make_library
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, SerializationContext
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.write_log import WriteLog
from search_api.openapi import openapi_document
from search_api.problems import ALL_KINDS
from search_api.routes import ALL_OPERATIONS
from search_api.snapshot import pool_of
from web import Settings, create_app

OPERATIONS = {operation.name: operation for group in ALL_OPERATIONS for operation in group.all}
CONTRACT = "/api/v1/openapi.json"
SOAK = 480
# Not that all that fits the schema is accepted: whether a filter can be read, or a field is
# there to sort by, no schema tells.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
# What no generator finds by itself: values that mean something in the library.
MEANINGFUL: dict[str, list[object]] = {
    "filter": ["subject:files", "number:[1 TO 5] AND NOT draft:true", "tags:open OR ratio:0.5"],
    "sort": ["number", "published:desc", "subject:asc"],
    "facets": [["subject"], ["tags", "draft"]],
    "collection": ["default", "other", None],
    "like": [["files/01"], ["time/02", "long"]],
    "unlike": [["numbers/03"]],
    "liked": [["files/01"], ["time/02", "long"]],
    "disliked": [["numbers/03"]],
    "weights": ["bm25:1", "bm25:0.5,bert:0.5"],
    "q": ["read a file", "+open -close", '"the clock"', "subject:time date"],
    "version": [None],
    "title": ["Zebra crossing"],
    "url": ["https://example.org/a?b=c"],
    "metadata": [{"subject": "animals", "year": 2020, "tags": ["a", "b"]}],
    "rows": [[0], [3, 1]],
    "doc_id": [quote(i, safe="") for i in ("files/01", "long", "ünï/cødé?x=1&y#2 %20")],
}


GOOD_LINES = [
    {"doc_id": "zebra", "text": "Stripes."},
    {"_id": 7, "title": "Seven", "metadata": {"number": 7}},
    {"id": "ünï/cødé", "text": "Odd.", "names": ["odd"]},
    {"doc_id": "files/01", "delete": True},
]
BAD_LINES = [{"doc_id": "no text"}, {"doc_id": "x", "text": 1}, "not a document"]
LINES = (
    st.lists(st.sampled_from(GOOD_LINES).map(json.dumps), max_size=4, unique=True)
    | st.lists(st.sampled_from(GOOD_LINES + BAD_LINES).map(json.dumps) | st.text(), max_size=4)
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
schemathesis.openapi.media_type("application/x-ndjson", LINES)


@schemathesis.serializer("application/x-ndjson")
def lines_as_they_are(context: SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Path:
    folder = tmp_path_factory.mktemp("contract")
    documents = make_library()
    build_version(CollectionFolder(folder, "default"), documents, settings=tiny_settings)
    build_version(CollectionFolder(folder, "other"), documents[::2], settings=tiny_settings)
    return folder


@pytest.fixture(scope="module")
def app(data_dir: Path) -> Flask:
    app = create_app(Settings(data_dir, writable=True, admin=True))
    answer = app.wsgi_app

    def from_this_machine(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return answer({**environ, "REMOTE_ADDR": "127.0.0.1"}, start)

    app.wsgi_app = from_this_machine  # type: ignore[assignment]
    return app


def test_the_document_is_openapi_and_the_same_each_time(app: Flask) -> None:
    schemathesis.openapi.from_wsgi(CONTRACT, app).validate()
    served = app.test_client().get(CONTRACT)
    assert served.get_json() == json.loads(json.dumps(openapi_document(ALL_OPERATIONS)))
    assert served.get_json()["openapi"].startswith("3.1")


def test_every_operation_is_described_whole(app: Flask) -> None:
    document = openapi_document(ALL_OPERATIONS)
    client = app.test_client()
    told = {str(kind.status) for kind in ALL_KINDS}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            name = f"{method} {path}"
            assert described["summary"], name
            assert described["x-trine-scope"] in {None, "search", "write", "admin"}, name
            for status, answer in described["responses"].items():
                assert answer["description"] != "A problem.", f"{name}: {status}"
                assert "X-Request-ID" in answer["headers"], f"{name}: {status}"
                assert status in {"200", "202", "304", *told}
            if "requestBody" in described:
                (body,) = described["requestBody"]["content"].values()
                assert "example" in body, name
    # A type is the address of a page about it.
    for kind in ALL_KINDS:
        assert kind.title in client.get(kind.type).text.replace("&#39;", "'")


def test_every_route_is_in_the_document(app: Flask) -> None:
    served = {
        (rule.endpoint.removeprefix("api."), method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.") and rule.endpoint != "api.openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == {(operation.name, operation.method) for operation in OPERATIONS.values()}


def _with_meaning(members: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """Put some values that mean something in place of those that only fit."""
    members = dict(members)
    for name in sorted(set(members) & set(MEANINGFUL)):
        if data.draw(st.integers(0, 3)):
            value = data.draw(st.sampled_from(MEANINGFUL[name]))
            if value is None:
                del members[name]
            else:
                members[name] = value
    if members.get("query") is not None and members.get("q") is not None:
        del members["query"]
    return members


def _mean_something(case: Case, data: st.DataObject, known: dict[str, list[str]]) -> None:
    case.query = _with_meaning(case.query, data)
    if "doc_id" in case.path_parameters:
        case.path_parameters = _with_meaning(case.path_parameters, data)
    elif case.path_parameters and data.draw(st.booleans()):
        (name,) = case.path_parameters
        case.path_parameters = {name: data.draw(st.sampled_from(known[name]))}
    if isinstance(case.body, dict):
        case.body = _with_meaning(case.body, data)
        if case.method == "PUT" and data.draw(st.integers(0, 3)):
            # Beside an address only the very same id is right.
            case.body = {n: v for n, v in case.body.items() if n not in {"doc_id", "_id", "id"}}


def _versions(app: Flask) -> list[str]:
    return [v["version"] for v in app.test_client().get("/api/v1/versions").get_json()["versions"]]


def _tasks(app: Flask) -> list[str]:
    """Some that are done, some that failed, some that wait."""
    client, folder = app.test_client(), CollectionFolder(pool_of(app).data_dir, "default")
    log = WriteLog(folder)
    made = []
    for end in ("done", "failed", "waits"):
        made.append(client.put("/api/v1/documents/x", json={"text": "a"}).get_json()["task"])
        sequence = log.backlog().sequence
        if end == "done":
            log.settle(sequence, folder.current())
        elif end == "failed":
            log.begin(sequence)
            log.fail(sequence, "the disk is full")
    return made


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("n_examples", [8, pytest.param(SOAK, marks=pytest.mark.soak, id="soak")])
def test_requests_of_every_kind_are_answered_as_documented(app: Flask, n_examples: int) -> None:
    schema = schemathesis.openapi.from_wsgi(CONTRACT, app)
    known = {"version": _versions(app), "task": _tasks(app)}
    statuses: Counter[int] = Counter()

    def ask(case: Case, data: st.DataObject) -> None:
        meta = case.meta
        positive = meta is None or meta.generation.mode == GenerationMode.POSITIVE
        if positive:
            _mean_something(case, data, known)
        if "wait" in case.query and _is_number(case.query["wait"]):
            # Nothing is indexed here: whoever waits, waits in vain.
            case.query = {**case.query, "wait": 0.01}
        response = case.call()
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        if response.status_code < 300:
            OPERATIONS[case.operation.definition.raw["operationId"]].answers.model_validate_json(
                response.content
            )

    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            if mode == GenerationMode.NEGATIVE and not _takes_anything(operation):
                continue
            asked = given(case=operation.as_strategy(generation_mode=mode), data=st.data())(ask)
            settings(
                max_examples=n_examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(seed(20260101)(asked))()
        told = f"{statuses.total()} requests up to {operation.label}: {sorted(statuses.items())}"
        print(told, flush=True)  # noqa: T201
    if n_examples >= SOAK:
        assert statuses.total() >= 20_000
    # The generator reaches behind the checks of parameters.
    assert statuses[200] > statuses.total() / 10
    assert statuses[400] > statuses.total() / 10


def _takes_anything(operation: APIOperation[Any]) -> bool:
    raw = operation.definition.raw
    return "parameters" in raw or "requestBody" in raw
