"""`medimg measure`: the measure stage on a report folder."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import output_option, patient_option, pipeline_option, radiomics_option


@click.command(
    epilog="""\b
Example:
  medimg measure out -o measured
"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@pipeline_option
@patient_option
@output_option
@radiomics_option
def command(folder: Path, pipeline_name: str | None, patient: Path | None, output: Path, radiomics: bool) -> None:
    """Measure the findings of FOLDER (as medimg infer left it) again and write the report to OUTPUT.

    Options are those of the pipeline's measure stage; --pipeline names another pipeline.yaml to take them from.
    """
    from medimg import files
    from medimg.cli.infer import say_result
    from medimg.measure.radiomics import check_radiomics
    from medimg.pipeline import load_pipeline
    from medimg.stages.advise import advise
    from medimg.stages.folders import open_report
    from medimg.stages.measure import measure
    from medimg.stages.radiomics import extract
    from medimg.stages.render import render

    files.output_folder(output)
    if radiomics:
        check_radiomics()
    case = open_report(folder, load_pipeline(pipeline_name) if pipeline_name else None)
    measure(case, case.pipeline.options("measure"))
    advise(case, case.pipeline.options("measure"), patient)
    if radiomics:
        extract(case, output)
    render(case, case.pipeline.options("report"), output)
    say_result(case, output)
