"""Windows through torch: on the GPU or the CPU, in half precision where the hardware multiplies it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from medimg.inference.device import Device
from medimg.inference.footprint import flat, footprint
from medimg.inference.memory import Footprint


class TorchRunner:
    """One network on one device.

    Half precision runs in autocast, with channels_last_3d (several times faster on AMX and tensor cores) and BatchNorm
    folded into the convolutions; float32 on a CPU runs the network as it is, so that its numbers are its author's.
    """

    def __init__(self, network: nn.Module, device: Device) -> None:
        self._device = device
        half = device.precision != "fp32"
        self._format = torch.channels_last_3d if half or device.device.type == "cuda" else torch.contiguous_format
        module = (folded(network) if half else network).to(device.device)
        self.module: nn.Module = module.to(memory_format=self._format)  # type: ignore[call-overload]

    def footprint(self, shape: Sequence[int]) -> Footprint:
        """Memory of one pass over a batch of `shape` (B, C, i, j, k)."""
        cost = footprint(self.module, shape, self._device)
        # float32 in plain layout: each convolution copies what it reads and writes into oneDNN's own layout
        plain = self._format is torch.contiguous_format
        return replace(cost, working=2 * cost.working) if plain else cost

    def prepare(self, shape: Sequence[int]) -> None:
        """Nothing: torch takes every shape."""

    # no_grad, not inference_mode: the stitcher adds to these tensors outside of it
    @torch.no_grad()
    def __call__(self, windows: NDArray[np.float32]) -> tuple[torch.Tensor, ...]:
        """float32 (B, C, i, j, k) to the network's outputs in float32, on the network's device."""
        batch = torch.from_numpy(np.ascontiguousarray(windows)).to(self._device.device)
        with self._device.autocast:
            outputs = flat(self.module(batch.contiguous(memory_format=self._format)))
        return tuple(output.float() for output in outputs)


def folded(network: nn.Module) -> nn.Module:
    """A copy of the network in eval mode with each BatchNorm that follows a convolution in a chain folded into it.

    A chain is a torch Sequential, and those within it. What a network's own forward pass does between two modules
    cannot be seen from outside; there nothing is folded.
    """
    if not any(isinstance(module, nn.BatchNorm3d) for module in network.modules()):
        return network
    copy = deepcopy(network).eval()
    for module in copy.modules():
        if _is_chain(module):
            _fold_chain(module)
    return copy


def _is_chain(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _fold_chain(chain: nn.Module) -> None:
    links = list(_links(chain))
    for (owner, name), (next_owner, next_name) in pairwise(links):
        convolution, norm = getattr(owner, name), getattr(next_owner, next_name)
        if isinstance(convolution, (nn.Conv3d, nn.ConvTranspose3d)) and isinstance(norm, nn.BatchNorm3d):
            transposed = isinstance(convolution, nn.ConvTranspose3d)
            setattr(owner, name, fuse_conv_bn_eval(convolution, norm, transpose=transposed))
            setattr(next_owner, next_name, nn.Identity())


def _links(chain: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """(owner, name) of what a chain runs, in its order; chains within it are gone through."""
    for name, child in chain.named_children():
        if _is_chain(child):
            yield from _links(child)
        else:
            yield chain, name
