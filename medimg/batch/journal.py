"""The journal of a batch: one SQLite file that knows every scan found and what became of every case.

It is written by the batch's own process alone, each change in a transaction (WAL), so that a run that is killed at
any moment leaves a journal that tells what was done.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from medimg.batch.rows import (
    CASE_COLUMNS,
    DONE,
    FAILED,
    PENDING,
    RESULT_COLUMNS,
    RUNNING,
    SCAN_COLUMNS,
    STATES,
    CaseRow,
    Result,
    Scan,
    case_of,
    inputs_value,
    joined,
    scan_of,
    scan_values,
)
from medimg.errors import OutputError, UsageError

JOURNAL_SCHEMA = "medimg.journal/2"

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS folders (folder TEXT PRIMARY KEY, signature TEXT NOT NULL, run INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scans (
    folder TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
    modality TEXT NOT NULL, description TEXT NOT NULL, role TEXT, facts TEXT NOT NULL, files BLOB NOT NULL,
    signature TEXT NOT NULL, PRIMARY KEY (folder, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS scans_by_group ON scans (study_uid, folder);
CREATE INDEX IF NOT EXISTS scans_by_key ON scans (key);
CREATE TABLE IF NOT EXISTS skipped (folder TEXT NOT NULL, path TEXT NOT NULL, reason TEXT NOT NULL, message TEXT);
CREATE INDEX IF NOT EXISTS skipped_by_folder ON skipped (folder);
CREATE TABLE IF NOT EXISTS unwanted (key TEXT NOT NULL, modality TEXT, description TEXT, place TEXT, why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cases (
    id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, pipeline_sha256 TEXT NOT NULL, study_uid TEXT NOT NULL,
    description TEXT NOT NULL, inputs BLOB NOT NULL, signature TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, reason TEXT, message TEXT, seconds REAL, peak_memory_mib REAL,
    input_sha256 TEXT, findings INTEGER, duplicate_of TEXT, started TEXT, finished TEXT, listed INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cases_by_state ON cases (state);
CREATE INDEX IF NOT EXISTS cases_by_input ON cases (input_sha256, pipeline_sha256);
CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT NOT NULL, server TEXT NOT NULL, sha256 TEXT NOT NULL, finished TEXT NOT NULL,
    PRIMARY KEY (id, server, sha256)) WITHOUT ROWID;
"""


IS_TO_DO = "(state = ? OR (state = ? AND attempts < ?))"

Unwanted = tuple[str, str, str, str, str]
Listing = Callable[[Iterable[CaseRow], Iterable[Unwanted]], None]


