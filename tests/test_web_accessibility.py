# ruff: noqa: ANN401  (Playwright may be absent)
"""Every page held against axe-core's rules, by day and by night, on a desk and on a phone."""

from pathlib import Path
from typing import Any

import pytest
from conftest import served

from web import Settings

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "axe" / "node_modules" / "axe-core" / "axe.min.js"
# What a page shows, and what has to be done before all of it is in sight.
PAGES = {
    "home": ("/", []),
    "results": ("/?q=read+a+file&k=3", [".why summary", ".word-by-word a"]),
    "steered": ("/?q=read+a+file&k=3&like=files/01&unlike=time/02&only=subject:files", []),
    "passages": ("/?q=alpha+chapter&k=3", [".more-passages a"]),
    "corrected": ("/?q=tempoary+folder&k=3", []),
    "nothing": ("/?q=file&filter=number:[900+TO+901]", []),
    "document": ("/documents/files/00?q=read+a+file&passage=0-10", []),
    "words of a hit": ("/words-of-hit?q=read+a+file&k=1&page=1", []),
    "lenses": ("/lenses?q=read+a+file", []),
    "lenses, empty": ("/lenses", []),
    "words": ("/words?q=file+-+folder", []),
    "words, unknown": ("/words?q=xyzzy", []),
    "map": ("/map?q=file", []),
    "map, no query": ("/map", ["[data-zoom=in]"]),
    "problem": ("/?q=file&k=0", []),
    "help": ("/", ["[data-help]"]),
    "reference": ("/api/v1/docs", []),
}
RUN = """
async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))]);
}
"""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed (npm ci --prefix tests/axe, or make test)")
    return AXE.read_text(encoding="utf-8")


# What somebody sees who may change things.
PAGES_OF_ADMINS = {
    "judging": ("/judging?q=read+a+file", []),
    "judging, no query": ("/judging", []),
    "console": ("/console", []),
}
WINDOWS = [(1280, "light"), (1280, "dark"), (390, "light")]


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_no_page_breaks_a_rule(
    browser: Any, library_address: str, axe: str, width: int, scheme: str
) -> None:
    assert violations_of(browser, library_address, PAGES, axe, width, scheme) == {}


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_no_page_of_admins_breaks_a_rule(
    browser: Any, library_data_dir: Path, axe: str, width: int, scheme: str
) -> None:
    with served(Settings(library_data_dir, admin=True)) as address:
        assert violations_of(browser, address, PAGES_OF_ADMINS, axe, width, scheme) == {}


def violations_of(
    browser: Any,
    address: str,
    pages: dict[str, tuple[str, list[str]]],
    axe: str,
    width: int,
    scheme: str,
) -> dict[str, object]:
    """Rules that pages break, and where."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    violations = {}
    for name, (path, clicks) in pages.items():
        page.goto(address + path)
        for selector in clicks:
            page.locator(selector).first.click()
        page.locator("[aria-busy=true]").wait_for(state="detached")
        # Evaluated by the browser's own tools, not as a script of the page: the policy stays.
        page.evaluate(axe)
        if found := page.evaluate(RUN):
            violations[name] = found
    context.close()
    return violations
