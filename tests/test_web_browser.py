# ruff: noqa: ANN401  (Playwright may be absent)
"""The page in a real browser: the flow, the layout at two widths, both themes."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from web import Settings, create_app

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def address(library_data_dir: Path) -> Iterator[str]:
    app = create_app(Settings(library_data_dir))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_search_flow(browser: Any, address: str, scripts: bool) -> None:
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # Who goes on to another page before the icon has come has given it up; that is no failure.
    page.on(
        "requestfailed",
        lambda request: request.failure == "net::ERR_ABORTED" or complaints.append(request.url),
    )
    page.goto(address)
    page.get_by_role("searchbox").fill("read a file")
    page.get_by_role("searchbox").press("Enter")
    # The page may still be arriving.
    page.locator("li.hit").nth(9).wait_for()
    assert page.locator("li.hit").count() == 10
    # Some bar is drawn as wide as its part, though no style stands in the page.
    first = page.locator("svg.bar").first
    drawn = (
        first.locator("rect:not(.bar-track):not(.taken)").evaluate_all(
            "parts => parts.map(part => part.getBoundingClientRect().width)"
        )
        if scripts
        else [100.0]
    )
    assert sum(drawn) > 50
    page.get_by_text("Why this hit").first.click()
    assert page.get_by_role("table").first.is_visible()
    page.get_by_role("link", name="Next").click()
    assert "page 2 of" in page.locator(".summary").inner_text()
    page.locator("aside a", has_text="numbers").click()
    assert "numbers" in page.locator(".chosen").inner_text()
    page.locator("li.hit h2 a").first.click()
    assert page.locator("article.document .text").is_visible()
    page.get_by_role("link", name="Results for").click()
    # The page may still be arriving.
    page.locator("li.hit").nth(9).wait_for()
    assert page.locator("li.hit").count() == 10
    page.locator(".brand").click()
    assert page.get_by_role("heading", name="What are you looking for?").is_visible()
    assert complaints == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_its_window(
    browser: Any,
    address: str,
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    for name, path in {
        "home": "/",
        "results": "/?q=read+a+file",
        "long": "/?q=alpha+chapter",
        "options": "/?q=clock&filter=subject:time",
        "document": "/documents/long",
        "problem": "/?q=file&k=0",
    }.items():
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        shot = tmp_path / f"{name}-{width}-{scheme}.png"
        page.screenshot(path=shot, full_page=True)
        assert shot.stat().st_size > 5_000
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in background.strip("rgb()").split(",")) > 3 * 128
    assert light == (scheme == "light")
    context.close()
