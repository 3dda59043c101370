"""The network a run begins with: the bundle's own, fresh or trained, or the one its configuration names instead."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import nn

from medimg.bundle import load_bundle
from medimg.errors import TrainingError
from medimg.train.config import TrainConfig


def first_network(config: TrainConfig, bundle: Path) -> nn.Module:
    """Fresh weights, a function of the seed, or those of the bundle when the configuration starts from them.

    Raises PipelineError or TrainingError when it cannot be built.
    """
    torch.manual_seed(config.seed)
    if config.network is None:
        own = load_bundle(bundle)
        return own.trained_network() if config.start == "bundle" else own.network()
    if config.start == "bundle":
        raise TrainingError("train config: start bundle needs the bundle's own network; leave network out")
    try:
        network = ConfigParser({"network": config.network}).get_parsed_content("network")
    except (KeyError, ValueError, RuntimeError, ImportError, TypeError) as error:
        raise TrainingError(f"train config: cannot build the network: {' '.join(str(error).split())}") from error
    if not isinstance(network, nn.Module):
        raise TrainingError(f"train config: network {config.network['_target_']} is not a torch module")
    return network
