"""The network a run begins with: the bundle's own, fresh or trained, or the one its configuration names instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from medimg.bundle import load_bundle, load_weights
from medimg.errors import TrainingError
from medimg.train.config import TrainConfig


def fresh_network(config: TrainConfig, bundle: Path, start: Path | None = None, *, trusted: bool = False) -> nn.Module:
    """The network with the weights at `start`, or fresh ones, a function of the seed.

    Raises PipelineError or TrainingError when it cannot be built or `start` holds the weights of another one,
    UntrustedBundleError for a bundle that nobody vouches for, whichever network is trained.
    """
    torch.manual_seed(config.seed)
    source = load_bundle(bundle, trusted=trusted)
    network = source.network() if config.network is None else _named(config.network)
    if start is not None:
        load_weights(network, start)
    return network


def _named(component: dict[str, Any]) -> nn.Module:
    """The network of a MONAI component."""
    try:
        network = ConfigParser({"network": component}).get_parsed_content("network")
    except (KeyError, ValueError, RuntimeError, ImportError, TypeError) as error:
        raise TrainingError(f"train config: cannot build the network: {' '.join(str(error).split())}") from error
    if not isinstance(network, nn.Module):
        raise TrainingError(f"train config: network {component['_target_']} is not a torch module")
    return network
