# ruff: noqa: ANN401  (Playwright may be absent)
"""Every page in every state held against axe-core's rules, by day, by night, and on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_library, served

from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.judgments import JudgmentFolder
from pipeline.version.query_log import QueryLog, SearchedFor
from pipeline.version.write_log import WriteLog
from web import Settings

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "axe" / "node_modules" / "axe-core" / "axe.min.js"
JUDGED = "read a file"
# An address, and what is done there before all of a state is in sight: what is clicked, or, after
# a "type ", typed into the first field.
States = Mapping[str, tuple[str, list[str]]]
VISITED: States = {
    "home": ("/", []),
    "results": ("/?q=read+a+file&k=3", []),
    "why": ("/?q=read+a+file&k=3", [".why summary", ".word-by-word a"]),
    "completions": ("/", ["type rea", ".completions [aria-selected]:first-child"]),
    "steered": ("/?q=read+a+file&k=3&like=files/01&unlike=time/02&only=subject:files", []),
    "passages": ("/?q=alpha+chapter&k=3", [".more-passages a"]),
    "passages alone": ("/passages?q=alpha+chapter&document=long&but=0", []),
    "corrected": ("/?q=tempoary+folder&k=3", []),
    "near-duplicates": ("/?q=read+a+file&k=3&collapse=true", []),
    "nothing": ("/?q=file&filter=number:[900+TO+901]", []),
    "no such page": ("/?q=file&page=99", []),
    "document": ("/documents/files/00?q=read+a+file&passage=0-10", []),
    "words of a hit": ("/words-of-hit?q=read+a+file&k=1&page=1", []),
    "lenses": ("/lenses?q=read+a+file", []),
    "lenses, one followed": ("/lenses?q=read+a+file", ["hover .lens-bm25 li a"]),
    "lenses, empty": ("/lenses", []),
    "words": ("/words?q=file+-+folder", []),
    "words, unknown": ("/words?q=xyzzy", []),
    "words, empty": ("/words", []),
    "map": ("/map", ["[data-zoom=in]"]),
    "map with hits": ("/map?q=file", []),
    "map, a part drawn around": ("/map?q=file&map_region={drawing}:polygon:{whole}", []),
    "problem 400": ("/?q=file&k=0", []),
    "problem 404": ("/documents/nothing-here", []),
    "problem 503": ("/?q=file&collection=broken", []),
    "kind of problem": ("/problems/not-found", []),
    "help": ("/", ["[data-help]"]),
    "reference": ("/api/v1/docs", []),
    "sign in": ("/sign-in", []),
    "sign in, refused": ("/sign-in", ["type no key of ours", ".line button"]),
}
OF_ADMINS: States = {
    "judging": ("/judging?q=open+a+socket", []),
    "judging, judged": ("/judging?q=read+a+file", [".thumbs [data-relevance='0']"]),
    "judging, no query": ("/judging", []),
    "console": ("/console", []),
    "console, two compared": ("/console", [".compare button"]),
    "console, one verified": ("/console", [".acts button"]),
    "console, indexing": ("/console?task={task}", []),
}
WEAK: States = {
    "no good result": ("/?q=sandwich", []),
    "no good result, shown": ("/?q=sandwiches", [".weak summary"]),
    "no good result, on the map": ("/map?q=sandwich", []),
}
RUN = """
async (rules) => {
  const only = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
  const found = await axe.run(document, { resultTypes: ["violations"], ...only });
  return found.violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))]);
}
"""
# What another theme can break.
OF_COLOR = ["color-contrast", "link-in-text-block"]
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NARROWEST = {"width": 320, "height": 568}


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed (npm ci --prefix tests/axe, or make test)")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def known(
    library_data_dir: Path, tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings
) -> Iterator[dict[str, str]]:
    """A server with two versions, judgments, logged queries and a task; what addresses name."""
    data_dir = Path(shutil.copytree(library_data_dir, tmp_path_factory.mktemp("axe") / "data"))
    folder = CollectionFolder(data_dir, "default")
    documents = make_library()
    changed = replace(documents[0], text="Other words.")
    build_version(folder, [changed, *documents[2:]], settings=tiny_settings, sources=["library"])
    JudgmentFolder(folder.judgments_path).judge(JUDGED, "files/01", 1)
    QueryLog(folder).add(
        [
            SearchedFor(86_400.0, "read a file", 4.0, 3, no_good_result=False),
            SearchedFor(259_200.0, "sandwich", 1234.4, 0, no_good_result=True),
        ]
    )
    log = WriteLog(folder)
    task = log.ask_reindex().task
    log.begin(0, [task])
    log.advance("bert", 0.4)
    shutil.copytree(folder.path, data_dir / "broken")
    for manifest in (data_dir / "broken").glob("versions/*/manifest.json"):
        manifest.write_text("{}")
    with served(Settings(data_dir, admin=True)) as address:
        yield {"address": address, "task": task}


@pytest.fixture(scope="module")
def page(browser: Any, known: dict[str, str], axe: str) -> Iterator[Any]:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    told = page.request.get(f"{known['address']}/api/v1/map").json()
    last = told["width"] - 1
    known["drawing"] = told["drawing"]
    known["whole"] = f"0,0,{last},0,{last},{last},0,{last}"
    yield page
    context.close()


def test_no_page_breaks_a_rule(page: Any, known: dict[str, str], axe: str) -> None:
    assert violations_of(page, known, VISITED, axe) == {}


def test_no_page_of_admins_breaks_a_rule(page: Any, known: dict[str, str], axe: str) -> None:
    assert violations_of(page, known, OF_ADMINS, axe) == {}


def test_no_page_without_a_good_result_breaks_a_rule(
    page: Any, known: dict[str, str], axe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.search.searcher.GOOD_PROBABILITY", 1.1)
    assert violations_of(page, known, WEAK, axe) == {}
    assert page.locator(".beside", has_text="None is likely").count() == 1


def violations_of(page: Any, known: dict[str, str], states: States, axe: str) -> dict[str, object]:
    """Rules that states of pages break, and where; one of ours is that a page fits its window."""
    violations = {}
    for name, (path, steps) in states.items():
        page.set_viewport_size(DESK)
        page.emulate_media(color_scheme="light")
        page.goto(known["address"] + path.format_map(known))
        for step in steps:
            take(page, step)
        page.locator("[aria-busy=true]").wait_for(state="detached")
        # Evaluated by the browser's own tools, not as a script of the page: the policy stays.
        page.evaluate(axe)
        found = {"desk": page.evaluate(RUN, [])}
        page.emulate_media(color_scheme="dark")
        found["night"] = page.evaluate(RUN, OF_COLOR)
        page.set_viewport_size(PHONE)
        found["phone by night"] = page.evaluate(RUN, [])
        page.set_viewport_size(NARROWEST)
        if page.evaluate("document.documentElement.scrollWidth") > NARROWEST["width"]:
            found["narrowest"] = "wider than its window"
        if any(found.values()):
            violations[name] = found
    return violations


def take(page: Any, step: str) -> None:
    """Do one thing, and wait for the page it may lead to."""
    what, _, rest = step.partition(" ")
    if what == "type":
        page.locator("main input").first.press_sequentially(rest)
    elif what == "hover":
        page.locator(rest).first.hover()
    else:
        page.locator(step).first.click()
        page.wait_for_load_state()
