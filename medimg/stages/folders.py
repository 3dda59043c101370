"""A case taken up again from the folder a stage left."""

from __future__ import annotations

from pathlib import Path

from medimg.errors import PipelineError, UsageError
from medimg.pipeline import Pipeline, load_pipeline
from medimg.report.read import read_report
from medimg.results import Report
from medimg.stages.candidates import find_candidates
from medimg.stages.case import Case
from medimg.study import Volume


def open_report(folder: Path, pipeline: Pipeline | None = None) -> Case:
    """The case whose report lies in `folder`, with its input volumes read again from where they were.

    Without `pipeline`, the installed one the report names. Raises UsageError when the folder holds no report or its
    scans have moved, PipelineError when the pipeline is not installed.
    """
    report = read_report(folder)
    return Case(pipeline or _pipeline_of(report), _volumes(report, folder), report)


def _pipeline_of(report: Report) -> Pipeline:
    name = report.pipeline.get("name", "")
    try:
        return load_pipeline(name)
    except UsageError as error:
        raise PipelineError(
            f"the report was made by pipeline {name!r}, which is not installed; name its folder"
        ) from error


def _volumes(report: Report, folder: Path) -> dict[str, Volume]:
    return {str(entry["role"]): _volume(folder, entry["path"], entry.get("series_uid")) for entry in report.inputs}


def _volume(folder: Path, relative: str, series_uid: str | None) -> Volume:
    path = (folder / relative).resolve()
    if not path.exists():
        raise UsageError(f"{folder / 'report.json'} was made from {path}, which is gone; bring it back or infer again")
    found = [c for c in find_candidates(path) if series_uid is None or c.series_uid == series_uid]
    if not found:
        raise UsageError(f"{path} no longer holds series {series_uid}; infer again")
    return max(found[0].read(), key=lambda volume: volume.array.size)
