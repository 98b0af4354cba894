"""Take the README's screenshots: ``make screenshots`` (needs Chromium and the demo index)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
QUERY = "run a shell command and get its output"
SHOTS = {
    "search.png": ({"width": 1180, "height": 900}, "light"),
    "search-dark.png": ({"width": 1180, "height": 900}, "dark"),
    "search-phone.png": ({"width": 390, "height": 844}, "light"),
}


def main() -> None:
    """Serve the demo collection on a free port and photograph a search."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "--collection", "python-stdlib", "--port", str(port)]
    server = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "pipeline.command_line.main", *command]
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/api/v1/health")
        _shoot(f"{address}/?q={QUERY.replace(' ', '+')}")
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
        for name, (viewport, theme) in SHOTS.items():
            page = browser.new_page(viewport=viewport, color_scheme=theme)  # type: ignore[arg-type]
            page.goto(address)
            page.screenshot(path=FOLDER / name)
        browser.close()


if __name__ == "__main__":
    main()
