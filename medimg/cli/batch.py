"""`medimg batch`: every scan of an export, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from medimg.cli.cluster_options import cluster_options
from medimg.cli.console import live_status, print_table, progress_bars
from medimg.cli.options import engine_options, output_option, trust_option
from medimg.cli.plain import say

if TYPE_CHECKING:
    from medimg.batch.estimate import Estimate
    from medimg.batch.options import Cluster
    from medimg.batch.run import Batch, Plan
    from medimg.inference.options import Engine

GIB = 1 << 30

POLL_SECONDS = 5.0
"""How often --watch looks into the folder."""


@click.command(
    epilog="""\b
Examples:
  medimg batch /data/pacs_export -o results --dry-run      # what would be done
  medimg batch /data/pacs_export -o results                # do it; the same again goes on where it ended
  medimg batch results/failures.csv -o again               # only what failed
  medimg batch export.zip --pipeline lung_nodule --pipeline runs/mine -o results
  medimg batch /data/incoming --watch --quiet-for 60 -o results
  medimg batch /shared/export --cluster ray --address auto -o /shared/results
  medimg batch /data/pacs_export --num-parts 8 --part-id $SLURM_ARRAY_TASK_ID -o results

Exit codes: 0 every case is done, unsuitable or a duplicate; 1 the batch could not go on; 2 the command line is wrong,
or another batch works on the folder; 3 some cases failed (failures.csv says which, and why).
"""
)
@click.argument("export", type=click.Path(exists=True, path_type=Path))
@output_option
@click.option(
    "--pipeline",
    "pipelines",
    multiple=True,
    help="Pipeline or MONAI bundle: a name or a path; may be given several times.",
)
@trust_option
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Cases at a time; 0 is one a processor.")
@click.option("--attempts", type=click.IntRange(min=1), default=3, show_default=True, help="Tries of a case at most.")
@click.option("--time-limit", type=click.FloatRange(min=0), default=0, help="Seconds a case may take; 0 sets no limit.")
@click.option("--num-parts", type=click.IntRange(min=1), default=1, help="Share the studies among this many runs.")
@click.option("--part-id", type=click.IntRange(min=0), default=0, help="Which share this run does, from 0.")
@click.option("--watch", is_flag=True, help="Go on looking for new scans until Ctrl-C.")
@click.option(
    "--quiet-for",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --watch: a scan is taken once its files have not changed for so long; 30 when it is not given.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event, in place of a bar.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Append every event to this file.")
@cluster_options
@engine_options
@click.pass_context
def command(
    context: click.Context,
    export: Path,
    output: Path,
    pipelines: tuple[str, ...],
    trust: bool,
    workers: int,
    attempts: int,
    time_limit: float,
    num_parts: int,
    part_id: int,
    watch: bool,
    quiet_for: float | None,
    dry_run: bool,
    as_json: bool,
    log_file: Path | None,
    cluster: Cluster | None,
    results: str | None,
    engine: Engine,
) -> None:
    """Run every scan of EXPORT through the pipelines that want it, each once; one report folder a case.

    EXPORT is a folder, a zip archive, a list of paths (.txt, .csv), or a manifest.json of medimg preprocess. The
    journal in OUTPUT knows what was done: called again, what is done and unchanged is left, a scan or a model that
    changed is done anew, what failed is tried again. A case that crashes or takes too long is lost alone. Writes
    summary.csv, summary.json, summary.html and failures.csv. For research use only.
    """
    from medimg.batch.exports import read_export
    from medimg.batch.options import Options
    from medimg.batch.run import Batch
    from medimg.errors import ExitCode

    if part_id >= num_parts:
        raise click.UsageError(f"--part-id {part_id} of --num-parts {num_parts}: parts are counted from 0")
    if quiet_for is not None and not watch:
        raise click.UsageError("--quiet-for goes with --watch")
    quiet = (30.0 if quiet_for is None else quiet_for) if watch else 0.0
    part = (part_id, num_parts)
    options = Options(pipelines, workers, attempts, time_limit, engine, part, quiet, trust, results, cluster)
    with _Listener(as_json, log_file) as tell, Batch(read_export(export), output, options, tell) as batch:
        counts = _once(batch, tell, dry_run, as_json)
        while watch and not dry_run:
            time.sleep(POLL_SECONDS)
            counts = _once(batch, tell, dry_run, as_json)
    if counts.get("failed") and not dry_run:
        context.exit(ExitCode.SOME_FAILED)


def _once(batch: Batch, tell: Any, dry_run: bool, as_json: bool) -> dict[str, int]:
    """Find what there is and do what is to be done."""
    from medimg import NOT_A_MEDICAL_DEVICE

    with progress_bars() as progress:
        plan = batch.plan(progress)
    tell({"event": "planned", "to_do": len(plan.to_do), **plan.counts, "not_wanted": plan.unwanted})
    if dry_run:
        _show(plan)
        return plan.counts
    if not plan.to_do and batch.options.quiet:
        return plan.counts
    with live_status("cases", len(plan.to_do)) as update:
        tell.bar(update)
        counts = batch.run()
    if not as_json:
        say(", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no case")
        say(f"{plan.unwanted} scans no pipeline takes, {plan.skipped} files are no scans; summary.json says why")
        say(f"results: {batch.output}")
        say(NOT_A_MEDICAL_DEVICE)
    return counts


def _show(plan: Plan) -> None:
    print_table(("pipeline", "cases to do"), [(name, str(count)) for name, count in plan.by_pipeline.items()])
    say(", ".join(f"{count} {state}" for state, count in plan.counts.items() if count) or "no case")
    say(f"{plan.unwanted} scans no pipeline takes, {plan.skipped} files are no scans")
    _say_estimate(plan.estimate, len(plan.to_do))
    say("nothing was run")


def _say_estimate(estimate: Estimate, cases: int) -> None:
    if not cases:
        return
    if estimate.seconds is None or estimate.bytes is None:
        say("time and disk are not known before the first case of each pipeline is done")
        return
    basis = "by the cases done so far" if estimate.measured else "roughly, by the benchmarks: none is done yet"
    say(f"about {max(1, round(estimate.seconds / 60))} min and {estimate.bytes / GIB:.1f} GiB of disk, {basis}")
    if estimate.bytes > estimate.free:
        say(f"medimg: warning: {estimate.free / GIB:.1f} GiB are free where the results go", err=True)


class _Listener:
    """Passes events to the terminal, as a bar or as JSON lines, and to a log file."""

    def __init__(self, as_json: bool, log_file: Path | None) -> None:
        self.as_json, self.log_file = as_json, log_file
        self.update: Callable[[int, str, bool], None] | None = None
        self.done = self.failed = 0
        self.stream: TextIO | None = None

    def __enter__(self) -> _Listener:
        if self.log_file is not None:
            self.stream = self.log_file.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            self.stream.close()

    def bar(self, update: Callable[[int, str, bool], None] | None) -> None:
        """The bar of this round."""
        self.update, self.done, self.failed = update, 0, 0

    def __call__(self, event: dict[str, Any]) -> None:
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **event})
        if self.stream is not None:
            print(line, file=self.stream, flush=True)
        if self.as_json:
            click.echo(line)
        elif event["event"] == "case":
            self._case(event)
        elif event["event"] == "pause":
            say(f"medimg: warning: {event['message']}; trying again in {event['seconds']} s", err=True)

    def _case(self, event: dict[str, Any]) -> None:
        self.done += not event["again"]
        self.failed += event["state"] == "failed" and not event["again"]
        if event["state"] == "failed":
            again = ", will be tried again" if event["again"] else ""
            say(f"failed: {event['id']}: {event['reason']}: {event['message']}{again}", err=True)
        if self.update is not None:
            self.update(self.done, f"{self.failed} failed", False)
