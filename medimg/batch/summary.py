"""summary.csv, summary.json, summary.html and failures.csv of a batch, written from its journal."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import medimg
from medimg import files
from medimg.batch.journal import Journal
from medimg.batch.rows import DONE, FAILED, CaseRow
from medimg.report.drawn import PREVIEW_FILE
from medimg.report.html import render_page
from medimg.report.read import HTML_FILE
from medimg.spreadsheet import path_cell, table

SUMMARY_SCHEMA = "medimg.batch/1"

COLUMNS = (
    *("id", "pipeline", "state", "findings", "reason", "message", "attempts", "seconds", "peak_memory_mib"),
    *("description", "study_uid", "series_uid", "path", "files", "duplicate_of", "report"),
)
"""Of summary.csv. path: the first scan's first file; report: relative to the summary."""

FAILURE_COLUMNS = ("path", "series_uid", "id", "pipeline", "reason", "message", "attempts")

ON_PAGE = 2000
"""Cases on the page, failures first; all are in summary.csv."""


def write_summary(journal: Journal, output: Path, suffix: str = "", results: str | None = None) -> None:
    """Write the four files to `output`; suffix: of one part of an array job; results: where the cases' folders are,
    when they are not in `output`. Raises OutputError."""
    home = None if results is None else results.rstrip("/")
    rows = (_row(case, output, home) for case in journal.cases())
    files.write_text(output / f"summary{suffix}.csv", _table(COLUMNS, rows))
    failed = (row for case in journal.cases(FAILED) for row in _failure_rows(case, output))
    files.write_text(output / f"failures{suffix}.csv", _table(FAILURE_COLUMNS, failed))
    skipped = [
        {"path": files.relative(path, output), "reason": reason, "message": message}
        for path, reason, message in journal.skipped_files()
    ]
    unwanted = [{**entry, "place": files.relative(Path(entry["place"]), output)} for entry in journal.unwanted()]
    document = {
        "schema": SUMMARY_SCHEMA,
        "software": {"medimg": medimg.__version__},
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "notice": medimg.NOT_A_MEDICAL_DEVICE,
        "counts": journal.counts(),
        "cases": [_row(case, output, home) for case in journal.cases()],
        "not_wanted": unwanted,
        "skipped": skipped,
    }
    files.write_json(output / f"summary{suffix}.json", document)
    files.write_text(output / f"summary{suffix}.html", _page(journal, output, home, len(unwanted), len(skipped)))


def _row(case: CaseRow, output: Path, home: str | None) -> dict[str, Any]:
    first = case.inputs[0]
    report = f"{case.id}/{HTML_FILE}"
    there = home is not None or (output / report).is_file()
    known = {
        "series_uid": first.series_uid,
        "path": files.relative(first.files[0], output),
        "files": sum(len(entry.files) for entry in case.inputs),
        "report": (report if home is None else f"{home}/{report}") if case.state == DONE and there else None,
    }
    return {name: known[name] if name in known else getattr(case, name) for name in COLUMNS}


def _failure_rows(case: CaseRow, output: Path) -> Iterator[dict[str, Any]]:
    """One row a place where the case's files lie, so that `medimg batch failures.csv` finds all of them."""
    for entry in case.inputs:
        places = entry.files if entry.kind == "file" else sorted({_on_disk(path) for path in entry.files})
        for place in places:
            known = {"path": files.relative(place, output), "series_uid": entry.series_uid}
            yield {name: known[name] if name in known else getattr(case, name) for name in FAILURE_COLUMNS}


def _on_disk(path: Path) -> Path:
    """The folder of a file, or the archive it is in."""
    return next(place for place in path.parents if place.exists())


def _table(columns: tuple[str, ...], rows: Iterator[dict[str, Any]]) -> str:
    safe = ({**row, "path": path_cell(row["path"])} for row in rows)
    return table(columns, ([row[name] for name in columns] for row in safe))


def _page(journal: Journal, output: Path, home: str | None, unwanted: int, skipped: int) -> str:
    rows: list[dict[str, Any]] = []
    for case in chain(journal.cases(FAILED), (case for case in journal.cases() if case.state != FAILED)):
        if len(rows) == ON_PAGE:
            break
        row = _row(case, output, home)
        preview = f"{case.id}/{PREVIEW_FILE}"
        rows.append({**row, "preview": preview if row["report"] and (output / preview).is_file() else None})
    counts = journal.counts()
    script = resources.files("medimg.batch").joinpath("templates/sort.js").read_text(encoding="utf-8")
    return render_page(
        "medimg.batch",
        "summary.html.j2",
        counts={state: count for state, count in counts.items() if count},
        rows=rows,
        hidden=sum(counts.values()) - len(rows),
        unwanted=unwanted,
        skipped=skipped,
        script=script,
        script_digest="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        notice=medimg.NOT_A_MEDICAL_DEVICE,
        version=medimg.__version__,
    )
