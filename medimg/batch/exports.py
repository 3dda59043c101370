"""What a batch is pointed at: a folder, an archive, an earlier manifest, or a list of any of these."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from medimg.batch.rows import Scan
from medimg.errors import InputError, Reason, UsageError
from medimg.results import MANIFEST_SCHEMA
from medimg.spreadsheet import plain
from medimg.stages.candidates import MANIFEST_FILE, read_document
from medimg.stages.volume_files import check_regular
from medimg.volumes import is_volume_file

LIST_SUFFIXES = (".txt", ".csv", ".lst")


@dataclass(frozen=True)
class Export:
    """roots: what is searched. series: of the folders and archives in `in_part`, only these series UIDs are taken."""

    roots: tuple[Path, ...]
    series: frozenset[str] = frozenset()
    in_part: frozenset[Path] = frozenset()

    def wants(self, scan: Scan) -> bool:
        """Whether it was asked for. A file that was named is; of a folder that was named with a series, that series."""
        if scan.series_uid in self.series:
            return True
        root = next((place for place in (*scan.files, *scan.files[0].parents) if place in self.roots), None)
        return root is None or root not in self.in_part


def read_export(path: Path) -> Export:
    """A folder, an archive or a file as it is; a list file (one path a line, or a CSV with columns path and
    series_uid, such as failures.csv); a manifest.json of `medimg preprocess`, or the folder that holds one.

    Paths in a list are relative to it. Raises UsageError for a list without a path or a manifest that is none,
    InputError when something named is missing.
    """
    check_regular(path)
    manifest = path / MANIFEST_FILE if path.is_dir() else path
    if manifest.name == MANIFEST_FILE and manifest.is_file():
        return Export(tuple(_of_manifest(manifest)))
    if path.is_file() and path.suffix.lower() in LIST_SUFFIXES and not is_volume_file(path):
        return _of_list(path)
    return Export((path,))


def _of_manifest(path: Path) -> list[Path]:
    document = read_document(path, MANIFEST_SCHEMA)
    try:
        sound = [series for series in document["series"] if series["status"] == "ok"]
        found = [path.parent / volume["path"] for series in sound for volume in series["volumes"]]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a manifest of medimg preprocess ({error}); run that again") from error
    if not found:
        raise UsageError(f"{path} lists no volume: every series was rejected")
    return [_there(one, path) for one in found]


def _of_list(path: Path) -> Export:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # read as text, a carriage return in a name is made a newline
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(row) and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the list {path}: {error}; give it as UTF-8 text, one path a line") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if "path" in header:
        at, uid_at = header.index("path"), header.index("series_uid") if "series_uid" in header else None
        named = [(_cell(row, at), plain(_cell(row, uid_at))) for row in rows[1:]]
    else:  # a comma may stand in a name
        named = [(line.strip(), "") for line in text.splitlines() if not line.startswith("#")]
    asked: dict[Path, set[str]] = {}
    for name, uid in named:
        if name:
            asked.setdefault(_there(path.parent / name, path), set()).add(uid)
    if not asked:
        raise UsageError(f"the list {path} names no path")
    in_part = {root: uids for root, uids in asked.items() if "" not in uids and not is_volume_file(root)}
    return Export(tuple(asked), frozenset().union(*in_part.values()), frozenset(in_part))


def _cell(row: list[str], at: int | None) -> str:
    return "" if at is None or at >= len(row) else row[at].strip()


def _there(path: Path, listed_in: Path) -> Path:
    if not path.exists():
        raise InputError(Reason.NOT_A_REGULAR_FILE, f"{path}, which {listed_in} names, is missing", [path])
    return path
