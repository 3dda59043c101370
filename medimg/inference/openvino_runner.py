"""Windows through OpenVINO: compiled for this processor once, kept on disk, and run without torch from then on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.bundles.home import compiled, writable
from medimg.errors import PipelineError
from medimg.inference.memory import Footprint
from medimg.inference.network import Network
from medimg.inference.openvino_package import converted, load_openvino

PRECISION = {"fp32": "f32", "bf16": "bf16"}
"""medimg's words in OpenVINO's."""

TOLERANCE = 1e-2
"""Of the largest output, in float32: far above rounding and far below another answer."""


class OpenVinoRunner:
    """One network on the CPU.

    Its intermediate representation and its compiled form lie in `folder`, named by the network's digest, the shape of
    a window, the precision and OpenVINO's version.
    """

    def __init__(self, network: Network, precision: str, threads: int = 0, folder: Path | None = None) -> None:
        self._network = network
        self._precision = precision
        self._threads = threads
        self._folder = folder or compiled()
        self._compiled: Any = None
        self._ready: tuple[int, ...] | None = None

    def footprint(self, shape: Sequence[int]) -> Footprint:
        """Memory of one pass over a window of `shape` (B, C, i, j, k), as torch would take it."""
        self.prepare(shape)
        told = json.loads(self._path(shape).with_suffix(".json").read_text(encoding="utf-8"))
        return Footprint(told["working"], tuple((channels, voxels) for channels, voxels in told["outputs"]))

    def prepare(self, shape: Sequence[int]) -> None:
        """Load the compiled network for windows of `shape` (B, C, i, j, k), compile it where there is none yet."""
        if self._ready == tuple(shape):
            return
        openvino = load_openvino()
        path = self._path(shape)
        if not path.with_suffix(".json").is_file():
            self._convert(openvino, shape, path)
        config = {
            "INFERENCE_PRECISION_HINT": PRECISION[self._precision],
            "PERFORMANCE_HINT": "LATENCY",
            "CACHE_DIR": str(self._folder),
        }
        if self._threads:
            config["INFERENCE_NUM_THREADS"] = str(self._threads)
            # two processes of one thread each would both be bound to the first processor
            config["ENABLE_CPU_PINNING"] = "NO"
        self._compiled = openvino.Core().compile_model(path, "CPU", config)
        self._ready = tuple(shape)

    def __call__(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """float32 (B, C, i, j, k) to the network's outputs, one window after the other."""
        each = [self._compiled(np.ascontiguousarray(window[None])) for window in windows]
        numbers = range(len(self._compiled.outputs))
        if len(each) == 1:
            return tuple(np.asarray(each[0][number]) for number in numbers)
        return tuple(np.concatenate([outputs[number] for outputs in each]) for number in numbers)

    def _require_same_answer(self, openvino: Any, model: Any, module: Any, window: Sequence[int]) -> None:
        """Raise PipelineError where the converted network says something else: tracing can freeze what data decides."""
        import torch

        sample = np.random.default_rng(0).normal(size=window).astype(np.float32)
        compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": PRECISION["fp32"]})
        found = compiled([sample])
        with torch.no_grad():
            expected = [part.numpy() for part in module(torch.from_numpy(sample))]
        for number, part in enumerate(expected):
            off = float(np.abs(found[number] - part).max())
            if not off <= TOLERANCE * max(1.0, float(np.abs(part).max())):
                raise PipelineError(
                    f"OpenVINO's {self._network.name} differs from torch's by {off:.3g}; use --engine torch"
                )

    def _path(self, shape: Sequence[int]) -> Path:
        words = [self._network.digest or "", *map(str, shape[1:]), self._precision, load_openvino().__version__]
        return self._folder / f"{hashlib.sha256(' '.join(words).encode()).hexdigest()[:32]}.xml"

    def _convert(self, openvino: Any, shape: Sequence[int], path: Path) -> None:
        """Write the intermediate representation and, last, what a pass of it takes."""
        import torch

        from medimg.inference.device import Device
        from medimg.inference.footprint import Flattened, footprint

        writable(self._folder)
        module = Flattened(self._network.build()).eval()
        window = (1, *shape[1:])
        try:
            cost = footprint(module, window, Device("cpu", self._precision, ""))
            model = converted(module, torch.zeros(window))
        except Exception as error:  # what the tracer and the converter raise is theirs to choose
            reason = " ".join(str(error).split())[:200]
            raise PipelineError(
                f"OpenVINO cannot convert {self._network.name}: {reason}; use --engine torch"
            ) from error
        self._require_same_answer(openvino, model, module, window)
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            openvino.save_model(model, Path(made) / path.name, compress_to_fp16=False)
            document = json.dumps({"working": cost.working, "outputs": cost.outputs})
            (Path(made) / path.with_suffix(".json").name).write_text(document, encoding="utf-8")
            # the description last: where it is, the others are whole
            for suffix in (".bin", ".xml", ".json"):
                name = path.with_suffix(suffix).name
                (Path(made) / name).replace(self._folder / name)
