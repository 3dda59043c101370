"""DEPLOY.md: one page for whoever runs an exported network without medimg."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import medimg
from medimg.bundle import Bundle
from medimg.pipeline import Pipeline

WAYS = {
    "bundle": "`medimg infer --bundle bundle --volume SCAN -o OUT --trust`, or `python -m monai.bundle run` in it",
    "torchscript": "`torch.jit.load('model.ts')`; C++ and Triton's PyTorch backend read it too",
    "onnx": "`onnxruntime.InferenceSession('model.onnx')`; TensorRT and Triton read it too",
    "openvino": "`openvino.compile_model('openvino/model.xml', 'CPU')`",
}
"""Format -> how it is run."""


def deployment_note(
    pipeline: Pipeline,
    bundle: Bundle,
    window: tuple[int, int, int],
    written: Mapping[str, Path],
    differences: Mapping[str, float],
) -> str:
    """The page, Markdown."""
    channels = ", ".join(f"{number} {entry.role} ({entry.modality})" for number, entry in enumerate(pipeline.inputs))
    shape = " x ".join(map(str, (1, len(pipeline.inputs), *window)))
    rows = [f"| {name} | {WAYS[name]} | {_difference(differences.get(name))} |" for name in written]
    steps = [f"{number}. {_step(entry)}" for number, entry in enumerate(_chain(bundle), start=1)]
    inferer = json.dumps(bundle.parser.get("inferer") or bundle.parser.get("detector_ops"))
    decision = json.dumps({k: v for k, v in pipeline.options("infer").items() if k != "without"})
    return "\n".join(
        [
            f"# {pipeline.title}: deployment",
            "",
            f"{medimg.NOT_A_MEDICAL_DEVICE}. Pipeline {pipeline.name} {pipeline.version}, licence {pipeline.licence}, "
            f"sha256 {pipeline.sha256}; exported by medimg {medimg.__version__}.",
            "",
            "| file | how to run it | largest difference to torch |",
            "|---|---|---|",
            *rows,
            "",
            "## In",
            "",
            f"float32, {shape} (batch, channel, i, j, k): one window of the preprocessed scan. Channels: {channels}.",
            "",
            "Before the network, in this order (MONAI's names; CT in Hounsfield units goes in):",
            "",
            *steps,
            "",
            "## Out",
            "",
            f"Raw outputs (logits) on the window. Windows are moved and blended as `{inferer}` says.",
            "",
            f"What medimg makes of them: `{decision}`.",
            "",
            "Labels and boxes belong back on the scan's own grid. medimg does all of this: "
            "`medimg infer` is the reference that a deployment should be compared with, on scans of its own site.",
            "",
        ]
    )


def _difference(value: float | None) -> str:
    return "the same files" if value is None else f"{value:.1e} of the largest value"


def _chain(bundle: Bundle) -> list[dict[str, Any]]:
    return list(bundle.parser["preprocessing"]["transforms"])


def _step(entry: dict[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in entry.items() if key not in {"_target_", "keys"})
    return f"{entry['_target_']}({options})"
