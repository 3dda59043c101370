"""metrics.html: the evaluation to read, one file without links to the net."""

from __future__ import annotations

import json
from typing import Any

import medimg
from medimg.evaluate.compare import Comparison
from medimg.evaluate.evaluation import Cell, Evaluation, Metric, Table
from medimg.report.html import render_page
from medimg.report.wording import MISSING

TEMPLATE = "metrics.html.j2"

MAX_ROWS = 200
"""Longer tables are cut on the page; their CSV files are whole."""

PAGE_TABLES = ("comparison", "froc", "sensitivity_by_size", "summary", "reliability", "cases")
"""Shown on the page, in this order; every table is written as CSV."""


def metrics_page(
    evaluation: Evaluation, comparison: Comparison | None, document: dict[str, Any], pictures: dict[str, str]
) -> str:
    """The page; pictures: name -> base64 of its PNG."""
    tables = [*([comparison.table()] if comparison else []), *evaluation.tables]
    chosen = sorted((t for t in tables if t.name in PAGE_TABLES), key=lambda table: PAGE_TABLES.index(table.name))
    return render_page(
        "medimg.evaluate",
        TEMPLATE,
        task=evaluation.task,
        document=document,
        metrics=[
            (name, figure(metric), interval(metric), metric.method) for name, metric in evaluation.metrics.items()
        ],
        counts=evaluation.counts,
        failed=evaluation.failed,
        warnings=evaluation.warnings,
        pictures=[(picture, pictures[picture.name]) for picture in evaluation.pictures],
        tables=[_shown(table) for table in chosen],
        settings=json.dumps(document["settings"], indent=2, ensure_ascii=False),
        notice=medimg.NOT_A_MEDICAL_DEVICE,
        version=medimg.__version__,
    )


def figure(metric: Metric) -> str:
    """The value to three decimals."""
    return MISSING if metric.value is None else f"{metric.value:.3f}"


def interval(metric: Metric) -> str:
    """ "0.812 to 0.867"."""
    return MISSING if metric.interval is None else "{:.3f} to {:.3f}".format(*metric.interval)


def _shown(table: Table) -> dict[str, Any]:
    rows = [[_cell(cell) for cell in row] for row in table.rows[:MAX_ROWS]]
    return {
        "name": table.name,
        "title": table.title,
        "columns": [column.replace("_", " ") for column in table.columns],
        "rows": rows,
        "numeric": [all(not isinstance(row[i], str) for row in table.rows) for i in range(len(table.columns))],
        "cut": len(table.rows) - len(rows),
    }


def _cell(cell: Cell) -> str:
    if cell is None:
        return MISSING
    return f"{cell:.3f}".rstrip("0").rstrip(".") if isinstance(cell, float) else str(cell)
