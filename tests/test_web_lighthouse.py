# ruff: noqa: ANN401  (Playwright may be absent)
"""How fast the pages are in a browser (make lighthouse): figures of this machine, as it is now."""

import base64
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


# Moves the map in every frame for three seconds: how long each frame took, and its drawing.
MOVE = """
(what) => new Promise((done) => {
  const sheet = document.querySelector("[data-map]");
  const canvas = sheet.querySelector("canvas");
  const box = canvas.getBoundingClientRect();
  const [intervals, drawn] = [[], []];
  let [began, last] = [null, null];
  const step = (now) => {
    began ??= now;
    if (last !== null) intervals.push(now - last);
    last = now;
    drawn.push(Number(sheet.dataset.drawnMs));
    if (now - began > 3000) return done([intervals, drawn]);
    const at = { clientX: box.left + box.width * (0.5 + 0.2 * Math.sin(now / 300)),
      clientY: box.top + box.height * (0.5 + 0.2 * Math.cos(now / 400)) };
    const event = what === "pan"
      ? new PointerEvent("pointermove", { ...at, pointerId: 1, pointerType: "mouse" })
      : new WheelEvent("wheel", { ...at, deltaY: 40 * Math.sin(now / 500), cancelable: true });
    canvas.dispatchEvent(event);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})
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
    page.locator("#q").press("End")
    page.locator("#q").press_sequentially(" line", delay=60)
    page.wait_for_url("**q=read+a+file+line")
    page.wait_for_function("performance.now() > 0")
    longest = page.evaluate("window.longest")
    page.close()
    print(f"longest interaction to next paint: {longest:.0f} ms")
    assert longest < 200


def test_a_large_map_moves_smoothly(browser: Any, library_address: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.route("**/api/v1/map?*", with_points(100_000))
    page.goto(library_address + "/map?q=file")
    page.locator("[data-map][data-drawn-ms]").wait_for()
    box = page.locator("canvas.picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    told = {}
    for what in ("pan", "zoom"):
        intervals, drawn = page.evaluate(MOVE, what)
        told[what] = statistics.median(intervals)
        p95 = statistics.quantiles(intervals, n=20)[-1]
        print(
            f"{what} of 100,000 points: {len(intervals)} frames, {told[what]:.1f} ms between two at"
            f" the median, {p95:.1f} at p95; drawn in {statistics.median(drawn):.1f} ms"
        )
        page.mouse.up()
    page.close()
    assert max(told.values()) < 50


def with_points(n: int) -> Callable[[Any], None]:
    """Answer what a map's points are with many more of them, in eighteen clusters."""
    generator = np.random.default_rng(1)
    clusters = generator.integers(0, 18, n).astype(np.uint8)
    middles = generator.uniform(9_000, 56_000, (18, 2))
    places = middles[clusters] + generator.normal(0, 2_500, (n, 2))
    positions = np.clip(places, 0, 65_533).astype("<u2")

    def answer(route: Any) -> None:
        told = route.fetch().json()
        named = [
            {
                "cluster": number,
                "terms": [f"words {number}", "others"],
                "n_documents": int((clusters == number).sum()),
                "x": float(x),
                "y": float(y),
            }
            for number, (x, y) in enumerate(middles)
        ]
        points = {"positions": positions.tobytes(), "clusters": clusters.tobytes()}
        written = {name: base64.b64encode(content).decode() for name, content in points.items()}
        route.fulfill(json={**told, **written, "n_documents": n, "named": named})

    return answer


if shutil.which("npm") is None:
    pytestmark.append(pytest.mark.skip(reason="npm is not installed"))
