"""Key press to new decoded image in the explorer, measured in a real browser.

    python bench/explorer.py RUN [--presses 50] [--tabs 8]

Each press of an arrow key on a slider is timed inside the page, from the key event's own time stamp to the moment the
decoded picture is on its canvas ("drawn"), and to the next frame the browser shows ("shown"; a browser shows 60 frames
a second, so this adds 8 ms on average). With several tabs all press at once, each as soon as its last press was drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from browser import FLAGS, browser_path

AWAKE = (
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)

WATCH = """() => {
  window.times = [];
  let pressed = 0;
  addEventListener('keydown', e => { pressed = e.timeStamp; }, true);
  document.addEventListener('vaekit:drawn', () => {
    if (!pressed) return;
    const start = pressed, drawn = performance.now();
    pressed = 0;
    requestAnimationFrame(() => window.times.push([drawn - start, performance.now() - start]));
  });
  document.querySelector('#sliders input').focus();
}"""

# A press as the page sees it, from within the page: for many tabs at once, of which only one can have the real focus.
PRESS = """async n => {
  const slider = document.querySelector('#sliders input');
  const times = [];
  for (let i = 0; i < n; i++) {
    const start = performance.now();
    const drawn = new Promise(done => document.addEventListener('vaekit:drawn', done, {once: true}));
    if (Number(slider.value) >= 2) slider.value = -2;
    slider.stepUp();
    slider.dispatchEvent(new Event('input'));
    await drawn;
    times.push(performance.now() - start);
    await new Promise(done => setTimeout(done, 20));
  }
  return times;
}"""


def summary(times: list[float]) -> dict[str, float]:
    """Median, 90th and 99th per cent in milliseconds."""
    at = sorted(times)
    return {
        "median_ms": round(statistics.median(at), 1),
        "p90_ms": round(at[int(0.9 * (len(at) - 1))], 1),
        "max_ms": round(at[-1], 1),
        "n": len(at),
    }


def single(browser: Any, url: str, presses: int) -> dict[str, Any]:
    """Real key presses in one tab."""
    page = opened(browser, url)
    page.evaluate(WATCH)
    for i in range(presses + 5):
        page.keyboard.press("ArrowRight" if (i // 20) % 2 == 0 else "ArrowLeft")
        page.wait_for_timeout(60)
    times = page.evaluate("window.times")[5:]
    page.close()
    return {"drawn": summary([t[0] for t in times]), "shown": summary([t[1] for t in times])}


def several(browser: Any, url: str, tabs: int, presses: int) -> dict[str, Any]:
    """Many tabs, all moving their slider at once."""
    pages = [opened(browser, url) for _ in range(tabs)]
    for page in pages:
        page.evaluate(f"n => {{ window.done = ({PRESS})(n); }}", presses)
    times = [t for page in pages for t in page.evaluate("window.done")]
    for page in pages:
        page.close()
    return summary(times)


def opened(browser: Any, url: str) -> Any:
    """Return a page that has loaded and come to rest."""
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("main[aria-busy=false]")
    page.wait_for_selector("#map[data-ready]", timeout=120_000)
    page.wait_for_timeout(300)
    return page


def main() -> None:
    """Serve the run, measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--presses", type=int, default=50)
    parser.add_argument("--tabs", type=int, default=8)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "vaekit", "explore", arguments.run, "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        time.sleep(1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path(), args=[*FLAGS, *AWAKE])
            out = {
                "one_tab": single(browser, url, arguments.presses),
                f"{arguments.tabs}_tabs": several(browser, url, arguments.tabs, arguments.presses),
                "load_average": round(os.getloadavg()[0], 1),
                "processors": os.cpu_count(),
            }
            browser.close()
        print(json.dumps(out))
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
