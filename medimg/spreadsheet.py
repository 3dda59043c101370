"""CSV files, which people open in a spreadsheet: text out of a scan or a path must not be taken for a formula there.

A text that begins as a formula would is written with an apostrophe before it (OWASP, "CSV Injection"; CWE-1236), and
`plain` takes it off again. Numbers are written as they are. Paths begin with "./" in its place: so they remain paths.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

FORMULA = re.compile("'*[=+\\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]")
"""How a text begins that a spreadsheet computes: the signs of OWASP's page and of ASVS 1.2.10, and their wide forms
(U+FF1D and others). Apostrophes before them count, so that each text has a spelling of its own."""


def table(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A CSV file: the names of the columns, then a line a row; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(_Lines(text), lineterminator=_Lines.END)
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def plain(cell: str) -> str:
    """The text of a cell that `table` wrote."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def path_cell(path: str) -> str:
    """A relative or absolute path that is no formula in a cell, and no comment in a list of paths."""
    return f"./{path}" if FORMULA.match(path) or path.startswith(("#", "'")) else path


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = value.replace("\0", "")  # csv of Python 3.10 reads no file that holds one
        return f"'{value}" if FORMULA.match(value) else value
    return "" if value is None else value


class _Lines:
    """Lines end with a newline alone. csv is told otherwise, because it quotes only what ends a line to its knowledge:
    what stands behind a bare carriage return would begin a row."""

    END = "\r\n"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        """One whole line."""
        return self._stream.write(f"{line.removesuffix(self.END)}\n")
