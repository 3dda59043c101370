"""How much memory a pass of a network takes, told without running it: torch's fake tensors have sizes but no values."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medimg.inference.device import Device
from medimg.inference.memory import Footprint


def footprint(module: nn.Module, shape: Sequence[int], device: Device) -> Footprint:
    """Of one pass over a batch of `shape` (B, C, i, j, k): the largest sum of tensors alive at one time."""
    # a fake tensor on this device, so that autocast casts as it will
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), _Alive() as alive, device.autocast:
        batch = torch.empty(tuple(shape), device=device.device)
        outputs = [output.float() for output in flat(module(batch))]
        return Footprint(alive.most, tuple((int(o.shape[1]), int(o[0, 0].numel())) for o in outputs))


def flat(output: Any) -> list[torch.Tensor]:
    """The tensors of a network's output, dictionaries and lists in their order."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]


class Flattened(nn.Module):
    """A network that gives a tuple of tensors, whatever it gives: what converters take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, C, i, j, k) to the outputs in their order."""
        return tuple(flat(self.network(batch)))


class _Alive(TorchDispatchMode):
    """Counts the bytes of the storages that tensors made inside still hold."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._holders: dict[int, int] = {}
        self._known: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            # a network that looks at its values, for NaN as a rule: a fake tensor has none
            return args[0].dtype.is_floating_point * 0.0 if args[0].dtype != torch.bool else False
        output = func(*args, **(kwargs or {}))
        for tensor in flat(output):
            if self._known.get(id(tensor)) is not tensor:
                self._hold(tensor)
        return output

    def _hold(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self._known[id(tensor)] = tensor
        if key not in self._holders:
            self.now += size
            self.most = max(self.most, self.now)
        self._holders[key] = self._holders.get(key, 0) + 1
        weakref.finalize(tensor, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self.now -= size
