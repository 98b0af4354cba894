"""Whatever is sent, as a query, a filter, a body or a document, is answered or refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import make_library
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from search_api.addresses import path_of_doc_id
from search_api.contract import PREFIX, Operation
from search_api.routes import ALL_OPERATIONS
from web import Settings, create_app

ODD = st.text(max_size=30) | st.sampled_from(
    ["(((", "a:[1 TO", "NOT", 'x:"', "\0", "AND AND", "number:[5 TO 1]", "-" * 30, "+" * 30,
     "..", "a/../b", "%", "\u202e\u0301", "e\u0301", "9" * 400, "1e999", "default,other"]
)  # fmt: skip
FIELDS = st.sampled_from(["subject", "number", "ratio", "published", "tags", "draft", "nope"])
BOUND = st.integers() | st.floats() | st.dates() | ODD
CONDITION = (
    st.builds("{}:{}".format, FIELDS, ODD)
    | st.builds("{}:[{} TO {}]".format, FIELDS, BOUND, BOUND)
    | st.builds('{}:"{}"'.format, FIELDS, ODD)
    | ODD
)
FILTER = st.recursive(
    CONDITION,
    lambda inner: (
        st.builds("({}) AND {}".format, inner, inner)
        | st.builds("NOT {} OR {}".format, inner, inner)
        | st.builds("({}".format, inner)
    ),
    max_leaves=6,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)
ALL = [operation for group in ALL_OPERATIONS for operation in group.all]
READS = [o for o in ALL if o.method == "GET" and o.asks is not None]
BODIES = [o for o in ALL if o.has_body and o.body is None and not o.path_parameters]
MEMBERS = {
    operation.name: sorted(operation.asks.model_fields)
    for operation in [*READS, *BODIES]
    if operation.asks is not None
}
DOCUMENT = st.fixed_dictionaries(
    {"text": ODD},
    optional={
        "doc_id": ODD | st.integers(),
        "title": ODD | st.none(),
        "url": st.just("https://example.org/") | ODD,
        "metadata": st.dictionaries(ODD, JSON, max_size=3),
        "names": st.lists(ODD, max_size=3),
    },
) | st.dictionaries(
    st.sampled_from(
        ["doc_id", "_id", "title", "text", "url", "metadata", "names", "delete", "nope"]
    ),
    JSON,
    max_size=5,
)
ALLOWED = {200, 202, 400, 404, 409, 413, 415}


class Asked:
    """A client that counts what is answered, and takes nothing that is the server's fault."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self.statuses: Counter[int] = Counter()

    def __call__(self, method: str, path: str, **given: object) -> TestResponse:
        answer = self._client.open(PREFIX + path, method=method, **given)  # type: ignore[arg-type]
        self.statuses[answer.status_code] += 1
        assert answer.status_code in ALLOWED, (method, path, given, answer.text)
        if answer.status_code >= 400:
            assert answer.content_type == "application/problem+json"
        return answer


@pytest.fixture
def asked(tmp_path: Path, tiny_settings: IndexSettings) -> Asked:
    for name in ("default", "other"):
        build_version(CollectionFolder(tmp_path, name), make_library(), settings=tiny_settings)
    return Asked(create_app(Settings(tmp_path, writable=True, admin=True)).test_client())


@pytest.mark.parametrize("n_examples", [30, pytest.param(1700, marks=pytest.mark.soak, id="soak")])
def test_nothing_brings_the_server_down(asked: Asked, n_examples: int) -> None:
    fuzzed = settings(
        max_examples=n_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    @fuzzed
    @given(ODD, FILTER)
    def search(text: str, condition: str) -> None:
        asked("POST", "/search", json={"q": text, "filter": condition, "k": 1})
        assert asked("GET", "/suggest", query_string={"q": text}).status_code == 200

    @fuzzed
    @given(st.data())
    def read(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(READS))
        names = st.sampled_from(MEMBERS[operation.name])
        arguments = data.draw(st.dictionaries(names, ODD | FILTER, max_size=4))
        path = operation.path
        for name in operation.path_parameters:
            path = path.replace(f"{{{name}}}", path_of_doc_id(data.draw(ODD) or "x"))
        # Nothing is indexed here: whoever waits, waits in vain.
        arguments.pop("wait", None)
        _check_parameter(asked("GET", path, query_string=arguments), operation, arguments)

    @fuzzed
    @given(st.data())
    def send(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(BODIES))
        names = st.sampled_from(MEMBERS[operation.name])
        body = data.draw(st.dictionaries(names, JSON, max_size=5) | JSON)
        answer = asked(operation.method, operation.path, data=json.dumps(body), headers=_JSON)
        _check_parameter(answer, operation, body if isinstance(body, dict) else {})

    @fuzzed
    @given(ODD, DOCUMENT, st.lists(DOCUMENT | JSON, max_size=4), st.binary(max_size=40))
    def write(doc_id: str, document: object, lines: list[object], junk: bytes) -> None:
        path = f"/documents/{path_of_doc_id(doc_id or 'x')}"
        asked("PUT", path, data=json.dumps(document), headers=_JSON)
        body = "\n".join(json.dumps(line) for line in lines).encode() + junk
        asked("POST", "/documents", data=body, headers=_LINES)

    for run in (search, read, send, write):
        run()
    told = f"{asked.statuses.total()} fuzzed requests: {sorted(asked.statuses.items())}"
    print(told, flush=True)  # noqa: T201
    assert asked.statuses.total() >= 4 * n_examples
    # What is sent reaches behind the checks of parameters.
    assert asked.statuses[200] + asked.statuses[202] > asked.statuses.total() / 10


def _check_parameter(
    answer: TestResponse, operation: Operation, sent: Mapping[str, object]
) -> None:
    """A problem names a parameter that there is, or one that was sent."""
    named = answer.get_json(force=True).get("parameter") if answer.status_code >= 400 else None
    if named is not None:
        known = {*MEMBERS[operation.name], *operation.path_parameters, *sent}
        assert named in known or any(named in json.dumps(value) for value in sent.values()), named


_JSON = {"Content-Type": "application/json"}
_LINES = {"Content-Type": "application/x-ndjson"}
