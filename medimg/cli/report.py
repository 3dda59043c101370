"""`medimg report`: the report stage on a report folder."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import language_option, output_option
from medimg.cli.plain import say


@click.command(
    epilog="""\b
Example:
  medimg report out --format html --format png -o rendered
"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["json", "csv", "nifti", "png", "html", "pdf"]),
    help="What to write; may be given several times [default: all].",
)
@language_option
@output_option
def command(folder: Path, formats: tuple[str, ...], language: str | None, output: Path) -> None:
    """Render the report.json of FOLDER again, for instance after an update of medimg."""
    from medimg import files
    from medimg.report.read import read_report
    from medimg.report.writers import FORMATS, write_report
    from medimg.stages.folders import read_volumes

    files.output_folder(output)
    report = read_report(folder)
    for path in write_report(report, read_volumes(report, folder), output, formats or FORMATS, language or "en"):
        say(path)
