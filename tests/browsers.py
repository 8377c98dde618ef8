"""The system's own browsers, as the tests of pages drive them: Chromium, and Firefox by WebDriver BiDi."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "firefox": ("firefox-esr", "firefox")}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
DOWNLOADS = Path(tempfile.gettempdir(), f"vaekit-downloads-{os.getpid()}")
"""Where Firefox saves: a download begun by a script has no event there."""

chromium_only = pytest.mark.parametrize("browser", ["chromium"], indirect=True)
"""For tests of the page's own order of doing things, which no browser changes, and of what BiDi cannot set."""


def path_of(name: str) -> str | None:
    """Return the program of a browser on this system."""
    return next((found for one in NAMES[name] if (found := shutil.which(one))), None)


def launched(playwright: Any, name: str, path: str) -> Any:
    """Return the browser, without a window, for pages with reduced motion."""
    if name == "chromium":
        return playwright.chromium.launch(executable_path=path, args=FLAGS)
    still = {"ui.prefersReducedMotion": 1}
    return playwright.firefox.launch(
        executable_path=path, channel="moz-firefox", firefox_user_prefs=still, downloads_path=DOWNLOADS
    )


def enter(page: Any, selector: str, text: str, *, commit: bool = True) -> None:
    """Type over what a field holds, as a person does, and press Enter."""
    page.focus(selector)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)
    if commit:
        page.keyboard.press("Enter")


def tapped(page: Any, x: float, y: float) -> None:
    """Touch the page; by the pointer where the browser's protocol has no touch."""
    if page.context.browser.browser_type.name == "chromium":
        page.touchscreen.tap(x, y)
    else:
        page.mouse.click(x, y)


def downloaded(page: Any, action: Callable[[], object]) -> bytes:
    """Return the file that an action has the browser save."""
    if page.context.browser.browser_type.name == "chromium":
        with page.expect_download() as coming:
            action()
        return Path(coming.value.path()).read_bytes()
    before = set(DOWNLOADS.glob("*"))
    action()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        new = [path for path in DOWNLOADS.glob("*") if path not in before and path.suffix != ".part"]
        if new and all(path.stat().st_size for path in new):
            page.wait_for_timeout(100)
            return new[0].read_bytes()
        page.wait_for_timeout(20)
    raise AssertionError("nothing was saved")
