"""Photograph report pages for the documentation, in Chromium: python docs/screenshots.py DEMO_OUTPUT (after make demo).

Only ever of phantoms: no scan of a patient may become a picture here.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-watchdog", "--no-sandbox"]
SIZE = {"width": 1440, "height": 960}

PICTURES = {
    "report_chest_ct.png": ("chest_ct", "light", ()),
    "report_brain_mr.png": ("brain_mr", "dark", ("[data-scan='3']", "[data-language='zh']")),
}
"""Picture -> folder of the report, colour scheme, what is clicked before."""


def main() -> None:
    """Take every picture whose report is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="folder with the reports of the sample scans")
    folder = parser.parse_args().demo.resolve()
    program = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if program is None:
        sys.exit("Chromium is not installed; see make tools")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        for name, (report, scheme, clicks) in PICTURES.items():
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.set_default_timeout(300_000)
            page.goto((folder / report / "report.html").as_uri())
            page.wait_for_selector("html[data-viewer='ready']", state="attached")
            for selector in clicks:
                page.click(selector)
            page.screenshot(path=HERE / name)
            sys.stdout.write(f"{HERE / name}\n")
        browser.close()


if __name__ == "__main__":
    main()
