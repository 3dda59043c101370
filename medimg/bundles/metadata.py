"""A recipe drawn from a bundle's own metadata, where that says enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medimg.bundles.closure import is_detection
from medimg.bundles.folder import METADATA, read_config, read_metadata
from medimg.bundles.recipe import Recipe
from medimg.errors import PipelineError
from medimg.pipeline import PipelineInput
from medimg.study import MR_ROLE_ALIASES

MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR"}
"""What metadata calls the modalities that medimg can tell."""


def drawn_recipe(folder: Path) -> Recipe:
    """The recipe that the bundle's `network_data_format` amounts to.

    Raises PipelineError where it does not say which scans go in, because that is never guessed.
    """
    metadata, config = read_metadata(folder), read_config(folder)
    data_format = _mapping(metadata.get("network_data_format"))
    inputs = _mapping(data_format.get("inputs"))
    if len(inputs) != 1:
        raise _needs_recipe(folder, f"names {len(inputs)} inputs of the network, not one")
    ((name, image),) = inputs.items()
    detection = is_detection(config)
    outputs = _mapping(_mapping(_mapping(data_format.get("outputs")).get("pred")).get("channel_def"))
    names = _in_order(outputs)
    return Recipe(
        name=folder.resolve().name,
        task="detection" if detection else "segmentation",
        inputs=_inputs(folder, str(name), _mapping(image)),
        version=str(metadata.get("version", "")),
        title=str(metadata.get("name", "")),
        channels=() if detection else tuple(names),
        classes=tuple(names) if detection else (),
    )


def _inputs(folder: Path, name: str, image: Mapping[str, Any]) -> tuple[PipelineInput, ...]:
    modality = MODALITIES.get(str(image.get("modality", "")).upper())
    if modality is None:
        raise _needs_recipe(folder, f"gives input {name} the modality {image.get('modality')!r}, not CT or MR")
    channels = _in_order(_mapping(image.get("channel_def")))
    count = image.get("num_channels", len(channels))
    if count == 1:
        return (PipelineInput(modality.lower(), modality),)
    roles = [MR_ROLE_ALIASES.get(channel.lower(), _slug(channel)) for channel in channels]
    if count != len(roles) or len(set(roles)) != len(roles) or not all(roles):
        raise _needs_recipe(folder, f"says that input {name} has {count} channels, and calls them {channels}")
    return tuple(PipelineInput(role, modality) for role in roles)


def _needs_recipe(folder: Path, why: str) -> PipelineError:
    return PipelineError(f"{folder / METADATA} {why}; say what the bundle takes with --recipe (docs/bundles.md)")


def _in_order(channel_def: Mapping[str, Any]) -> list[str]:
    """Names of the channels 0, 1, ...; [] where the numbers do not run from 0."""
    numbered = {int(key): str(value) for key, value in channel_def.items() if str(key).isdigit()}
    return [numbered[index] for index in sorted(numbered)] if sorted(numbered) == list(range(len(numbered))) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
