"""A pipeline's own network over a whole image: every logit is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medimg.bundle import Bundle
from medimg.inference.decide import Keep
from medimg.inference.engine import predict
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.plan import Windows
from medimg.progress import Progress, silent

if TYPE_CHECKING:
    from medimg.inference.device import Device


def logit_maps(
    bundle: Bundle,
    network: Network,
    image: NDArray[np.float32],
    device: Device,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> NDArray[np.float32]:
    """Logits (C', I', J', K') of image (C, I, J, K), at the network's own stride, in the windows of the bundle.

    Windows are cut down to the image: pipelines have no statistics over a window (docs/train.md).
    """
    windows = Windows.of(bundle.inferer, fitted=True)
    maps: NDArray[np.float32] = predict([network], image, windows, Keep(), device, progress, engine=engine)
    return maps
