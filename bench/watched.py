"""What it costs a training to be watched in a browser, as a share of a step.

    python bench/watched.py [--data digits] [--rounds 5] [--seconds 20]

One training goes on in a process of its own. In each round it is measured for some seconds while `vaekit explore` and a
page in Chromium watch it, and for as many seconds after both have gone and the training has forgotten them (90 s).
Held-out checks are left out of both, as they would hide a step. Prints one JSON object: time and processor time of a
step, watched over not watched, each the mean over rounds with a 95% interval (Student's t of the ratios' logarithms),
and the share of the training's processor time that checkpoints took while it was watched, counted around each.
Page, server and training share the machine, so the first of them holds what they take from one another too; the second
and the third are what the training does more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import FLAGS, browser_path
from scipy.stats import t as student

from vaekit.training.control import WATCHED

VAEKIT = (sys.executable, "-m", "vaekit")
SAVES = "saves"
TICKS = os.sysconf("SC_CLK_TCK")


def train(data: str, folder: Path) -> None:
    """Train until it is killed, and write down the processor time of all checkpoints so far after each."""
    import vaekit
    from vaekit.training.saved import Saved

    save, total = Saved.save, 0.0

    def counted(*given: Any, **more: Any) -> None:
        nonlocal total
        began = time.process_time()
        save(*given, **more)
        total += time.process_time() - began
        (folder.parent / SAVES).write_text(str(total))

    Saved.save = counted
    (folder.parent / SAVES).write_text("0")
    vaekit.train("vae", data, steps=10**9, out=folder, device="cpu", set={"train.validate_every": 10**6})


def now(folder: Path, process: subprocess.Popen[Any]) -> tuple[int, float, float, float]:
    """Wait for the next line of the log; return its step, the time, and the processor time so far, all and in saves."""
    with (folder / "log.jsonl").open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while file.seek(0, os.SEEK_END) == size:
            time.sleep(0.001)
        file.seek(max(0, size - 20_000))
        lines = file.read().splitlines()
    step = next(json.loads(line)["step"] for line in reversed(lines) if line.endswith(b"}"))
    used = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return step, time.monotonic(), sum(map(int, used)) / TICKS, float((folder.parent / SAVES).read_text() or "nan")


def measure(folder: Path, process: subprocess.Popen[Any], seconds: float) -> tuple[float, float, float]:
    """Return time and processor time of a step, in ms, and the share of the latter that was spent on checkpoints."""
    first = now(folder, process)
    time.sleep(seconds)
    steps, wall, cpu, saves = (b - a for a, b in zip(first, now(folder, process), strict=True))
    return 1e3 * wall / steps, 1e3 * cpu / steps, saves / cpu


@contextmanager
def watching(browser: Any, folder: Path) -> Iterator[None]:
    """Serve and open the page, and wait until it follows the training."""
    command = [*VAEKIT, "explore", str(folder), "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        page = browser.new_page()
        page.goto(server.stdout.readline().strip())
        page.wait_for_selector("main[aria-busy=false]", timeout=60_000)
        page.wait_for_selector(".samples[data-version]", timeout=120_000)
        first = page.get_attribute(".samples", "data-version")
        while page.get_attribute(".samples", "data-version") == first:  # a checkpoint has come
            page.wait_for_timeout(200)
        yield
        page.close()
    finally:
        server.terminate()
        server.wait(20)


def ratio(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return the mean of a/b over pairs with its 95% interval, and both means."""
    logs = [math.log(a / b) for a, b in pairs]
    mean, half = statistics.mean(logs), math.nan
    if len(logs) > 1:
        half = float(student.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return {
        "watched_over_not": round(math.exp(mean), 4),
        "interval": [round(math.exp(mean + way * half), 4) for way in (-1, 1)],
        "watched_ms": round(statistics.mean(a for a, _ in pairs), 4),
        "not_ms": round(statistics.mean(b for _, b in pairs), 4),
        "rounds": [round(math.exp(one), 4) for one in logs],
    }


def main() -> None:
    """Train, watch, leave, and so on; print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train is not None:
        return train(arguments.data, arguments.train)
    from playwright.sync_api import sync_playwright

    measured = []
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch) / "run"
        words = [sys.executable, __file__, "--data", arguments.data, "--train", str(folder)]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=browser_path(), args=[*FLAGS])
        try:
            while not (folder / "log.jsonl").is_file():
                time.sleep(0.5)
                assert process.poll() is None, "the training ended"
            for _ in range(arguments.rounds):
                with watching(browser, folder):
                    seen = measure(folder, process, arguments.seconds)
                time.sleep(WATCHED + 5)
                measured.append((seen, measure(folder, process, arguments.seconds)))
                print(measured[-1], file=sys.stderr, flush=True)
        finally:
            process.kill()
            process.wait()
            browser.close()
    wall, cpu = ([(a[i], b[i]) for a, b in measured] for i in (0, 1))
    out = {"data": arguments.data, "seconds": arguments.seconds, "time": ratio(wall), "processor_time": ratio(cpu)}
    out["checkpoints_share"] = [round(watched[2], 5) for watched, _ in measured]
    print(json.dumps(out | {"load_average": round(os.getloadavg()[0], 1), "processors": os.cpu_count()}))


if __name__ == "__main__":
    main()
