"""How a network is to be run: what the command line says. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medimg.errors import UsageError

BACKENDS = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
"""Binary, with or without "iB": 4G and 4GiB are both 4 * 2**30 bytes."""


@dataclass(frozen=True)
class Engine:
    """How to run. The defaults change no answer but for the rounding of the processor's own arithmetic.

    device: auto, cpu, cuda, cuda:N or mps. precision: see PRECISIONS; auto takes bf16 where the processor has it.
    threads: 0 leaves the choice to torch or OpenVINO. backend: see BACKENDS; auto is torch, so that an answer does not
    depend on what else is installed. memory_limit: bytes the whole process may hold, None for no limit.
    tta: the mean over mirror images. overlap: share of a window in place of the author's. fast: the window is cut down
    to what there is to see, even where that changes the answer (docs/performance.md). keep: networks stay loaded for
    the next scan of this process.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    backend: str = "auto"
    memory_limit: int | None = None
    tta: bool = False
    overlap: float | None = None
    fast: bool = False
    keep: bool = False


def parse_bytes(text: str) -> int:
    """ "4GiB", "4G", "512M" or plain bytes. Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    if match is None or not (size := int(float(match.group(1)) * UNITS[match.group(2)])):
        raise UsageError(f"{text!r} is no size; write it as 4GiB or 800M")
    return size
