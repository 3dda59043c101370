"""`medimg infer`: a scan in, findings out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medimg.cli.options import (
    VolumeArgument,
    bundle_option,
    chosen_pipeline,
    dicom_options,
    engine_options,
    language_option,
    output_option,
    patient_option,
    pipeline_option,
    radiomics_option,
    read_options,
    recipe_option,
    series_uid_option,
    trust_option,
)
from medimg.cli.plain import say

if TYPE_CHECKING:
    from medimg.inference.options import Engine
    from medimg.stages.case import Case


@click.command(
    epilog="""\b
Examples:
  medimg infer --volume chest_ct.nii.gz -o out
  medimg infer --volume dicom_folder/ --pipeline lung_nodule -o out
  medimg infer --volume dicom_folder/ --dicom seg,sr,epdf,sc -o out
  medimg infer --volume chest_ct.nii.gz --reference dicom_folder/ -o out
  medimg infer --volume t1c=a.nii.gz --volume t1n=b.nii.gz --volume t2w=c.nii.gz --volume t2f=d.nii.gz -o out
  medimg infer --bundle brats_mri_segmentation --volume case_folder/ -o out
"""
)
@click.option(
    "--volume",
    "volumes",
    type=VolumeArgument(),
    required=True,
    multiple=True,
    help="A volume file, a DICOM folder, zip archive or DICOMDIR, a case folder or a medimg preprocess folder; "
    "role=PATH names an MR contrast (t1n, t1c, t2w, t2f).",
)
@pipeline_option
@bundle_option
@recipe_option
@trust_option
@series_uid_option
@patient_option
@output_option
@radiomics_option
@language_option
@engine_options
@read_options
@dicom_options
def command(
    volumes: tuple[tuple[str | None, Path], ...],
    pipeline_name: str | None,
    bundle_names: tuple[str, ...],
    recipe_path: Path | None,
    trust: bool,
    series_uids: tuple[str, ...],
    patient: Path | None,
    output: Path,
    radiomics: bool,
    language: str | None,
    engine: Engine,
    untilt: bool,
    resample_gaps: bool,
    philips_precise: bool,
    dicom_kinds: tuple[str, ...] | None,
    seg_type: str,
    seg_empty_frames: bool,
    reference: Path | None,
) -> None:
    """Find nodules in a chest CT or segment a brain tumour in MRI, or run any MONAI bundle; write the report.

    Without --pipeline the installed pipeline that fits the scan is chosen and said. With --bundle an unchanged MONAI
    bundle is run instead: its network, its transforms, its windows. Writes report.json, findings.csv,
    segmentation.nii.gz on the scan's own grid, preview.png, report.html and report.pdf; for a DICOM scan
    also segmentation.dcm (SEG) and report.dcm (TID 1500 SR). For research use only.
    """
    from medimg.stages.ahead import import_ahead

    pipeline = chosen_pipeline(pipeline_name, bundle_names, recipe_path, trust)
    import_ahead(pipeline, engine)

    from medimg.cli.console import progress_bars
    from medimg.dicom.options import ReadOptions
    from medimg.stages.chain import run_chain
    from medimg.stages.wishes import DicomWishes, Wishes

    options = ReadOptions(untilt, resample_gaps, philips_precise)
    dicom = DicomWishes(dicom_kinds, seg_type, seg_empty_frames, reference)
    with progress_bars() as progress:
        case = run_chain(
            volumes,
            output,
            pipeline,
            engine=engine,
            options=options,
            progress=progress,
            series_uids=series_uids,
            wishes=Wishes(patient, radiomics, language, dicom),
        )
    say_result(case, output)


def say_result(case: Case, output: Path) -> None:
    """Print the pipeline, the device, the warnings, the findings and where the files are.

    Leaves with exit code 3 when a DICOM object could not be made: its line is among the warnings.
    """
    from medimg import NOT_A_MEDICAL_DEVICE
    from medimg.errors import ExitCode

    report = case.report
    say(f"pipeline: {report.pipeline['name']} {report.pipeline['version']} on {', '.join(case.volumes)}")
    for entry in report.inputs:
        name = entry["description"] or entry["series_uid"] or ""
        say(f"  {entry['role']}: {entry['path']}  {name}".rstrip())
    if others := len(report.provenance.get("selection", {}).get("not_chosen", ())):
        say(f"  {others} other scans were not chosen; report.json says why")
    if "device" in report.provenance:
        say(f"device: {report.provenance['device']['chosen']}")
    for warning in report.warnings:
        say(f"warning: {warning}", err=True)
    if "infer" in case.clock.seconds:
        say(f"findings: {len(report.findings)}")
    for finding in report.findings:
        x, y, z = finding.center_lps_mm
        size = "" if finding.diameter_mm is None else f"  {finding.diameter_mm:.1f} mm"
        volume = "" if finding.volume_mm3 is None else f"  {finding.volume_mm3 / 1000:.2f} ml"
        score = "" if finding.probability is None else f"  probability {finding.probability:.2f}"
        say(f"  {finding.id}  {finding.label}{size}{volume}{score}  at LPS ({x:.1f}, {y:.1f}, {z:.1f}) mm")
    say_advice(report.advice)
    say(f"results: {output}")
    say(NOT_A_MEDICAL_DEVICE)
    if report.failed:
        raise click.exceptions.Exit(ExitCode.SOME_FAILED)


def say_advice(advice: list[dict[str, Any]]) -> None:
    """Print what the rules say of the scan as a whole; report.json has the rest."""
    for entry in advice:
        if entry["finding_id"] is None:
            lacks = f"; missing: {', '.join(entry['missing'])}" if entry["missing"] else ""
            say(f"advice: {entry['rule']} category {entry['category']}{lacks}")
