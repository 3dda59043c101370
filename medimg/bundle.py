"""MONAI bundles: the network, its transforms and its inferer, built from the inference configuration.

Only the part of the configuration that these need is given to MONAI's parser, and only of a bundle that is trusted
(`medimg.bundles.trust`): its `$` expressions and targets are code.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose

from medimg.bundles.closure import needed
from medimg.bundles.folder import METADATA, config_path, inside, read_config, read_mapping
from medimg.bundles.recipe import Recipe
from medimg.bundles.trust import audit, require_trust
from medimg.errors import PipelineError
from medimg.pipeline import WEIGHTS

BUILD_ERRORS = (KeyError, ValueError, RuntimeError, ImportError, TypeError, AttributeError)
"""What MONAI's parser raises for a component that cannot be built."""

NESTED_WEIGHTS = "model"
"""The key of a checkpoint that holds more than the network's state (ignite's CheckpointLoader)."""

MEMBER, MIRRORED = "member_def", "member_axes"
"""In the inference.json of an ensemble: one of its networks, and the axes of the image each of them sees flipped."""

Choice = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Bundle:
    """A trusted bundle folder. config: its whole inference configuration as data; parser: the part that is built.

    scripts: code files of the folder that this part mentions; they can be imported while it is built. digest: SHA-256
    of what is executed.
    """

    folder: Path
    config: Mapping[str, Any]
    parser: ConfigParser
    scripts: tuple[str, ...] = ()
    weights_name: str = WEIGHTS.as_posix()
    digest: str = ""

    @property
    def weights(self) -> Path:
        """The state dict's file. Raises PipelineError where it leads out of the folder."""
        return inside(self.folder, self.weights_name)

    def network(self) -> torch.nn.Module:
        """`network_def` with fresh weights."""
        return self._network("network_def")

    @property
    def members(self) -> int:
        """How many networks `network_def` averages; 1 unless `medimg ensemble` packed it."""
        return len(self.parser.get(MIRRORED, ())) or 1

    def member(self) -> torch.nn.Module:
        """One network of an ensemble, else `network_def`, with fresh weights: what training begins with."""
        return self._network("network_def" if self.parser.get(MEMBER) is None else MEMBER)

    def trained_network(self) -> torch.nn.Module:
        """`network_def` with the bundle's weights, in eval mode. Raises PipelineError when they do not fit."""
        network = self.network()
        load_weights(network, self.weights)
        return network.eval()

    @cached_property
    def preprocessing(self) -> Compose:
        """The bundle's own transforms on {"image": (C, I, J, K) MetaTensor}, without those that read files."""
        return self.transforms("preprocessing")

    def transforms(self, name: str) -> Compose:
        """A chain of transforms without those that medimg does itself. Raises PipelineError when it is none."""
        chain = self.parser.get(name)
        if not isinstance(chain, dict) or not isinstance(chain.get("transforms"), list):
            raise PipelineError(f"{self.where}: no {name} with transforms in it")
        made = self.content(name)
        if not isinstance(made, Compose):
            raise PipelineError(f"{self.where}: {name} must be a Compose")
        return made

    @cached_property
    def inferer(self) -> Any:
        """The bundle's SlidingWindowInferer, for its window (`roi_size`), `overlap`, `mode` and padding."""
        inferer = self.content("inferer")
        if not isinstance(inferer, SlidingWindowInferer):
            raise PipelineError(f"{self.where}: inferer must be a SlidingWindowInferer")
        return inferer

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """`configs/metadata.json`."""
        return read_mapping(inside(self.folder, METADATA))

    def _network(self, key: str) -> torch.nn.Module:
        network = self.content(key)
        if not isinstance(network, torch.nn.Module):
            raise PipelineError(f"{self.where}: {key} is not a torch module")
        return network

    @property
    def where(self) -> Path:
        """The inference configuration's file, for messages."""
        return config_path(self.folder)

    def content(self, *keys: str) -> Any:
        """What an id stands for, built; of several ids the first, with whatever the others do to it."""
        with _importable(self.folder, self.scripts), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a bundle that nobody here may change, about arguments it does not give
            try:
                # a fresh parse each time: MONAI would otherwise hand out one shared instance
                self.parser.parse(reset=True)
                built = [self.parser.get_parsed_content(key) for key in keys]
            except BUILD_ERRORS as error:
                raise PipelineError(f"{self.where}: cannot build {keys[0]}: {_root_cause(error)}") from error
        return built[0]


def load_bundle(folder: Path, *, trusted: bool = False, recipe: Recipe | None = None) -> Bundle:
    """Read the bundle in `folder`, with what `recipe` changes in it; nothing is built or evaluated yet.

    Raises PipelineError when it cannot be read, UntrustedBundleError when neither its digest is known nor `trusted`.
    A recipe of the user's own counts as part of what must be trusted.
    """
    config = read_config(folder)
    changed = config if recipe is None else recipe.applied(config)
    found = audit(folder, config if recipe is None or recipe.shipped else changed)
    require_trust(found, trusted)
    closure = needed(changed)
    parser = ConfigParser(deepcopy(closure))
    parser["bundle_root"] = str(folder)
    parser["device"] = "$torch.device('cpu')"
    weights = WEIGHTS.as_posix() if recipe is None else recipe.weights
    return Bundle(folder, changed, parser, found.scripts, weights, found.digest)


def load_weights(network: torch.nn.Module, path: Path, chosen: Choice = lambda state: state) -> None:
    """Put the state dict at `path`, or what `chosen` takes of it, into `network`.

    Raises PipelineError when there is none or it does not fit.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(chosen(state.get(NESTED_WEIGHTS, state)))
    except FileNotFoundError as error:
        raise PipelineError(
            f"no weights at {path}; train them with medimg train, or download the bundle again"
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError, OSError) as error:
        raise PipelineError(
            f"{path} does not hold the weights of this bundle's network; download the bundle again, or train it"
        ) from error


@contextlib.contextmanager
def _importable(folder: Path, scripts: tuple[str, ...]) -> Iterator[None]:
    """Let the folder's own code be imported inside; forget it afterwards, because every bundle calls it `scripts`.

    Its caches of bytecode are not looked at: they are no part of what was trusted.
    """
    if not scripts:
        yield
        return
    before, prefix, writes_not = set(sys.modules), sys.pycache_prefix, sys.dont_write_bytecode
    sys.path.insert(0, str(folder.resolve()))
    with tempfile.TemporaryDirectory() as empty:
        sys.pycache_prefix, sys.dont_write_bytecode = empty, True
        try:
            yield
        finally:
            sys.path.remove(str(folder.resolve()))
            sys.pycache_prefix, sys.dont_write_bytecode = prefix, writes_not
            for name in set(sys.modules) - before:
                if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder.resolve())):
                    del sys.modules[name]


def _root_cause(error: BaseException) -> str:
    """The first line of the error that MONAI's parser wrapped into others, with the wrapping's own."""
    told = " ".join(str(error).split())
    cause = error.__cause__
    return told if cause is None else f"{told[:200]}: {' '.join(str(cause).split())}"
