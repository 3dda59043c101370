"""A pipeline on every case of a datalist: one report folder a case, and why a case has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medimg.datalist.read import DatalistCase
from medimg.errors import DataError, InputError, Reason, UnsuitableScanError
from medimg.evaluate.evaluation import Failure
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline
from medimg.progress import Progress, silent
from medimg.report.writers import withdraw_report
from medimg.stages.chain import run_chain


def predict_cases(
    cases: Sequence[DatalistCase],
    output: Path,
    pipeline: Pipeline,
    *,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> tuple[Failure, ...]:
    """Run the pipeline on each case into `output`/ID; return the cases that failed, the others are there.

    A case fails when a file is missing, or its scan cannot be read or is not for this pipeline. Raises DataError when
    every case fails, and at once what concerns all of them (a broken pipeline, a full disk).
    """
    failed = []
    for done, case in enumerate(cases, start=1):
        withdraw_report(output / case.id)  # of an earlier run: it must not pass for this one's
        if failure := _predict(case, output / case.id, pipeline, engine):
            failed.append(failure)
        progress("cases", done, len(cases))
    if len(failed) == len(cases):
        raise DataError(f"none of {len(cases)} cases could be predicted; the first: {failed[0].message}")
    return tuple(failed)


def _predict(case: DatalistCase, output: Path, pipeline: Pipeline, engine: Engine | None) -> Failure | None:
    if missing := [path for path in case.images if not path.exists()]:
        message = f"{missing[0]}, which the datalist names, is missing; correct the datalist or bring the file back"
        return Failure(case.id, Reason.NOT_A_REGULAR_FILE, message)
    try:
        run_chain(list(zip(case.roles, case.images, strict=True)), output, pipeline, engine=engine)
    except (InputError, UnsuitableScanError) as error:
        return Failure(case.id, error.reason, str(error))
    return None
