"""Which runner a network gets on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medimg.inference.network import Network, Runner
from medimg.inference.options import Engine

if TYPE_CHECKING:
    from medimg.inference.device import Device


def start_runner(network: Network, device: Device, engine: Engine) -> Runner:
    """What runs the network on that device."""
    if device.backend == "openvino" and network.digest is not None:
        from medimg.inference.openvino_runner import OpenVinoRunner

        return OpenVinoRunner(network, device.precision, engine.threads)
    from medimg.inference.torch_runner import TorchRunner

    return TorchRunner(network.build(), device)
