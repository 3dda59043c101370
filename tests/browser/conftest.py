"""Report pages in a real Chromium, without a graphics card (SwiftShader draws)."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_case import Case, make_case
from PIL import Image

from medimg.report import viewer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-watchdog", "--no-sandbox"]
READY_MS = 240_000
VIEWPORT = {"width": 1200, "height": 800}

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
"""Ignored by git; what CI keeps."""


@dataclass
class Opened:
    """A page that is open, and what it did."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    @property
    def lps(self) -> list[float]:
        """Where the crosshair is, by NiiVue's own account."""
        return [float(part) for part in self.page.get_attribute("#readout", "data-lps").split()]

    def pixels(self, selector: str = "#canvas") -> np.ndarray:
        """What is drawn, (rows, columns, 3)."""
        # the page's picture is that of the frame before, until the next is drawn
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        picture = Image.open(io.BytesIO(self.page.locator(selector).screenshot()))
        return np.asarray(picture.convert("RGB")).astype(int)

    def set_opacity(self, percent: int) -> None:
        """Move the slider."""
        self.page.locator("#opacity").fill(str(percent))

    def keep(self, name: str) -> None:
        """A picture of the page among the screenshots."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed; see make setup")
    program = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if program is None:
        pytest.skip("Chromium is not installed; see make tools")
    if viewer.bundle() is None:
        pytest.skip("NiiVue was not fetched; see make viewer")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def open_page(chromium):
    """Open an address, wait until the viewer is ready, and note whatever the page says and asks for."""

    def opened(address: str, state: str = "ready", script: str = "") -> Opened:
        page = chromium.new_context(viewport=VIEWPORT).new_page()
        page.set_default_timeout(READY_MS)
        result = Opened(page)
        page.on("console", lambda message: result.said.append(message.text))
        page.on("pageerror", lambda error: result.said.append(str(error)))
        page.on("dialog", lambda dialog: (result.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: result.asked_for.append(request.url))
        if script:
            page.add_init_script(script)
        page.goto(address)
        page.wait_for_selector("html[data-viewer]", state="attached")  # the policy forbids what waits by a script
        assert page.evaluate("document.documentElement.dataset.viewer") == state, page.inner_text("#viewer-why")
        return result

    return opened


@pytest.fixture(scope="session")
def usual(open_page, tmp_path_factory) -> Opened:
    """The page of the usual case: opening one takes seconds without a graphics card, so that tests share it."""
    return open_page(make_case(tmp_path_factory.mktemp("usual")).write())


@pytest.fixture
def opened(usual) -> Opened:
    """The usual page as it was when it had just been opened."""
    page = usual.page
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size(VIEWPORT)
    page.click("[data-language='en']")
    page.focus("#canvas")
    for key in ("Escape", "Delete", "m", "1", "0"):
        page.keyboard.press(key)
    usual.set_opacity(35)
    page.click("tr[data-finding='0'] .jump")
    return usual


@pytest.fixture
def case(tmp_path) -> Case:
    """Two nodules on a grid in LPS order, 2 mm slices; to be changed before it is written."""
    return make_case(tmp_path / "out")
