# ruff: noqa: ANN401  (Playwright may be absent)
"""How fast the pages are in a browser (make lighthouse): figures of this machine, as it is now."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import CHROMIUM

pytestmark = [pytest.mark.lighthouse, pytest.mark.browser]

LIGHTHOUSE = Path(__file__).parent / "lighthouse" / "node_modules" / ".bin" / "lighthouse"
LEAST = {"performance": 0.95, "accessibility": 1.0, "best-practices": 1.0}
# Of every interaction so far, the longest time from an event to the next paint.
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.interactionId) window.longest = Math.max(window.longest, entry.duration);
  }
}).observe({ type: "event", durationThreshold: 16, buffered: true });
"""


@pytest.mark.parametrize("form", ["desktop", "mobile"])
@pytest.mark.parametrize("path", ["/", "/?q=read+a+file"])
def test_lighthouse(library_address: str, tmp_path: Path, path: str, form: str) -> None:
    if not LIGHTHOUSE.exists():
        pytest.skip("Lighthouse is not installed (make lighthouse)")
    report = tmp_path / "report.json"
    command = [str(LIGHTHOUSE), library_address + path, "--quiet", "--output=json"]
    command += [f"--output-path={report}", f"--only-categories={','.join(LEAST)}"]
    command += ["--chrome-flags=--headless=new --no-sandbox --disable-quic"]
    command += ["--preset=desktop"] if form == "desktop" else []
    environment = {**os.environ, "CHROME_PATH": CHROMIUM or ""}
    subprocess.run(command, check=True, env=environment, timeout=240)
    found = json.loads(report.read_text(encoding="utf-8"))
    scores = {name: category["score"] for name, category in found["categories"].items()}
    failed = [
        (name, audit["score"])
        for name, audit in found["audits"].items()
        if audit["score"] is not None and audit["score"] < 1
    ]
    print(path, form, scores, failed)
    assert all(scores[name] >= least for name, least in LEAST.items()), scores


def test_a_keystroke_is_painted_at_once(browser: Any, library_address: str) -> None:
    page = browser.new_page()
    page.add_init_script(WATCH)
    page.goto(library_address)
    page.locator("#q").press_sequentially("read a file of numbers", delay=60)
    page.wait_for_url("**q=read+a+file+of+numbers")
    page.locator("li.hit").first.wait_for()
    page.locator(".why summary").first.click()
    page.locator(".facet a").first.click()
    page.locator(".chosen").wait_for()
    page.locator("#weight-bert").focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    page.wait_for_url("**weights=*")
    page.goto(library_address + "/lenses?q=read+a+file")
    page.locator(".lens-column a").first.hover()
    page.locator("#q").press_sequentially(" line", delay=60)
    page.wait_for_url("**q=read+a+file+line")
    page.wait_for_function("performance.now() > 0")
    longest = page.evaluate("window.longest")
    page.close()
    print(f"longest interaction to next paint: {longest:.0f} ms")
    assert longest < 200


if shutil.which("npm") is None:
    pytestmark.append(pytest.mark.skip(reason="npm is not installed"))
