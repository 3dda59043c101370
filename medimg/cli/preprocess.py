"""`medimg preprocess`: DICOM in, NIfTI and a manifest out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.console import print_table, progress_bars
from medimg.cli.options import output_option, read_options

if TYPE_CHECKING:
    from medimg.stages.preprocess import Manifest

COLUMNS = ("status", "modality", "series", "volumes", "excluded", "what")


@click.command(
    epilog="""\b
Examples:
  medimg preprocess dicom_folder/ -o preprocessed
  medimg preprocess /media/cdrom -o preprocessed
  medimg preprocess head_ct/ --untilt --resample-gaps -o preprocessed
  medimg infer --volume preprocessed/003_Chest_1a2b3c4d.nii.gz -o out

Exit codes: 0 every series became volumes, 1 no DICOM image there, 2 the command line is wrong,
3 some series were rejected, or files that were meant to be DICOM are damaged (manifest.json says which, and why).
"""
)
@click.argument("dicom_dir", type=click.Path(exists=True, path_type=Path))
@output_option
@read_options
@click.pass_context
def command(
    context: click.Context,
    dicom_dir: Path,
    output: Path,
    untilt: bool,
    resample_gaps: bool,
    philips_precise: bool,
) -> None:
    """Read every series under DICOM_DIR; write NIfTI volumes (CT in HU), sidecars and manifest.json.

    Names and extensions of the files mean nothing; folders are searched recursively. Every file ends in a volume
    or in the manifest with a reason: a series with a missing slice is rejected, never closed up.

    --untilt and --resample-gaps interpolate where that is wanted; NAME_made_up_mask.nii.gz then marks every voxel that
    was not scanned.
    """
    from medimg.dicom.options import ReadOptions
    from medimg.errors import ExitCode
    from medimg.stages.candidates import MANIFEST_FILE
    from medimg.stages.preprocess import preprocess_folder

    options = ReadOptions(untilt, resample_gaps, philips_precise)
    with progress_bars() as progress:
        manifest = preprocess_folder(dicom_dir, output, progress, options)
    _show(manifest)
    click.echo(str(output / MANIFEST_FILE))
    if manifest.rejected or manifest.damaged:
        context.exit(ExitCode.SOME_FAILED)


def _show(manifest: Manifest) -> None:
    """One row a series, and how many files belong to none."""
    print_table(COLUMNS, [_row(entry) for entry in manifest.series])
    if manifest.skipped:
        click.echo(f"{len(manifest.skipped)} other files skipped; the manifest says why")
    if manifest.damaged:
        first = manifest.damaged[0].name
        click.echo(
            f"medimg: warning: {len(manifest.damaged)} files were meant to be DICOM and cannot be read ({first}, ...): "
            "slices may be missing at the end of a series; copy them again",
            err=True,
        )


def _row(entry: dict[str, object]) -> tuple[str, ...]:
    volumes = entry["volumes"]
    excluded = entry["excluded"]
    assert isinstance(volumes, list)
    assert isinstance(excluded, list)
    shapes = [" x ".join(map(str, volume["shape"])) + " resampled" * volume["resampled"] for volume in volumes]
    what = str(entry["message"] or ", ".join(dict.fromkeys(shapes)))
    name = str(entry["description"] or entry["series_uid"])
    return (str(entry["status"]), str(entry["modality"]), name, str(len(volumes)), str(len(excluded)), what)
