"""`medimg compare`: what became of the findings between two scans."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.options import engine_options, output_option, patient_option, pipeline_option, read_options
from medimg.cli.plain import say

if TYPE_CHECKING:
    from medimg.followup.comparison import Comparison
    from medimg.inference.options import Engine

DAY = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


@click.command(
    epilog="""\b
Examples:
  medimg compare report_2025/ report_2026/ -o compared
  medimg compare ct_2025.nii.gz ct_2026.nii.gz --prior-date 2025-03-01 --current-date 2026-03-09 -o compared
"""
)
@click.argument("prior", type=click.Path(exists=True, path_type=Path))
@click.argument("current", type=click.Path(exists=True, path_type=Path))
@click.option("--prior-date", type=DAY, help="Day of the prior scan, where DICOM does not say it, or another one.")
@click.option("--current-date", type=DAY, help="Day of the current scan.")
@click.option("--force", is_flag=True, help="Compare although the headers name different patients.")
@pipeline_option
@patient_option
@output_option
@engine_options
@read_options
def command(
    prior: Path,
    current: Path,
    prior_date: datetime | None,
    current_date: datetime | None,
    force: bool,
    pipeline_name: str | None,
    patient: Path | None,
    output: Path,
    engine: Engine,
    untilt: bool,
    resample_gaps: bool,
    philips_precise: bool,
) -> None:
    """Compare PRIOR and CURRENT, two report folders or two scans of one patient.

    Registers the scans (rigid), pairs the findings one to one, and says what is new, resolved, grown, shrunk or
    stable, by how much, and how fast. Writes comparison.json, comparison.csv and comparison.html. A scan is searched
    first. For research use only.
    """
    from medimg.cli.console import progress_bars
    from medimg.dicom.options import ReadOptions
    from medimg.pipeline import load_pipeline
    from medimg.stages.compare import Options, compare

    with progress_bars() as progress:
        options = Options(
            prior_day=None if prior_date is None else prior_date.date(),
            current_day=None if current_date is None else current_date.date(),
            patient=patient,
            force=force,
            pipeline=load_pipeline(pipeline_name) if pipeline_name else None,
            engine=engine,
            read=ReadOptions(untilt, resample_gaps, philips_precise),
            progress=progress,
        )
        comparison = compare(prior, current, output, options)
    say_comparison(comparison, output)


def say_comparison(comparison: Comparison, output: Path) -> None:
    """Print the dates, the warnings, one line a finding and where the files are.

    Leaves with exit code 3 when the page could not be drawn: its line is among the warnings.
    """
    from medimg import NOT_A_MEDICAL_DEVICE
    from medimg.cli.infer import say_advice
    from medimg.errors import ExitCode
    from medimg.followup.comparison import NOT_DRAWN

    days = "not known" if comparison.days is None else f"{comparison.days} days"
    say(f"interval: {days}")
    registration = comparison.registration
    say(f"registration: {registration.motion.rotation_degrees:.1f} degrees, correlation {registration.correlation:.2f}")
    for warned in comparison.warnings:
        say(f"warning: {warned.code}: {warned.message}", err=True)
    say(f"findings: {', '.join(f'{count} {name}' for name, count in comparison.counts.items()) or 'none'}")
    for change in comparison.changes:
        entry = change.to_dict()
        names = " -> ".join(f.id for f in (change.prior, change.current) if f is not None)
        percent, mm = entry["volume_change_percent"], entry["mean_axis_change_mm"]
        size = ("" if percent is None else f"  volume {percent:+.0f} %") + ("" if mm is None else f"  {mm:+.1f} mm")
        doubling = entry["volume_doubling_days"]
        say(f"  {entry['status']}  {names}{size}" + ("" if doubling is None else f"  doubling in {doubling:.0f} days"))
    say_advice(comparison.advice)
    say(f"results: {output}")
    say(NOT_A_MEDICAL_DEVICE)
    if any(warned.code == NOT_DRAWN for warned in comparison.warnings):
        raise click.exceptions.Exit(ExitCode.SOME_FAILED)
