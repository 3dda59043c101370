"""`medimg datalist`: a folder of cases in, a MONAI/decathlon datalist out."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.plain import say


@click.command(
    epilog="""\b
Examples:
  medimg datalist BraTS2023/ -o datalist.json --folds 5
  medimg datalist LIDC-IDRI/ --layout lidc -o lidc.json

Exit codes: 0 done, 1 failed, 2 the folder holds no such cases, 3 some cases were left out (said on stderr).
"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The datalist to write, a .json.")
@click.option(
    "--layout",
    type=click.Choice(["nnunet", "luna16", "lidc", "brats"]),
    help="How the folder is laid out [default: the first of these that fits].",
)
@click.option("--folds", type=click.IntRange(min=0), default=0, show_default=True, help="Folds by patient; 0 for none.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the folds.")
@click.pass_context
def command(context: click.Context, folder: Path, output: Path, layout: str | None, folds: int, seed: int) -> None:
    """List the cases of FOLDER as a MONAI/decathlon datalist, with folds in which a patient is once.

    Knows folders as LUNA16, LIDC-IDRI (DICOM and XML), BraTS (old and new names) and nnU-Net lay them out; paths
    are relative to the datalist. medimg train and medimg evaluate read it, and so does MONAI.
    """
    from medimg import files
    from medimg.datalist.build import build_datalist
    from medimg.errors import ExitCode

    if output.suffix.lower() != ".json":
        raise click.UsageError(f"-o {output} must end in .json")
    built = build_datalist(folder, output.parent, folds, seed, layout)
    files.write_json(output, built.document)
    patients = {entry["patient"] for entry in built.document["training"]}
    say(
        f"{built.kind}: {built.document['numTraining']} cases of {len(patients)} patients, "
        f"{built.document['numTest']} for testing, {folds or 'no'} folds"
    )
    say(output)
    for line in built.left_out:
        say(f"medimg: warning: left out {line}", err=True)
    if built.left_out:
        context.exit(ExitCode.SOME_FAILED)
