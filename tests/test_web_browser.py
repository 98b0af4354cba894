# ruff: noqa: ANN401  (Playwright may be absent)
"""The pages in a real browser, JavaScript on and off, at two widths, in both themes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import expect, served

from ingest.documents import Document
from web import Settings

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page at a desk; the test fails on anything the browser complains of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield from _watched(context)


@pytest.fixture
def scriptless(browser: Any) -> Iterator[Any]:
    """The same without JavaScript."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, java_script_enabled=False
    )
    yield from _watched(context)


def _watched(context: Any) -> Iterator[Any]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # Who goes on before something has come has given it up; that is no failure.
    page.on(
        "requestfailed",
        lambda request: request.failure == "net::ERR_ABORTED" or complaints.append(request.url),
    )
    yield page
    context.close()
    assert complaints == []


def ids(page: Any, query: str | None = None) -> list[str]:
    """Titles of the hits in sight, once there are any, and they are those of a query."""
    if query is not None:
        # The address is ahead of what is shown; the title is not.
        expect(page).to_have_title(f"{query} · Trine")
    page.locator("li.hit").first.wait_for()
    return list(page.locator("li.hit h2 a").all_inner_texts())


def settled(page: Any, part: str) -> Any:
    """Wait for the answer to what is done inside."""
    return page.expect_response(lambda reply: part in reply.url)


def test_plain_search_needs_no_script(scriptless: Any, library_address: str) -> None:
    page = scriptless
    page.goto(library_address)
    page.get_by_role("searchbox").fill("read a file")
    page.get_by_role("searchbox").press("Enter")
    # The page may still be arriving.
    page.locator("li.hit").nth(9).wait_for()
    page.get_by_text("Why this hit").first.click()
    expect(page.get_by_role("table").first).to_be_visible()
    page.get_by_role("link", name="Word by word").first.click()
    expect(page.get_by_role("radio").nth(2)).to_be_visible()
    expect(page.locator(".reading:visible")).to_have_count(1)
    page.get_by_role("link", name="Results for").click()
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".summary")).to_contain_text("page 2 of")
    page.locator("aside a", has_text="numbers").click()
    expect(page.locator(".chosen")).to_contain_text("numbers")
    page.get_by_role("link", name="More like this").first.click()
    expect(page.locator(".chosen")).to_contain_text("more like")
    page.locator("#weight-bm25").focus()
    page.keyboard.press("End")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("link", name="As it was")).to_be_visible()
    expect(page.locator("#weight-bm25")).to_have_value("1")
    page.locator("li.hit h2 a").first.click()
    expect(page.locator("article.document .text")).to_be_visible()
    page.locator(".similar a").first.click()
    expect(page.locator("article.document .text")).to_be_visible()
    page.get_by_role("link", name="Lenses").click()
    page.get_by_role("searchbox").fill("read a file")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".lens-column")).to_have_count(5)
    page.locator(".ways path.staying").nth(5).wait_for(state="attached")
    page.get_by_role("link", name="Words", exact=True).click()
    page.get_by_role("searchbox").fill("file")
    page.get_by_role("searchbox").press("Enter")
    page.locator(".near-words li").nth(5).wait_for()
    page.locator(".brand").click()
    expect(page.get_by_role("heading", name="What are you looking for?")).to_be_visible()


def test_what_is_typed_is_searched_for_at_once(page: Any, library_address: str) -> None:
    page.goto(library_address)
    box = page.locator("#q")
    box.press_sequentially("read a fi", delay=5)
    page.locator(".summary", has_text="for “read a file”").wait_for()
    # Nothing was loaded anew: the box still has the focus, and the address can be shared.
    assert page.evaluate("document.activeElement.id") == "q"
    assert page.url.endswith("/?q=read+a+fi")
    box.press_sequentially("le", delay=5)
    page.wait_for_url("**/?q=read+a+file")
    typed = ids(page, "read a file")
    other = page.context.new_page()
    other.goto(page.url)
    assert ids(other) == typed
    # All that was typed is one step back.
    page.go_back()
    page.get_by_role("heading", name="What are you looking for?").wait_for()
    expect(box).to_have_value("")
    page.go_forward()
    page.locator("li.hit").first.wait_for()
    expect(box).to_have_value("read a file")