class Journal:
    """The SQLite file at `path`; made when it is not there. Raises OutputError when it cannot be opened or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(TABLES)
        if (schema := self._meta("schema")) is None:
            self.remember("schema", JOURNAL_SCHEMA)
        elif schema != JOURNAL_SCHEMA:
            raise UsageError(f"{path} follows {schema}, this medimg writes {JOURNAL_SCHEMA}; choose another -o")

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._db.close()

    def remember(self, key: str, value: str) -> None:
        """A fact about the batch as a whole."""
        with self._told():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def recall(self, key: str) -> str | None:
        """What `remember` was told."""
        return self._meta(key)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of the block, or none."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # what was found

    def known_folder(self, folder: str, signature: str, run: int) -> bool:
        """True when the folder was read with this signature before; it is marked as seen in this run."""
        query = "UPDATE folders SET run = ? WHERE folder = ? AND signature = ?"
        return self._db.execute(query, (run, folder, signature)).rowcount > 0

    def put_folder(
        self, folder: str, signature: str, run: int, scans: Iterable[Scan], skipped: Iterable[tuple[Path, str, str]]
    ) -> None:
        """What a folder holds, in place of what it held before. Call it within a transaction."""
        self._forget(folder)
        self._db.execute("INSERT INTO folders VALUES (?, ?, ?)", (folder, signature, run))
        marks = ", ".join("?" * len(SCAN_COLUMNS))
        insert = f"INSERT OR REPLACE INTO scans ({', '.join(SCAN_COLUMNS)}) VALUES ({marks})"
        self._db.executemany(insert, map(scan_values, scans))
        rows = [(folder, json.dumps(str(path)), reason, message) for path, reason, message in skipped]
        self._db.executemany("INSERT INTO skipped VALUES (?, ?, ?, ?)", rows)

    def forget_folders_before(self, run: int) -> None:
        """Drop the folders that this run did not see: they are gone."""
        with self.transaction():
            for (folder,) in self._db.execute("SELECT folder FROM folders WHERE run < ?", (run,)).fetchall():
                self._forget(folder)

    def _forget(self, folder: str) -> None:
        for table in ("folders", "scans", "skipped"):
            self._db.execute(f"DELETE FROM {table} WHERE folder = ?", (folder,))

    def groups(self) -> Iterator[list[Scan]]:
        """The scans of each study, and of each folder of files that name no study; parts of a series made one."""
        rows = self._db.execute(
            f"SELECT {', '.join(SCAN_COLUMNS)} FROM scans "
            "ORDER BY study_uid, CASE study_uid WHEN '' THEN folder ELSE key END, folder, key"
        )
        group: dict[str, Scan] = {}
        of: tuple[str, str] | None = None
        for row in rows:
            scan = scan_of(row)
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
        for path, reason, message in self._db.execute("SELECT path, reason, message FROM skipped ORDER BY path"):
            yield Path(json.loads(path)), reason, message or ""

    def count_skipped(self) -> int:
        """How many files are in no scan."""
        return int(self._db.execute("SELECT COUNT(*) FROM skipped").fetchone()[0])

    # what is to be done, and was

    @contextlib.contextmanager
    def listing(self, run: int) -> Iterator[Listing]:
        """What is called in the block with (cases, unwanted scans) as they are found; all of it counts, or nothing.

        A case whose scan or pipeline changed, or that was broken off, becomes pending; one that is no longer there and
        was never finished goes. An unwanted scan: key, modality, description, place, why.
        """

        def found(cases: Iterable[CaseRow], unwanted: Iterable[Unwanted]) -> None:
            for case in cases:
                self._list(case, run)
            self._db.executemany("INSERT INTO unwanted VALUES (?, ?, ?, ?, ?)", unwanted)

        with self.transaction():
            self._db.execute("DELETE FROM unwanted")
            yield found
            self._db.execute("DELETE FROM cases WHERE listed < ? AND state IN (?, ?)", (run, PENDING, RUNNING))

    def _list(self, case: CaseRow, run: int) -> None:
        query = "SELECT signature, pipeline_sha256, state FROM cases WHERE id = ?"
        known = self._db.execute(query, (case.id,)).fetchone()
        if known is None or known[:2] != (case.signature, case.pipeline_sha256):
            self._insert(case, run)
            return
        state = PENDING if known[2] == RUNNING else known[2]
        values = (run, state, inputs_value(case.inputs), case.id)
        self._db.execute("UPDATE cases SET listed = ?, state = ?, inputs = ? WHERE id = ?", values)

    def unwanted(self) -> Iterator[dict[str, str]]:
        """Scans that no pipeline takes, and why."""
        names = ("key", "modality", "description", "place", "why")
        for row in self._db.execute("SELECT key, modality, description, place, why FROM unwanted ORDER BY key"):
            yield dict(zip(names, row, strict=True))

    def case(self, identifier: str) -> CaseRow | None:
        """The case of that id."""
        return next(self._cases("WHERE id = ?", (identifier,)), None)

    def cases(self, *states: str) -> Iterator[CaseRow]:
        """Cases in these states (all when none is named), by id."""
        if not states:
            return self._cases("ORDER BY id", ())
        return self._cases(f"WHERE state IN ({', '.join('?' * len(states))}) ORDER BY id", states)

    def to_do(self, attempts: int) -> list[str]:
        """Ids of the cases that are pending, or failed fewer times than `attempts`; never-tried ones first."""
        query = f"SELECT id FROM cases WHERE {IS_TO_DO} ORDER BY attempts, id"
        return [row[0] for row in self._db.execute(query, (PENDING, FAILED, attempts))]

    def to_do_by_pipeline(self, attempts: int) -> dict[str, int]:
        """How many of these cases each pipeline has."""
        query = f"SELECT pipeline, COUNT(*) FROM cases WHERE {IS_TO_DO} GROUP BY pipeline ORDER BY pipeline"
        return dict(self._db.execute(query, (PENDING, FAILED, attempts)).fetchall())

    def begin(self, identifier: str) -> None:
        """A worker takes the case up."""
        query = "UPDATE cases SET state = ?, attempts = attempts + 1, started = ? WHERE id = ?"
        with self._told():
            self._db.execute(query, (RUNNING, _now(), identifier))

    def put_back(self, identifier: str) -> None:
        """The case was broken off through no fault of its own: as if it had not been begun."""
        query = "UPDATE cases SET state = ?, attempts = max(0, attempts - 1) WHERE id = ?"
        with self._told():
            self._db.execute(query, (PENDING, identifier))

    def finish(self, identifier: str, result: Result) -> None:
        """What became of the case."""
        assignments = ", ".join(f"{name} = ?" for name in (*RESULT_COLUMNS, "finished"))
        values = (*(getattr(result, name) for name in RESULT_COLUMNS), _now(), identifier)
        with self._told():
            self._db.execute(f"UPDATE cases SET {assignments} WHERE id = ?", values)

    def done_with(self, input_sha256: str, pipeline_sha256: str) -> str | None:
        """The id of a done case of the same content and pipeline."""
        query = "SELECT id FROM cases WHERE input_sha256 = ? AND pipeline_sha256 = ? AND state = ?"
        row = self._db.execute(query, (input_sha256, pipeline_sha256, DONE)).fetchone()
        return None if row is None else str(row[0])

    def delivered(self, identifier: str, server: str, sha256: str) -> bool:
        """Whether the server has taken exactly these objects of the case."""
        query = "SELECT 1 FROM deliveries WHERE id = ? AND server = ? AND sha256 = ?"
        return self._db.execute(query, (identifier, server, sha256)).fetchone() is not None

    def note_delivery(self, identifier: str, server: str, sha256: str) -> None:
        """The server has taken the objects, as they were when the case was last finished."""
        query = "INSERT OR REPLACE INTO deliveries SELECT id, ?, ?, finished FROM cases WHERE id = ?"
        with self._told():
            self._db.execute(query, (server, sha256, identifier))

    def undelivered(self, server: str) -> list[str]:
        """Ids of the cases that were done since the server last took their objects."""
        query = (
            "SELECT id FROM cases WHERE state = ? AND NOT EXISTS (SELECT 1 FROM deliveries AS taken "
            "WHERE taken.id = cases.id AND taken.server = ? AND taken.finished = cases.finished) ORDER BY id"
        )
        return [row[0] for row in self._db.execute(query, (DONE, server))]

    def counts(self) -> dict[str, int]:
        """How many cases are in each state."""
        found = Counter(dict(self._db.execute("SELECT state, COUNT(*) FROM cases GROUP BY state").fetchall()))
        return {state: found[state] for state in STATES}

    def mean_seconds(self, pipeline: str) -> float | None:
        """Mean seconds of the done cases of a pipeline; None before the first."""
        query = "SELECT AVG(seconds) FROM cases WHERE pipeline = ? AND state = ?"
        value = self._db.execute(query, (pipeline, DONE)).fetchone()[0]
        return None if value is None else float(value)

    def _cases(self, condition: str, values: tuple[str, ...]) -> Iterator[CaseRow]:
        for row in self._db.execute(f"SELECT {', '.join(CASE_COLUMNS)} FROM cases {condition}", values):
            yield case_of(row)

    def _insert(self, case: CaseRow, run: int) -> None:
        values = {name: getattr(case, name) for name in CASE_COLUMNS} | {
            "inputs": inputs_value(case.inputs),
            "listed": run,
        }
        marks = ", ".join("?" * len(values))
        self._db.execute(f"INSERT OR REPLACE INTO cases ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"cannot write the journal {self.path}: {error}; free space or choose another -o"
            ) from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
