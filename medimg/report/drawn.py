"""What people look at, made in memory: preview.png, and report.pdf and report.html, which show the same picture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medimg import files
from medimg.report.attempt import attempt
from medimg.report.embed import embed
from medimg.report.read import HTML_FILE
from medimg.results import Report
from medimg.study import Volume

PREVIEW_FILE = "preview.png"
PDF_FILE = "report.pdf"

DRAWN = {"png": PREVIEW_FILE, "pdf": PDF_FILE, "html": HTML_FILE}
"""What can be drawn -> its file. The page comes last: it says what became of the others."""


def draw(
    report: Report, volumes: dict[str, Volume], formats: Sequence[str], language: str, folder: Path
) -> dict[str, bytes]:
    """File name -> content of those of `formats` that are drawn; one that cannot be is told of in `report`.

    volumes: role -> scan, the first on the report's grid; without any, the preview.png of an earlier run in `folder`
    is shown again.
    """
    made: dict[str, bytes] = {}
    picture: bytes | None = None
    with ThreadPoolExecutor(1) as pool:
        # the scan is packed while the picture is drawn: the one is the processor's work, the other Python's
        packing = pool.submit(embed, report, volumes) if volumes and "html" in formats else None
        if set(DRAWN) & set(formats):
            with _told(PREVIEW_FILE, report):
                picture = _picture(report, volumes, folder / PREVIEW_FILE)
    if "png" in formats and picture is not None:
        made[PREVIEW_FILE] = picture
    if "pdf" in formats:
        with _told(PDF_FILE, report):
            from medimg.report.pdf import report_pdf

            made[PDF_FILE] = report_pdf(report, picture, language)
    if "html" in formats:
        with _told(HTML_FILE, report):
            from medimg.report.html import Show, report_html

            show = None if packing is None else Show(volumes, packing.result())
            made[HTML_FILE] = files.encoded(report_html(report, picture, show, language))
    return made


@contextlib.contextmanager
def _told(name: str, report: Report) -> Iterator[None]:
    """An `attempt` of which the report says that it failed."""
    failed: list[str] = []
    with attempt(name, failed):
        yield
    report.failed += failed
    report.warnings += failed


def _picture(report: Report, volumes: dict[str, Volume], earlier: Path) -> bytes | None:
    if not volumes:
        return earlier.read_bytes() if earlier.is_file() else None
    from medimg.report.preview import preview_png

    return preview_png(report, volumes)
