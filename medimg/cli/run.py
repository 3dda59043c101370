"""`medimg run`: any chain of stages a pipeline.yaml writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.options import (
    VolumeArgument,
    engine_options,
    output_option,
    read_options,
    series_uid_option,
    trust_option,
)

if TYPE_CHECKING:
    from medimg.inference.options import Engine


@click.command(
    epilog="""\b
Examples:
  medimg run lung_nodule dicom_folder/ -o out
  medimg run my_pipeline/pipeline.yaml t1c=a.nii.gz t1n=b.nii.gz t2w=c.nii.gz t2f=d.nii.gz -o out
"""
)
@click.argument("pipeline_name", metavar="PIPELINE")
@click.argument("volumes", metavar="[ROLE=]INPUT...", nargs=-1, required=True, type=VolumeArgument())
@series_uid_option
@trust_option
@output_option
@engine_options
@read_options
def command(
    pipeline_name: str,
    volumes: tuple[tuple[str | None, Path], ...],
    series_uids: tuple[str, ...],
    trust: bool,
    output: Path,
    engine: Engine,
    untilt: bool,
    resample_gaps: bool,
    philips_precise: bool,
) -> None:
    """Run the stages of PIPELINE (a name or a pipeline.yaml) on INPUT, in memory, and write to OUTPUT.

    A pipeline lists stages of select -> preprocess -> infer -> measure -> report, each with its options; see
    docs/pipelines.md for how to write one.
    """
    from medimg.cli.console import progress_bars
    from medimg.cli.infer import say_result
    from medimg.dicom.options import ReadOptions
    from medimg.pipeline import load_pipeline
    from medimg.stages.ahead import import_ahead
    from medimg.stages.chain import run_chain

    pipeline = load_pipeline(pipeline_name, trusted=trust)
    import_ahead(pipeline)
    options = ReadOptions(untilt, resample_gaps, philips_precise)
    with progress_bars() as progress:
        case = run_chain(
            volumes,
            output,
            pipeline,
            engine=engine,
            options=options,
            progress=progress,
            series_uids=series_uids,
        )
    say_result(case, output)
