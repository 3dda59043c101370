"""A case taken up again from the folder a stage left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg.dicom.options import ReadOptions
from medimg.errors import InputError, PipelineError, Reason, UsageError
from medimg.pipeline import Pipeline, load_pipeline
from medimg.report.read import read_report
from medimg.results import Report
from medimg.stages.candidates import find_candidates
from medimg.stages.case import Case
from medimg.stages.reference import find_reference
from medimg.study import Volume


def open_report(folder: Path, pipeline: Pipeline | None = None) -> Case:
    """The case whose report lies in `folder`, with its input volumes read again from where they were.

    Without `pipeline`, the installed one the report names; a pipeline that changed since is warned of. Raises
    InputError when the folder holds no whole report or its scans have moved or changed, UsageError when `pipeline`
    is another than the report's, PipelineError when the pipeline is not installed.
    """
    report = read_report(folder)
    chosen = pipeline or _pipeline_of(report)
    if chosen.name != report.pipeline.get("name"):
        raise UsageError(f"the report was made by pipeline {report.pipeline.get('name')!r}, not {chosen.name}")
    if chosen.sha256 != report.pipeline.get("sha256"):
        report.warnings.append(f"pipeline {chosen.name} has changed since the scan was searched")
    volumes = read_volumes(report, folder)
    return Case(chosen, volumes, report, reference=read_reference(report, volumes))


def read_volumes(report: Report, folder: Path) -> dict[str, Volume]:
    """Role -> the volume the report in `folder` was made from. Raises InputError when one has moved or changed."""
    try:
        return {str(entry["role"]): _volume(folder, entry) for entry in report.inputs}
    except (KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'report.json'}: its inputs were edited ({error}); infer again") from error


def read_reference(report: Report, volumes: dict[str, Volume]) -> Volume | None:
    """The DICOM volume the first scan was made from, where the report names one. Raises as `find_reference`."""
    named = report.inputs[0].get("reference") if report.inputs else None
    if not named or not volumes:
        return None
    return find_reference(Path(named["path"]), next(iter(volumes.values())))[0]


def _pipeline_of(report: Report) -> Pipeline:
    name = str(report.pipeline.get("name", ""))
    try:
        return load_pipeline(name)
    except UsageError as error:
        raise PipelineError(
            f"the report was made by pipeline {name!r}, which is not installed; name it with --pipeline"
        ) from error


def _volume(folder: Path, entry: dict[str, Any]) -> Volume:
    path = (folder / entry["path"]).resolve()
    if not path.exists():
        message = f"{folder / 'report.json'} was made from {path}, which is gone; bring it back or infer again"
        raise InputError(Reason.NOT_A_REGULAR_FILE, message, [path])
    series_uid = entry.get("series_uid")
    found = [c for c in find_candidates(path) if c.headers is None or series_uid in (None, c.series_uid)]
    if not found:
        raise InputError(Reason.NOT_A_REGULAR_FILE, f"{path} no longer holds series {series_uid}; infer again", [path])
    options = ReadOptions.named(entry.get("read_options", ()))
    for volume in (volume for candidate in found for volume in candidate.read(options)):
        if volume.source.sha256 == entry.get("sha256"):
            return volume
    message = f"{path} is not the scan the report was made from (its digest differs); infer again"
    raise InputError(Reason.UNREADABLE, message, [path])
