"""A batch as a whole: everything once, nothing lost, called again it goes on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import sys

import numpy as np
import pytest
import yaml
from toy import chest_crop, detector, poisonous_detector

from medimg.batch.exports import Export, read_export
from medimg.batch.rows import DONE, DUPLICATE, FAILED, UNSUITABLE
from medimg.batch.run import Batch, Options
from medimg.errors import OutputError, UsageError
from medimg.volumes import write_nifti


def done(batch, **options):
    """Plan and run; the journal's cases by the name of their scan."""
    with batch(**options) as open_batch:
        open_batch.plan()
        open_batch.run()
        return {case.description: case for case in open_batch.journal.cases()}


def test_every_scan_is_done_once_and_a_copy_is_named_as_one(batch, tmp_path):
    cases = done(batch)
    states = {name: case.state for name, case in cases.items()}
    assert states.pop("b") == DONE
    assert sorted(states.values()) == [DONE, DUPLICATE]
    (copy,) = (case for case in cases.values() if case.state == DUPLICATE)
    assert cases["a" if copy.description == "copy" else "copy"].id == copy.duplicate_of
    for case in cases.values():
        assert (tmp_path / "out" / case.id / "report.json").is_file() == (case.state == DONE)
    assert cases["b"].findings is not None
    assert cases["b"].seconds > 0
    assert cases["b"].peak_memory_mib > 50


def test_called_again_nothing_is_done_again(batch, tmp_path):
    before = done(batch)
    events = []
    after = done(batch, listener=events.append)
    assert after == before
    assert not [event for event in events if event["event"] == "case"]


def test_a_scan_that_changed_is_done_again(batch, export):
    done(batch)
    chest_crop(export / "b" / "b.nii.gz", np.eye(4), (15.0, 15.0, 15.0), radius_mm=7.0)
    events = []
    done(batch, listener=events.append)
    assert [event["state"] for event in events if event["event"] == "case"] == [DONE]


