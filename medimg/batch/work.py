"""One case, from its files to its folder: what a worker does, on this machine or on another.

The same steps as `medimg infer`, on scans that were chosen already.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.batch.catalogue import FILE, series_of
from medimg.batch.journal import DONE, DUPLICATE, FAILED, UNSUITABLE, CaseRow, Input
from medimg.bundles.as_pipeline import named_pipeline
from medimg.errors import InputError, MedimgError, OutputError, Reason, UnsuitableScanError
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline
from medimg.report.read import read_report
from medimg.stages.candidates import Candidate, candidate_of_file, candidate_of_series
from medimg.stages.case import Case, Clock, peak_memory_mib
from medimg.stages.chain import finish_case, open_case
from medimg.stages.selection import Selection

WHY = "every scan of the export that the pipeline's rule accepts"

OUT_OF_MEMORY_ERRORS = frozenset({"MemoryError", "OutOfMemoryError"})
"""By name: torch.OutOfMemoryError must not cost an import of torch."""


@dataclass(frozen=True)
class Task:
    """A case and how to run it. pipeline: the path or name that was asked for; folder: where its results go.

    trusted: its bundle may be executed, whatever is in it.
    """

    case: CaseRow
    pipeline: str
    folder: Path
    engine: Engine
    trusted: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a case. trouble: the disk, not the case, is at fault."""

    state: str
    reason: str | None = None
    message: str | None = None
    seconds: float | None = None
    peak_memory_mib: float | None = None
    input_sha256: str | None = None
    findings: int | None = None
    duplicate_of: str | None = None
    trouble: bool = False

    @property
    def known(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        return {name: value for name, value in vars(self).items() if name not in {"state", "trouble"}}


Twin = Callable[[str], str | None]
"""Asked with the digest of a case's scans: the id of a done case of the same content and pipeline, or None."""


def run_task(task: Task, twin: Twin) -> Outcome:
    """Read the case's scans, and unless they were done before, search and write them; never raises for the case."""
    began = time.perf_counter()
    digest: str | None = None
    _reset_peak()
    try:
        pipeline = named_pipeline(task.pipeline, trusted=task.trusted)
        case = open_case(_selection(pipeline, task.case.inputs), Clock())
        digest = content_digest(case)
        if (other := twin(digest)) is not None and other != task.case.id:
            message = f"the same scan as {other}, which is done"
            return Outcome(DUPLICATE, message=message, input_sha256=digest, duplicate_of=other, findings=None)
        findings = _findings_of_earlier(task.folder, case)
        if findings is None:
            finish_case(case, task.folder, task.engine)
            findings = len(case.report.findings)
    except Exception as error:
        return _failure(error, time.perf_counter() - began, digest)
    return Outcome(
        DONE,
        seconds=round(time.perf_counter() - began, 3),
        peak_memory_mib=peak_memory_mib(),
        input_sha256=digest,
        findings=findings,
    )


def content_digest(case: Case) -> str:
    """Digest of the case's scans, role by role: of their voxels and grids, wherever they lie."""
    parts = [f"{role}={volume.source.sha256}" for role, volume in case.volumes.items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


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


def _findings_of_earlier(folder: Path, case: Case) -> int | None:
    """Findings of a whole report of exactly these scans and this pipeline: a run was killed before it said so."""
    with contextlib.suppress(MedimgError):
        report = read_report(folder)
        same = [entry.get("sha256") for entry in report.inputs] == [e["sha256"] for e in case.report.inputs]
        if same and report.pipeline == case.pipeline.identity:
            return len(report.findings)
    return None


def _failure(error: Exception, seconds: float, digest: str | None) -> Outcome:
    known: dict[str, Any] = {"seconds": round(seconds, 3), "input_sha256": digest}
    known |= {"message": " ".join(str(error).split()) or type(error).__name__, "peak_memory_mib": peak_memory_mib()}
    if isinstance(error, UnsuitableScanError):
        return Outcome(UNSUITABLE, str(error.reason), **known)
    if isinstance(error, InputError):
        return Outcome(FAILED, str(error.reason), **known)
    if isinstance(error, (OutputError, OSError)):
        return Outcome(FAILED, "output", trouble=True, **known)
    if type(error).__name__ in OUT_OF_MEMORY_ERRORS:
        return Outcome(FAILED, str(Reason.OUT_OF_MEMORY), **{**known, "message": "not enough memory for this scan"})
    if isinstance(error, MedimgError):
        return Outcome(FAILED, "pipeline", **known)
    return Outcome(FAILED, str(Reason.CRASHED), **{**known, "message": f"{type(error).__name__}: {known['message']}"})


def _reset_peak() -> None:
    """Peak memory counts from here, where the system can do that (Linux 4.0 and later)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
