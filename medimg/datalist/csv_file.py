"""CSV files with named columns, read whole; what is wrong is said with its file and line."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg.errors import DataError
from medimg.spreadsheet import plain


@dataclass(frozen=True)
class Columns:
    """The columns of a file that were asked for, as text; `lines` are the line numbers of the rows."""

    path: Path
    texts: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, column: str) -> bool:
        return column in self.texts

    def text(self, column: str) -> tuple[str, ...]:
        """The column without blanks around its values, nor the apostrophe of one that a spreadsheet would compute.

        Raises DataError for an empty one.
        """
        values = tuple(plain(value.strip()) for value in self.texts[column])
        if "" in values:
            raise self.wrong(values.index(""), f"{column} is empty")
        return values

    def numbers(self, column: str, empty: float | None = None) -> NDArray[np.float64]:
        """The column as finite numbers, (N,); `empty` stands for an empty field where it is given.

        Raises DataError for NaN, infinities, text, and empty fields without `empty`.
        """
        texts = self.texts[column]
        try:
            values = np.array(texts, dtype=np.float64)
        except ValueError:
            values = np.array([self._number(row, text, column, empty) for row, text in enumerate(texts)])
        wrong = ~np.isfinite(values)
        if empty is not None and math.isnan(empty):
            wrong &= np.array([text.strip() != "" for text in texts], bool)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.wrong(row, f"{column} is {texts[row].strip()!r}, not a finite number")
        return values.reshape(len(texts))

    def wrong(self, row: int, what: str) -> DataError:
        """An error that names the line of a row."""
        return DataError(f"{self.path} line {self.lines[row]}: {what}; correct the file")

    def _number(self, row: int, text: str, column: str, empty: float | None) -> float:
        if empty is not None and not text.strip():
            return empty
        try:
            return float(text)
        except ValueError as error:
            raise self.wrong(row, f"{column} is {text.strip()!r}, not a finite number") from error


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Columns:
    """Read the columns of a CSV file by the names in its first line; empty lines are skipped.

    Raises DataError when the file cannot be read, a required column is missing or twice there, or a row is short.
    """
    rows = read_rows(path)
    header = [name.strip() for name in rows[0][1]] if rows else []
    if missing := [name for name in required if header.count(name) != 1]:
        raise DataError(
            f"{path} has not exactly one column {', '.join(missing)}; its first line is "
            f"{','.join(header)[:120]!r}, needed are {','.join(required)}"
        )
    for number, row in rows[1:]:
        if len(row) < len(header):
            raise DataError(f"{path} line {number}: {len(row)} fields, the header has {len(header)}")
    wanted = [name for name in (*required, *optional) if name in header]
    places = [header.index(name) for name in wanted]
    columns = {name: tuple(row[place] for _, row in rows[1:]) for name, place in zip(wanted, places, strict=True)}
    return Columns(path, columns, tuple(number for number, _ in rows[1:]))


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and fields of every line that is not empty. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            return [(reader.line_num, row) for row in reader if any(row)]
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; see docs/evaluate.md for the files that are needed") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({' '.join(str(error).split())})") from error


def check_unique(path: Path, column: str, values: Sequence[str]) -> None:
    """Raise DataError when a value stands twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise DataError(f"{path}: {column} {value} stands there twice; every one must be given once")
        seen.add(value)