def test_only_the_last_answer_counts(page: Any, library_address: str) -> None:
    """An answer that comes late, to words that were typed on, is dropped."""
    page.goto(library_address + "/?q=clock")
    before = ids(page)
    late: list[Any] = []
    page.route(re.compile(r"/parts/answer\?q=socket"), lambda route: late.append(route))
    box = page.locator("#q")
    box.fill("socket")
    page.locator("#answer[aria-busy=true]").wait_for()
    # What was found before stays meanwhile.
    assert ids(page) == before
    box.fill("decimal fraction")
    page.wait_for_url("**/?q=decimal+fraction")
    found = ids(page, "decimal fraction")
    assert found != before
    for route in late:
        route.continue_()
    page.locator("#answer:not([aria-busy])").wait_for()
    assert ids(page) == found
    assert late


@pytest.mark.parametrize(
    ("path", "script", "shown"),
    [("/", "search.js", "li.hit"), ("/lenses", "lenses.js", ".lens-column")],
)
def test_what_was_typed_before_the_scripts_came_counts(
    page: Any, library_address: str, path: str, script: str, shown: str
) -> None:
    held: list[Any] = []
    page.route(f"**/js/{script}", lambda route: held.append(route))
    with page.expect_request(f"**/js/{script}"):
        page.goto(library_address + path, wait_until="commit")
    page.locator("#q").fill("read a file")
    held[0].continue_()
    page.locator(shown).first.wait_for()
    page.wait_for_url("**q=read+a+file")
    assert page.locator("#q").input_value() == "read a file"


def test_completions_are_a_combobox(page: Any, library_address: str) -> None:
    page.goto(library_address)
    box = page.get_by_role("combobox", name="Search default")
    expect(box).to_have_attribute("aria-expanded", "false")
    # At once: typed slowly, each letter brings a list of its own.
    box.fill("quat")
    page.locator("#completions [role=option]").first.wait_for()
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    chosen = page.locator("[role=option][aria-selected=true]")
    expect(box).to_have_attribute("aria-activedescendant", chosen.get_attribute("id"))
    text = chosen.inner_text()
    box.press("Enter")
    expect(box).to_have_value(text)
    expect(box).to_have_attribute("aria-expanded", "false")
    page.locator("li.hit", has_text="Quaternion").first.wait_for()
    box.fill("quat")
    page.locator("#completions [role=option]").first.wait_for()
    box.press("Escape")
    expect(page.locator("#completions [role=option]")).to_have_count(0)
    expect(box).to_have_value("quat")
    box.press("Escape")
    expect(box).to_have_value("")


def test_the_keyboard_reaches_everything(page: Any, library_address: str) -> None:
    page.goto(library_address + "/?q=read+a+file")
    focused = "document.activeElement.closest('.hit')?.value ?? document.activeElement.id"
    page.keyboard.press("/")
    assert page.evaluate(focused) == "q"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == 1
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == 2
    page.keyboard.press("ArrowUp")
    page.keyboard.press("w")
    expect(page.get_by_role("table").first).to_be_visible()
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == "q"
    # Whoever types a question mark means one.
    with settled(page, "%3F"):
        page.keyboard.press("?")
    assert not page.get_by_role("dialog").is_visible()
    page.goto(library_address + "/?q=read+a+file")
    page.locator("h2 a").nth(1).focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    with settled(page, "/parts/answer"):
        page.keyboard.press("n")
    page.locator(".summary", has_text="page 2 of").wait_for()
    # What was found anew has the focus; the arrow goes on among its hits.
    page.wait_for_function("document.activeElement.id === 'answer'")
    page.keyboard.press("ArrowDown")
    with settled(page, "like="):
        page.keyboard.press("m")
    page.locator(".chosen .like").wait_for()
    page.wait_for_function("document.activeElement.id === 'answer'")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("article.document").wait_for()


def test_history_stays_on_the_device(page: Any, library_address: str) -> None:
    sent: list[str] = []
    page.goto(library_address)
    page.locator("#q").fill("timezone")
    page.locator("#q").press("Enter")
    page.locator("li.hit").first.wait_for()
    page.on("request", lambda request: sent.append(request.url))
    page.goto(library_address)
    recent = page.locator("[role=option][data-kind=recent]")
    expect(recent).to_have_text(["timezone"])
    assert not [url for url in sent if "timezone" in url]
    assert page.context.cookies() == []
    page.get_by_role("button", name="Forget these").click()
    expect(recent).to_have_count(0)
    page.reload()
    page.locator("#q").wait_for()
    assert page.evaluate("localStorage.getItem('trine.recent')") is None


