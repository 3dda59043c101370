"""What a segmentation bundle's postprocessing amounts to: argmax, thresholds painted in order, or its own steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.transforms import Activationsd, AsDiscreted, Compose

from medimg.bundle import Bundle
from medimg.bundles.closure import LEFT_OUT, follow, target_of
from medimg.bundles.recipe import Recipe
from medimg.errors import PipelineError
from medimg.inference.model import ARGMAX, OWN, PAINT, Decision

RESAMPLING = frozenset({"Spacingd", "Resized", "SpatialResampled", "ResampleToMatchd", "Zoomd", "Rotated", "Affined"})
"""Transforms whose inverse interpolates: only after these does it matter whether scores or labels go back."""

WITHOUT_EFFECT = frozenset({"EnsureTyped", "ToTensord", "ToDeviced", "DeleteItemsd", "SelectItemsd", "CastToTyped"})
"""On the values of a label map."""

KEEPING_LABELS = frozenset({"KeepLargestConnectedComponentd", "FillHolesd", "RemoveSmallObjectsd", "LabelFilterd"})
"""Transforms after an argmax that may take voxels away from a label, but give none another meaning."""

INVERT = "Invert"
"""What the names of MONAI's inverting transforms begin with."""


def decision(bundle: Bundle, recipe: Recipe) -> Decision:
    """The decision of the bundle's postprocessing, with what the recipe says of its outputs.

    Raises PipelineError where nothing says what the outputs mean: that is never guessed.
    """
    if "postprocessing" not in bundle.parser:
        raise PipelineError(f"{bundle.where}: no postprocessing says what the outputs mean; write a recipe")
    chain = bundle.transforms("postprocessing").transforms
    before, interpolated = _until_inverted(bundle, len(chain))
    steps = [entry for entry in chain if type(entry).__name__ not in WITHOUT_EFFECT]
    discrete = [entry for entry in steps if isinstance(entry, AsDiscreted)]
    activations = [entry for entry in steps if isinstance(entry, Activationsd)]
    plain = len(discrete) == 1 and len(steps) == len(activations) + 1 and not any(any(e.other) for e in activations)
    sigmoid = any(any(entry.sigmoid) for entry in activations)
    deciding = [e for e in chain[:before] if type(e).__name__ not in WITHOUT_EFFECT and not isinstance(e, Activationsd)]
    back = interpolated and not deciding
    labels = dict(recipe.labels)
    numbered = labels or {value: name for value, name in enumerate(recipe.channels) if value}
    _require_one_key(bundle, chain)
    if recipe.paint and not sigmoid:
        raise PipelineError(
            f"{bundle.where}: the recipe paints where a sigmoid passes a threshold; there is no sigmoid"
        )
    if recipe.paint:
        painted = tuple((recipe.channels.index(channel), value) for channel, value in recipe.paint.items())
        return Decision(PAINT, labels, _threshold(bundle, recipe, discrete), painted, scores_go_back=back)
    if plain and any(discrete[0].argmax):
        return Decision(ARGMAX, numbered, scores_go_back=back)
    if plain and sigmoid and len(recipe.channels) == 1:
        named = labels or {1: recipe.channels[0]}
        return Decision(PAINT, named, _threshold(bundle, recipe, discrete), ((0, 1),), scores_go_back=back)
    if plain and len(recipe.channels) > 1:
        raise PipelineError(
            f"{bundle.where}: {len(recipe.channels)} outputs are each compared with a threshold and may overlap; "
            "say in a recipe which label each becomes (channels, labels, paint; docs/bundles.md)"
        )
    others = {type(entry).__name__ for entry in steps if not isinstance(entry, (Activationsd, AsDiscreted))}
    if discrete and any(discrete[0].argmax) and others <= KEEPING_LABELS:
        labels = numbered
    steps_before, steps_after = _applied(chain[:before]), _applied(chain[before:])
    return Decision(OWN, labels, before=steps_before, after=steps_after, scores_go_back=interpolated)


def _require_one_key(bundle: Bundle, chain: Sequence[Any]) -> None:
    keys = {str(key) for entry in chain for key in getattr(entry, "keys", ())}
    if len(keys) > 1:
        raise PipelineError(f"{bundle.where}: the postprocessing works on {sorted(keys)}, not on one prediction")


def _until_inverted(bundle: Bundle, length: int) -> tuple[int, bool]:
    """How many of the transforms come before the inversion, and whether that interpolates."""
    entries = follow(bundle.config, bundle.config["postprocessing"])["transforms"]
    kept = 0
    for entry in entries:
        name = target_of(entry)
        if name.startswith(INVERT):
            nearest = follow(bundle.config, entry.get("nearest_interp", True))
            resampled = {type(transform).__name__ for transform in bundle.preprocessing.transforms} & RESAMPLING
            return min(kept, length), nearest is False and bool(resampled)
        kept += not LEFT_OUT.search(name)
    return length, False


def _threshold(bundle: Bundle, recipe: Recipe, discrete: Sequence[AsDiscreted]) -> float:
    """Of the sigmoid: the recipe's, else the bundle's."""
    if recipe.threshold is not None:
        return recipe.threshold
    if len(discrete) == 1 and discrete[0].threshold[0] is not None:
        return float(discrete[0].threshold[0])
    raise PipelineError(f"{bundle.where}: no threshold for the outputs; say one in the recipe")


def _applied(transforms: Sequence[Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The dictionary transforms on one tensor."""
    chain = Compose(list(transforms))
    key = next((key for transform in transforms for key in getattr(transform, "keys", ())), "pred")

    def apply(pred: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = chain({key: pred})[key]
        return result

    return apply
