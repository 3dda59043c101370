"""What was found under an export: folders, the scans in them, and every other file with the reason it is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.batch.database import Database
from medimg.batch.rows import SCAN_COLUMNS, Scan, joined, scan_of, scan_values


@dataclass(frozen=True)
class Group:
    """What is in no case for one reason: how many, and where one of them is."""

    why: str
    count: int
    example: Path


class Found(Database):
    """The part of the journal that discovery fills, folder by folder."""

    def known_folder(self, folder: str, signature: str, run: int) -> bool:
        """True when the folder was read with this signature before; it is marked as seen in this run."""
        query = "UPDATE folders SET run = ? WHERE folder = ? AND signature = ?"
        return self.execute(query, (run, folder, signature)) > 0

    def put_folder(
        self, folder: str, signature: str, run: int, scans: Iterable[Scan], skipped: Iterable[tuple[Path, str, str]]
    ) -> None:
        """What a folder holds, in place of what it held before. Call it within a transaction."""
        self._forget(folder)
        self.execute("INSERT INTO folders VALUES (?, ?, ?)", (folder, signature, run))
        marks = ", ".join("?" * len(SCAN_COLUMNS))
        insert = f"INSERT OR REPLACE INTO scans ({', '.join(SCAN_COLUMNS)}) VALUES ({marks})"
        self.execute_each(insert, map(scan_values, scans))
        rows = [(folder, json.dumps(str(path)), reason, message) for path, reason, message in skipped]
        self.execute_each("INSERT INTO skipped VALUES (?, ?, ?, ?)", rows)

    def forget_folders_before(self, run: int) -> None:
        """Drop the folders that this run did not see: they are gone."""
        with self.transaction():
            for (folder,) in list(self.rows("SELECT folder FROM folders WHERE run < ?", (run,))):
                self._forget(folder)

    def _forget(self, folder: str) -> None:
        for table in ("folders", "scans", "skipped"):
            self.execute(f"DELETE FROM {table} WHERE folder = ?", (folder,))

    def groups(self) -> Iterator[list[Scan]]:
        """The scans of each study, and of each folder of files that name no study; parts of a series made one."""
        rows = self.rows(
            f"SELECT {', '.join(SCAN_COLUMNS)} FROM scans "
            "ORDER BY study_uid, CASE study_uid WHEN '' THEN folder ELSE key END, folder, key"
        )
        group: dict[str, Scan] = {}
        of: tuple[str, str] | None = None
        for row in rows:
            scan = self.read(scan_of, row)
            place = (scan.study_uid, "" if scan.study_uid else scan.folder)
            if place != of and group:
                yield list(group.values())
                group = {}
            of = place
            group[scan.key] = joined(group[scan.key], scan) if scan.key in group else scan
        if group:
            yield list(group.values())

    def skipped_files(self) -> Iterator[tuple[Path, str, str]]:
        """Files that are in no scan: path, reason, message."""
        for row in self.rows("SELECT path, reason, message FROM skipped ORDER BY path"):
            yield self.read(_skipped_of, row)

    def skips(self) -> list[Group]:
        """Files that are in no scan, grouped by the reason, most first."""
        query = "SELECT reason, COUNT(*), MIN(path) FROM skipped GROUP BY reason ORDER BY COUNT(*) DESC, reason"
        return [Group(why, count, self.read(_path_of, (path,))) for why, count, path in self.rows(query)]

    def count_skipped(self) -> int:
        """How many files are in no scan."""
        row = self.row("SELECT COUNT(*) FROM skipped")
        return 0 if row is None else int(row[0])


def _path_of(row: tuple[Any, ...]) -> Path:
    return Path(json.loads(row[0]))


def _skipped_of(row: tuple[Any, ...]) -> tuple[Path, str, str]:
    path, reason, message = row
    return _path_of((path,)), reason, message or ""
