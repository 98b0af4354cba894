# ruff: noqa: ANN401  (Playwright may be absent)
"""Signing in, and all that scripts ask for, in a real browser behind a proxy's prefix."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import expect, served
from test_web_map_browser import place_of

from search_api.keys import KeyStore
from web import Settings

pytestmark = pytest.mark.browser

PREFIX = "/find/here"


@contextmanager
def proxied(address: str) -> Iterator[str]:
    """A reverse proxy that has a server below a prefix, and nothing anywhere else."""
    behind = urlsplit(address).netloc

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not self.path.startswith(f"{PREFIX}/"):
                self._answer(404, [], b"not below the prefix")
                return
            connection = http.client.HTTPConnection(behind, timeout=60)
            told = {
                "X-Forwarded-For": "192.0.2.7",
                "X-Forwarded-Proto": "http",
                "X-Forwarded-Host": self.headers["Host"],
                "X-Forwarded-Prefix": PREFIX,
            }
            path = self.path.removeprefix(PREFIX)
            given = {**self.headers, **told, "Connection": "close"}
            connection.request(self.command, path, body or None, given)
            reply = connection.getresponse()
            dropped = {"connection", "content-length", "transfer-encoding"}
            kept = [pair for pair in reply.getheaders() if pair[0].lower() not in dropped]
            self._answer(reply.status, kept, reply.read())
            connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tell nobody."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page; the test fails on what the browser complains of, and on requests astray."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # A page may be one that is not there, and say so.
    page.on(
        "response",
        lambda reply: (
            reply.status != 404
            or reply.request.resource_type == "document"
            or complaints.append(reply.url)
        ),
    )
    page.on(
        "request",
        lambda asked: (
            urlsplit(asked.url).path.startswith(f"{PREFIX}/") or complaints.append(asked.url)
        ),
    )
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def address(library_data_dir: Path) -> Iterator[str]:
    """Address of the library behind a proxy; no key is asked for."""
    with served(Settings(library_data_dir, n_proxies=1)) as behind, proxied(behind) as found:
        yield found


@pytest.fixture
def closed(copied_data_dir: Path) -> Iterator[tuple[str, KeyStore]]:
    """The same where keys are required, and its keys."""
    settings = Settings(copied_data_dir, keys_required=True, n_proxies=1)
    with served(settings) as behind, proxied(behind) as found:
        yield found, KeyStore(copied_data_dir)


def test_typing_and_going_back_below_a_prefix(page: Any, address: str) -> None:
    page.goto(f"{address}/")
    box = page.locator("#q[role='combobox']")
    box.press_sequentially("read a fi", delay=5)
    page.locator(".summary", has_text="for “read a file”").wait_for()
    assert urlsplit(page.url).path == f"{PREFIX}/"
    box.fill("op")
    page.locator("#completions li").first.wait_for()
    box.fill("read a file")
    # The address is ahead of what is shown; the title is not.
    expect(page).to_have_title("read a file · Trine")
    page.evaluate("window.same = true")
    page.get_by_role("link", name="Next").click()
    page.locator(".summary", has_text="page 2 of").wait_for()
    page.locator("aside a", has_text="numbers").click()
    page.locator(".chosen", has_text="numbers").wait_for()
    page.get_by_role("link", name="More like this").first.click()
    page.locator(".chosen", has_text="more like").wait_for()
    page.locator(".why summary").first.click()
    page.get_by_role("link", name="Word by word").first.click()
    page.locator("[data-unfolded]").wait_for()
    # No page was loaded anew for any of this.
    assert page.evaluate("window.same")
    page.go_back()
    page.locator(".chosen:not(:has-text('more like'))").wait_for()
    page.go_forward()
    page.locator(".chosen", has_text="more like").wait_for()
    page.locator("li.hit h2 a").first.click()
    page.locator("article.document .text").wait_for()
    assert f"{PREFIX}/documents/" in page.url
    page.locator(".similar a").first.click()
    page.locator("article.document .text").wait_for()
    page.go_back()
    page.go_back()
    page.locator(".chosen", has_text="more like").wait_for()


def test_other_places_below_a_prefix(page: Any, address: str) -> None:
    page.goto(f"{address}/?q=read+a+file")
    page.get_by_role("link", name="Lenses").click()
    page.locator(".lens-column").first.wait_for()
    page.locator("#q").fill("clock")
    page.wait_for_url("**/lenses?q=clock")
    page.locator(".lens-column").first.wait_for()
    page.go_back()
    page.wait_for_url("**/lenses?q=read+a+file")
    page.get_by_role("link", name="Words", exact=True).click()
    page.locator("#q").fill("file")
    page.wait_for_url("**/words?q=file")
    page.locator(".near-word").first.click()
    page.locator(".near-words li").first.wait_for()
    page.get_by_role("link", name="Map", exact=True).click()
    page.locator("[data-map][data-drawn-ms]").wait_for()
    at = place_of(page, 30)
    page.mouse.move(*at)
    page.locator(".tip a").wait_for()
    page.mouse.click(*at)
    page.locator("article.document .text").wait_for()
    page.go_back()
    page.locator("[data-map][data-drawn-ms]").wait_for()
    page.locator("#q").fill("clock")
    page.wait_for_url("**/map?q=clock")
    page.locator("[data-map].lit").wait_for()
    page.locator(".map-hits a").first.click()
    page.locator("article.document .text").wait_for()


def _sign_in(page: Any, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_who_signs_in_comes_back_searches_and_signs_out(
    page: Any, closed: tuple[str, KeyStore]
) -> None:
    address, keys = closed
    page.goto(f"{address}/?q=clock")
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.get_by_role("navigation").count() == 0
    _sign_in(page, "trine_no_key")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    _sign_in(page, keys.create("Ann & <b>", ["search"])[1])
    page.wait_for_url(f"{address}/?q=clock")
    page.locator("li.hit").first.wait_for()
    page.locator("#q[role='combobox']").fill("read a file")
    page.wait_for_url("**/?q=read+a+file")
    page.locator("#answer:not([aria-busy]) .summary").wait_for()
    expect(page.get_by_title("Signed in: Ann & <b>")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.goto(f"{address}/lenses")
    page.get_by_role("heading", name="Sign in").wait_for()


def test_a_bound_key_sees_its_own_alone(page: Any, closed: tuple[str, KeyStore]) -> None:
    address, keys = closed
    page.goto(f"{address}/sign-in")
    _sign_in(page, keys.create("time", ["search"], filter="subject:time")[1])
    page.locator(".count", has_text="documents in default").wait_for()
    page.locator("#q[role='combobox']").fill("read a file")
    expect(page).to_have_title("read a file · Trine")
    found = page.locator("li.hit h2 a").evaluate_all("all => all.map(a => a.pathname)")
    assert {path.split("/documents/")[1].split("/")[0] for path in found} == {"time"}
    page.get_by_role("button", name="Sign out").click()
    _sign_in(page, keys.create("other", ["search"], collections=["elsewhere"])[1])
    page.get_by_text("elsewhere").first.wait_for()
    page.goto(f"{address}/?q=file&collection=default")
    page.get_by_role("alert").wait_for()
    assert page.locator("li.hit").count() == 0


def test_who_types_with_a_revoked_key_is_asked_to_sign_in(
    page: Any, closed: tuple[str, KeyStore]
) -> None:
    address, keys = closed
    made, key = keys.create("a test", ["search"])
    page.goto(f"{address}/")
    _sign_in(page, key)
    page.locator(".count").wait_for()
    page.locator("#q[role='combobox']").wait_for()
    keys.revoke(made.key_id)
    page.locator("#q[role='combobox']").fill("read a file")
    page.get_by_role("heading", name="Sign in").wait_for()
    _sign_in(page, keys.create("another", ["search"])[1])
    page.wait_for_url(f"{address}/?q=read+a+file")
    page.locator("li.hit").first.wait_for()
