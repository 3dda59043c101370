"""The pipeline folder that training leaves: another pipeline's with weights, a record and a model card of its own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from medimg import files
from medimg.bundles.folder import METADATA, read_metadata
from medimg.bundles.trust import record as trust_record
from medimg.pipeline import INFERENCE_CONFIG, MODEL_CARD, PIPELINE_FILE, Pipeline
from medimg.train.card import metadata, model_card
from medimg.train.record import TRAINING_RECORD

OWN_FILES = ("*.pt", "__pycache__", MODEL_CARD.name, TRAINING_RECORD.name, Path(METADATA).name)
"""Of a bundle, what tells of its own weights and is never copied to others."""

MEASURED = re.compile(r"\d\.\d")
"""A figure in a sentence of `without:`, measured on the weights it was written for."""

DIGITS = 8
"""Of the weights' digest in a version."""


def write_folder(
    pipeline: Pipeline,
    output: Path,
    record: Mapping[str, Any],
    save_weights: Callable[[Path], None],
    *,
    change: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    inference: Mapping[str, Any] | None = None,
    why: str = "medimg train",
) -> Path:
    """Write output/pipeline.yaml and output/bundle, `pipeline`'s with other weights; return the bundle.

    change: of the pipeline.yaml. inference: the configs/inference.json, where it is another one. What `pipeline` says
    of its own weights (version, model card, measured losses) is not taken over: the version is 0+ and the first digits
    of the weights' SHA-256, the card is made from `record`. This machine trusts the bundle from then on (`why`).
    Raises OutputError.
    """
    bundle = output / "bundle"
    ignored = shutil.ignore_patterns(*OWN_FILES)
    shutil.copytree(pipeline.bundle, bundle, dirs_exist_ok=True, ignore=ignored)
    weights = bundle / pipeline.weights.relative_to(pipeline.bundle)
    weights.parent.mkdir(exist_ok=True)
    save_weights(weights)
    digest = files.sha256_of_file(weights)
    version = f"0+{digest[:DIGITS]}"
    # the members of an ensemble have their form, and thresholds, from what the first was made from
    source = record.get("members", [record])[0].get("made_from", f"{pipeline.name} {pipeline.version}")
    told = {"weights_sha256": digest, "made_from": source, **record}
    if inference is not None:
        files.write_json(bundle / INFERENCE_CONFIG, inference)
    files.write_json(bundle / TRAINING_RECORD, told)
    files.write_json(bundle / METADATA, metadata(pipeline, read_metadata(pipeline.bundle), version, told))
    files.write_text(bundle / MODEL_CARD, model_card(pipeline, version, told))
    document = yaml.safe_load((pipeline.folder / PIPELINE_FILE).read_text(encoding="utf-8"))
    document = without_figures(change({**document, "version": version, "bundle": bundle.name}))
    files.write_text(output / PIPELINE_FILE, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    if pipeline.has_network:
        trust_record(bundle, why)
    return bundle


def with_flips(document: dict[str, Any], flips: bool) -> dict[str, Any]:
    """A pipeline.yaml whose infer stage does, or does not, average over mirror images; only where it says either."""
    return _with_infer(document, lambda options: {**options, "flips": flips} if "flips" in options else options)


def without_figures(document: dict[str, Any]) -> dict[str, Any]:
    """A pipeline.yaml whose `without` says what is lost, but not by how much: that was measured on other weights."""

    def told(sentence: str) -> str:
        return ", ".join(part for part in re.split(r"[,;]\s*", sentence) if not MEASURED.search(part))

    def changed(options: dict[str, Any]) -> dict[str, Any]:
        if "without" not in options:
            return options
        lost = {key: told(str(sentence)) for key, sentence in options["without"].items()}
        return {**options, "without": {key: sentence for key, sentence in lost.items() if sentence}}

    return _with_infer(document, changed)


def _with_infer(document: dict[str, Any], changed: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    stages = [{"infer": changed(stage["infer"])} if stage.get("infer") else stage for stage in document["stages"]]
    return {**document, "stages": stages}


def read_inference(pipeline: Pipeline) -> dict[str, Any]:
    """The bundle's inference.json."""
    document: dict[str, Any] = json.loads((pipeline.bundle / INFERENCE_CONFIG).read_text(encoding="utf-8"))
    return document
