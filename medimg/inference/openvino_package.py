"""The optional package OpenVINO, and what it can do on this processor."""

from __future__ import annotations

import sys
from typing import Any


def load_openvino() -> Any:
    """The package."""
    # its telemetry package would report each import to its makers; medimg reports nothing to anybody
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def has_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware, as OpenVINO sees it."""
    return "BF16" in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
