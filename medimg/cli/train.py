"""`medimg train`: a training configuration and data in, a MONAI bundle with weights out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medimg.cli.options import trust_option
from medimg.cli.plain import say

if TYPE_CHECKING:
    from medimg.pipeline import Pipeline


@click.command(
    epilog="""\b
Examples:
  medimg train --pipeline lung_nodule --data ../shared/data/lung -o runs/lung
  medimg train --pipeline lung_nodule --data ../shared/data/lung --fold 0/5 -o runs/lung-0
  torchrun --nproc-per-node 2 -m medimg train --pipeline lung_nodule --data DIR -o runs/lung
  medimg infer --pipeline runs/lung --volume scan.nii.gz -o out
"""
)
@click.option("--pipeline", "name", required=True, help="Pipeline to train: a name or the path of its folder.")
@trust_option
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Training YAML [default: train.yaml beside the pipeline.yaml].",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="What the task reads: a folder of cases or a datalist.json.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of this run.")
@click.option("--fold", metavar="K/N", help="Cross-validation: keep part K (from 0) of N for validation.")
@click.option(
    "--start",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Weights of the same network to begin with, such as a shipped model.pt [default: random].",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Processor threads; 0 is the configuration's choice."
)
def command(
    name: str,
    trust: bool,
    config_path: Path | None,
    data: Path,
    output: Path,
    fold: str | None,
    start: Path | None,
    device: str,
    threads: int,
) -> None:
    """Train a pipeline's network; call again with the same -o to resume.

    Leaves RUN/pipeline.yaml and RUN/bundle, which `medimg infer --pipeline RUN` and
    `python -m monai.bundle run` both take, with checkpoints, log.jsonl and curves.png beside them. This machine trusts
    the bundle from then on; another one is told to with --trust.
    """
    from medimg import files
    from medimg.bundles.trust import record
    from medimg.inference.device import choose_device
    from medimg.pipeline import WEIGHTS, load_pipeline
    from medimg.train.cases import check_fold
    from medimg.train.checkpoint import kept
    from medimg.train.config import read_config
    from medimg.train.fit import fit
    from medimg.train.network import fresh_network
    from medimg.train.pack import pack
    from medimg.train.parallel import local_device, process_group
    from medimg.train.task import make_task

    if fold is not None:
        check_fold(data, fold)
    pipeline = load_pipeline(name, trusted=trust)
    if not pipeline.has_network:
        from medimg.train.shape import train_shape

        files.output_folder(output)
        say(f"bundle in {train_shape(pipeline, config_path, data, output, fold)}")
        return
    if trust:
        # the task reads the bundle too, and the trained one, which is as safe, is trusted from now on anyway
        record(pipeline.bundle, "medimg train --trust")
    config = read_config(config_path or _training_file(pipeline))
    if fold is not None:
        config = config.with_task(fold=fold)
    if start is None and config.start == "bundle":
        start = pipeline.bundle / WEIGHTS
    digest = files.sha256_of_file(start) if start is not None and start.exists() else None
    files.output_folder(output)
    chosen = choose_device(local_device(device), threads=threads or config.threads)
    with process_group() as group, _listener(config.steps, group.leads) as listen:
        network = fresh_network(config, pipeline.bundle, start, trusted=trust)
        task = make_task(config.task, data, config.seed)
        try:
            state = fit(config, network, task, output, device=chosen.device, log=listen, group=group, start=digest)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"interrupted; {kept(output)}; call medimg train again with the same -o") from error
        if group.leads:
            bundle = pack(pipeline, config, state, output, data, start)
            say(f"best score {state.best:.4f}; bundle in {bundle}")


def _training_file(pipeline: Pipeline) -> Path:
    """The train.yaml beside a pipeline. It names code, so one that is not medimg's own must be named or trusted."""
    from medimg.errors import UntrustedBundleError
    from medimg.pipeline import find_pipelines

    path = pipeline.folder / "train.yaml"
    if pipeline.trusted or not path.exists() or any(known.folder == pipeline.folder for known in find_pipelines()):
        return path
    raise UntrustedBundleError(
        f"{path} is not medimg's own, and names the code that trains; name it with --config, or use --trust, "
        "if you trust who wrote it"
    )


@contextlib.contextmanager
def _listener(steps: int, leads: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Live progress on a terminal; anywhere else a line a hundred steps and one for each validation."""
    from medimg.cli.console import live_status

    with live_status("training", steps) as update:
        if not leads:
            yield lambda _entry: None
        elif update is not None:
            yield lambda entry: update(entry["step"], _values(entry), _validated(entry))
        else:
            yield lambda entry: _print(entry, steps)


def _print(entry: dict[str, Any], steps: int, every: int = 100) -> None:
    if _validated(entry) or entry["step"] % every == 0:
        remaining = entry["seconds"] / entry["step"] * (steps - entry["step"])
        say(f"step {entry['step']}/{steps} {_values(entry)} ETA {remaining / 60:.0f} min")


def _validated(entry: dict[str, Any]) -> bool:
    return any(name.startswith("val_") for name in entry)


def _values(entry: dict[str, Any]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in entry.items() if name not in {"step", "seconds"})
