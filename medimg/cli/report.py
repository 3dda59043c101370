"""`medimg report`: the report stage on a report folder."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import (
    DICOM_KINDS,
    language_option,
    output_option,
    seg_empty_frames_option,
    seg_type_option,
)
from medimg.cli.plain import say


@click.command(
    epilog="""\b
Examples:
  medimg report out --format html --format png -o rendered
  medimg report out --format seg --format sr --seg-type labelmap -o for_pacs
"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["json", "csv", "nifti", "png", "html", "pdf", *DICOM_KINDS]),
    help="What to write; may be given several times [default: all but epdf, sc and rtstruct].",
)
@seg_type_option
@seg_empty_frames_option
@language_option
@output_option
def command(
    folder: Path,
    formats: tuple[str, ...],
    seg_type: str,
    seg_empty_frames: bool,
    language: str | None,
    output: Path,
) -> None:
    """Render the report.json of FOLDER again, for instance after an update of medimg.

    The DICOM objects (seg, sr, epdf, sc, rtstruct) are written for a scan that came as DICOM, or with --reference.
    """
    from medimg import files
    from medimg.errors import ExitCode
    from medimg.report.dicom.build import DicomOptions
    from medimg.report.read import read_report
    from medimg.report.writers import FORMATS, write_report
    from medimg.stages.folders import read_reference, read_volumes

    files.output_folder(output)
    report = read_report(folder)
    volumes = read_volumes(report, folder)
    dicom = DicomOptions(seg_type, seg_empty_frames, read_reference(report, volumes))
    for path in write_report(report, volumes, output, formats or FORMATS, dicom, language or "en"):
        say(path)
    for line in report.failed:
        say(f"warning: {line}", err=True)
    if report.failed:
        raise click.exceptions.Exit(ExitCode.SOME_FAILED)
