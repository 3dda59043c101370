"""MONAI bundles: the network, its preprocessing and its inferer, read from `configs/inference.json`."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose

from medimg.errors import PipelineError
from medimg.pipeline import INFERENCE_CONFIG, WEIGHTS

METADATA = Path("configs") / "metadata.json"

LOADING_TRANSFORMS = frozenset({"LoadImaged", "EnsureChannelFirstd"})
"""Left out of a bundle's preprocessing: medimg reads and checks the scan itself."""


@dataclass(frozen=True)
class Bundle:
    """A bundle folder and its parsed inference configuration. `$` expressions in it are code: trust it first."""

    folder: Path
    parser: ConfigParser

    @property
    def weights(self) -> Path:
        """The state dict's file."""
        return self.folder / WEIGHTS

    def network(self) -> torch.nn.Module:
        """`network_def` with fresh weights."""
        network = self._content("network_def")
        if not isinstance(network, torch.nn.Module):
            raise PipelineError(f"{self.folder / INFERENCE_CONFIG}: network_def is not a torch module")
        return network

    def trained_network(self) -> torch.nn.Module:
        """`network_def` with the bundle's weights, in eval mode. Raises PipelineError when they do not fit."""
        network = self.network()
        load_weights(network, self.weights)
        return network.eval()

    @cached_property
    def preprocessing(self) -> Compose:
        """The bundle's own transforms on {"image": (C, I, J, K) MetaTensor}, without those that read files."""
        try:
            chain = self.parser["preprocessing"]["transforms"]
        except (KeyError, TypeError) as error:
            raise PipelineError(f"{self.folder / INFERENCE_CONFIG}: no preprocessing with transforms in it") from error
        kept = [index for index, entry in enumerate(chain) if _target(entry) not in LOADING_TRANSFORMS]
        return Compose([self._content(f"preprocessing::transforms::{index}") for index in kept])

    @cached_property
    def inferer(self) -> Any:
        """The bundle's SlidingWindowInferer, for its window (`roi_size`), `overlap`, `mode` and padding."""
        inferer = self._content("inferer")
        if not isinstance(inferer, SlidingWindowInferer):
            raise PipelineError(f"{self.folder / INFERENCE_CONFIG}: inferer must be a SlidingWindowInferer")
        return inferer

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """`configs/metadata.json`."""
        return _read_json(self.folder / METADATA)

    def _content(self, key: str) -> Any:
        try:
            # a fresh parse each time: MONAI would otherwise hand out one shared instance
            return self.parser.get_parsed_content(key, lazy=False, eval_expr=True)
        except (KeyError, ValueError, RuntimeError, ImportError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise PipelineError(f"{self.folder / INFERENCE_CONFIG}: cannot build {key}: {reason}") from error


def load_bundle(folder: Path) -> Bundle:
    """Read the bundle in `folder`; nothing is built or evaluated yet. Raises PipelineError."""
    config = _read_json(folder / INFERENCE_CONFIG)
    parser = ConfigParser(config)
    parser["bundle_root"] = str(folder)
    parser["device"] = "$torch.device('cpu')"
    return Bundle(folder, parser)


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Put the state dict at `path` into `network`. Raises PipelineError when there is none or it does not fit."""
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise PipelineError(f"no weights at {path}; train them with medimg train") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
        raise PipelineError(f"{path} does not hold the weights of this bundle's network") from error


def _target(entry: dict[str, Any]) -> str:
    return str(entry.get("_target_", "")).rpartition(".")[2]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PipelineError(f"cannot read the bundle file {path}: {error}") from error
    if not isinstance(document, dict):
        raise PipelineError(f"{path} is not a mapping")
    return document
