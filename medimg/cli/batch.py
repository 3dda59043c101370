"""`medimg batch`: every scan of an export, once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.cluster_options import cluster_options
from medimg.cli.console import live_status, print_table, progress_bars
from medimg.cli.events import Events, event_options
from medimg.cli.options import case_options, output_option, send_to_option, server_option
from medimg.cli.plain import counted, say

if TYPE_CHECKING:
    from medimg.batch.estimate import Estimate
    from medimg.batch.found import Group
    from medimg.batch.journal import Journal
    from medimg.batch.options import Cluster
    from medimg.batch.run import Batch, Plan
    from medimg.inference.options import Engine
    from medimg.pacs.deliver import Courier
    from medimg.pacs.query import Pacs, Query

GIB = 1 << 30

POLL_SECONDS = 5.0
"""How often --watch looks into the folder."""

MOST_REASONS = 10
"""Of why scans or files are left out, told by --dry-run; the most frequent ones."""

FETCHED = "fetched"
"""Folder of OUTPUT for what --from-pacs fetches."""


@click.command(
    epilog="""\b
Examples:
  medimg batch /data/pacs_export -o results --dry-run      # what would be done
  medimg batch /data/pacs_export -o results                # do it; the same again goes on where it ended
  medimg batch results/failures.csv -o again               # only what failed
  medimg batch export.zip --pipeline lung_nodule --pipeline runs/mine -o results
  medimg batch /data/incoming --watch --quiet-for 60 -o results
  medimg batch /shared/export --cluster ray --address auto -o /shared/results
  medimg batch --from-pacs modality=CT,date=20260101- --server archive --send-to archive -o results
  medimg batch /data/pacs_export --num-parts 8 --part-id $SLURM_ARRAY_TASK_ID -o results

