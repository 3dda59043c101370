"""`medimg train`: a training configuration and data in, a MONAI bundle with weights out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from medimg.train.config import TrainConfig
    from medimg.train.task import Task


@click.command(
    epilog="""\b
Example:
  medimg train --pipeline lung_nodule --data ../shared/data/lung -o runs/lung
  medimg infer --pipeline runs/lung --volume scan.nii.gz -o out
"""
)
@click.option("--pipeline", "name", required=True, help="Pipeline to train: a name or the path of its folder.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Training YAML [default: train.yaml beside the pipeline.yaml].",
)
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of training cases.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of this run.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="Processor threads; 0 is the configuration's choice."
)
def command(name: str, config_path: Path | None, data: Path, output: Path, device: str, threads: int) -> None:
    """Train a pipeline's network; call again with the same -o to resume.

    Leaves RUN/pipeline.yaml and RUN/bundle, which `medimg infer --pipeline RUN` and
    `python -m monai.bundle run` both take, with checkpoints and log.jsonl beside them.
    """
    import torch

    from medimg import files
    from medimg.bundle import load_bundle
    from medimg.inference.device import choose_device
    from medimg.pipeline import load_pipeline
    from medimg.train.config import read_config
    from medimg.train.fit import fit
    from medimg.train.pack import pack

    pipeline = load_pipeline(name)
    config = read_config(config_path or pipeline.folder / "train.yaml")
    files.output_folder(output)
    torch.manual_seed(config.seed)
    network = load_bundle(pipeline.bundle).network()
    chosen = choose_device(device, threads=threads or config.threads)
    state = fit(config, network, _task(config, data), output, device=chosen.device, log=_Printer(config.steps))
    bundle = pack(pipeline, config, state, output)
    click.echo(f"best score {state.best:.4f}; bundle in {bundle}")


def _task(config: TrainConfig, data: Path) -> Task:
    from monai.bundle import ConfigParser

    options = {**config.task, "data": str(data), "seed": config.seed}
    task: Task = ConfigParser({"task": options}).get_parsed_content("task")
    return task


class _Printer:
    """One line a hundred steps and one for each validation."""

    EVERY = 100

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, entry: dict[str, Any]) -> None:
        validated = any(name.startswith("val_") for name in entry)
        if not validated and entry["step"] % self.EVERY:
            return
        remaining = entry["seconds"] / entry["step"] * (self.steps - entry["step"])
        values = " ".join(f"{name} {value:.4g}" for name, value in entry.items() if name not in {"step", "seconds"})
        click.echo(f"step {entry['step']}/{self.steps} {values} ETA {remaining / 60:.0f} min")
