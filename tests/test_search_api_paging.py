"""Totals, facets and pages are exact, and stay so while other versions are published."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import make_library
from flask.testing import FlaskClient

from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from search_api.snapshot import pool_of
from web import Settings, create_app

Hits = list[tuple[str, str, float, float]]
QUERIES = [
    {"q": "read a file"},
    {"q": "date time", "filter": "number:[2 TO 9]"},
    {"q": "+open string", "sort": "published:desc"},
    {"q": "socket", "min_probability": "0.05"},
    {"q": "join text", "diversity": "0.5", "collapse": "true"},
]


class Published:
    """Two collections, a client of their server, and a way to publish other versions of both."""

    def __init__(self, data_dir: Path, light: IndexSettings) -> None:
        self._folders = [CollectionFolder(data_dir, name) for name in ("default", "other")]
        self._settings = light
        self._n_published = 0
        self.publish()
        app = create_app(Settings(data_dir))
        self._pool = pool_of(app)
        self.client: FlaskClient = app.test_client()

    def publish(self) -> None:
        """Publish a version of each that holds other documents."""
        documents = make_library()
        gone = self._n_published * 7
        for step, folder in enumerate(self._folders, start=1):
            kept = documents[gone:] + documents[: gone // 2]
            build_version(folder, kept[::step], settings=self._settings)
        if self._n_published:
            self._pool.refresh()
        self._n_published += 1

    def ask(self, asked: dict[str, str], **more: object) -> dict[str, Any]:
        answer = self.client.get("/api/v1/search", query_string={**asked, **more})
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.get_json()
        return content


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings) -> Published:
    # Nothing here depends on the transformer, whose opening takes longest.
    light = tiny_settings.with_signals(["bm25", "tfidf"])
    return Published(tmp_path_factory.mktemp("paging"), light)


def hits_of(answer: dict[str, Any]) -> Hits:
    return [
        (hit.get("collection", ""), hit["doc_id"], hit["score"], hit["probability"])
        for hit in answer["hits"]
    ]


@pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: "&".join(asked))
def test_pages_stay_as_they_were_while_versions_are_published(
    published: Published, asked: dict[str, str]
) -> None:
    first = published.ask(asked, k=4, facets="subject,tags,draft")
    found, page = hits_of(first), first
    while page["hits"]:
        if page["page"] in {1, 2}:
            published.publish()
        page = published.ask(
            asked,
            k=4,
            facets="subject,tags,draft",
            page=page["page"] + 1,
            version=first["version"],
        )
        assert (page["total"], page["facets"]) == (first["total"], first["facets"])
        assert page["version"] == first["version"]
        assert page["no_good_result"] == first["no_good_result"]
        found += hits_of(page)
    assert found == hits_of(published.ask(asked, k=100, version=first["version"]))
    assert len({doc_id for _, doc_id, _, _ in found}) == len(found)
    if "collapse" not in asked:
        assert len(found) == first["total"]
    # Asked without a version, the newest answers.
    assert published.ask(asked, k=4)["version"] != first["version"]


@pytest.mark.parametrize("asked", [{"q": "read a file"}, {"q": "time", "filter": "draft:true"}])
def test_facets_count_the_very_documents_of_all_pages(
    published: Published, asked: dict[str, str]
) -> None:
    for place in ({}, {"collection": "default,other"}):
        answer = published.ask(asked, k=200, facets="subject,tags,draft", **place)
        told = answer.get("collections") or [{**answer, "collection": None}]
        assert sum(each["total"] for each in told) == answer["total"] == len(answer["hits"])
        for each in told:
            own = [h for h in answer["hits"] if h.get("collection") == each["collection"]]
            for field in ("subject", "tags", "draft"):
                values = [hit["metadata"].get(field, []) for hit in own]
                counts = Counter(
                    str(value).lower() if isinstance(value, bool) else value
                    for entry in values
                    for value in (entry if isinstance(entry, list) else [entry])
                )
                assert {c["value"]: c["count"] for c in each["facets"][field]} == counts


def test_pages_over_several_collections_stay_as_they_were(published: Published) -> None:
    asked = {"q": "open string", "collection": "default,other"}
    first = published.ask(asked, k=5, facets="subject")
    found, page = hits_of(first), first
    while page["hits"]:
        if page["page"] == 1:
            published.publish()
        page = published.ask(
            asked, k=5, facets="subject", page=page["page"] + 1, version=first["version"]
        )
        totals = [(each["total"], each["facets"]) for each in page["collections"]]
        assert totals == [(each["total"], each["facets"]) for each in first["collections"]]
        assert (page["total"], page["version"]) == (first["total"], first["version"])
        found += hits_of(page)
    assert len(found) == len({hit[:2] for hit in found}) == first["total"]
    assert found == hits_of(published.ask(asked, k=200, version=first["version"]))
    newest = published.ask(asked)
    assert not set(newest["version"].split(",")) & set(first["version"].split(","))
