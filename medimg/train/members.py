"""An ensemble in a bundle: `network_def` becomes the mean of several networks, built of torch alone, and back.

The networks answer one after the other, each on its own mirror image; their outputs (logits, and the logarithm of a
diameter) are averaged, as test-time mirrors of one network are. So an ensemble costs what mirrors cost.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from medimg.bundle import MEMBER, MIRRORED

MEAN = (
    "$type('Ensemble', (torch.nn.ModuleList,), {'__module__': 'torch.nn', 'forward': lambda self, image: "
    "sum((member(image.flip(axes)).flip(axes) if axes else member(image)).float() "
    f"for member, axes in zip(self, @{MIRRORED})) / len(self)}})"
    f"(copy.deepcopy(@{MEMBER}) for _ in @{MIRRORED})"
)
"""A `network_def` that MONAI evaluates without medimg: a ModuleList whose forward is the members' mean, in float32.

torch.export asks a class for its module, which `type` does not set in an evaluated expression; OpenVINO knows no flip
along no axis."""

IMPORTS = ("$import torch", "$import copy")
"""What MEAN uses."""

Weights = dict[str, Tensor]


def as_ensemble(config: dict[str, Any], axes: list[list[int]]) -> dict[str, Any]:
    """The inference.json of a single network as that of an ensemble. axes: those of (N, C, I, J, K) each member's
    image is flipped along."""
    imports = config.get("imports", [])
    return {
        **config,
        "imports": [*imports, *(line for line in IMPORTS if line not in imports)],
        MEMBER: config["network_def"],
        MIRRORED: axes,
        "network_def": MEAN,
    }


def as_single(config: dict[str, Any]) -> dict[str, Any]:
    """The inference.json of an ensemble as that of one of its members; any other as it is."""
    if MEMBER not in config:
        return config
    rest = {name: value for name, value in config.items() if name not in (MEMBER, MIRRORED)}
    return {**rest, "network_def": config[MEMBER]}


def joined(members: list[Weights]) -> Weights:
    """State dicts of the members as that of the ensemble: a ModuleList names its modules by their number."""
    return {f"{number}.{name}": value for number, state in enumerate(members) for name, value in state.items()}


def first_member(state: Weights, names: set[str]) -> Weights:
    """The first network of an ensemble's state dict, given the names of a single network's; any other as it is."""
    first = {name.removeprefix("0."): value for name, value in state.items() if name.startswith("0.")}
    return first if set(state) != names and set(first) == names else state


def halved(state: Weights) -> Weights:
    """Kernels in half precision; what has one axis (biases, BatchNorm's statistics), or does not fit, as it is.

    Half precision has 11 significant bits, bf16, in which the networks run, has 8.
    """
    return {
        name: _half(value) if value.is_floating_point() and value.ndim > 1 else value for name, value in state.items()
    }


def _half(value: Tensor) -> Tensor:
    half = value.half()
    return half if bool(half.isfinite().all()) else value
