"""The journal as a file: damaged, of another version, on a disk that takes nothing for a while."""

from __future__ import annotations

import sqlite3

import pytest

from medimg.batch.database import JOURNAL_SCHEMA
from medimg.batch.journal import Journal
from medimg.batch.rows import DONE, DUPLICATE
from medimg.errors import JournalError, OutputError, UsageError


def done(batch, **options):
    with batch(**options) as open_batch:
        open_batch.plan()
        open_batch.run()
        return {case.description: case for case in open_batch.journal.cases()}


def test_a_file_that_is_no_journal_is_said_to_be_damaged(tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(JournalError, match=r"journal.sqlite is damaged \(file is not a database\); remove it"):
        Journal(tmp_path / "journal.sqlite")


def test_a_damaged_page_is_told_wherever_it_is_met_and_without_the_journal_no_report_is_made_again(batch, tmp_path):
    cases = done(batch)
    reports = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/report.json")}
    journal = tmp_path / "out" / "journal.sqlite"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(JournalError, match="is damaged"):
        done(batch)
    journal.unlink()
    assert {name: case.state for name, case in done(batch).items()} == {n: case.state for n, case in cases.items()}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/report.json")} == reports


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE cases SET inputs = x'789c00'", "cases"),
        ("UPDATE cases SET inputs = 'text'", "cases"),
        ("UPDATE scans SET files = x'00'", "groups"),
        ("UPDATE scans SET facts = '{'", "groups"),
        ("UPDATE skipped SET path = 'no JSON'", "skipped_files"),
        ("UPDATE skipped SET path = 'no JSON'", "skips"),
    ],
)
def test_a_row_that_cannot_be_unpacked_is_damage_and_is_told_in_one_line(batch, damage, read):
    with batch() as open_batch:
        open_batch.plan()
        open_batch.journal.execute(damage)
        with pytest.raises(JournalError, match=r"is damaged \(a row [^\n]*\); remove it and call again[^\n]*$"):
            list(getattr(open_batch.journal, read)())


def test_a_journal_of_another_version_is_left_as_it_is(tmp_path):
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as newer:
        newer.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        newer.execute("INSERT INTO meta VALUES ('schema', 'medimg.journal/99')")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match=rf"medimg.journal/99, this one writes {JOURNAL_SCHEMA}\); choose another -o"):
        Journal(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_when_the_journal_cannot_be_written_for_a_while_the_batch_waits(batch, monkeypatch):
    monkeypatch.setattr("medimg.batch.run.PAUSE_SECONDS", (0, 0, 0))
    events = []

    def listen(event):
        events.append(event["event"])
        if event["event"] == "pause":
            assert "attempt to write a readonly database; free space" in event["message"]
            waiting.journal.execute("PRAGMA query_only = OFF")

    with batch(listener=listen) as waiting:
        waiting.plan()
        waiting.journal.execute("PRAGMA query_only = ON")
        waiting.run()
        assert {case.state for case in waiting.journal.cases()} == {DONE, DUPLICATE}
    assert events.count("pause") == 1


def test_when_the_journal_can_never_be_written_the_batch_stops_and_the_next_call_goes_on(batch, monkeypatch):
    monkeypatch.setattr("medimg.batch.run.PAUSE_SECONDS", (0, 0))
    with batch() as stopping:
        stopping.plan()
        stopping.journal.execute("PRAGMA query_only = ON")
        with pytest.raises(OutputError, match="the batch stops, call it again to go on"):
            stopping.run()
    assert {case.state for case in done(batch).values()} == {DONE, DUPLICATE}