def test_hits_steer_the_search(page: Any, library_address: str) -> None:
    page.goto(library_address + "/?q=read+a+file")
    first = ids(page)[0]
    page.get_by_role("link", name="More like this").first.click()
    page.locator(".chosen .like", has_text=first).wait_for()
    assert first not in ids(page)
    page.get_by_role("link", name="Less like this").nth(1).click()
    page.locator(".chosen .unlike").wait_for()
    assert "like=" in page.url
    assert "unlike=" in page.url
    page.locator(".chosen .like a").click()
    page.locator(".chosen .like").wait_for(state="detached")
    page.locator(".chosen .unlike a").click()
    page.locator(".chosen").wait_for(state="detached")
    assert ids(page)[0] == first


def test_sliders_rank_anew_without_a_new_page(page: Any, library_address: str) -> None:
    page.goto(library_address + "/?q=read+a+file")
    page.evaluate("window.stays = true")
    page.locator("#weight-bert").focus()
    with settled(page, "weights="):
        page.keyboard.press("Home")
    page.get_by_role("link", name="As it was").wait_for()
    assert "bert%3A0%2C" in page.url or page.url.endswith("bert%3A0")
    # The slider is the same, so that it can be moved on.
    assert page.evaluate("document.activeElement.id") == "weight-bert"
    page.locator(".why summary").first.click()
    expect(page.get_by_role("table").first).to_be_visible()
    assert page.locator(".why th", has_text="BERT").count() == 0
    page.get_by_role("link", name="As it was").click()
    page.locator(".balance output", has_text="0.5").first.wait_for()
    assert "weights" not in page.url
    assert page.evaluate("window.stays")


def test_facets_sort_and_pages_keep_the_place(page: Any, library_address: str) -> None:
    page.goto(library_address + "/?q=read+a+file")
    page.locator(".facet a", has_text="time").first.click()
    page.locator(".chosen", has_text="time").wait_for()
    # The focus is where it was: on the same value, now chosen.
    assert page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"
    page.locator("#sort").select_option("number:desc")
    page.wait_for_url("**sort=number*")
    page.locator("#answer:not([aria-busy])").wait_for()
    page.go_back()
    page.wait_for_url(lambda url: "sort" not in url)
    page.go_back()
    page.wait_for_url(lambda url: "only" not in url)
    page.locator(".chosen").wait_for(state="detached")


def test_passages_and_words_unfold(page: Any, library_address: str) -> None:
    page.goto(library_address + "/?q=alpha+chapter")
    more = page.locator(".more-passages a").first
    more.click()
    page.locator(".passages li").first.wait_for()
    n_left_out = page.locator(".passages + .hint").inner_text().split()[0]
    n_shown = page.locator(".passages li").count()
    assert int(more.inner_text().split()[0]) == n_shown + int(n_left_out)
    more.click()
    expect(page.locator(".passages li")).to_have_count(0)
    page.locator(".why summary").first.click()
    page.get_by_role("link", name="Word by word").first.click()
    page.get_by_role("radio", name="Keywords").check()
    page.locator(".reading-bm25 .level-5").first.wait_for()
    expect(page.locator(".reading:visible")).to_have_count(1)


def test_a_server_that_is_away_is_told_of(browser: Any, library_address: str) -> None:
    page = browser.new_page()
    page.goto(library_address + "/?q=clock")
    before = ids(page)
    page.route("**/parts/answer**", lambda route: route.abort("failed"))
    page.route("**/api/v1/suggest**", lambda route: route.abort("failed"))
    page.locator("#q").fill("socket")
    page.get_by_text("The server does not answer").wait_for()
    assert ids(page) == before
    page.unroute("**/parts/answer**")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("The server does not answer").wait_for(state="detached")
    assert ids(page) != before
    page.close()


def test_a_busy_server_is_asked_again(browser: Any, library_address: str) -> None:
    page = browser.new_page()
    page.goto(library_address + "/?q=clock")
    before = ids(page)
    busy = {"status": 503, "headers": {"Retry-After": "0"}, "body": "no room"}
    page.route("**/parts/answer**", lambda route: route.fulfill(**busy), times=1)
    page.locator("#q").fill("socket")
    page.wait_for_url("**q=socket")
    page.locator(".hit mark", has_text=re.compile("socket", re.IGNORECASE)).first.wait_for()
    found = ids(page)
    assert found != before
    # One that stays busy is told of, above what was found before.
    page.route("**/parts/answer**", lambda route: route.fulfill(**busy))
    page.locator("#q").fill("timezone")
    page.get_by_text("The server does not answer").wait_for()
    assert ids(page) == found
    assert page.get_by_text("no room").count() == 0
    page.close()


