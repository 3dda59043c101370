"""`medimg pipelines`: what there is to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from medimg.cli.plain import say_json

if TYPE_CHECKING:
    from medimg.pipeline import Pipeline

SCHEMA = "medimg.pipelines/1"
SHORT_DIGEST = 12
BYTES_PER_MB = 1e6


@click.command(
    epilog="""\b
Examples:
  medimg pipelines
  medimg pipelines --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with complete paths and digests.")
def command(as_json: bool) -> None:
    """List the installed pipelines: task, modality, weights, licence and model card.

    A pipeline of your own is a folder with a pipeline.yaml and a MONAI bundle; name it by its path where a
    command takes --pipeline. It need not be installed.
    """
    from medimg.cli.console import print_table
    from medimg.pipeline import find_pipelines

    entries = [describe(pipeline) for pipeline in find_pipelines()]
    if as_json:
        say_json({"schema": SCHEMA, "pipelines": entries})
        return
    columns = ("name", "version", "task", "modality", "inputs", "weights", "licence", "model card")
    print_table(columns, [_row(entry) for entry in entries])


def describe(pipeline: Pipeline) -> dict[str, Any]:
    """A pipeline for people and programs; `weights` and `model_card` are null where the files are not there."""
    from medimg import files

    weights = pipeline.weights
    return {
        "name": pipeline.name,
        "version": pipeline.version,
        "title": pipeline.title,
        "task": pipeline.task,
        "modality": sorted(pipeline.modalities),
        "inputs": list(pipeline.roles),
        "licence": pipeline.licence,
        "folder": str(pipeline.folder),
        "sha256": pipeline.sha256,
        "weights": {
            "path": str(weights),
            "bytes": weights.stat().st_size,
            "sha256": files.sha256_of_file(weights),
        }
        if weights.is_file()
        else None,
        "model_card": str(pipeline.model_card) if pipeline.model_card.is_file() else None,
    }


def weights_in_words(entry: dict[str, Any]) -> str:
    """ "3.1 MB, sha256 0d3a147bbc7b" or that there are none."""
    weights = entry["weights"]
    if weights is None:
        return "none; train them with medimg train"
    return f"{max(0.1, weights['bytes'] / BYTES_PER_MB):.1f} MB, sha256 {weights['sha256'][:SHORT_DIGEST]}"


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["name"],
        entry["version"],
        entry["task"],
        ", ".join(entry["modality"]),
        ", ".join(entry["inputs"]),
        weights_in_words(entry),
        entry["licence"],
        entry["model_card"] or "none",
    )
