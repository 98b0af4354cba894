# ruff: noqa: ANN401  (Playwright may be absent)
"""The console: what it shows, what it changes, and for whom."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import expect, served
from flask.testing import FlaskClient

from ingest.documents import Document
from pipeline.command_line.indexer import Indexer
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.query_log import QueryLog, SearchedFor
from pipeline.version.write_log import WriteLog
from web import Settings, create_app
from web.console import MAX_STREAMS

OWN = {"Origin": "http://localhost"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "documents.jsonl"
    lines = [
        {"_id": f"d{number}", "title": f"Title {number}", "text": f"Words about subject {number}."}
        for number in range(6)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.fixture
def folder(tmp_path: Path, source: Path, tiny_settings: IndexSettings) -> CollectionFolder:
    """Two versions; the first is without the last document, and the second is current."""
    folder = CollectionFolder(tmp_path / "data", "default")
    documents = [
        Document(f"d{number}", f"Title {number}", f"Words about subject {number}.")
        for number in range(6)
    ]
    sources = [str(source)]
    build_version(folder, documents[:5], settings=tiny_settings, sources=sources)
    changed = replace(documents[0], text="Other words.")
    build_version(folder, [changed, *documents[1:]], settings=tiny_settings, sources=sources)
    return folder


@pytest.fixture
def client(folder: CollectionFolder) -> FlaskClient:
    return create_app(Settings(folder.data_dir, admin=True)).test_client()


def told_state(page: str) -> str:
    found = re.search(r'data-state="(\w+)"', page)
    assert found is not None
    return found[1]


def test_versions_are_listed_the_newest_first(
    client: FlaskClient, folder: CollectionFolder
) -> None:
    page = client.get("/console").text
    listed = re.findall(r'data-version="([^"]+)"', page)
    assert listed == list(reversed(folder.versions()))
    assert page.count("<strong>current</strong>") == 1


def test_two_versions_are_compared(client: FlaskClient, folder: CollectionFolder) -> None:
    first, second = folder.versions()
    page = client.get(f"/console?a={first}&b={second}").text
    difference = page.partition('class="difference"')[2]
    counts = re.findall(r"<dt>(\w+)</dt><dd>([\d,]+)", difference)
    assert dict(counts) == {"added": "1", "removed": "0", "changed": "1", "unchanged": "4"}
    assert '<code dir="auto">d5</code>' in difference
    assert "titles" in difference


def test_activating_rolls_back_and_verifying_tells(
    client: FlaskClient, folder: CollectionFolder
) -> None:
    first, second = folder.versions()
    response = client.post("/console/activate", data={"version": first}, headers=OWN)
    assert response.status_code == 303
    assert folder.current() == first
    assert client.get("/api/v1/health").get_json()["collections"][0]["version"] == first
    told = client.post("/console/verify", data={"version": second}, headers=OWN).text
    assert f"Whole: <code>{second}</code>" in told
    path = folder.version_path(second) / "documents.sqlite"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    told = client.post("/console/verify", data={"version": second}, headers=OWN).text
    assert f"Damaged: <code>{second}</code>" in told
    assert "documents.sqlite" in told
    assert str(folder.data_dir) not in told
    refused = client.post("/console/activate", data={"version": "nope"}, headers=OWN)
    assert refused.status_code == 404


ACTS = ("/console/activate", "/console/verify", "/console/reindex")


@pytest.mark.parametrize("path", ACTS)
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://evil.example"}, {**OWN, "Sec-Fetch-Site": "cross-site"}]
)
def test_forms_of_other_sites_change_nothing(
    client: FlaskClient, folder: CollectionFolder, path: str, headers: dict[str, str]
) -> None:
    first, second = folder.versions()
    assert client.post(path, data={"version": first}, headers=headers).status_code == 403
    assert folder.current() == second
    assert not WriteLog(folder).exists()


def test_it_is_for_those_who_may(folder: CollectionFolder) -> None:
    first, second = folder.versions()
    for settings in (Settings(folder.data_dir), Settings(folder.data_dir, writable=True)):
        client = create_app(settings).test_client()
        assert 'href="/console"' not in client.get("/").text
        assert client.get("/console").status_code == 403
        assert client.get("/console/tasks/x/events").status_code == 403
        for path in ACTS:
            assert client.post(path, data={"version": first}, headers=OWN).status_code == 403
    elsewhere = create_app(Settings(folder.data_dir, admin=True)).test_client()
    far = {"REMOTE_ADDR": "192.0.2.7"}
    assert elsewhere.get("/console", environ_base=far).status_code == 403
    assert folder.current() == second


def test_what_is_not_there_is_told(client: FlaskClient) -> None:
    for address in (
        "/console?task=nope",
        "/console?a=x&b=y",
        "/console?collection=nobody",
        "/console?collection=../x",
        "/console/tasks/nope/events",
    ):
        response = client.get(address)
        assert response.status_code in {400, 404}, address
        assert 'class="problem"' in response.text


def events_of(response: Any) -> Iterator[dict[str, Any]]:
    for chunk in response.response:
        if chunk.startswith(b"data: "):
            yield json.loads(chunk[6:])


def test_progress_is_told_to_its_end(client: FlaskClient, folder: CollectionFolder) -> None:
    response = client.post("/console/reindex", headers=OWN)
    assert response.status_code == 303
    address = response.headers["Location"]
    assert told_state(client.get(address).text) == "accepted"
    task = address.partition("task=")[2]
    stream = client.get(f"/console/tasks/{task}/events", buffered=False)
    assert stream.content_type.startswith("text/event-stream")
    told = events_of(stream)
    assert next(told)["state"] == "accepted"
    indexing = threading.Thread(target=Indexer(folder.data_dir).look)
    indexing.start()
    states = [event["state"] for event in told]
    indexing.join()
    stream.close()
    assert states[-1] == "published"
    assert len(folder.versions()) == 3
    assert told_state(client.get(address).text) == "published"


def test_only_so_many_are_told_at_once_and_the_others_may_ask(
    client: FlaskClient, folder: CollectionFolder
) -> None:
    client.post("/console/reindex", headers=OWN)
    (task,) = WriteLog(folder).tasks(5)
    address = f"/console/tasks/{task.task}/events"
    streams = [client.get(address, buffered=False) for _ in range(MAX_STREAMS)]
    for stream in streams:
        next(events_of(stream))
    refused = client.get(address)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert client.get(f"/api/v1/tasks/{task.task}").get_json()["state"] == "accepted"
    # Who goes gives the place back, whether or not they have read anything.
    for stream in streams:
        stream.close()
    for _ in range(MAX_STREAMS + 1):
        unread = client.get(address, buffered=False)
        assert unread.status_code == 200
        unread.close()


def test_hostile_ids_stay_text(tmp_path: Path, tiny_settings: IndexSettings) -> None:
    folder = CollectionFolder(tmp_path, "default")
    hostile = Document("<script>alert(1)</script>", "<b>t</b>", "words")
    build_version(folder, [Document("a", "t", "words")], settings=tiny_settings)
    build_version(folder, [Document("a", "t", "words"), hostile], settings=tiny_settings)
    first, second = folder.versions()
    client = create_app(Settings(tmp_path, admin=True)).test_client()
    page = client.get(f"/console?a={first}&b={second}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def table(page: str, name: str) -> list[list[str]]:
    """Cells of each row of the table with that caption, without markup."""
    body = page.partition(f"<caption>{name}</caption>")[2].partition("<tbody>")[2]
    rows = re.findall(r"<tr>(.*?)</tr>", body.partition("</tbody>")[0], re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


def test_what_people_search_for_is_summed_up(client: FlaskClient, folder: CollectionFolder) -> None:
    page = client.get("/console").text
    assert "trine serve --log-queries" in page
    assert not QueryLog(folder).path.exists()
    QueryLog(folder).add(
        [
            SearchedFor(86_400.0, "read a file", 4.0, 3, no_good_result=False),
            SearchedFor(172_800.0, "Read a  FILE", 6.0, 3, no_good_result=False),
            SearchedFor(259_200.0, "<script>alert(1)</script>", 1234.4, 0, no_good_result=True),
        ]
    )
    page = client.get("/console").text
    assert "--log-queries" not in page
    assert "3 searches" in page
    hostile = "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert table(page, "Most popular")[0] == ["Read a  FILE", "2", "5", "1970-01-03 00:00"]
    assert table(page, "Without a good result") == [[hostile, "1", "1,234", "1970-01-04 00:00"]]
    assert table(page, "Slowest") == [
        [hostile, "0", "1,234", "1970-01-04 00:00"],
        ["Read a  FILE", "3", "6", "1970-01-03 00:00"],
        ["read a file", "3", "4", "1970-01-02 00:00"],
    ]
    assert "<script>alert" not in page


def test_a_damaged_query_log_leaves_the_console_usable(
    client: FlaskClient, folder: CollectionFolder
) -> None:
    path = QueryLog(folder).path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no database, but long enough to be taken for one " * 30)
    page = client.get("/console")
    assert page.status_code == 200
    assert "queries.sqlite cannot be read" in page.text
    assert str(folder.data_dir) not in page.text
    assert page.text.count("data-version=") == 2


@pytest.mark.browser
@pytest.mark.parametrize("how", ["events", "polling", "no scripts"])
def test_indexing_again_in_a_browser(browser: Any, folder: CollectionFolder, how: str) -> None:
    context = browser.new_context(java_script_enabled=how != "no scripts")
    page = context.new_page()
    if how == "polling":
        page.route("**/events*", lambda route: route.fulfill(status=503, body=""))
    with served(Settings(folder.data_dir, admin=True)) as address:
        page.goto(address)
        page.get_by_role("link", name="Console").click()
        expect(page.locator("tr[data-version]")).to_have_count(2)
        page.get_by_role("button", name="Read the sources again").click()
        page.locator("[data-task]").wait_for()
        indexing = threading.Thread(target=Indexer(folder.data_dir).look)
        indexing.start()
        # The page notices by itself, once a version is built.
        page.locator("tr[data-version]").nth(2).wait_for(timeout=120_000)
        indexing.join()
        page.get_by_role("button", name=re.compile("^Activate")).first.click()
        page.locator("tr.current").wait_for()
        page.get_by_role("button", name="Compare the two").click()
        page.locator(".difference").wait_for()
        page.get_by_role("button", name=re.compile("^Verify")).first.click()
        page.locator(".told").wait_for()
    context.close()