def test_a_theme_is_kept(page: Any, library_address: str) -> None:
    page.goto(library_address)
    color = "getComputedStyle(document.body).backgroundColor"
    by_day = page.evaluate(color)
    switch = page.locator("[data-theme-switch]")
    switch.click()
    assert page.evaluate(color) == by_day
    switch.click()
    by_night = page.evaluate(color)
    assert by_night != by_day
    page.goto(library_address + "/?q=file")
    assert page.evaluate(color) == by_night
    switch.click()
    assert page.evaluate(color) == by_day


def test_lenses_follow_a_document(page: Any, library_address: str) -> None:
    page.goto(library_address + "/lenses")
    page.locator("#q").fill("read a file")
    page.locator(".lens-column").first.wait_for()
    assert page.url.endswith("/lenses?q=read+a+file")
    # A line begins at the height of its document, to the width of its stroke.
    seat = page.locator(".lens-bm25 li").first
    number = seat.get_attribute("data-document")
    line = page.locator(f".ways >> nth=0 >> path[data-document='{number}']")
    # Both are measured once no font can come and move them.
    page.evaluate("() => document.fonts.ready.then(() => true)")
    row, way = seat.bounding_box(), line.bounding_box()
    assert abs(row["y"] + row["height"] / 2 - min(way["y"], way["y"] + way["height"])) < 8
    seat.hover()
    page.locator(".following .lens-column .followed").first.wait_for()
    page.mouse.move(5, 5)
    page.locator(".following").wait_for(state="detached")


def test_a_finger_follows_a_document_through_the_lenses(browser: Any, library_address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(library_address + "/lenses?q=read+a+file")
    assert page.locator(".ways").first.is_visible()
    seat = page.locator(".lens-bm25 li").first
    seat.locator("a").tap()
    # The first tap tells which it is, and where it is in every lens; the second opens it.
    told = page.locator(".follows")
    told.locator("a", has_text=seat.locator(".seat-title").inner_text()).wait_for()
    assert "BM25 1" in told.inner_text()
    assert page.locator(".following .lens-column .followed").count() >= 1
    assert "/lenses" in page.url
    seat.locator("a").tap()
    page.wait_for_url("**/documents/**")
    context.close()


def test_words_add_up(page: Any, library_address: str) -> None:
    page.goto(library_address + "/words")
    page.locator("#q").fill("file")
    page.locator(".near-words li").first.wait_for()
    word = page.locator(".near-word").first.inner_text()
    page.get_by_role("link", name=f"Take {word} away").click()
    page.locator(".terms .taken-away", has_text=word).wait_for()
    expect(page.locator("#q")).to_have_value(f"file - {word}")
    page.go_back()
    page.locator(".terms .taken-away").wait_for(state="detached")
    expect(page.locator("#q")).to_have_value("file")
    page.locator("#q").fill("xyzzy")
    page.get_by_text("does not know the word").wait_for()


def test_print_leaves_out_what_paper_cannot_do(page: Any, library_address: str) -> None:
    page.goto(library_address + "/?q=read+a+file")
    # Paper is white, whatever theme was chosen for the screen.
    page.locator("[data-theme-switch]").click(click_count=2)
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    expect(page.locator(".ask")).to_be_hidden()
    expect(page.locator(".refine")).to_be_hidden()
    expect(page.locator("li.hit").first).to_be_visible()


def test_texts_run_their_own_way(browser: Any, tmp_path: Path, build: Any) -> None:
    build(Document("ar", "كيف تقرأ ملفا", "هذا النص يشرح كيف تقرأ ملفا من القرص."))
    with served(Settings(tmp_path / "built")) as address:
        page = browser.new_page()
        page.goto(address + "/?q=ملفا")
        direction = "element => getComputedStyle(element).direction"
        assert page.locator("#q").evaluate(direction) == "rtl"
        assert page.locator("li.hit h2 a").evaluate(direction) == "rtl"
        assert page.locator("li.hit .passage").evaluate(direction) == "rtl"
        assert page.locator("body").evaluate(direction) == "ltr"
        page.close()


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_every_page_fits_its_window(browser: Any, library_address: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    for name, path in {
        "home": "/",
        "results": "/?q=read+a+file",
        "long": "/?q=alpha+chapter",
        "options": "/?q=clock&filter=subject:time",
        "document": "/documents/long",
        "problem": "/?q=file&k=0",
        "steered": "/?q=read+a+file&like=files/01&unlike=time/02",
        "lenses": "/lenses?q=read+a+file",
        "words": "/words?q=file",
        "a long word": "/words?q=" + "w" * 400,
        "a long query": "/?q=" + "w" * 400,
        "word by word": "/words-of-hit?q=read+a+file&k=1&page=1",
        "passages": "/passages?q=alpha&document=long",
    }.items():
        page.goto(library_address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    context.close()
