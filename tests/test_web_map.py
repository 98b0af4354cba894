"""The map page as it is sent: clusters and hits as lists, which need no script."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_map import MAP_FOLDER
from pipeline.version.manifest import hash_files, read_manifest, write_manifest
from web import Settings, create_app
from web.map_page import cluster_colors


@pytest.fixture(scope="module")
def client(library_data_dir: Path) -> FlaskClient:
    return create_app(Settings(library_data_dir)).test_client()


def listed_hits(page: str) -> list[str]:
    found = page.partition('<ol class="map-hits">')[2].partition("</ol>")[0]
    return [html.unescape(title) for title in re.findall(r"<bdi>(.*?)</bdi>", found)]


def clusters_of(page: str) -> list[tuple[str, str, int]]:
    """Address, name and count of each cluster."""
    return [
        (html.unescape(address), html.unescape(name), int(count.replace(",", "")))
        for address, name, count in re.findall(
            r'data-cluster="\d+"><a href="([^"]*)".*?<bdi>(.*?)</bdi>.*?facet-count">([\d,]+)', page
        )
    ]


def test_clusters_are_listed_the_largest_first(client: FlaskClient, searcher: Searcher) -> None:
    assert searcher.map is not None
    found = clusters_of(client.get("/map").text)
    counts = [count for _, _, count in found]
    assert counts == sorted(searcher.map.counts().tolist(), reverse=True)
    for _, name, _ in found:
        assert name.split(" · ")[0] in {terms[0] for terms in searcher.map.names}


def test_a_cluster_leads_to_a_search_of_its_own(client: FlaskClient) -> None:
    for address, name, _ in clusters_of(client.get("/map").text):
        page = client.get(address).text
        chosen = page.partition('<ul class="chosen"')[2].partition("</ul>")[0]
        assert html.escape(name) in chosen
        assert '<li class="hit"' in page
        # It stays through the next search, and through further pages.
        assert 'name="map_region"' in page
        # And it can be taken back.
        without = html.unescape(re.findall(r'href="([^"]*)"', chosen)[-1])
        assert "map_region" not in without


def test_hits_are_those_of_the_search(client: FlaskClient, searcher: Searcher) -> None:
    page = client.get("/map?q=read+a+file&only=subject:files").text
    answer = client.get("/api/v1/search?q=read+a+file&filter=subject:files&k=25").get_json()
    assert listed_hits(page) == [hit["title"] for hit in answer["hits"]]
    lit = re.search(r'data-lit="([\d,]*)"', page)
    assert lit is not None
    everything = client.get("/api/v1/search?q=read+a+file&filter=subject:files&k=100").get_json()
    rows = [int(row) for row in lit[1].split(",")]
    assert searcher.doc_ids(rows) == [hit["doc_id"] for hit in everything["hits"]]


def test_a_part_without_a_query_shows_what_lies_in_it(
    client: FlaskClient, searcher: Searcher
) -> None:
    assert searcher.map is not None
    region = f"{searcher.map.drawing_id}:cluster:0"
    page = client.get(f"/map?map_region={region}").text
    inside = np.flatnonzero(searcher.map.clusters == 0).tolist()
    titles = {document.title for document in searcher.documents_at(inside)}
    assert 0 < len(listed_hits(page)) <= 12
    assert set(listed_hits(page)) <= titles
    assert f"{len(inside)} documents" in page


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("map_region=nowhere", 400),
        ("map_region=00000000:cluster:0&q=file", 400),
        ("q=a&q=b", 400),
        ("collection=nobody", 404),
    ],
)
def test_what_is_wrong_is_told_on_a_page(client: FlaskClient, asked: str, status: int) -> None:
    for address in (f"/map?{asked}", f"/parts/map?{asked}"):
        response = client.get(address)
        assert response.status_code == status
        assert 'class="problem"' in response.text


def test_where_no_map_was_drawn_it_says_how_to_get_one(copied_data_dir: Path) -> None:
    (version,) = copied_data_dir.glob("default/versions/*")
    shutil.rmtree(version / MAP_FOLDER)
    files, total_bytes = hash_files(version)
    write_manifest(version, replace(read_manifest(version), files=files, total_bytes=total_bytes))
    response = create_app(Settings(copied_data_dir)).test_client().get("/map")
    assert response.status_code == 404
    assert "trine reindex" in response.text


def test_hostile_text_stays_text(tmp_path: Path, tiny_settings: IndexSettings) -> None:
    hostile = '<img src=x onerror=alert(1)>"\u202e\x1b[1m'
    documents = [
        Document(f"{hostile}{number}", f"{hostile} {number}", "onerror svg script alert")
        for number in range(4)
    ]
    build_version(CollectionFolder(tmp_path, "default"), documents, settings=tiny_settings)
    client = create_app(Settings(tmp_path)).test_client()
    for address in ("/map?q=alert", "/parts/map?q=alert"):
        page = client.get(address).text
        assert "<img src=x" not in page
        assert "\x1b" not in page
        assert len(listed_hits(page)) == 4


def test_clusters_of_one_color_lie_apart(searcher: Searcher) -> None:
    assert searcher.map is not None
    generator = np.random.default_rng(2)
    centers = generator.uniform(-1, 1, (24, 2)).astype(np.float32)
    drawing = replace(searcher.map.drawing, centers=centers)
    colors = cluster_colors(replace(searcher.map, drawing=drawing))
    assert set(colors) == set(range(1, 13))
    nearest = [np.argsort(np.square(centers - center).sum(axis=1))[1].item() for center in centers]
    assert sum(colors[one] == colors[other] for one, other in enumerate(nearest)) == 0


def test_one_document_is_a_map_too(build: Callable[..., Searcher], tmp_path: Path) -> None:
    build(Document("only", "A title", "Some words to read."))
    page = create_app(Settings(tmp_path / "built")).test_client().get("/map?q=read").text
    assert listed_hits(page) == ["A title"]
    assert len(clusters_of(page)) == 1
