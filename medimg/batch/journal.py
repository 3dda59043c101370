"""The journal of a batch: every scan found (`found.py`), and what became of every case."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from medimg.batch.found import Found, Group
from medimg.batch.rows import (
    CASE_COLUMNS,
    DONE,
    FAILED,
    PENDING,
    RESULT_COLUMNS,
    RUNNING,
    STATES,
    CaseRow,
    Result,
    case_of,
    inputs_value,
)

IS_TO_DO = "(state = ? OR (state = ? AND attempts < ?))"

Unwanted = tuple[str, str, str, str, str]
Listing = Callable[[Iterable[CaseRow], Iterable[Unwanted]], None]


class Journal(Found):
    """The cases: what is to be done, what became of each, and who was sent its results."""

    @contextlib.contextmanager
    def listing(self, run: int, at_work: Collection[str] = ()) -> Iterator[Listing]:
        """What is called in the block with (cases, unwanted scans) as they are found; all of it counts, or nothing.

        A case whose scan or pipeline changed, or that was broken off, becomes pending; one that is no longer there and
        was never finished goes. at_work: ids of cases that this process is at, which stay as they are unless their scan
        changed. An unwanted scan: key, modality, description, place, why.
        """

        def found(cases: Iterable[CaseRow], unwanted: Iterable[Unwanted]) -> None:
            for case in cases:
                self._list(case, run, case.id in at_work)
            self.execute_each("INSERT INTO unwanted VALUES (?, ?, ?, ?, ?)", unwanted)

        with self.transaction():
            self.execute("DELETE FROM unwanted")
            yield found
            stay = ", ".join("?" * len(at_work))
            gone = f"DELETE FROM cases WHERE listed < ? AND state IN (?, ?) AND id NOT IN ({stay})"
            self.execute(gone, (run, PENDING, RUNNING, *at_work))

    def _list(self, case: CaseRow, run: int, at_work: bool) -> None:
        query = "SELECT signature, pipeline_sha256, state FROM cases WHERE id = ?"
        known = self.row(query, (case.id,))
        if known is None or known[:2] != (case.signature, case.pipeline_sha256):
            self._insert(case, run)
            return
        state = PENDING if known[2] == RUNNING and not at_work else known[2]
        values = (run, state, inputs_value(case.inputs), case.id)
        self.execute("UPDATE cases SET listed = ?, state = ?, inputs = ? WHERE id = ?", values)

    def unwanted(self) -> Iterator[dict[str, str]]:
        """Scans that no pipeline takes, and why."""
        names = ("key", "modality", "description", "place", "why")
        for row in self.rows("SELECT key, modality, description, place, why FROM unwanted ORDER BY key"):
            yield dict(zip(names, row, strict=True))

    def whys(self) -> list[Group]:
        """Scans that no pipeline takes, grouped by the reason, most first."""
        # a reason that names the file would be no other's
        name, told = "REPLACE(key, place || '/', '')", "REPLACE(why, key, 'the file')"
        what = f"TRIM(REPLACE(' ' || {told} || ' ', ' ' || {name} || ' ', ' the file '))"
        grouped = "GROUP BY what ORDER BY COUNT(*) DESC, what"
        rows = self.rows(f"SELECT {what} AS what, COUNT(*), MIN(key), place FROM unwanted {grouped}")
        return [Group(why, count, _place_of(key, Path(place))) for why, count, key, place in rows]

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
        return [row[0] for row in self.rows(query, (PENDING, FAILED, attempts))]

    def to_do_by_pipeline(self, attempts: int) -> dict[str, int]:
        """How many of these cases each pipeline has."""
        query = f"SELECT pipeline, COUNT(*) FROM cases WHERE {IS_TO_DO} GROUP BY pipeline ORDER BY pipeline"
        return dict(self.rows(query, (PENDING, FAILED, attempts)))

    def begin(self, identifier: str) -> None:
        """A worker takes the case up."""
        query = "UPDATE cases SET state = ?, attempts = attempts + 1, started = ? WHERE id = ?"
        self.execute(query, (RUNNING, _now(), identifier))

    def put_back(self, identifier: str) -> None:
        """The case was broken off through no fault of its own: as if it had not been begun."""
        query = "UPDATE cases SET state = ?, attempts = max(0, attempts - 1) WHERE id = ?"
        self.execute(query, (PENDING, identifier))

    def finish(self, identifier: str, result: Result) -> None:
        """What became of the case."""
        assignments = ", ".join(f"{name} = ?" for name in (*RESULT_COLUMNS, "finished"))
        values = (*(getattr(result, name) for name in RESULT_COLUMNS), _now(), identifier)
        self.execute(f"UPDATE cases SET {assignments} WHERE id = ?", values)

    def done_with(self, input_sha256: str, pipeline_sha256: str) -> str | None:
        """The id of a done case of the same content and pipeline."""
        query = "SELECT id FROM cases WHERE input_sha256 = ? AND pipeline_sha256 = ? AND state = ?"
        row = self.row(query, (input_sha256, pipeline_sha256, DONE))
        return None if row is None else str(row[0])

    def taken(self, identifier: str, server: str) -> frozenset[str]:
        """Digests of the objects of the case that the server has taken."""
        query = "SELECT sha256 FROM deliveries WHERE id = ? AND server = ?"
        return frozenset(row[0] for row in self.rows(query, (identifier, server)))

    def note_delivery(self, identifier: str, server: str, sha256: str, finished: str | None) -> None:
        """The server has taken the objects, as they were when the case was finished at that time."""
        self.execute("INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?)", (identifier, server, sha256, finished))

    def undelivered(self, server: str) -> list[str]:
        """Ids of the cases that were done since the server last took their objects."""
        query = (
            "SELECT id FROM cases WHERE state = ? AND NOT EXISTS (SELECT 1 FROM deliveries AS taken "
            "WHERE taken.id = cases.id AND taken.server = ? AND taken.finished = cases.finished) ORDER BY id"
        )
        return [row[0] for row in self.rows(query, (DONE, server))]

    def counts(self) -> dict[str, int]:
        """How many cases are in each state."""
        found = Counter(dict(self.rows("SELECT state, COUNT(*) FROM cases GROUP BY state")))
        return {state: found[state] for state in STATES}

    def mean_seconds(self, pipeline: str) -> float | None:
        """Mean seconds of the done cases of a pipeline; None before the first."""
        query = "SELECT AVG(seconds) FROM cases WHERE pipeline = ? AND state = ?"
        row = self.row(query, (pipeline, DONE))
        return None if row is None or row[0] is None else float(row[0])

    def _cases(self, condition: str, values: tuple[str, ...]) -> Iterator[CaseRow]:
        for row in self.rows(f"SELECT {', '.join(CASE_COLUMNS)} FROM cases {condition}", values):
            yield self.read(case_of, row)

    def _insert(self, case: CaseRow, run: int) -> None:
        values = {name: getattr(case, name) for name in CASE_COLUMNS} | {
            "inputs": inputs_value(case.inputs),
            "listed": run,
        }
        marks = ", ".join("?" * len(values))
        self.execute(f"INSERT OR REPLACE INTO cases ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def _place_of(key: str, folder: Path) -> Path:
    """Where an unwanted scan is: its file, or the folder of a series, whose key is made of UIDs."""
    return Path(key) if Path(key).parent == folder else folder


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
