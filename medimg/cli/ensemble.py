"""`medimg ensemble`: several training runs in, one pipeline folder out whose network is their mean."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import trust_option
from medimg.cli.plain import say


@click.command(
    epilog="""\b
Examples:
  medimg ensemble runs/lung-0 runs/lung-1 runs/lung-2 -o runs/lung
  medimg infer --pipeline runs/lung --volume scan.nii.gz -o out
"""
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the new pipeline.")
@trust_option
def command(runs: tuple[Path, ...], output: Path, trust: bool) -> None:
    """Average the networks of several training runs, such as the folds of a cross-validation.

    Leaves OUTPUT/pipeline.yaml and OUTPUT/bundle, which `medimg infer --pipeline OUTPUT` and
    `python -m monai.bundle run` both take. Everything but the network and the model card is the first run's.
    """
    from medimg.pipeline import WEIGHTS
    from medimg.train.ensemble import pack_ensemble

    bundle = pack_ensemble(runs, output, trusted=trust)
    size = (bundle / WEIGHTS).stat().st_size
    say(f"ensemble of {len(runs)} networks, {size / 1e6:.1f} MB of weights; bundle in {bundle}")
