"""`medimg evaluate`: predictions held against a truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.console import print_table
from medimg.cli.options import engine_options, output_option, trust_option
from medimg.cli.plain import say

if TYPE_CHECKING:
    from medimg.evaluate.evaluation import Failure, Metric
    from medimg.evaluate.run import Job, Outcome, Rules, Truth
    from medimg.inference.options import Engine
    from medimg.pipeline import Pipeline
    from medimg.progress import Progress

ExistingPath = click.Path(exists=True, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  medimg evaluate --task detection --truth luna16/ --predictions detections.csv -o scores
  medimg evaluate --task segmentation --truth labels/ --predictions reports/ -o scores
  medimg evaluate --task classification --truth truth.csv --predictions scores.csv --compare older.csv -o scores
  medimg evaluate --pipeline brain_tumour --data datalist.json --fold 0 -o scores
  medimg evaluate --pipeline RUN-0 --pipeline RUN-1 --pipeline RUN-2 --data datalist.json -o scores

Exit codes: 0 every case was scored, 1 failed, 2 the command line is wrong, 3 some cases could not be scored
(metrics.json says which, and why).
"""
)
@click.option(
    "--task",
    type=click.Choice(["detection", "segmentation", "classification"]),
    help="What was predicted [default with --pipeline: the pipeline's own task].",
)
@click.option(
    "--truth", type=ExistingPath, help="LUNA16's folder, label maps, a CSV with id and label, or a datalist.json."
)
@click.option(
    "--predictions", type=ExistingPath, help="Marks or probabilities as CSV, label maps, or a folder of reports."
)
@click.option(
    "--pipeline",
    "pipeline_names",
    multiple=True,
    help="Pipeline: a name or a path. Several runs of medimg train --fold: each case by the one that has not seen it.",
)
@trust_option
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Datalist whose cases --pipeline predicts first; it is the truth as well.",
)
@click.option(
    "--fold",
    metavar="K[/N]",
    help="Only the cases of fold K of the datalist, or of the fold K/N a run was trained for.",
)
@click.option("--compare", "other", type=ExistingPath, help="Predictions of the same cases to compare with.")
@click.option(
    "--regions",
    default="brats",
    show_default=True,
    help='Of a segmentation: brats (WT, TC, ET), or names with their labels, as "tumour=1,2;core=1".',
)
@click.option(
    "--tolerance",
    "tolerance_mm",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Of the surface Dice, in mm.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Of a classification: positive from this probability on [default: 0.5].",
)
@click.option(
    "--bootstrap", "replicates", type=click.IntRange(min=0), default=1000, show_default=True, help="Draws of cases."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws.")
@output_option
@engine_options
@click.pass_context
def command(
    context: click.Context,
    task: str | None,
    truth: Path | None,
    predictions: Path | None,
    pipeline_names: tuple[str, ...],
    trust: bool,
    data: Path | None,
    fold: str | None,
    other: Path | None,
    regions: str,
    tolerance_mm: float,
    threshold: float | None,
    replicates: int,
    seed: int,
    output: Path,
    engine: Engine,
) -> None:
    """Score predictions against a truth: figures with 95 % intervals, tables, plots and a page.

    Detection: LUNA16's FROC, by size, and boxes. Segmentation: overlap, surfaces, volumes, BraTS lesion-wise.
    Classification: of scans or nodules. With --pipeline and --data the cases of a datalist are predicted first.
    docs/evaluate.md says which files each task reads and what each figure means. For research use only.
    """
    from medimg.bundles.as_pipeline import named_pipeline
    from medimg.cli.console import progress_bars
    from medimg.errors import ExitCode
    from medimg.evaluate.regions import parse_regions
    from medimg.evaluate.run import Job, Rules, Truth, run_job

    _check_combination(task, truth, predictions, pipeline_names, data)
    number, drawn = _fold(fold, pipeline_names)
    rules = Rules(parse_regions(regions), tolerance_mm, *(() if threshold is None else (threshold,)))
    with progress_bars() as progress:
        if truth and predictions and task:
            job = Job(task, Truth.at(truth, number), predictions, rules)
        else:
            known = Truth.at(data or Path(), number)
            pipelines = [named_pipeline(name, trusted=trust) for name in pipeline_names]
            job = _predict(task, pipelines, known, drawn, rules, output, progress, engine)
        outcome = run_job(replace(job, other=other, replicates=replicates, seed=seed), output, progress)
    _show(outcome)
    if outcome.evaluation.failed:
        context.exit(ExitCode.SOME_FAILED)


def _check_combination(
    task: str | None, truth: Path | None, predictions: Path | None, pipelines: tuple[str, ...], data: Path | None
) -> None:
    """Either a truth and predictions with their task, or a pipeline and a datalist."""
    if bool(pipelines) != (data is not None):
        raise click.UsageError("--pipeline and --data belong together: a pipeline, and the datalist it predicts")
    if data is not None:
        if truth or predictions:
            raise click.UsageError(
                "--data is the truth, and --pipeline predicts it; leave --truth and --predictions out"
            )
        if data.suffix.lower() != ".json":
            raise click.UsageError(f"--data {data} is no datalist.json; make one with medimg datalist")
    elif not (truth and predictions and task):
        raise click.UsageError("give --task, --truth and --predictions, or --pipeline and --data")


def _fold(text: str | None, pipelines: tuple[str, ...]) -> tuple[int | None, str | None]:
    """The number of a datalist's fold, or "K/N" of a run's."""
    if text is None:
        return None, None
    if text.isdigit():
        return int(text), None
    from medimg.datalist.folds import parse_fold

    parse_fold(text)
    if len(pipelines) != 1:
        raise click.UsageError(f"--fold {text} is that of one --pipeline, a run of medimg train --fold {text}")
    return None, text


def _predict(
    task: str | None,
    pipelines: Sequence[Pipeline],
    truth: Truth,
    fold: str | None,
    rules: Rules,
    output: Path,
    progress: Progress,
    engine: Engine,
) -> Job:
    """Predict the cases of the datalist into OUTPUT/predictions, each by the run that has not seen it."""
    from medimg import files
    from medimg.evaluate.run import Job
    from medimg.stages.predict import predict_cases
    from medimg.stages.unseen import shares

    if len({pipeline.task for pipeline in pipelines}) > 1:
        raise click.UsageError("the --pipelines are of different tasks")
    given, notes = shares(truth.cases or (), pipelines, fold)
    files.output_folder(output)
    folder = output / "predictions"
    failed: tuple[Failure, ...] = ()
    for pipeline, cases in given:
        failed += predict_cases(cases, folder, pipeline, engine=engine, progress=progress)
    if pipelines[0].task == "detection":
        floor = max(pipeline.options("infer").get("threshold", 0.0) for pipeline in pipelines)
        notes += (f"the pipeline reports no finding below probability {floor}: the curves end there",)
    scored = replace(truth, cases=tuple(case for _, cases in given for case in cases))
    identities = tuple(pipeline.identity for pipeline, _ in given)
    return Job(task or pipelines[0].task, scored, folder, rules, failed=failed, pipelines=identities, notes=notes)


def _show(outcome: Outcome) -> None:
    """Every figure, what was counted, what is to be said, and where it is."""
    evaluation, comparison = outcome.evaluation, outcome.comparison
    columns: tuple[str, ...] = ("metric", "value", "ci95_low", "ci95_high")
    rows = [(name, *_cells(metric)) for name, metric in evaluation.metrics.items()]
    if any(metric.sd is not None for metric in evaluation.metrics.values()):
        columns += ("sd",)
        spreads = ("" if metric.sd is None else _text(metric.sd) for metric in evaluation.metrics.values())
        rows = [(*row, spread) for row, spread in zip(rows, spreads, strict=True)]
    print_table(columns, rows)
    say(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in evaluation.counts.items()))
    if comparison is not None:
        table = comparison.table()
        print_table(table.columns, [["" if cell is None else _text(cell) for cell in row] for row in table.rows])
        if comparison.left_out:
            told = f"compared on the {comparison.cases} cases that both hold; {comparison.left_out} left out"
            say(f"medimg: warning: {told}, which one of them lacks", err=True)
    for warning in evaluation.warnings:
        say(f"medimg: warning: {warning}", err=True)
    for failure in evaluation.failed:
        say(f"medimg: not scored: {failure.case}: {failure.message}", err=True)
    say(outcome.written[-1])


def _cells(metric: Metric) -> tuple[str, ...]:
    return tuple("" if value is None else _text(value) for value in (metric.value, *(metric.interval or (None, None))))


def _text(value: str | float) -> str:
    """Six decimals, as metrics.json has them."""
    return value if isinstance(value, str) else f"{value:.6f}"
