"""A pipeline's stages one after the other, in memory: select -> preprocess -> infer -> measure -> report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medimg import files
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.inference.options import Engine
from medimg.measure.radiomics import check_radiomics
from medimg.patient.document import read_patient
from medimg.pipeline import Pipeline
from medimg.progress import Progress, silent
from medimg.report.writers import withdraw_report
from medimg.results import Report
from medimg.stages.advise import advise, context_for
from medimg.stages.case import Case, Clock, base_provenance, describe_input, resampling_warnings
from medimg.stages.infer import infer
from medimg.stages.measure import measure
from medimg.stages.preprocess import save_volumes
from medimg.stages.radiomics import extract
from medimg.stages.reference import describe_reference, find_reference
from medimg.stages.render import render
from medimg.stages.select import read_chosen, select
from medimg.stages.selection import Selection
from medimg.stages.wishes import NONE, Wishes

Inputs = Sequence[tuple[str | None, Path]]


def run_chain(
    inputs: Inputs,
    output: Path,
    pipeline: Pipeline | None = None,
    *,
    engine: Engine | None = None,
    options: ReadOptions = AS_SCANNED,
    progress: Progress = silent,
    series_uids: Sequence[str] = (),
    wishes: Wishes = NONE,
) -> Case:
    """Run every stage the pipeline lists on `inputs` ((role or None, path) pairs) and write to `output`.

    Without `pipeline` the installed one that fits is chosen; `series_uids` name the DICOM series to take, `options`
    how they may be read. A chain always selects and reads; what it does after that is what its `stages` say, and what
    `wishes` add. Raises the errors of its stages; OutputError and UsageError before anything is computed when `output`
    cannot be written or a wish cannot be met.
    """
    files.output_folder(output)
    if wishes.patient is not None:
        read_patient(wishes.patient)  # what is wrong with it is said before minutes are spent
    if wishes.radiomics:
        check_radiomics()
    clock = Clock()
    with clock.time("select"):
        selection = select(inputs, pipeline, progress, series_uids)
    with clock.time("read"):
        case = open_case(selection, clock, options, wishes.dicom.reference)
    if wishes.patient is not None:
        context_for(case.first, wishes.patient, [])  # and so is what its scan contradicts
    finish_case(case, output, engine, progress, wishes)
    return case


def finish_case(
    case: Case,
    output: Path,
    engine: Engine | None = None,
    progress: Progress = silent,
    wishes: Wishes = NONE,
) -> None:
    """The stages after reading, as the case's pipeline lists them; what an earlier run left in `output` goes first."""
    withdraw_report(output)
    for stage in case.pipeline.stages:
        if stage.name == "preprocess" and stage.options.get("save"):
            save_volumes(case.volumes, output / "preprocessed")
        elif stage.name == "infer":
            infer(case, stage.options, engine, progress)
        elif stage.name == "measure":
            measure(case, stage.options)
            advise(case, stage.options, wishes.patient)
            if wishes.radiomics:
                extract(case, output)
        elif stage.name == "report":
            render(case, wishes.on_report(stage.options), output, wishes.dicom)


def open_case(
    selection: Selection, clock: Clock, options: ReadOptions = AS_SCANNED, reference: Path | None = None
) -> Case:
    """Read what was selected into a case with an empty report; `reference` is a folder for `find_reference`."""
    selection, volumes = read_chosen(selection, options)
    warnings = [warning for chosen in selection.chosen.values() for warning in chosen.warnings]
    warnings += [warning for role, volume in volumes.items() for warning in resampling_warnings(role, volume, options)]
    report = Report(
        pipeline=selection.pipeline.identity,
        inputs=[describe_input(role, volume) for role, volume in volumes.items()],
        warnings=warnings,
        provenance={**base_provenance(clock), "selection": selection.to_dict()},
    )
    case = Case(selection.pipeline, volumes, report, clock)
    if reference is not None:
        case.reference, said = find_reference(reference, case.first)
        report.warnings += said
        report.inputs[0]["reference"] = describe_reference(reference, case.reference)
    return case
