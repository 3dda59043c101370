"""The network over a whole image: MONAI's sliding windows, stitched at the network's own output resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.data.utils import dense_patch_slices
from monai.inferers import sliding_window_inference
from torch.nn import functional

from medimg.bundle import Bundle
from medimg.inference.device import Device
from medimg.progress import Progress, silent

DEFAULT_MULTIPLE = 16
"""Windows are padded to a multiple of this: the product of the strides of the networks medimg ships, or more."""


MIRRORS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (3,))
"""Axes of (C, I, J, K) flipped for test-time averaging: none, and each alone (four passes)."""


@torch.inference_mode()
def stitched_output(
    bundle: Bundle,
    network: torch.nn.Module,
    image: torch.Tensor,
    device: Device,
    progress: Progress = silent,
    *,
    flips: bool = False,
) -> torch.Tensor:
    """Run `network` over image (C, I, J, K); return float32 (C', I', J', K') on the CPU.

    I' = ceil(I / stride) for a network that answers at a stride. Window, overlap, blending and padding value are
    those of the bundle's inferer; a window is never larger than the image padded to a multiple of DEFAULT_MULTIPLE.
    flips: the mean over MIRRORS instead of one pass.
    """
    mirrors = MIRRORS if flips else MIRRORS[:1]
    window = fitted_window(image.shape[1:], bundle.inferer.roi_size)
    padded = _padded(image, bundle.inferer)
    windows = len(mirrors) * _window_count(padded.shape[1:], window, bundle.inferer)
    step = _Counted(network.to(device.device), device, progress, windows)
    passes = (_one_pass(bundle.inferer, step, padded.flip(axes), window, device).flip(axes) for axes in mirrors)
    mean = torch.stack(list(passes)).mean(0) if flips else next(passes)
    return _without_padding(mean, image.shape[1:], padded.shape[1:])


def _padded(image: torch.Tensor, inferer: Any) -> torch.Tensor:
    """The image grown at the far ends to a multiple of DEFAULT_MULTIPLE, so that every stride divides it."""
    grow = [(-length) % DEFAULT_MULTIPLE for length in image.shape[:0:-1]]
    sides = [side for length in grow for side in (0, length)]
    value = inferer.cval if inferer.padding_mode == "constant" else None
    return functional.pad(image[None], sides, mode=inferer.padding_mode, value=value)[0]


def _without_padding(output: torch.Tensor, wanted: Sequence[int], padded: Sequence[int]) -> torch.Tensor:
    lengths = [math.ceil(w * n / p) for w, n, p in zip(wanted, output.shape[1:], padded, strict=True)]
    return output[:, : lengths[0], : lengths[1], : lengths[2]]


def _one_pass(
    inferer: Any, step: _Counted, image: torch.Tensor, window: tuple[int, ...], device: Device
) -> torch.Tensor:
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
    overlaps = inferer.overlap if isinstance(inferer.overlap, (list, tuple)) else [inferer.overlap] * 3
    steps = [
        size if size == length else max(1, int(size * (1 - overlap)))
        for size, length, overlap in zip(window, shape, overlaps, strict=True)
    ]
    return len(dense_patch_slices(list(shape), window, steps))


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
