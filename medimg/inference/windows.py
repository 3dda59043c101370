"""The network over a whole image: MONAI's sliding windows, stitched at the network's own output resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.data.utils import dense_patch_slices
from monai.inferers import sliding_window_inference

from medimg.bundle import Bundle
from medimg.inference.device import Device
from medimg.progress import Progress, silent

DEFAULT_MULTIPLE = 16
"""Windows are padded to a multiple of this: the product of the strides of the networks medimg ships, or more."""


@torch.inference_mode()
def stitched_output(
    bundle: Bundle, network: torch.nn.Module, image: torch.Tensor, device: Device, progress: Progress = silent
) -> torch.Tensor:
    """Run `network` over image (C, I, J, K); return float32 (C', I', J', K') on the CPU.

    I' = I / stride for a network that answers at a stride. Window, overlap, blending and padding value are those
    of the bundle's inferer; a window is never larger than the image padded to a multiple of DEFAULT_MULTIPLE.
    """
    inferer = bundle.inferer
    window = fitted_window(image.shape[1:], inferer.roi_size)
    step = _Counted(network.to(device.device), device, progress, _window_count(image.shape[1:], window, inferer))
    output = sliding_window_inference(
        image[None].to(device.device),
        window,
        inferer.sw_batch_size,
        step,
        overlap=inferer.overlap,
        mode=inferer.mode,
        sigma_scale=inferer.sigma_scale,
        padding_mode=inferer.padding_mode,
        cval=inferer.cval,
        device=torch.device("cpu"),
    )
    assert isinstance(output, torch.Tensor)
    return output[0].float()


def fitted_window(shape: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The bundle's window, cut down along axes where the image (padded to a multiple of 16) is smaller."""
    return tuple(
        min(int(size), math.ceil(length / DEFAULT_MULTIPLE) * DEFAULT_MULTIPLE)
        for length, size in zip(shape, wanted, strict=True)
    )


def _window_count(shape: Sequence[int], window: Sequence[int], inferer: Any) -> int:
    padded = [max(length, size) for length, size in zip(shape, window, strict=True)]
    overlaps = inferer.overlap if isinstance(inferer.overlap, (list, tuple)) else [inferer.overlap] * 3
    steps = [
        size if size == length else max(1, int(size * (1 - overlap)))
        for size, length, overlap in zip(window, padded, overlaps, strict=True)
    ]
    return len(dense_patch_slices(padded, window, steps))


class _Counted:
    """The network as sliding_window_inference wants it: autocast, channels last, float32 out, counting windows."""

    def __init__(self, network: torch.nn.Module, device: Device, progress: Progress, total: int) -> None:
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.device = device
        self.progress = progress
        self.total = total
        self.done = 0

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        with self.device.autocast:
            output: torch.Tensor = self.network(windows.contiguous(memory_format=torch.channels_last_3d))
        self.done += len(windows)
        self.progress("network", self.done, self.total)
        return output.float()
