"""TorchScript, ONNX and OpenVINO IR: written, read back, and held against torch."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medimg import files
from medimg.export.traced import Answer, Exported
from medimg.inference.openvino_package import converted, load_openvino

NEEDS = {"torchscript": (), "onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino",)}
"""Format -> packages, all of the extras `onnx` and `openvino`."""

OPSET = 18
"""The lowest that torch's exporter writes without converting; every onnxruntime since 1.14 (2023) reads it."""


def missing(name: str) -> list[str]:
    """Packages that a format needs and that are not installed."""
    return [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]


def write_torchscript(exported: Exported, folder: Path) -> tuple[Path, float]:
    """folder/model.ts; the file, and how far it is from torch."""
    target = folder / "model.ts"
    with warnings.catch_warnings(), files.atomic_path(target) as temporary:
        warnings.simplefilter("ignore")  # tracing warns of every Python number; the check below says whether it matters
        traced = torch.jit.trace(exported.network, exported.example, check_trace=False)
        torch.jit.save(traced, str(temporary))

        def run(image: NDArray[np.float32]) -> Answer:
            with torch.inference_mode():
                read = torch.jit.load(str(temporary))
                return [part.numpy() for part in read(torch.from_numpy(image))]

        off = exported.largest_difference("TorchScript", run)
    return target, off


def write_onnx(exported: Exported, folder: Path) -> tuple[Path, float]:
    """folder/model.onnx, weights inside; the file, and how far onnxruntime's answer is from torch."""
    import onnxruntime

    target = folder / "model.onnx"
    with files.atomic_path(target) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                exported.network,
                (exported.example,),
                input_names=["image"],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.save(str(temporary), external_data=False)

        def run(image: NDArray[np.float32]) -> Answer:
            session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
            return [np.asarray(part) for part in session.run(None, {"image": image})]

        off = exported.largest_difference("ONNX", run)
    return target, off


def write_openvino(exported: Exported, folder: Path) -> tuple[Path, float]:
    """folder/openvino/model.xml with model.bin; the file, and how far OpenVINO's answer is from torch."""
    openvino = load_openvino()
    target = files.output_folder(folder / "openvino") / "model.xml"
    model = converted(exported.network, exported.example)
    # float32 arithmetic, whatever the processor prefers: the check is of the export, not of bf16
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(image: NDArray[np.float32]) -> Answer:
        return [np.asarray(part) for part in compiled([image]).values()]

    off = exported.largest_difference("OpenVINO", run)
    openvino.save_model(model, str(target), compress_to_fp16=False)
    return target, off


WRITERS: dict[str, Callable[[Exported, Path], tuple[Path, float]]] = {
    "torchscript": write_torchscript,
    "onnx": write_onnx,
    "openvino": write_openvino,
}