Exit codes: 0 every case is done, unsuitable or a duplicate; 1 the batch could not go on; 2 the command line is wrong,
or another batch works on the folder; 3 some cases failed (failures.csv says which, and why), or
something could not be fetched or sent: call it again.
"""
)
@click.argument("export", required=False, type=click.Path(exists=True, path_type=Path))
@output_option
@case_options
@click.option("--from-pacs", metavar="QUERY", help="In place of EXPORT: fetch what matches from --server first.")
@server_option(required=False)
@send_to_option
@click.option("--num-parts", type=click.IntRange(min=1), default=1, help="Share the studies among this many runs.")
@click.option("--part-id", type=click.IntRange(min=0), default=0, help="Which share this run does, from 0.")
@click.option("--watch", is_flag=True, help="Go on looking for new scans until Ctrl-C.")
@click.option(
    "--quiet-for",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --watch: a study is taken once its files have not changed for so long; 30 when it is not given.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; run nothing.")
@event_options
@cluster_options
@click.pass_context
def command(
    context: click.Context,
    export: Path | None,
    output: Path,
    pipelines: tuple[str, ...],
    trust: bool,
    workers: int,
    attempts: int,
    time_limit: float,
    from_pacs: str | None,
    server: str | None,
    send_to: str | None,
    num_parts: int,
    part_id: int,
    watch: bool,
    quiet_for: float | None,
    dry_run: bool,
    events: Events,
    cluster: Cluster | None,
    results: str | None,
    engine: Engine,
) -> None:
    """Run every scan of EXPORT through the pipelines that want it, each once; one report folder a case.

    EXPORT is a folder, a zip archive, a list of paths (.txt, .csv), or a manifest.json of medimg preprocess. The
    journal in OUTPUT knows what was done: called again, what is done and unchanged is left, a scan or a model that
    changed is done anew, what failed is tried again. A case that crashes or takes too long is lost alone. Writes
    summary.csv, summary.json, summary.html and failures.csv. For research use only.

    With --from-pacs, series that match QUERY are fetched to OUTPUT/fetched first; what is there whole is not fetched
    again. With --send-to, each case's DICOM results go to a PACS as soon as it is done, once (docs/pacs.md).
    """
    from medimg.batch.exports import Export, read_export
    from medimg.batch.options import Options
    from medimg.batch.run import Batch
    from medimg.cli.pacs import show_matches
    from medimg.errors import ExitCode
    from medimg.pacs.connect import pacs_named
    from medimg.pacs.deliver import Courier
    from medimg.pacs.query import parse_query

    if part_id >= num_parts:
        raise click.UsageError(f"--part-id {part_id} of --num-parts {num_parts}: parts are counted from 0")
    if quiet_for is not None and not watch:
        raise click.UsageError("--quiet-for goes with --watch")
    _check_source(export, from_pacs, server, watch or num_parts > 1)
    pacs, target = (pacs_named(name) if name else None for name in (server, send_to))
    query = parse_query(from_pacs) if from_pacs else None
    if pacs and query and dry_run:
        show_matches(pacs.find(query))
        return
    quiet = (30.0 if quiet_for is None else quiet_for) if watch else 0.0
    part = (part_id, num_parts)
    options = Options(pipelines, workers, attempts, time_limit, engine, part, quiet, trust, results, cluster)
    source = Export((output / FETCHED,)) if export is None else read_export(export)
    with events as tell, Batch(source, output, options, tell) as batch:
        with Courier(batch, target) if target and not dry_run else nullcontext() as courier:
            failed = _fetch(pacs, query, output / FETCHED, batch) if pacs and query else 0
            if watch and not dry_run:
                counts = _watch(batch, tell, courier)
            else:
                counts = _once(batch, tell, dry_run)
                if courier is not None:
                    courier.rest()
        undelivered = batch.journal.undelivered(target.name) if target else []
    if (failed or undelivered or counts.get("failed")) and not dry_run:
        context.exit(ExitCode.SOME_FAILED)


def _check_source(export: Path | None, from_pacs: str | None, server: str | None, repeated: bool) -> None:
    """Raises click.UsageError unless exactly one of EXPORT and --from-pacs with --server is given."""
    if (export is None) == (from_pacs is None):
        raise click.UsageError("give EXPORT or --from-pacs QUERY: what the scans are taken from")
    if (from_pacs is None) != (server is None):
        raise click.UsageError("--from-pacs QUERY and --server NAME go together; --send-to names where results go")
    if from_pacs is not None and repeated:
        raise click.UsageError("--from-pacs fetches once; --watch and --num-parts go with EXPORT")


def _fetch(pacs: Pacs, query: Query, folder: Path, batch: Batch) -> int:
    """How many transfers failed. What could not be fetched whole is told, and left to the next call."""
    from medimg.pacs.fetch import fetch

    with progress_bars() as progress:
        fetched = fetch(pacs, query, folder, progress)
    for what, why in fetched.transfer.failed:
        batch.tell({"event": "not_fetched", "what": what, "message": why})
    known = {"series": fetched.series, "there": fetched.there, "instances": len(fetched.transfer.done)}
    batch.tell({"event": "fetched", "server": pacs.name, **known})
    return len(fetched.transfer.failed)


def _watch(batch: Batch, tell: Events, courier: Courier | None) -> dict[str, int]:
    """Do what there is and what comes, until Ctrl-C; results are sent beside."""
    try:
        while True:
            _once(batch, tell, watch=True)
            if courier is not None:
                courier.take_up()
                courier.settle()
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        say("stopped; the next call goes on", err=True)
        return batch.journal.counts()


def _once(batch: Batch, tell: Events, dry_run: bool = False, watch: bool = False) -> dict[str, int]:
    """Find what there is and do what is to be done; of a folder that is watched, what comes meanwhile too."""
    from medimg import NOT_A_MEDICAL_DEVICE
    from medimg.batch.periodic import Periodic

    with progress_bars() as progress:
        plan = batch.plan(progress)
    tell({"event": "planned", "to_do": len(plan.to_do), **plan.counts, "not_wanted": plan.unwanted})
    if dry_run:
        _show(plan, batch.journal)
        return plan.counts
    if not plan.to_do and watch:
        return plan.counts
    look = Periodic(batch.plan, POLL_SECONDS) if watch else None
    with live_status("cases", len(plan.to_do)) as update:
        tell.bar(update)
        counts = batch.run(look)
    if not tell.as_json:
        say(", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no case")
        say(f"{_left_out(plan)}; summary.json says why")
        say(f"results: {batch.output}")
        say(NOT_A_MEDICAL_DEVICE)
    return counts


def _left_out(plan: Plan) -> str:
    return f"{counted(plan.unwanted, 'scan')} that no pipeline takes, {counted(plan.skipped, 'file')} without a scan"


def _show(plan: Plan, journal: Journal) -> None:
    print_table(("pipeline", "cases to do"), [(name, str(count)) for name, count in plan.by_pipeline.items()])
    say(", ".join(f"{count} {state}" for state, count in plan.counts.items() if count) or "no case")
    say(_left_out(plan))
    _show_why("scans no pipeline takes", journal.whys())
    _show_why("files without a scan", journal.skips())
    _say_estimate(plan.estimate, len(plan.to_do))
    say("nothing was run")


def _show_why(what: str, groups: Sequence[Group]) -> None:
    if groups:
        shown = [(str(group.count), group.why, str(group.example)) for group in groups[:MOST_REASONS]]
        print_table((what, "why", "for example"), shown)
    if len(groups) > MOST_REASONS:
        say(f"and {counted(len(groups) - MOST_REASONS, 'reason')} more, which summary.json will give")


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
