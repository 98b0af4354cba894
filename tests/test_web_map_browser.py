# ruff: noqa: ANN401  (Playwright may be absent)
"""The map in a real browser: moved, pointed at, drawn on, by mouse, finger and keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import expect, served

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from web import Settings

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="reduce", has_touch=True
    )
    page = context.new_page()
    complaints: list[str] = []
    # Chromium tells of every answer that is no success, the one that a test asks for too.
    page.on(
        "console",
        lambda message: "status of 503" in message.text or complaints.append(message.text),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def opened(page: Any, address: str) -> None:
    page.goto(address)
    page.locator("[data-map][data-drawn-ms]").wait_for()
    page.locator(".cluster-name").first.wait_for(state="attached")


def picture(page: Any) -> bytes:
    """What is drawn, once it rests."""
    # Two frames: what was asked for is drawn in the next one.
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    shot: str = page.locator("canvas.picture").evaluate("canvas => canvas.toDataURL()")
    return shot.encode()


def colors_drawn(page: Any) -> int:
    """How many pixels of the picture are painted."""
    found: int = page.locator("canvas.picture").evaluate(
        """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let painted = 0;
          for (let at = 3; at < data.length; at += 4) painted += data[at] > 0;
          return painted;
        }"""
    )
    return found


def n_lit(page: Any) -> int:
    return len(page.locator("[data-lit]").get_attribute("data-lit").split(","))


def place_of(page: Any, row: int) -> tuple[float, float]:
    """Where a document lies on the screen, when all of the map is seen."""
    found: list[float] = page.evaluate(
        """async (row) => {
          const { mapAddress } = document.querySelector("[data-map-address]").dataset;
          const told = await (await fetch(mapAddress)).json();
          const bytes = Uint8Array.from(atob(told.positions), (one) => one.charCodeAt(0));
          const at = new DataView(bytes.buffer);
          const box = document.querySelector("canvas.picture").getBoundingClientRect();
          const scale = (Math.min(box.width, box.height) * 0.94) / told.width;
          const place = (unit, low, size) => low + size / 2 + (unit - told.width / 2) * scale;
          return [place(at.getUint16(4 * row, true), box.left, box.width),
                  place(at.getUint16(4 * row + 2, true), box.top, box.height)];
        }""",
        row,
    )
    return found[0], found[1]


def test_it_is_drawn_moved_and_brought_nearer(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    before = picture(page)
    assert colors_drawn(page) > 300
    box = page.locator("canvas.picture").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 80, middle[1] + 40, steps=4)
    page.mouse.up()
    moved = picture(page)
    page.mouse.wheel(0, -300)
    nearer = picture(page)
    page.get_by_role("button", name="Nearer").click()
    nearest = picture(page)
    assert len({before, moved, nearer, nearest}) == 4
    page.get_by_role("button", name="All of it").click()
    page.mouse.move(5, 5)
    assert picture(page) == before


def test_keys_move_it_too(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    before = picture(page)
    page.locator("[data-map]").focus()
    seen = {before}
    for key in ("ArrowLeft", "ArrowDown", "+", "-"):
        page.keyboard.press(key)
        seen.add(picture(page))
    assert len(seen) >= 4
    page.keyboard.press("0")
    assert picture(page) == before
    page.keyboard.press("/")
    assert page.get_by_role("searchbox").evaluate("box => box === document.activeElement")


def test_pointing_tells_and_clicking_opens(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    found = page.request.get(f"{library_address}/api/v1/map/documents?rows=30").json()
    title = found["documents"][0]["title"]
    at = place_of(page, 30)
    page.mouse.move(*at)
    page.locator(".tip", has_text=title).wait_for()
    page.mouse.click(*at)
    page.wait_for_url("**/documents/**")
    assert title in page.locator("article h1").inner_text()


def test_a_finger_tells_first_and_opens_then(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    at = place_of(page, 30)
    page.touchscreen.tap(*at)
    page.locator(".tip.pinned a").wait_for()
    assert "/map" in page.url
    page.touchscreen.tap(*at)
    page.wait_for_url("**/documents/**")


def test_hits_are_lit_up_and_going_back_puts_them_out(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    dark = picture(page)
    page.get_by_role("searchbox").fill("read a file")
    page.locator(".map-hits li").first.wait_for()
    expect(page.locator("[data-map].lit")).to_have_count(1)
    expect(page.locator(".hit-mark")).to_have_count(10)
    assert re.search(r"q=read\+a\+file", page.url)
    assert picture(page) != dark
    # A mark and its line are the same document.
    first = page.locator(".map-hits li").first
    assert page.locator(".hit-mark").first.get_attribute("data-row") == first.get_attribute(
        "data-row"
    )
    page.go_back()
    page.locator(".map-hits").wait_for(state="detached")
    expect(page.locator("[data-map].lit")).to_have_count(0)
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_drawing_around_a_part_searches_in_it(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map?q=file")
    total = n_lit(page)
    box = page.locator("canvas.picture").bounding_box()
    page.get_by_role("button", name="Draw around a part").click()
    left, top = box["x"] + box["width"] / 2, box["y"] + 4
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((1, 0), (1, 1), (0, 1)):
        page.mouse.move(left + x * (box["width"] / 2 - 90), top + y * (box["height"] - 8), steps=5)
    page.mouse.up()
    page.locator(".region").wait_for()
    assert "polygon" in page.url
    assert 0 < n_lit(page) < total
    told = page.locator(".region .hint").inner_text()
    assert re.fullmatch(r"\d+ documents of 65", told)
    assert page.locator(".drawn polygon").get_attribute("points")
    # It holds for the next search, and as a list.
    page.get_by_role("searchbox").fill("clock")
    page.wait_for_url("**q=clock*")
    assert "polygon" in page.url
    page.locator(".map-hits li").first.wait_for()
    page.get_by_role("link", name="As a list").click()
    page.locator(".chosen", has_text="a part of the map").wait_for()
    page.go_back()
    page.locator(".region a").click()
    page.locator(".region").wait_for(state="detached")
    assert "map_region" not in page.url


def test_a_part_may_be_looked_at_without_a_word(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    box = page.locator("canvas.picture").bounding_box()
    page.keyboard.press("l")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for x, y in ((600, 5), (600, box["height"] - 10), (5, box["height"] - 10)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
    page.mouse.up()
    page.locator(".map-hits li").first.wait_for()
    assert "In the middle of it".upper() in page.locator("#found-title").inner_text().upper()


def test_a_dot_leads_to_its_cluster(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map")
    before = picture(page)
    page.get_by_role("button", name=re.compile("^Show .* on the map$")).first.click()
    assert picture(page) != before


def test_another_theme_is_drawn_at_once(page: Any, library_address: str) -> None:
    page.emulate_media(color_scheme="light")
    opened(page, f"{library_address}/map")
    before = picture(page)
    page.emulate_media(color_scheme="dark")
    assert picture(page) != before


def test_names_do_not_lie_upon_each_other(page: Any, library_address: str) -> None:
    opened(page, f"{library_address}/map?q=file")
    for _ in range(3):
        boxes = page.locator(".labels > *").evaluate_all(
            """labels => labels.filter((one) => one.style.visibility !== "hidden")
              .map((one) => one.getBoundingClientRect())
              .map((box) => [box.left, box.top, box.right, box.bottom])"""
        )
        for number, (left, top, right, bottom) in enumerate(boxes):
            for other in boxes[number + 1 :]:
                apart = left >= other[2] or other[0] >= right
                assert apart or top >= other[3] or other[1] >= bottom
        page.get_by_role("button", name="Nearer").click()
        picture(page)


def test_what_cannot_be_loaded_is_told_and_tried_again(page: Any, library_address: str) -> None:
    page.route("**/api/v1/map?*", lambda route: route.fulfill(status=503, body="no"))
    page.goto(f"{library_address}/map")
    page.locator(".map-failed").wait_for()
    page.unroute("**/api/v1/map?*")
    page.get_by_role("button", name="Try again").click()
    page.locator("[data-map][data-drawn-ms]").wait_for()
    expect(page.locator(".map-failed")).to_be_hidden()


def test_without_scripts_there_are_lists(browser: Any, library_address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{library_address}/map")
    assert not page.locator("[data-map]").is_visible()
    page.get_by_role("searchbox").fill("read a file")
    page.get_by_role("searchbox").press("Enter")
    page.locator(".map-hits li").first.wait_for()
    page.locator(".clusters li a").first.click()
    page.locator("li.hit").first.wait_for()
    expect(page.locator(".chosen li")).to_have_count(1)
    context.close()


def test_hostile_titles_are_shown_as_they_are(
    page: Any, tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    documents = [Document("..", hostile, "onerror <b>alert</b>"), Document("b", hostile, "Words.")]
    build_version(CollectionFolder(tmp_path, "default"), documents, settings=tiny_settings)
    with served(Settings(tmp_path)) as address:
        opened(page, f"{address}/map?q=alert")
        page.mouse.move(*place_of(page, 0))
        page.locator(".tip a", has_text="onerror=alert").wait_for()
        assert page.locator(".tip img, .map-hits img, .labels img").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_its_window(browser: Any, library_address: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    opened(page, f"{library_address}/map?q=file")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