def test_a_pipeline_that_changed_does_everything_again(batch, pipeline):
    done(batch)
    document = yaml.safe_load((pipeline / "pipeline.yaml").read_text(encoding="utf-8"))
    document["stages"][2]["infer"]["threshold"] = 0.6
    (pipeline / "pipeline.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    events = []
    done(batch, listener=events.append)
    assert sorted(event["state"] for event in events if event["event"] == "case") == [DONE, DONE, DUPLICATE]


def test_a_case_that_was_written_but_not_yet_noted_is_not_searched_again(batch, tmp_path):
    cases = done(batch)
    report = tmp_path / "out" / cases["b"].id / "report.json"
    written = report.stat().st_mtime_ns
    with sqlite3.connect(tmp_path / "out" / "journal.sqlite") as journal:
        journal.execute("UPDATE cases SET state = 'running' WHERE description = 'b'")
    assert done(batch)["b"].state == DONE
    assert report.stat().st_mtime_ns == written


def test_a_broken_scan_fails_with_its_reason_and_the_others_are_done(batch, export, tmp_path):
    (export / "bad").mkdir()
    (export / "bad" / "bad.nii.gz").write_bytes((export / "b" / "b.nii.gz").read_bytes()[:2000])
    cases = done(batch)
    assert cases["b"].state == DONE
    with (tmp_path / "out" / "summary.json").open(encoding="utf-8") as stream:
        summary = json.load(stream)
    named = {entry["description"]: entry["why"] for entry in summary["not_wanted"]}
    failed = {case.description: case.message for case in cases.values() if case.state == FAILED}
    assert "bad" in {**named, **failed}
    assert "notes.txt" in {entry["path"].rpartition("/")[2] for entry in summary["skipped"]}


def test_what_is_no_ct_is_unsuitable_and_no_failure(batch, export):
    (export / "mr").mkdir()
    write_nifti(export / "mr" / "mr.nii.gz", np.arange(27000, dtype=np.int16).reshape(30, 30, 30), np.eye(4))
    case = done(batch)["mr"]
    assert (case.state, case.reason) == (UNSUITABLE, "wrong_modality")


def test_a_case_that_kills_its_process_is_lost_alone(batch, export, tmp_path):
    pipeline = poisonous_detector(tmp_path / "poisonous")
    (export / "poison").mkdir()
    voxels = np.full((30, 30, 30), -900, np.int16)
    voxels[10, 10, 10] = 6000
    write_nifti(export / "poison" / "poison.nii.gz", voxels, np.eye(4))
    cases = done(batch, attempts=2, pipelines=(str(pipeline),))
    assert (cases["poison"].state, cases["poison"].reason) == (FAILED, "out_of_memory")
    assert cases["poison"].attempts == 2
    assert cases["b"].state == DONE


def test_a_case_that_takes_too_long_is_stopped(batch, export):
    cases = done(batch, time_limit=0.01, attempts=1)
    assert {case.state for case in cases.values()} == {FAILED}
    assert {case.reason for case in cases.values()} == {"timed_out"}


def test_failures_can_be_fed_back(batch, tmp_path):
    done(batch, time_limit=0.01, attempts=1)
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3
    again = read_export(tmp_path / "out" / "failures.csv")
    cases = done(batch, roots=again.roots, output=tmp_path / "second")
    assert sorted(case.state for case in cases.values()) == [DONE, DONE, DUPLICATE]


@pytest.mark.parametrize("name", ["#=cmd", "@x\r=1+1"])
def test_failures_whose_names_a_spreadsheet_would_compute_are_found_again(batch, tmp_path, name):
    broken = tmp_path / "out" / name / f"{name}.nii.gz"  # relative to OUT, nothing stands before the sign
    broken.parent.mkdir(parents=True)
    chest_crop(broken, np.eye(4), (20.0, 22.0, 18.0))
    done(batch, roots=(broken.parent,), time_limit=0.01, attempts=1)
    assert f"./{name}/".encode() in (tmp_path / "out" / "failures.csv").read_bytes()
    assert read_export(tmp_path / "out" / "failures.csv").roots == (tmp_path / "out" / name / broken.name,)
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_a_name_that_is_no_utf8_is_done_as_any_other_and_not_again(batch, tmp_path):
    folder = tmp_path / os.fsdecode(b"x\xff")
    folder.mkdir()
    chest_crop(folder / os.fsdecode(b"scan\xfe.nii.gz"), np.eye(4), (20.0, 22.0, 18.0))
    (folder / os.fsdecode(b"\xfd.nii.gz")).write_bytes(b"no scan")
    (case,) = done(batch, roots=(folder,)).values()
    assert case.state == DONE
    with batch(roots=(folder,)) as again:
        plan = again.plan()
    assert (plan.to_do, plan.unwanted, plan.counts[DONE]) == ((), 1, 1)


def test_parts_share_the_studies_and_leave_none(batch, tmp_path):
    names = []
    for number in range(3):
        names += done(batch, part=(number, 3))
    assert sorted(names) == ["a", "b", "copy"]


def test_two_batches_on_one_folder_exclude_each_other(batch):
    with batch(), pytest.raises(UsageError, match=f"process {os.getpid()}"), batch():
        pass


def test_a_scan_that_is_gone_is_forgotten_unless_it_was_done(batch, export):
    done(batch)
    shutil.rmtree(export / "b")
    chest_crop(export / "a" / "new.nii.gz", np.eye(4), (20.0, 22.0, 18.0), radius_mm=7.0)
    cases = done(batch)
    assert cases["b"].state == DONE
    assert cases["new"].state == DONE


def test_a_disk_that_takes_nothing_stops_the_batch_and_loses_nothing(batch, export, tmp_path, monkeypatch):
    monkeypatch.setattr("medimg.batch.run.PAUSE_SECONDS", (0, 0))
    with batch() as first:
        first.plan()
        (blocked,) = (case for case in first.journal.cases() if case.description == "b")
        (first.output / blocked.id).write_text("a file where a folder must be", encoding="utf-8")
        with pytest.raises(OutputError, match="call it again"):
            first.run()
    (tmp_path / "out" / blocked.id).unlink()
    assert {case.state for case in done(batch).values()} == {DONE, DUPLICATE}


def test_two_pipelines_each_get_a_case(export, tmp_path, pipeline):
    other = detector(tmp_path / "other", threshold=0.7)
    document = yaml.safe_load((other / "pipeline.yaml").read_text(encoding="utf-8"))
    (other / "pipeline.yaml").write_text(yaml.safe_dump({**document, "name": "second"}), encoding="utf-8")
    options = Options(pipelines=(str(pipeline), str(other)))
    with Batch(Export((export,)), tmp_path / "out", options) as both:
        assert both.plan().by_pipeline == {"lung_nodule_classical": 3, "second": 3}


def test_a_scan_still_being_written_waits_even_if_its_copy_keeps_an_old_time(batch, export):
    for path in export.rglob("*.nii.gz"):
        os.utime(path, (0, 0))  # as cp -a and rsync -t do with what they have just written
    with batch(quiet=3600) as waiting:
        assert not waiting.plan().to_do
    with batch(quiet=0.01) as ready:
        assert len(ready.plan().to_do) == 3


def test_a_scan_that_comes_while_others_are_searched_does_not_wait_for_their_end(batch, export):
    events, looked = [], []

    def look():
        looked.append(events.count("case"))
        if len(looked) == 1:
            chest_crop(export / "b" / "late.nii.gz", np.eye(4), (20.0, 22.0, 18.0), radius_mm=7.0)
            running.plan()

    with batch(listener=lambda event: events.append(event["event"])) as running:
        running.plan()
        running.run(look)
        cases = {case.description: case for case in running.journal.cases()}
    assert looked[0] < 3
    assert cases["late"].state == DONE
    assert {case.attempts for case in cases.values()} == {1}
    assert (events.count("begin"), events.count("case")) == (1, 4)


def test_a_scan_that_changes_while_it_is_searched_is_searched_again(batch, export):
    looked = []

    def look():
        looked.append(running.journal.counts()["running"])
        if len(looked) == 1:
            for name in ("a", "b"):
                chest_crop(export / name / f"{name}.nii.gz", np.eye(4), (15.0, 15.0, 15.0), radius_mm=7.0 + looked[0])
            (export / "again" / "copy.nii.gz").unlink()
            running.plan()

    with batch() as running:
        running.plan()
        (before,) = (case for case in running.journal.cases() if case.description == "b")
        running.run(look)
        (after,) = (case for case in running.journal.cases() if case.description == "b")
    assert looked[0] == 1
    assert after.state in {DONE, DUPLICATE}
    assert after.signature != before.signature
