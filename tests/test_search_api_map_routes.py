"""The map as programs see it."""

from __future__ import annotations

import shutil
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from pipeline.search.map_region import map_units
from pipeline.search.searcher import Searcher
from pipeline.version.document_map import MAP_FOLDER
from pipeline.version.manifest import hash_files, read_manifest, write_manifest
from web import Settings, create_app

API = "/api/v1"


@pytest.fixture(scope="module")
def client(library_data_dir: Path) -> FlaskClient:
    return create_app(Settings(library_data_dir)).test_client()


def ok(client: FlaskClient, path: str) -> Any:  # noqa: ANN401  (JSON)
    response = client.get(API + path)
    assert response.status_code == 200, response.text
    return response.get_json()


def test_the_map_holds_every_document_in_few_bytes(client: FlaskClient, searcher: Searcher) -> None:
    found = ok(client, "/map")
    assert searcher.map is not None
    positions = np.frombuffer(b64decode(found["positions"]), "<u2").reshape(-1, 2)
    clusters = np.frombuffer(b64decode(found["clusters"]), np.uint8)
    assert (positions == map_units(searcher.map)).all()
    assert (clusters == searcher.map.clusters).all()
    assert found["n_documents"] == len(positions) == searcher.n_documents
    assert [entry["n_documents"] for entry in found["named"]] == np.bincount(clusters).tolist()
    assert all(entry["terms"] for entry in found["named"])
    # A cluster's middle is where its documents are.
    for entry in found["named"]:
        own = positions[clusters == entry["cluster"]]
        assert (own.min(axis=0) <= [entry["x"], entry["y"]]).all()
        assert (own.max(axis=0) >= [entry["x"], entry["y"]]).all()


def test_a_map_that_is_known_is_not_sent_again(client: FlaskClient) -> None:
    response = client.get(f"{API}/map")
    again = client.get(f"{API}/map", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    assert not again.data


def test_rows_are_documents(client: FlaskClient, searcher: Searcher) -> None:
    found = ok(client, "/map/documents?rows=4,0,4")["documents"]
    assert [entry["row"] for entry in found] == [4, 0, 4]
    assert [entry["doc_id"] for entry in found] == searcher.doc_ids([4, 0, 4])
    assert found[0]["title"] == searcher.document(found[0]["doc_id"]).title


@pytest.mark.parametrize(
    "rows", ["", "x", "-1", "1.5", "65", "1,,2", "99999999999999999999", ",".join(["1"] * 101)]
)
def test_rows_that_are_not_there_are_told(client: FlaskClient, rows: str) -> None:
    response = client.get(f"{API}/map/documents", query_string={"rows": rows})
    assert response.status_code == 400
    assert response.get_json()["parameter"] == "rows"


def test_hits_know_their_rows(client: FlaskClient, searcher: Searcher) -> None:
    asked = {"q": "read a file", "k": 5, "filter": "subject:files"}
    hits = client.get(f"{API}/map/hits", query_string=asked).get_json()
    search = client.get(f"{API}/search", query_string=asked).get_json()
    assert hits["total"] == search["total"]
    for mapped, hit in zip(hits["hits"], search["hits"], strict=True):
        assert {name: hit[name] for name in ("doc_id", "title", "rank", "score")} == {
            name: mapped[name] for name in ("doc_id", "title", "rank", "score")
        }
        assert searcher.doc_ids([mapped["row"]]) == [mapped["doc_id"]]


def test_a_region_narrows_any_search(client: FlaskClient) -> None:
    found = ok(client, "/map")
    region = f"{found['drawing']}:cluster:0"
    inside = ok(client, f"/search?q=file&k=100&map_region={region}")
    clusters = np.frombuffer(b64decode(found["clusters"]), np.uint8)
    hits = ok(client, f"/map/hits?q=file&k=100&map_region={region}")["hits"]
    assert {clusters[hit["row"]] for hit in hits} == {0}
    assert [hit["doc_id"] for hit in hits] == [hit["doc_id"] for hit in inside["hits"]]
    similar = ok(client, f"/documents/files/01/similar?k=100&map_region={region}")
    assert {hit["doc_id"] for hit in similar["hits"]} <= {
        entry["doc_id"]
        for entry in ok(
            client,
            "/map/documents?rows=" + ",".join(map(str, np.flatnonzero(clusters == 0).tolist())),
        )["documents"]
    }


def test_a_region_of_another_picture_is_told(client: FlaskClient) -> None:
    response = client.get(f"{API}/search?q=file&map_region=00000000:cluster:0")
    assert response.status_code == 400
    assert response.get_json()["parameter"] == "map_region"
    assert "drawn anew" in response.get_json()["detail"]


def test_maps_of_several_collections_are_several(client: FlaskClient) -> None:
    assert client.get(f"{API}/map/hits?q=file&collection=default,other").status_code == 400


def test_where_there_is_no_map_it_says_how_to_get_one(copied_data_dir: Path) -> None:
    (version,) = copied_data_dir.glob("default/versions/*")
    shutil.rmtree(version / MAP_FOLDER)
    files, total_bytes = hash_files(version)
    manifest = replace(read_manifest(version), files=files, total_bytes=total_bytes)
    write_manifest(version, manifest)
    client = create_app(Settings(copied_data_dir)).test_client()
    for path in ("/map", "/map/hits?q=file"):
        response = client.get(API + path)
        assert response.status_code == 404
        assert response.get_json()["type"] == "/problems/no-map"
        assert "trine reindex" in response.get_json()["detail"]
    assert client.get(f"{API}/search?q=file").status_code == 200
