"""One case, from its files to its folder: what a worker does, on this machine or on another.

The same steps as `medimg infer`, on scans that were chosen already.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from medimg.batch.catalogue import FILE, series_of
from medimg.batch.memory import ran_out, squeezed
from medimg.batch.place import Place
from medimg.batch.rows import DONE, DUPLICATE, FAILED, UNSUITABLE, CaseRow, Input, Result
from medimg.bundles.as_pipeline import named_pipeline
from medimg.errors import InputError, MedimgError, MemoryLimitError, OutputError, Reason, UnsuitableScanError
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline
from medimg.report.drawn import DRAWN
from medimg.report.read import read_report
from medimg.results import Report
from medimg.stages.ahead import import_ahead
from medimg.stages.candidates import Candidate, candidate_of_file, candidate_of_series
from medimg.stages.case import Case, Clock, peak_memory_mib
from medimg.stages.chain import finish_case, open_case
from medimg.stages.selection import Selection

WHY = "every scan of the export that the pipeline's rule accepts"


@dataclass(frozen=True)
class Task:
    """A case and how to run it. pipeline: the path or name that was asked for; place: where its results go.

    trusted: its bundle may be executed, whatever is in it. squeeze: how often memory ran out on it.
    """

    case: CaseRow
    pipeline: str
    place: Place
    engine: Engine
    trusted: bool = False
    squeeze: int = 0


class Trouble(Enum):
    """What is at fault when it is not the case."""

    DISK = "disk"
    NODE = "node"


@dataclass(frozen=True)
class Outcome(Result):
    """What became of a case. With trouble it is not settled: the case itself may be sound."""

    trouble: Trouble | None = None


Twin = Callable[[str], str | None]
"""Asked with the digest of a case's scans: the id of a done case of the same content and pipeline, or None."""


def run_task(task: Task, twin: Twin) -> Outcome:
    """Read the case's scans, and unless they were done before, search and write them; never raises for the case."""
    began = time.perf_counter()
    digest: str | None = None
    _reset_peak()
    try:
        pipeline = named_pipeline(task.pipeline, trusted=task.trusted)
        if pipeline.sha256 != task.case.pipeline_sha256:
            message = f"{pipeline.name} is not the {task.case.pipeline} the batch was planned with; call it again"
            return Outcome(FAILED, str(Reason.PIPELINE_CHANGED), message)
        import_ahead(pipeline, task.engine)
        case = open_case(_selection(pipeline, task.case.inputs), Clock())
        digest = content_digest(case)
        if (other := twin(digest)) is not None and other != task.case.id:
            message = f"the same scan as {other}, which is done"
            return Outcome(DUPLICATE, message=message, input_sha256=digest, duplicate_of=other)
        report = _searched(case, task)
    except Exception as error:
        return _failure(error, time.perf_counter() - began, digest)
    outcome = Outcome(
        DONE,
        seconds=round(time.perf_counter() - began, 3),
        peak_memory_mib=peak_memory_mib(),
        input_sha256=digest,
        findings=len(report.findings),
    )
    if report.failed:
        return replace(outcome, state=FAILED, reason=str(_lacking(report)), message="; ".join(report.failed))
    return outcome


def _lacking(report: Report) -> Reason:
    """What a report lacks that a part could not be made of: a DICOM object, or else only something to look at."""
    drawn = all(line.startswith(tuple(DRAWN.values())) for line in report.failed)
    return Reason.NO_PICTURES if drawn else Reason.NO_DICOM_RESULTS


def content_digest(case: Case) -> str:
    """Digest of the case's scans, role by role: of their voxels and grids, wherever they lie."""
    parts = [f"{role}={volume.source.sha256}" for role, volume in case.volumes.items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _searched(case: Case, task: Task) -> Report:
    """The case's report, which is then in its place; one that a run left there before it was killed is taken as is."""
    with task.place.earlier(task.case.id) as folder:
        if folder is not None and (report := _of_earlier(folder, case)) is not None:
            return report
    with task.place.folder(task.case.id) as folder:
        finish_case(case, folder, squeezed(task.engine, task.squeeze))
    return case.report


def _selection(pipeline: Pipeline, inputs: tuple[Input, ...]) -> Selection:
    several = len(pipeline.inputs) > 1
    found = {entry.role: _candidate(entry, several) for entry in inputs}
    if not several:
        _check_modality(pipeline, *found.values())
    return Selection(pipeline, {role: found[role] for role in pipeline.roles if role in found}, why=WHY)


def _check_modality(pipeline: Pipeline, candidate: Candidate) -> None:
    """A file that did not say what it is has been read by now. Raises UnsuitableScanError (wrong_modality)."""
    wanted = pipeline.inputs[0].modality
    if candidate.modality != wanted:
        what = candidate.modality or "of unknown modality; no air in HU"
        raise UnsuitableScanError(Reason.WRONG_MODALITY, f"needs {wanted}; {candidate.path.name} is {what}")


def _candidate(entry: Input, has_role: bool) -> Candidate:
    if missing := [path for path in entry.files if entry.kind == FILE and not path.exists()]:
        raise InputError(Reason.NOT_A_REGULAR_FILE, f"{missing[0]} is gone; run medimg batch again", missing)
    if entry.kind == FILE:
        return candidate_of_file(entry.files[0], entry.role if has_role else None)
    return candidate_of_series(series_of(entry.files, entry.series_uid))


def _of_earlier(folder: Path, case: Case) -> Report | None:
    """A whole report of exactly these scans and this pipeline."""
    with contextlib.suppress(MedimgError):
        report = read_report(folder)
        same = [entry.get("sha256") for entry in report.inputs] == [e["sha256"] for e in case.report.inputs]
        if same and report.pipeline == case.pipeline.identity and not report.failed:
            return report
    return None


def _failure(error: Exception, seconds: float, digest: str | None) -> Outcome:
    state, reason = _blamed(error)
    said = " ".join(str(error).split()) or type(error).__name__
    if reason == Reason.OUT_OF_MEMORY:
        said = "not enough memory for this scan"
    elif reason == Reason.CRASHED:
        said = f"{type(error).__name__}: {said}"
    return Outcome(
        state,
        str(reason),
        said,
        seconds=round(seconds, 3),
        peak_memory_mib=peak_memory_mib(),
        input_sha256=digest,
        trouble=Trouble.DISK if reason == "output" else None,
    )


def _blamed(error: Exception) -> tuple[str, str]:
    """State and reason of a case that ended with the error."""
    if ran_out(error):
        return FAILED, Reason.OUT_OF_MEMORY
    if isinstance(error, (InputError, UnsuitableScanError)):
        return UNSUITABLE if isinstance(error, UnsuitableScanError) else FAILED, error.reason
    if isinstance(error, MemoryLimitError):
        return FAILED, Reason.MEMORY_LIMIT
    if isinstance(error, (OutputError, OSError)):
        return FAILED, "output"
    return FAILED, "pipeline" if isinstance(error, MedimgError) else Reason.CRASHED


def _reset_peak() -> None:
    """Peak memory counts from here, where the system can do that (Linux 4.0 and later)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
