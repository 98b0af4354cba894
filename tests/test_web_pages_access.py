"""What a key may not see stands on no page, whichever one is asked for."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote_plus, urlsplit

import pytest
from flask.testing import FlaskClient
from hidden_documents import MARKERS, PUBLIC, build_hidden

from pipeline.encoding.settings import IndexSettings
from search_api.keys import KeyStore
from web import Settings, create_app

QUERIES = (
    *("file", "read+a+file", "zzword", "zztitle", "zzwrod", "zzident/1", "quaternion", "zzname.3"),
    *("level:secret", "-level:public", "%22zzword+socket%22", "zz"),
)
PLACES = (
    *("/?q={}", "/parts/answer?q={}", "/parts/answer?typing=1&q={}", "/suggestions?q={}"),
    *("/lenses?q={}", "/parts/lenses?q={}", "/words?q={}", "/parts/words?q={}"),
    *("/map?q={}", "/parts/map?q={}", "/words-of-hit?k=1&q={}", "/parts/words-of-hit?k=1&q={}"),
    *("/?k=100&filter=level:secret&q={}", "/?k=100&only=level:secret&q={}"),
    *("/?k=100&only=zzfield:zzvalue1&q={}", "/?q={}&like=zzident/1", "/?q={}&unlike=zzident/1"),
    *("/passages?document=zzident/1&q={}", "/parts/passages?document=zzident/1&q={}"),
    "/passages?document=files/01&q={}",
)
OTHERS = (
    *("/", "/lenses", "/words", "/map", "/words?a=file&b=zzword&c=open", "/opensearch.xml"),
    *("/documents/zzident/1", "/documents/zzident/1?q=zzword", "/documents/files/01?q=zzword"),
    *("/?like=zzident/1", "/?like=files/01&unlike=zzident/1", "/problems/zzword"),
    *("/api/v1/map", "/api/v1/map/documents?rows=0,30,66,70", "/api/v1/map/hits?q=zzword"),
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    build_hidden(folder, tiny_settings)
    return folder


@pytest.fixture(scope="module")
def client(data_dir: Path) -> FlaskClient:
    """Somebody who signed in with a key bound to one collection and to a filter."""
    store = KeyStore(data_dir)
    key = store.create("f", ["search"], collections=["mixed"], filter=PUBLIC)[1]
    client = create_app(Settings(data_dir, "mixed", keys_required=True)).test_client()
    client.post("/sign-in", data={"key": key}, headers={"Origin": "http://localhost"})
    return client


def _addresses(suffix: str) -> list[str]:
    every = [place.format(query) for place in PLACES for query in QUERIES] + list(OTHERS)
    return [one + (("&" if "?" in one else "?") + suffix if suffix else "") for one in every]


@pytest.mark.parametrize("suffix", ["", "collection=zzother"])
def test_no_page_shows_what_a_key_may_not_see(client: FlaskClient, suffix: str) -> None:
    statuses = set()
    for address in _addresses(suffix):
        answer = client.get(address)
        told = f"{answer.headers}\n{answer.text}".lower()
        asked = unquote_plus(address)
        for marker in MARKERS:
            assert marker in asked or marker not in told, (address, marker)
        for found in re.findall(r"zz(?:value|ident/|title |name\.)\d+", told):
            assert found in asked, (address, found)
        assert "the zzword of the open" not in told, address
        assert answer.status_code < 500, address
        statuses.add(answer.status_code)
    assert {200, 404} <= statuses <= {200, 400, 404}


def test_whoever_may_see_it_all_does(data_dir: Path) -> None:
    """Else the test above would find nothing because nothing is there."""
    client = create_app(Settings(data_dir, "mixed")).test_client()
    for path in ("/?q=zzword", "/lenses?q=zzword", "/words?q=zzword", "/map?q=zzword"):
        assert "zztitle" in client.get(path).text.lower(), path
    assert "zzother" in client.get("/").text


# Pages that tell nothing of documents, or that somebody who may only search does not get.
OF_NO_DOCUMENT = {"static", "contract.contract_page", "sign_in.sign_in_page", "sign_in.sign_in"}


def test_every_page_is_tried(client: FlaskClient) -> None:
    """A page that is added is one more entry above, or refused to those who may only search."""
    app = client.application
    urls = app.url_map.bind("localhost")
    tried = {urls.match(urlsplit(one.format("x")).path)[0] for one in (*PLACES, *OTHERS)}
    # The API's operations have a test of their own.
    left = [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in tried | OF_NO_DOCUMENT and not rule.endpoint.startswith("api.")
    ]
    for rule in left:
        path = re.sub(r"<[^>]+>", "zzident", rule.rule)
        for method in (rule.methods or set()) & {"GET", "POST"}:
            answer = client.open(path, method=method, headers={"Origin": "http://localhost"})
            assert answer.status_code in {303, 403}, (rule.endpoint, answer.status_code)
            for marker in MARKERS:
                assert marker == "zzident" or marker not in answer.text.lower(), rule.endpoint
