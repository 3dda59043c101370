"""compare: two report folders, or two scans that are searched first, of one patient at two times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

from medimg import files
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.errors import InputError, Reason, UsageError
from medimg.followup.changes import Change, changes, region_changes
from medimg.followup.comparison import Comparison, Timepoint, Warned
from medimg.followup.growth import THIN_SLICE_MM, Size
from medimg.followup.register import register
from medimg.followup.writers import withdraw_comparison, write_comparison
from medimg.inference.options import Engine
from medimg.measure.risk.advice import LUNG_RADS, advise
from medimg.patient import PatientContext, PriorNodule
from medimg.patient.context import DAYS_BEFORE, LungRads
from medimg.patient.document import read_patient
from medimg.pipeline import Pipeline, load_pipeline
from medimg.progress import Progress, silent
from medimg.report.read import REPORT_FILE, read_report
from medimg.results import Report
from medimg.stages.advise import context_for, patient_of, scan_day
from medimg.stages.case import Clock, base_provenance
from medimg.stages.chain import run_chain
from medimg.stages.folders import read_volumes
from medimg.stages.identity import check_identity
from medimg.study import Volume

COMPARISON = "comparison with the prior scan"
"""How the source of what a comparison knows is named in its advice."""


@dataclass(frozen=True)
class Options:
    """How two timepoints are compared. Days given here beat those of the headers; patient is a context file.

    pipeline, engine, read: for scans that have to be searched first.
    """

    prior_day: date | None = None
    current_day: date | None = None
    patient: Path | None = None
    force: bool = False
    pipeline: Pipeline | None = None
    engine: Engine | None = None
    read: ReadOptions = AS_SCANNED
    progress: Progress = silent


@dataclass(frozen=True)
class Visit:
    """A timepoint with the scans its report was made from, role -> volume."""

    point: Timepoint
    volumes: dict[str, Volume]


def compare(prior: Path, current: Path, output: Path, options: Options) -> Comparison:
    """Compare what lies at `prior` and `current` (each a report folder or a scan) and write to the folder `output`.

    A scan is searched first; its report goes to OUTPUT/prior or OUTPUT/current. Raises InputError: different_patients,
    not_registered, and those of reading; UsageError for dates the wrong way round or an output folder that is an input.
    """
    _check_paths(prior, current, output)
    files.output_folder(output)
    withdraw_comparison(output)
    if options.patient is not None:
        read_patient(options.patient)  # what is wrong with it is said before minutes are spent
    clock = Clock()
    folders = _reports(prior, current, output, options)
    first, second = (
        _visit(folder, day) for folder, day in zip(folders, (options.prior_day, options.current_day), strict=True)
    )
    if options.patient is not None:
        context_for(_first(second), options.patient, [])
    warnings = check_identity(patient_of(_first(first)), patient_of(_first(second)), options.force)
    days = _days(first.point.day, second.point.day)
    role = _shared_role(first, second)
    with clock.time("register"):
        registration = register(first.volumes[role], second.volumes[role])
    nodules = second.volumes[role].modality == "CT"
    thin = max(_slice_mm(first.volumes[role]), _slice_mm(second.volumes[role])) <= THIN_SLICE_MM
    reports = first.point.report, second.point.report
    found = changes(reports[0].findings, reports[1].findings, registration.motion, days, nodules=nodules, thin=thin)
    warnings += _warnings(first, second, role, days, nodules and not thin)
    comparison = Comparison(
        prior=first.point,
        current=second.point,
        days=days,
        registration=registration,
        changes=found,
        nodules=nodules,
        regions={} if nodules else region_changes(*reports),
        advice=_advice(reports[0], second, found, days, options, warnings),
        warnings=warnings,
        provenance={**base_provenance(clock), "seconds": clock.seconds, "role": role},
    )
    write_comparison(comparison, first.volumes[role], second.volumes[role], output)
    return comparison


def _check_paths(prior: Path, current: Path, output: Path) -> None:
    if prior.resolve() == current.resolve():
        raise UsageError(f"{prior} is both the prior and the current one; name two")
    if output.resolve() in (prior.resolve(), current.resolve()):
        raise UsageError(f"{output} is one of the two that are compared; choose another folder with -o")


def _reports(prior: Path, current: Path, output: Path, options: Options) -> tuple[Path, Path]:
    """The two report folders; what is a scan is searched first, with the pipeline of the other one where it has one."""
    pipeline = options.pipeline
    for path in (prior, current):
        if pipeline is None and (path / REPORT_FILE).is_file():
            known = read_report(path).pipeline
            pipeline = load_pipeline(str(known.get("name"))) if not _are_reports(prior, current) else None
    folders = []
    for path, name in ((prior, "prior"), (current, "current")):
        if (path / REPORT_FILE).is_file():
            folders.append(path)
            continue
        folder = output / name
        case = run_chain(
            [(None, path)], folder, pipeline, engine=options.engine, options=options.read, progress=options.progress
        )
        pipeline = pipeline or case.pipeline
        if not (folder / REPORT_FILE).is_file():
            raise UsageError(f"pipeline {case.pipeline.name} writes no {REPORT_FILE}; give one with a report stage")
        folders.append(folder)
    return folders[0], folders[1]


def _are_reports(*paths: Path) -> bool:
    return all((path / REPORT_FILE).is_file() for path in paths)


def _visit(folder: Path, day: date | None) -> Visit:
    report = read_report(folder)
    volumes = read_volumes(report, folder)
    if not volumes:
        raise InputError(Reason.UNREADABLE, f"{folder / REPORT_FILE} names no scan; run infer again")
    first = next(iter(volumes.values()))
    found = day or scan_day(first, patient_of(first))
    return Visit(Timepoint(report, str(folder.resolve()), found), volumes)


def _first(visit: Visit) -> Volume:
    return next(iter(visit.volumes.values()))


def _days(prior: date | None, current: date | None) -> int | None:
    if prior is None or current is None:
        return None
    days = (current - prior).days
    if days < 0:
        raise UsageError(
            f"the prior scan ({prior.isoformat()}) is later than the current one ({current.isoformat()}); "
            "give the earlier one first, or correct --prior-date and --current-date"
        )
    if days > DAYS_BEFORE[1]:
        raise UsageError(
            f"no patient is scanned on {prior.isoformat()} and on {current.isoformat()}; "
            "correct --prior-date and --current-date"
        )
    return days


def _shared_role(prior: Visit, current: Visit) -> str:
    """The first role that both have, of one modality."""
    for role, volume in current.volumes.items():
        other = prior.volumes.get(role)
        if other is not None and other.modality == volume.modality:
            return role
    have = [", ".join(f"{r} ({v.modality})" for r, v in visit.volumes.items()) for visit in (prior, current)]
    raise InputError(
        Reason.NOT_REGISTERED, f"the scans share no role and modality ({have[0]} and {have[1]}); give two of one kind"
    )


def _slice_mm(volume: Volume) -> float:
    """The largest spacing: slices, whatever axis they lie along."""
    return round(float(volume.spacing_mm.max()), 3)


def _warnings(prior: Visit, current: Visit, role: str, days: int | None, thick: bool) -> list[Warned]:
    reports = prior.point.report, current.point.report
    made = [report.pipeline for report in reports]
    volumes = prior.volumes[role], current.volumes[role]
    names = [f"{entry.get('name')} {entry.get('version')}" for entry in made]
    differ = f"made by {names[0]} and {names[1]}" if names[0] != names[1] else f"made by two states of {names[0]}"
    same = volumes[0].source.sha256 == volumes[1].source.sha256 and volumes[0].source.sha256 is not None
    spacings = [_slice_mm(volume) for volume in volumes]
    checks = [
        (made[0] != made[1], "pipeline_differs", f"the reports were {differ}: changes may be theirs"),
        (days is None, "date_unknown", "a date is not known: no doubling time; give --prior-date and --current-date"),
        (days == 0, "same_day", "both scans are of one day: no doubling time"),
        (same, "same_scan", "both reports are about the same scan"),
        (
            thick,
            "thick_slices",
            f"slices of {spacings[0]:g} and {spacings[1]:g} mm: volumes are too uncertain, mean diameters decide",
        ),
        (
            bool(volumes[0].source.resampling or volumes[1].source.resampling),
            "resampled",
            "a scan was interpolated: its sizes may be off",
        ),
    ]
    return [Warned(code, message) for applies, code, message in checks if applies]


def _advice(
    prior: Report,
    visit: Visit,
    found: list[Change],
    days: int | None,
    options: Options,
    warnings: list[Warned],
) -> list[dict[str, Any]]:
    """The rules for nodules again, now that the prior scan is known; none where the report has none."""
    report: Report = visit.point.report
    if not report.advice:
        if options.patient is not None:
            warnings.append(Warned("no_advice", f"pipeline {report.pipeline.get('name')} gives no advice"))
        return []
    said: list[str] = []
    context = context_for(_first(visit), options.patient, said)
    before = _categories(prior)
    warnings += [Warned("patient_context", message) for message in said]
    return [entry.to_dict() for entry in advise(report.findings, _with_priors(context, found, days, before))]


def _categories(report: Report) -> dict[str, LungRads]:
    """Finding -> the one Lung-RADS category its own report gave it; a range, or none, says nothing."""
    given = {str(e.get("finding_id")): e.get("category") for e in report.advice if e.get("rule") == LUNG_RADS}
    return {name: category for name, said in given.items() for category in get_args(LungRads) if category == said}


def _with_priors(
    context: PatientContext, found: list[Change], days: int | None, before: dict[str, LungRads]
) -> PatientContext:
    """The context with each paired nodule's earlier size, at the place its successor has now."""
    priors = []
    for change in found:
        if change.prior is None or change.current is None:
            continue
        mean_mm = Size.of(change.prior).mean_axis_mm
        if mean_mm is not None:
            # the axes are of different sections: rounding and outline may leave the solid part a little larger
            solid = change.prior.measurements.get("solid_mean_axis_mm")
            solid = None if solid is None else min(solid, mean_mm)
            waited = float(days) if days else None
            category = before.get(change.prior.id)
            priors.append(PriorNodule(change.current.center_lps_mm, mean_mm, solid, waited, category))
    sources = {**context.sources, "prior_ct": COMPARISON, "prior_nodules": COMPARISON}
    return replace(context, prior_ct=True, prior_nodules=tuple(priors), sources=sources)
