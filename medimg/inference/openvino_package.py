"""The optional package OpenVINO, and what it can do on this processor."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def load_openvino() -> Any:
    """The package."""
    # its telemetry package would report each import to its makers; medimg reports nothing to anybody
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def has_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware, as OpenVINO sees it."""
    return "BF16" in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def converted(network: torch.nn.Module, example: torch.Tensor) -> Any:
    """The network as OpenVINO's model, for inputs of the shape of `example`. Raises what tracer and converter raise.

    Whether its answer is the network's must be looked at: what data decides is frozen as it is for the example.
    """
    import torch

    # tracing warns those who call it of every Python number; nothing can be changed about it here
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # torch's own check of a trace runs the network three times more
        traced = torch.jit.trace(network, example, check_trace=False)
        return load_openvino().convert_model(traced, input=[list(example.shape)])
