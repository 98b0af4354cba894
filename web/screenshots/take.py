"""Take the README's screenshots: ``make screenshots`` (needs Chromium and the demo index)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
SEARCH = "/?q=run+a+shell+command+and+get+its+output"
LENSES = "/lenses?q=read+a+file+line+by+line"
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Shot:
    """One picture: where, at what size and by what light, and what is done first."""

    path: str
    size: dict[str, int]
    scheme: str = "light"
    before: Callable[[Page], None] = lambda page: None


def _type(page: Page) -> None:
    page.locator("#q").press_sequentially("file des", delay=20)
    page.locator(".summary", has_text="file descriptor").wait_for()
    page.locator("#answer:not([aria-busy])").wait_for()
    page.wait_for_timeout(300)  # until it has faded in
    page.locator("#completions li").first.wait_for()


def _unfold(page: Page) -> None:
    page.locator(".why summary").first.click()
    page.locator(".word-by-word a").first.click()
    page.locator(".reading-bert .level-5").first.wait_for()


def _board(page: Page) -> None:
    page.evaluate("scrollTo(0, document.querySelector('.remarks').offsetTop - 24)")


def _drawn(page: Page) -> None:
    page.locator("[data-map][data-drawn-ms]").wait_for()
    page.wait_for_timeout(300)  # until it rests


SHOTS = {
    "search.png": Shot(SEARCH, DESK),
    "search-dark.png": Shot(SEARCH, DESK, "dark"),
    "why.png": Shot(SEARCH, {"width": 1280, "height": 1400}, before=_unfold),
    "typing.png": Shot("/", {"width": 1280, "height": 620}, before=_type),
    "lenses.png": Shot(LENSES, {"width": 1280, "height": 960}),
    "map.png": Shot("/map?q=parse+a+date", DESK, before=_drawn),
    "judging.png": Shot("/judging?q=run+a+shell+command+and+get+its+output", DESK),
    "console.png": Shot("/console", DESK),
    "words.png": Shot("/words?q=socket", DESK),
    "phone.png": Shot(SEARCH, PHONE),
    "phone-lenses.png": Shot(LENSES, PHONE, "dark", _board),
}


def main() -> None:
    """Serve the demo collection on a free port and photograph its pages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "--collection", "python-stdlib", "--port", str(port), "--admin"]
    server = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "pipeline.command_line.main", *command]
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/api/v1/health")
        _shoot(address)
    finally:
        server.terminate()
        server.wait()


def _wait(address: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=10)  # noqa: S310
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise SystemExit(f"{address} did not answer within {seconds:.0f} s")


def _shoot(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        for name, shot in SHOTS.items():
            page = browser.new_page(
                viewport=shot.size,  # type: ignore[arg-type]
                color_scheme=shot.scheme,  # type: ignore[arg-type]
                has_touch=shot.size is PHONE,
                reduced_motion="reduce",
            )
            page.goto(address + shot.path)
            page.evaluate("document.fonts.ready")
            shot.before(page)
            page.screenshot(path=FOLDER / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
