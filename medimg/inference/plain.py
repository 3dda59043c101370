"""What surrounds a network, as plain data: beside its compiled form, a scan needs neither torch nor MONAI.

`medimg.inference.describe_plain` says of which bundles that can be told. In float32, too, z-scores are medimg's own
sums here, which differ from MONAI's by rounding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import medimg
from medimg import files
from medimg.bundles.home import compiled, writable
from medimg.inference.inside import answer_inside, label_map
from medimg.inference.intensity import standardize
from medimg.inference.model import Decision
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.plan import Windows
from medimg.inference.prepare import stacked_array
from medimg.inference.resample import labels_on_grid
from medimg.progress import Progress, silent
from medimg.study import Volume

if TYPE_CHECKING:
    from medimg.inference.device import Device

DESCRIBED_BY = ("monai", "torch")
"""Packages whose meaning of a configuration is remembered: of another version, it is looked at again."""


@dataclass(frozen=True)
class ZScore:
    """(x - mean) / standard deviation, of each channel or of all; `nonzero`: zeros are not counted and stay zeros."""

    channel_wise: bool
    nonzero: bool

    def apply(self, channels: NDArray[np.float32]) -> None:
        """In place, to channels (C, I, J, K)."""
        for part in channels if self.channel_wise else [channels]:
            standardize(part, self.nonzero)


@dataclass(frozen=True)
class PlainModel:
    """A segmentation network that is shown z-scores on the scan's own grid, and whose labels are decided at once.

    orientation: axis codes the volumes are turned to. steps: what is done to the intensities, in this order. decision:
    by argmax or painted. digest: SHA-256 of configuration and weights, under which the network is compiled.
    """

    name: str
    digest: str
    orientation: str
    steps: tuple[ZScore, ...]
    windows: Windows
    decision: Decision


def plain_labels(
    model: PlainModel,
    networks: Sequence[Network],
    volumes: Sequence[Volume],
    device: Device,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> NDArray[np.uint8]:
    """Label map (I, J, K) of the volumes (channel order, one grid) on the grid of the first.

    networks: the model's own, or those of an ensemble. Raises PipelineError when one does not give what its bundle
    says.
    """
    turned = [volume.turned(model.orientation) for volume in volumes]
    values = stacked_array(turned)
    for step in model.steps:
        step.apply(values)
    affine, source = turned[0].affine_ras, volumes[0]
    labels = answer_inside(
        networks, values, affine, source, model.windows, model.decision, device, progress, engine or Engine()
    )
    return labels_on_grid(label_map(labels, model.name), affine, source.shape, source.affine_ras)


def remembered(key: str) -> PlainModel | None:
    """What `remember` wrote under `key`; None where nothing was, or what is there cannot be read."""
    try:
        told = json.loads(_file_of(key).read_text(encoding="utf-8"))
        decision = told["decision"]
        return PlainModel(
            name=told["name"],
            digest=told["digest"],
            orientation=told["orientation"],
            steps=tuple(ZScore(**step) for step in told["steps"]),
            windows=Windows(**{name: _tuple(value) for name, value in told["windows"].items()}),
            decision=Decision(
                rule=decision["rule"],
                labels={int(value): label for value, label in decision["labels"].items()},
                threshold=decision["threshold"],
                paint=_tuple(decision["paint"]),
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError):
        return None


def remember(key: str, model: PlainModel) -> None:
    """Keep the description. key: digest of what it was made of. Raises OutputError where it cannot be written, and
    ImportError where nobody knows the version of torch or MONAI."""
    writable(compiled())
    files.write_json(_file_of(key), asdict(model))


def _file_of(key: str) -> Path:
    versions = [medimg.__version__, *(f"{name} {metadata.version(name)}" for name in DESCRIBED_BY)]
    name = hashlib.sha256("\0".join([key, *versions]).encode()).hexdigest()[:32]
    return compiled() / f"plain-{name}.json"


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
