"""How much of what the processor can multiply a network reaches."""

from __future__ import annotations

import sys
from pathlib import Path

from timing import run_process

NETWORK = """
import sys, time
from pathlib import Path
import numpy as np, torch
from torch.utils.flop_counter import FlopCounterMode
from medimg.bundle import load_bundle
from medimg.bundles.as_pipeline import bundle_pipeline
from medimg.inference.describe import described
from medimg.inference.device import choose_device
from medimg.inference.torch_runner import TorchRunner

pipeline = bundle_pipeline(sys.argv[1], trusted=True)
model = described(load_bundle(pipeline.bundle, trusted=True, recipe=pipeline.recipe), pipeline.recipe)
device = choose_device()
runner = TorchRunner(model.network, device)
channels = int(sys.argv[2])
batch = np.random.default_rng(0).normal(size=(1, channels, *map(int, sys.argv[3].split("x")))).astype(np.float32)

def once():
    began = time.perf_counter()
    runner(batch)
    if device.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began

with FlopCounterMode(display=False) as counter:
    once()
size = 8192 if device.device.type == "cuda" else 2048
dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
a, b = (torch.randn(size, size, dtype=dtype, device=device.device) for _ in "ab")

def gemm():
    began = time.perf_counter()
    a @ b
    if device.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began

gemm()
# taking turns, so that what disturbs one disturbs the other
rounds = [(min(gemm() for _ in range(5)), once()) for _ in range(int(sys.argv[4]))]
fastest, seconds = (sorted(column)[len(column) // 2] for column in zip(*rounds))
peak = torch.cuda.max_memory_allocated() / 2**30 if device.device.type == "cuda" else 0
print(counter.get_total_flops(), seconds, 2 * size**3 / fastest, device.precision, peak)
"""


def network_share(bundle: Path, channels: int, window: tuple[int, int, int], rounds: int) -> str:
    """Seconds of one window, and its share of the ceiling of square matrices of the same precision, in words."""
    size = "x".join(map(str, window))
    output = run_process(
        [sys.executable, "-W", "ignore", "-c", NETWORK, bundle, str(channels), size, str(rounds)]
    ).output
    words = output.split()[-5:]
    flops, seconds, ceiling = map(float, words[:3])
    gpu = f", {float(words[4]):.1f} GiB of GPU memory" if float(words[4]) else ""
    return (
        f"network phase, window {size}: {seconds:.2f} s, {flops / seconds / 1e12:.2f} TFLOP/s, "
        f"{flops / seconds / ceiling:.0%} of the {words[3]} GEMM ceiling of {ceiling / 1e12:.2f} TFLOP/s{gpu}"
    )
