"""Write a comparison; comparison.json comes last and says that the folder is whole."""

from __future__ import annotations

from pathlib import Path

from medimg import files
from medimg.followup.changes import Change
from medimg.followup.comparison import NOT_DRAWN, Comparison, Warned
from medimg.followup.page import comparison_page
from medimg.followup.picture import Side, picture_png, shown
from medimg.report.attempt import attempt
from medimg.report.paths import with_relative_paths
from medimg.study import Volume

JSON_FILE, CSV_FILE, HTML_FILE = "comparison.json", "comparison.csv", "comparison.html"


def write_comparison(comparison: Comparison, prior: Volume, current: Volume, folder: Path) -> list[Path]:
    """Write JSON, CSV and HTML to `folder` and return the files. prior, current: the scans that are drawn.

    Each file is written atomically. A page that cannot be drawn is the warning NOT_DRAWN, and costs nothing else.
    Raises OutputError when something cannot be written.
    """
    files.write_text(folder / CSV_FILE, comparison.csv())
    written, failed = [folder / CSV_FILE], list[str]()
    with attempt(HTML_FILE, failed):
        document = with_relative_paths(comparison.to_dict(), folder)
        page = files.encoded(comparison_page(comparison, document, _picture(comparison, prior, current)))
    comparison.warnings.extend(Warned(NOT_DRAWN, line) for line in failed)
    if not failed:
        files.write_bytes(folder / HTML_FILE, page)
        written.append(folder / HTML_FILE)
    files.write_json(folder / JSON_FILE, with_relative_paths(comparison.to_dict(), folder))
    return [*written, folder / JSON_FILE]


def withdraw_comparison(folder: Path) -> None:
    """Remove an earlier comparison, where comparison.json says that it is one of ours."""
    if (folder / JSON_FILE).is_file():
        for name in (JSON_FILE, CSV_FILE, HTML_FILE):
            (folder / name).unlink(missing_ok=True)


def _picture(comparison: Comparison, prior: Volume, current: Volume) -> bytes | None:
    drawn = shown(comparison.changes)
    sides = (
        Side.of("prior", comparison.prior.report, prior),
        Side.of("current", comparison.current.report, current),
    )
    return picture_png(drawn, *sides, [_centers(comparison, change) for change in drawn])


def _centers(comparison: Comparison, change: Change) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Where to look in both scans; the registration tells where something was before or would be now."""
    motion = comparison.registration.motion
    before = change.prior.center_lps_mm if change.prior else motion.back().moved(change.finding.center_lps_mm)
    after = change.current.center_lps_mm if change.current else motion.moved(change.finding.center_lps_mm)
    return (before[0], before[1], before[2]), (after[0], after[1], after[2])
