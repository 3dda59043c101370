"""One case: what its worker says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medimg.batch.place import Place
from medimg.batch.rows import DONE, FAILED
from medimg.batch.work import Task, run_task
from medimg.errors import MemoryLimitError
from medimg.inference.options import Engine


@pytest.fixture
def task(batch, tmp_path, pipeline):
    """The case of scan b."""
    with batch() as planned:
        planned.plan()
        (case,) = (case for case in planned.journal.cases() if case.description == "b")
    return Task(case, str(pipeline), Place(str(tmp_path / "results")), Engine())


def never(_digest):
    return None


def ends_with(monkeypatch, ending):
    def finish(case, folder, engine):
        ending(case, engine)

    monkeypatch.setattr("medimg.batch.work.finish_case", finish)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["segmentation.dcm"], "no_dicom_results"),
        (["report.html"], "no_pictures"),
        (["preview.png", "key_image.dcm"], "no_dicom_results"),
    ],
)
def test_a_case_whose_report_says_that_it_failed_has_failed(task, monkeypatch, files, reason):
    lines = [f"{name} was not written: why" for name in files]
    ends_with(monkeypatch, lambda case, engine: case.report.failed.extend(lines))
    outcome = run_task(task, never)
    assert (outcome.state, outcome.reason) == (FAILED, reason)
    assert outcome.message == "; ".join(lines)


def test_a_report_that_failed_is_not_taken_for_done_when_its_run_was_killed(task, monkeypatch, tmp_path):
    from medimg import files
    from medimg.report.read import read_report

    assert run_task(task, never).state == DONE
    folder = tmp_path / "results" / task.case.id
    seen = []
    ends_with(monkeypatch, lambda case, engine: seen.append(case))
    assert run_task(task, never).state == DONE
    assert not seen
    report = read_report(folder)
    report.failed.append("report.dcm was not written: why")
    files.write_json(folder / "report.json", report.to_dict())
    run_task(task, never)
    assert seen


def test_a_pipeline_that_is_not_the_planned_one_is_not_run(task):
    other = replace(task, case=replace(task.case, pipeline_sha256="0" * 64))
    outcome = run_task(other, never)
    assert (outcome.state, outcome.reason) == (FAILED, "pipeline_changed")


def test_after_memory_ran_out_the_engine_is_told_to_take_less(task, monkeypatch):
    limits = []
    ends_with(monkeypatch, lambda case, engine: limits.append(engine.memory_limit))
    for times in range(3):
        run_task(replace(task, squeeze=times, engine=Engine(memory_limit=8 << 30)), never)
    assert limits == [8 << 30, 4 << 30, 2 << 30]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "out_of_memory"), (MemoryLimitError("needs 9 MiB"), "memory_limit"), (KeyError("x"), "crashed")],
)
def test_errors_have_their_reasons(task, monkeypatch, error, reason):
    def fail(case, engine):
        raise error

    ends_with(monkeypatch, fail)
    assert run_task(task, never).reason == reason


def test_results_go_to_a_store_and_are_taken_from_there_again(task, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    stored = replace(task, place=Place("memory://out"))
    assert run_task(stored, never).state == DONE
    assert fsspec.filesystem("memory").exists(f"/out/{task.case.id}/report.json")
    ends_with(monkeypatch, lambda case, engine: pytest.fail("it was done already"))
    assert run_task(stored, never).state == DONE
    fsspec.filesystem("memory").rm("/", recursive=True)
