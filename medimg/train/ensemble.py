"""Several runs become one pipeline folder, whose network is the mean of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import medimg
from medimg import files
from medimg.bundle import load_bundle, load_weights
from medimg.errors import PipelineError, UsageError
from medimg.inference.engine import MIRRORS
from medimg.pipeline import Pipeline, load_pipeline
from medimg.train.checkpoint import save
from medimg.train.folder import read_inference, with_flips, write_folder
from medimg.train.members import as_ensemble, halved, joined
from medimg.train.record import TRAINING_RECORD


def pack_ensemble(runs: Sequence[Path], output: Path, *, trusted: bool = False) -> Path:
    """Write output/pipeline.yaml and output/bundle, the first run's with the networks of all; return the bundle.

    runs: two or more folders that `medimg train` left, of one pipeline and network. Where the pipeline averages over
    mirror images (`flips: true`), each member sees another of them instead, and `flips` becomes false. Kernels are
    stored in half precision. trusted: run their bundles though this machine does not know them.
    Raises UsageError and PipelineError for runs that do not belong together.
    """
    pipelines = _checked(runs, output, trusted)
    first = pipelines[0]
    mirrors = _mirrors(len(runs), bool(first.options("infer").get("flips", False)))
    weights = joined([halved(_weights(pipeline)) for pipeline in pipelines])
    return write_folder(
        first,
        files.output_folder(output),
        _record(pipelines, mirrors),
        lambda path: save(weights, path),
        change=lambda document: with_flips(document, False),
        inference=as_ensemble(read_inference(first), mirrors),
        why="medimg ensemble",  # of runs that were trusted, or they would not have been read
    )


def _checked(runs: Sequence[Path], output: Path, trusted: bool) -> list[Pipeline]:
    """The runs as pipelines, all of one configuration."""
    folders = [run.resolve() for run in runs]
    if len(folders) < 2:
        raise UsageError("an ensemble needs two runs or more")
    if twice := next((run for run in folders if folders.count(run) > 1), None):
        raise UsageError(f"{twice} is given twice; an ensemble averages different networks")
    if output.resolve() in folders:
        raise UsageError(f"-o {output} is one of the runs; choose another folder")
    pipelines = [load_pipeline(str(run), trusted=trusted) for run in folders]
    for run, pipeline in zip(runs, pipelines, strict=True):
        if not pipeline.has_network:
            raise UsageError(f"{run} has no network; only networks are averaged")
        if load_bundle(pipeline.bundle, trusted=trusted).members > 1:
            raise PipelineError(f"{run} is an ensemble already; give the runs it was packed from")
        if read_inference(pipeline) != read_inference(pipelines[0]):
            raise PipelineError(f"{run} has another network or preprocessing than {runs[0]}; they cannot be averaged")
    return pipelines


def _mirrors(count: int, flips: bool) -> list[list[int]]:
    """For each member the axes of (N, C, I, J, K) it sees flipped."""
    kinds = MIRRORS if flips else MIRRORS[:1]
    return [list(kinds[number % len(kinds)]) for number in range(count)]


def _weights(pipeline: Pipeline) -> dict[str, torch.Tensor]:
    """The state dict of a run, which has been seen to fit its network."""
    network = load_bundle(pipeline.bundle, trusted=pipeline.trusted).network()
    load_weights(network, pipeline.weights)
    return network.state_dict()


def _record(pipelines: Sequence[Pipeline], mirrors: list[list[int]]) -> dict[str, Any]:
    """What each member's own run recorded, for the model card."""
    members = []
    for pipeline in pipelines:
        record = pipeline.bundle / TRAINING_RECORD
        told = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        told["weights_sha256"] = files.sha256_of_file(pipeline.weights)
        members.append({"run": pipeline.folder.name, **told})
    return {"members": members, "flipped_axes": mirrors, "kernels": "fp16", "medimg": medimg.__version__}
