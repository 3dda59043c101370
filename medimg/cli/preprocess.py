"""`medimg preprocess`: DICOM in, NIfTI and a manifest out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.console import print_table, progress_bars
from medimg.cli.imports import quick_imports
from medimg.cli.options import choice_options, read_options
from medimg.cli.plain import say, say_json

if TYPE_CHECKING:
    from medimg.dicom.options import ReadOptions
    from medimg.stages.choose import Choice
    from medimg.stages.manifest import Manifest

COLUMNS = ("status", "modality", "series", "volumes", "excluded", "what")


@click.command(
    epilog="""\b
Examples:
  medimg preprocess dicom_folder/ -o preprocessed
  medimg preprocess export.zip -o preprocessed
  medimg preprocess export.zip --list
  medimg preprocess /media/cdrom --modality CT --description '*thorax*' -o preprocessed
  medimg preprocess head_ct/ --untilt --resample-gaps -o preprocessed
  medimg infer --volume preprocessed/003_Chest_1a2b3c4d.nii.gz -o out

Exit codes: 0 every series became volumes, 1 no scan there, 2 the command line is wrong, or nothing there was asked
for, 3 some series were rejected, or files that were meant to be DICOM are damaged (manifest.json says which, and why).
"""
)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the results.")
@choice_options
@read_options
@click.option("--list", "list_only", is_flag=True, help="Show what is there, from headers alone; write nothing.")
@click.option("--dry-run", is_flag=True, help="Check headers and say what would be written; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --list or --dry-run: print JSON. It names the patient.")
@click.pass_context
def command(
    context: click.Context,
    path: Path,
    output: Path | None,
    series_uids: tuple[str, ...],
    modalities: tuple[str, ...],
    descriptions: tuple[str, ...],
    untilt: bool,
    resample_gaps: bool,
    philips_precise: bool,
    list_only: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Read every series under PATH; write NIfTI volumes (CT in HU), sidecars and manifest.json.

    PATH is a folder, a zip archive, a DICOMDIR or one file. Names and extensions of DICOM files mean nothing; folders
    and archives are searched recursively. Other volume files (NIfTI, MetaImage, NRRD, ANALYZE with an orientation)
    are read as well; 4-D ones become several volumes. Every file ends in a volume or in the manifest with a reason:
    a series with a missing slice is rejected, never closed up.

    --series-uid, --modality and --description choose what is read, each may be given several times, and all that are
    given must hold; the rest stands in the manifest as not chosen.

    --untilt and --resample-gaps interpolate where that is wanted; NAME_made_up_mask.nii.gz then marks every voxel that
    was not scanned.
    """
    with quick_imports():
        from medimg.dicom.options import ReadOptions
        from medimg.stages.choose import Choice

    choice = Choice(series_uids, modalities, descriptions)
    options = ReadOptions(untilt, resample_gaps, philips_precise)
    _check(output, list_only, dry_run, as_json)
    if list_only:
        _list(path, output, choice, options, as_json)
        return
    _preprocess(context, path, output, choice, options, dry_run, as_json)


def _check(output: Path | None, list_only: bool, dry_run: bool, as_json: bool) -> None:
    """Raise UsageError for options that do not go together."""
    if list_only and dry_run:
        raise click.UsageError("--list and --dry-run are two questions; ask one")
    if as_json and not (list_only or dry_run):
        raise click.UsageError("--json goes with --list or --dry-run; manifest.json is JSON already")
    if output is None and not (list_only or dry_run):
        raise click.UsageError("Missing option '-o' / '--output'")


def _list(path: Path, output: Path | None, choice: Choice, options: ReadOptions, as_json: bool) -> None:
    from medimg.stages.listing import list_folder, table

    with progress_bars() as progress:
        document = list_folder(path, choice, progress, options, output)
    if as_json:
        say_json(document)
        return
    print_table(*table(document))
    if document["not_chosen"]:
        say(f"{document['not_chosen']} others were not asked for")
    if document["skipped"]:
        say(f"{len(document['skipped'])} other files are no scans")


def _preprocess(
    context: click.Context,
    path: Path,
    output: Path | None,
    choice: Choice,
    options: ReadOptions,
    dry_run: bool,
    as_json: bool,
) -> None:
    with quick_imports():
        from medimg.errors import ExitCode
        from medimg.stages.candidates import MANIFEST_FILE
        from medimg.stages.preprocess import preprocess_folder

    with progress_bars() as progress:
        manifest = preprocess_folder(path, output, progress, choice, options, dry_run)
    if as_json:
        say_json(manifest.to_dict())
    else:
        _show(manifest)
        written = None if dry_run or output is None else output / MANIFEST_FILE
        say(written or "nothing was written; pixels were not read")
    if manifest.rejected or manifest.damaged:
        context.exit(ExitCode.SOME_FAILED)


def _show(manifest: Manifest) -> None:
    """One row a series, and how many files belong to none."""
    print_table(COLUMNS, [_row(entry) for entry in manifest.series])
    if manifest.not_chosen:
        say(f"{len(manifest.not_chosen)} others were not asked for; the manifest names them")
    if manifest.skipped:
        say(f"{len(manifest.skipped)} other files skipped; the manifest says why")
    if manifest.damaged:
        first = manifest.damaged[0].name
        say(
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
