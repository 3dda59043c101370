"""LUNA16's tables: seriesuids.csv, annotations.csv and annotations_excluded.csv; places in LPS mm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg.datalist.csv_file import Columns, check_unique, read_columns, read_rows
from medimg.errors import DataError

ANNOTATIONS, EXCLUDED, SERIES = "annotations.csv", "annotations_excluded.csv", "seriesuids.csv"
"""Nodules, findings that count neither way, and every scan there is."""

PLACE = ("seriesuid", "coordX", "coordY", "coordZ")
SIZE = "diameter_mm"


@dataclass(frozen=True)
class Annotations:
    """Findings: series (N,), xyz (N, 3) LPS mm, diameter (N,) mm, negative where not known."""

    series: tuple[str, ...]
    xyz: NDArray[np.float64]
    diameter: NDArray[np.float64]


def read_series(path: Path) -> tuple[str, ...]:
    """The scans of seriesuids.csv, one a line, with or without a header. Raises DataError for none, or one twice."""
    names = [row[0].strip() for _, row in read_rows(path)]
    scans = tuple(names[1:] if names[:1] == [PLACE[0]] else names)
    check_unique(path, PLACE[0], scans)
    if not scans:
        raise DataError(f"{path} names no scan; the false positives have no divisor")
    return scans


def read_annotations(path: Path) -> Annotations:
    """annotations.csv or annotations_excluded.csv. Raises DataError."""
    table = read_columns(path, (*PLACE, SIZE))
    return Annotations(table.text(PLACE[0]), places(table), table.numbers(SIZE))


def places(table: Columns) -> NDArray[np.float64]:
    """coordX, coordY and coordZ as (N, 3)."""
    return np.stack([table.numbers(name) for name in PLACE[1:]], axis=1)
