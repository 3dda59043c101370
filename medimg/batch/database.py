"""The SQLite file of a batch's journal: opened, its tables, and what SQLite raises as errors of medimg's.

It is written by the batch's own process alone, each change in a transaction (WAL), so that a run that is killed at
any moment leaves a journal that tells what was done.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from medimg import files
from medimg.errors import JournalError, OutputError, UsageError

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

Made = TypeVar("Made")


class Database:
    """The SQLite file at `path`; made when it is not there.

    Raises, as every method does, OutputError when it cannot be opened or written, and JournalError when it is damaged;
    UsageError when another version of medimg wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._db.close()

    def remember(self, key: str, value: str) -> None:
        """A fact about the batch as a whole."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def recall(self, key: str) -> str | None:
        """What `remember` was told."""
        row = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of the block, or none."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have done so itself, when the disk is full
                self._db.execute("ROLLBACK")
            raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> int:
        """How many rows it changed."""
        with self._told():
            return self._db.execute(statement, _storable(values)).rowcount

    def execute_each(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """The statement once a row."""
        with self._told():
            self._db.executemany(statement, map(_storable, rows))

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The answers one after the other, as they are asked for."""
        with self._told():
            yield from self._db.execute(query, _storable(values))

    def row(self, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first answer."""
        return next(self.rows(query, values), None)

    def read(self, made: Callable[[tuple[Any, ...]], Made], row: tuple[Any, ...]) -> Made:
        """What `made` makes of a row. Raises JournalError when there is something else in it than was once written."""
        try:
            return made(row)
        except (zlib.error, ValueError, TypeError) as error:
            raise self._damaged(f"a row of it cannot be read, {error}") from error

    def _prepare(self) -> None:
        # before anything is written: another version's file is left as it is
        known = self.row("SELECT 1 FROM sqlite_master WHERE name = 'meta'") and self.recall("schema")
        if known and known != JOURNAL_SCHEMA:
            message = f"{self.path} is of another version of medimg ({known}, this one writes {JOURNAL_SCHEMA})"
            raise UsageError(f"{message}; choose another -o")
        with self._told():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(TABLES)
        if not known:
            self.remember("schema", JOURNAL_SCHEMA)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            message = f"cannot write the journal {self.path}: {error}; free space or choose another -o"
            raise OutputError(message) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, how: object) -> JournalError:
        return JournalError(
            f"the journal {self.path} is damaged ({how}); remove it and call again, no whole report is lost"
        )


def _storable(values: Sequence[Any]) -> list[Any]:
    """Text as SQLite takes it: a byte of a file name that is no UTF-8 as its escape, as in every file of medimg's."""
    return [files.encoded(one).decode() if isinstance(one, str) and not one.isascii() else one for one in values]
