"""Which runner a network gets on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medimg.inference.kept import kept
from medimg.inference.network import Network, Runner
from medimg.inference.options import Engine

if TYPE_CHECKING:
    from medimg.inference.device import Device


def start_runner(network: Network, device: Device, engine: Engine) -> Runner:
    """What runs the network on that device."""
    if network.digest is None:
        return _started(network, device, engine)
    key = ("runner", network.digest, device, engine.threads)
    return kept(engine, key, lambda: _started(network, device, engine))


def _started(network: Network, device: Device, engine: Engine) -> Runner:
    if device.backend == "openvino" and network.digest is not None:
        from medimg.inference.openvino_runner import OpenVinoRunner

        return OpenVinoRunner(network, device.precision, engine.threads)
    from medimg.inference.torch_runner import TorchRunner

    return TorchRunner(network.build(), device)
