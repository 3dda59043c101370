"""radiomics.json and radiomics.csv: hundreds of numbers a finding, in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg import files
from medimg.spreadsheet import table

RADIOMICS_FILES = ("radiomics.json", "radiomics.csv")


def write_radiomics(document: dict[str, Any], folder: Path) -> list[Path]:
    """Write a `medimg.radiomics/1` document, and its table: one line a finding and role, one column a feature."""
    json_path, csv_path = (folder / name for name in RADIOMICS_FILES)
    files.write_text(csv_path, _table(document["findings"]))
    files.write_json(json_path, document)
    return [csv_path, json_path]


def _table(entries: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for entry in entries for name in entry["features"] or {}))
    known = ((entry, entry["features"] or {}) for entry in entries)
    rows = ([entry["id"], entry["role"], *(features.get(name) for name in names)] for entry, features in known)
    return table(["id", "role", *names], rows)
