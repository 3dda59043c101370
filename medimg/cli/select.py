"""`medimg select`: the select stage alone."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import VolumeArgument, output_option, pipeline_option, series_uid_option
from medimg.cli.plain import say


@click.command(
    epilog="""\b
Examples:
  medimg select dicom_folder/ -o selected
  medimg preprocess selected -o preprocessed
  medimg infer --volume preprocessed -o out
"""
)
@click.argument("volumes", metavar="[ROLE=]INPUT...", nargs=-1, required=True, type=VolumeArgument())
@pipeline_option
@series_uid_option
@output_option
def command(
    volumes: tuple[tuple[str | None, Path], ...], pipeline_name: str | None, series_uids: tuple[str, ...], output: Path
) -> None:
    """Choose which scans of INPUT a pipeline takes, and write selection.json: what, what not, and why."""
    from medimg import files
    from medimg.pipeline import load_pipeline
    from medimg.stages.select import select
    from medimg.stages.selection import write_selection

    files.output_folder(output)
    selection = select(volumes, load_pipeline(pipeline_name) if pipeline_name else None, series_uids=series_uids)
    path = write_selection(selection, output)
    say(f"pipeline: {selection.pipeline.name} ({selection.why})")
    for role, candidate in selection.chosen.items():
        say(f"  {role}: {candidate.path} {candidate.series_uid or ''} {candidate.description}")
    for refused in selection.not_chosen:
        say(f"  not: {refused['path']} {refused['series_uid'] or ''} {refused['description']}: {refused['why']}")
    for warning in (warning for candidate in selection.chosen.values() for warning in candidate.warnings):
        say(f"warning: {warning}", err=True)
    say(path)
