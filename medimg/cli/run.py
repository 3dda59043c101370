"""`medimg run`: any chain of stages a pipeline.yaml writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.options import (
    VolumeArgument,
    dicom_options,
    engine_options,
    language_option,
    output_option,
    patient_option,
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
@patient_option
@output_option
@language_option
@engine_options
@read_options
@dicom_options
def command(
    pipeline_name: str,
    volumes: tuple[tuple[str | None, Path], ...],
    series_uids: tuple[str, ...],
    trust: bool,
    patient: Path | None,
    output: Path,
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
    from medimg.stages.wishes import DicomWishes, Wishes

    pipeline = load_pipeline(pipeline_name, trusted=trust)
    import_ahead(pipeline, engine)
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
            wishes=Wishes(patient, language=language, dicom=dicom),
        )
    say_result(case, output)
