# ruff: noqa: ANN401  (Playwright may be absent)
"""Judging, as it is sent, by the API, in a browser, and by who has no right to it."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import expect, served
from flask.testing import FlaskClient

from pipeline.command_line.main import cli
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.judgments import JudgmentFolder
from web import Settings, create_app
from web.judging import pooled

OWN = {"Origin": "http://localhost"}


@pytest.fixture
def client(copied_data_dir: Path) -> FlaskClient:
    return create_app(Settings(copied_data_dir, writable=True)).test_client()


@pytest.fixture
def folder(copied_data_dir: Path) -> JudgmentFolder:
    return JudgmentFolder(copied_data_dir / "default" / "state" / "judgments")


def keys(page: str) -> dict[str, list[str]]:
    """Keys in the keyboard help, by place."""
    dialog = page.partition('<dialog class="help"')[2].partition("</dialog>")[0]
    parts = re.findall(r"<h3>(.*?)</h3>(.*?)</dl>", dialog, re.DOTALL)
    return {name: re.findall(r"<kbd>(.*?)</kbd>", part) for name, part in parts}


def test_the_keyboard_help_names_the_keys_of_each_place(copied_data_dir: Path) -> None:
    found = keys(create_app(Settings(copied_data_dir, writable=True)).test_client().get("/").text)
    assert found["Judge"] == ["j", "k", "y", "n"]
    assert found["Map"][0] == "l"
    assert found["Everywhere"] == ["?"]
    reading = create_app(Settings(copied_data_dir)).test_client().get("/").text
    assert list(keys(reading)) == ["Search", "Map", "Everywhere"]


def candidates(page: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r'name="doc_id" value="([^"]*)"', page)]


def test_each_signal_has_its_say(searcher: Searcher) -> None:
    hits = pooled(searcher, Query("read a file"))
    ids = [hit.doc_id for hit in hits]
    assert len(ids) == len(set(ids))
    hybrid = [hit.doc_id for hit in searcher.search(Query("read a file", k=20)).hits]
    assert ids[: len(hybrid)] == hybrid
    for name in searcher.signals:
        best = searcher.search(Query("read a file", k=10, signals=(name,))).hits
        assert {hit.doc_id for hit in best} <= set(ids)


def test_a_thumb_is_kept_without_scripts(client: FlaskClient, folder: JudgmentFolder) -> None:
    page = client.get("/judging?q=read+a+file").text
    first = candidates(page)[0]
    form = {"q": "read a file", "doc_id": first, "number": "1", "relevance": "1"}
    response = client.post("/judging", data=form, headers=OWN)
    assert response.status_code == 303
    assert response.headers["Location"] == "/judging?q=read+a+file#candidate-1"
    assert folder.read().of_query("read a file") == {first: 1}
    page = client.get("/judging?q=read+a+file").text
    assert page.count('aria-pressed="true"') == 1
    assert re.search(r"data-answered>1<", page)
    # Pressed again it is taken back.
    client.post("/judging", data={**form, "relevance": ""}, headers=OWN)
    assert folder.read().n_judgments == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:81"},
        {**OWN, "Sec-Fetch-Site": "cross-site"},
        {**OWN, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_forms_of_other_sites_change_nothing(
    client: FlaskClient, folder: JudgmentFolder, headers: dict[str, str]
) -> None:
    form = {"q": "file", "doc_id": "files/01", "relevance": "1"}
    assert client.post("/judging", data=form, headers=headers).status_code == 403
    upload = {"judgments": (io.BytesIO(b"PK"), "a.zip")}
    assert client.post("/judging/import", data=upload, headers=headers).status_code == 403
    assert not folder.path.exists()


def test_nobody_judges_unless_told_so(copied_data_dir: Path, folder: JudgmentFolder) -> None:
    client = create_app(Settings(copied_data_dir)).test_client()
    assert "/judging" not in client.get("/").text
    for path in ("/judging", "/judging/judgments.zip", "/api/v1/judgments"):
        assert client.get(path).status_code == 403
    form = {"q": "file", "doc_id": "files/01", "relevance": "1"}
    assert client.post("/judging", data=form, headers=OWN).status_code == 403
    body = {"query": "file", "doc_id": "files/01", "relevance": 1}
    assert client.post("/api/v1/judgments", json=body).status_code == 403
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"q": "file", "doc_id": "nobody", "relevance": "1"}, 404),
        ({"q": "", "doc_id": "files/01", "relevance": "1"}, 400),
        ({"q": "file", "doc_id": "files/01", "relevance": "9"}, 400),
        ({"q": "file", "doc_id": "files/01", "relevance": "1", "collection": "other"}, 404),
        ({"q": "file", "doc_id": "files/01", "relevance": "1", "collection": "../x"}, 404),
    ],
)
def test_what_cannot_be_judged_is_told(
    client: FlaskClient, folder: JudgmentFolder, form: dict[str, str], status: int
) -> None:
    response = client.post("/judging", data=form, headers=OWN)
    assert response.status_code in {status, 400}
    assert 'class="problem"' in response.text
    assert not folder.path.exists() or folder.read().n_judgments == 0


def test_the_api_judges_too(client: FlaskClient, folder: JudgmentFolder) -> None:
    body = {"query": "read a file", "doc_id": "files/01", "relevance": 2}
    told = client.post("/api/v1/judgments", json=body).get_json()
    assert (told["n_queries"], told["n_answered"], told["n_judgments"]) == (1, 1, 1)
    assert folder.read().qrels == {told["query_id"]: {"files/01": 2}}
    client.post("/api/v1/judgments", json={**body, "doc_id": "time/01", "relevance": 0})
    listed = client.get("/api/v1/judgments").get_json()["queries"]
    assert [one["query"] for one in listed] == ["read a file"]
    assert listed[0]["judgments"] == [
        {"doc_id": "files/01", "relevance": 2},
        {"doc_id": "time/01", "relevance": 0},
    ]
    gone = client.post("/api/v1/judgments", json={"query": "read a file", "doc_id": "files/01"})
    assert gone.get_json()["n_answered"] == 0
    for wrong in ({"relevance": 4}, {"relevance": True}, {"doc_id": "nobody"}, {"query": ""}):
        assert client.post("/api/v1/judgments", json={**body, **wrong}).status_code in {400, 404}


def test_judgments_leave_and_come_back(client: FlaskClient, folder: JudgmentFolder) -> None:
    for doc_id, relevance in (("files/01", 1), ("time/01", 0)):
        folder.judge("read a file", doc_id, relevance)
    response = client.get("/judging/judgments.zip")
    assert response.content_type == "application/zip"
    kept = folder.read()
    folder.judge("read a file", "files/01", None)
    upload = {"judgments": (io.BytesIO(response.data), "judgments.zip")}
    assert client.post("/judging/import", data=upload, headers=OWN).status_code == 303
    assert folder.read().qrels == kept.qrels
    bad = {"judgments": (io.BytesIO(b"nonsense"), "judgments.zip")}
    response = client.post("/judging/import", data=bad, headers=OWN)
    assert response.status_code == 400
    assert "no zip file of judgments" in response.text
    added = client.post(
        "/api/v1/judgments/import",
        json={"queries": '{"_id": "7", "text": "sleep"}', "qrels": "q\td\ts\n7\ttime/03\t1\n"},
    )
    assert added.get_json()["n_queries"] == 2


def test_hostile_queries_stay_text(client: FlaskClient, folder: JudgmentFolder) -> None:
    folder.judge('<script>alert(1)</script>"', "html", 1)
    page = client.get("/judging?q=%3Cscript%3Ealert(1)%3C/script%3E%22%00%1b").text
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_measuring_and_tuning_use_them_at_once(
    copied_data_dir: Path, folder: JudgmentFolder
) -> None:
    place = ["--judgments", "--data-dir", str(copied_data_dir), "--json"]
    nothing = CliRunner().invoke(cli, ["evaluate", *place])
    assert nothing.exit_code != 0
    for number in range(20):
        subject = ("files", "network", "time", "numbers", "text")[number % 5]
        folder.judge(f"{subject} {number}", f"{subject}/{number % 12:02d}", 1)
    measured = CliRunner().invoke(cli, ["evaluate", *place], catch_exceptions=False)
    assert '"n_queries": 20' in measured.output
    tuned = CliRunner().invoke(cli, ["tune", *place], catch_exceptions=False)
    assert '"n_queries": 20' in tuned.output
    both = CliRunner().invoke(cli, ["tune", str(folder.path), *place])
    assert both.exit_code == 2
    neither = CliRunner().invoke(cli, ["tune"])
    assert neither.exit_code == 2


@pytest.fixture
def address(copied_data_dir: Path) -> Iterator[str]:
    with served(Settings(copied_data_dir, writable=True)) as address:
        yield address


@pytest.mark.browser
@pytest.mark.parametrize("scripts", [True, False])
def test_judging_in_a_browser(
    browser: Any, address: str, folder: JudgmentFolder, scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.get_by_role("link", name="Judge").click()
    page.get_by_role("searchbox").fill("read a file")
    page.get_by_role("searchbox").press("Enter")
    first = page.locator(".candidate").first
    doc_id = first.locator("[name=doc_id]").get_attribute("value")
    first.get_by_role("button", name="Answers it", exact=True).click()
    first.locator("[aria-pressed=true]").wait_for()
    expect(page.locator("[data-answered]")).to_have_text("1")
    page.locator(".candidate").nth(1).get_by_role("button", name="Does not answer it").click()
    page.locator(".candidate").nth(1).locator("[aria-pressed=true]").wait_for()
    judged = folder.read().of_query("read a file")
    assert judged[doc_id] == 1
    assert sorted(judged.values()) == [0, 1]
    # Pressed once more it is taken back.
    first.get_by_role("button", name="Answers it", exact=True).click()
    first.locator("[aria-pressed=true]").wait_for(state="detached")
    assert doc_id not in folder.read().of_query("read a file")
    assert complaints == []
    context.close()


@pytest.mark.browser
def test_keys_judge(browser: Any, address: str, folder: JudgmentFolder) -> None:
    page = browser.new_page()
    page.goto(f"{address}/judging?q=file")
    page.locator("body").press("j")
    page.keyboard.press("y")
    page.locator(".candidate").first.locator("[aria-pressed=true]").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("n")
    page.locator(".candidate").nth(1).locator("[aria-pressed=true]").wait_for()
    assert list(folder.read().of_query("file").values()) == [1, 0]
    page.keyboard.press("/")
    assert page.locator("#q").evaluate("box => box === document.activeElement")
    page.close()
