"""A MONAI bundle as a pipeline: the same stages, wired by a recipe instead of a pipeline.yaml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from medimg import files
from medimg.bundles.closure import needed
from medimg.bundles.folder import config_path, inside, read_config, read_metadata
from medimg.bundles.home import library
from medimg.bundles.metadata import drawn_recipe
from medimg.bundles.recipe import Recipe, read_recipe, recipe_for, shipped_recipes
from medimg.bundles.trust import audit, require_trust
from medimg.errors import PipelineError, UsageError
from medimg.pipeline import Pipeline, Stage, load_pipeline

REPORT_FORMATS = ["json", "csv", "nifti", "html", "png", "pdf", "seg", "sr"]


@dataclass(frozen=True)
class BundlePipeline(Pipeline):
    """A pipeline whose infer stage runs a bundle by its recipe.

    executes: digest of what the bundle would execute. members: further bundles of an ensemble, which differ from this
    one in nothing but the network.
    """

    recipe: Recipe = field(kw_only=True)
    executes: str = field(kw_only=True)
    members: tuple[BundlePipeline, ...] = ()

    @property
    def with_members(self) -> tuple[BundlePipeline, ...]:
        """This one and the members."""
        return (self, *self.members)

    @property
    def weights(self) -> Path:
        """The bundle's weights, where the recipe says they lie."""
        return inside(self.bundle, self.recipe.weights)

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that decides the result: the recipe, the configuration and the weights."""
        digest = hashlib.sha256(json.dumps(asdict(self.recipe), sort_keys=True).encode())
        for path in (config_path(self.bundle), self.weights):
            if path.is_file():
                digest.update(f"{path.name}\0{files.sha256_of_file(path)}\0".encode())
        for member in self.members:
            digest.update(member.sha256.encode())
        return digest.hexdigest()


def bundle_pipeline(name_or_path: str, recipe_path: Path | None = None, *, trusted: bool = False) -> BundlePipeline:
    """The bundle in a folder, or of that name in the library, ready to run.

    recipe_path: a recipe of the user's own; else the shipped one for this bundle, else what its metadata says.
    Raises UsageError when there is no such bundle, UntrustedBundleError when it must not run, PipelineError when it
    cannot.
    """
    folder = find_bundle(name_or_path)
    recipe = chosen_recipe(folder, recipe_path)
    config = read_config(folder)
    changed = recipe.applied(config)
    found = audit(folder, config if recipe.shipped else changed)
    require_trust(found, trusted)
    metadata = read_metadata(folder)
    made = BundlePipeline(
        name=recipe.name,
        version=str(metadata.get("version") or recipe.version or "unknown"),
        title=recipe.title or recipe.name,
        task=recipe.task,
        licence=recipe.licence,
        inputs=recipe.inputs,
        stages=_stages(recipe),
        folder=folder,
        bundle=folder,
        automatic=False,
        trusted=trusted,
        recipe=recipe,
        executes=found.digest,
    )
    if not made.weights.is_file():
        raise PipelineError(
            f"no weights at {made.weights}; medimg bundle download {recipe.name} fetches a whole bundle"
        )
    return made


def bundle_ensemble(names: Sequence[str], recipe_path: Path | None = None, *, trusted: bool = False) -> BundlePipeline:
    """One bundle, or several whose answers are averaged.

    Raises what `bundle_pipeline` raises, and UsageError for a bundle that is given twice or that differs from the first
    in more than its network: other preprocessing, windows or postprocessing.
    """
    first, *others = [bundle_pipeline(name, recipe_path, trusted=trusted) for name in names]
    if len({pipeline.sha256 for pipeline in (first, *others)}) <= len(others):
        raise UsageError("a bundle is given twice; an ensemble averages different networks")
    for name, other in zip(names[1:], others, strict=True):
        if _around_network(other) != _around_network(first):
            raise UsageError(
                f"{name} prepares, divides or decides otherwise than {names[0]}; the bundles of an ensemble differ in "
                "their network alone"
            )
    return replace(first, members=tuple(others))


def _around_network(pipeline: BundlePipeline) -> dict[str, Any]:
    """What would be executed but for the network."""
    config = pipeline.recipe.applied(read_config(pipeline.bundle))
    return needed({**config, "imports": [], "network_def": None, "member_def": None, "member_axes": None})


def named_pipeline(name_or_path: str, *, trusted: bool = False) -> Pipeline:
    """A pipeline, or else a bundle, by its name or path. Raises UsageError when there is neither, and as each does."""
    try:
        return load_pipeline(name_or_path, trusted=trusted)
    except UsageError as no_pipeline:
        try:
            return bundle_pipeline(name_or_path, trusted=trusted)
        except UsageError as no_bundle:
            raise UsageError(f"{no_pipeline}; {no_bundle}") from no_bundle


def require_trusted(pipeline: Pipeline) -> None:
    """Raise UntrustedBundleError now for a pipeline whose bundle would be refused later. A bundle was asked already."""
    if pipeline.has_network and not isinstance(pipeline, BundlePipeline):
        require_trust(audit(pipeline.bundle), pipeline.trusted)


def find_bundle(name_or_path: str) -> Path:
    """The folder itself, or the one of that name in the library. Raises UsageError when there is neither."""
    places = [Path(name_or_path)]
    if places[0].name == name_or_path:  # a name leads nowhere but into the library
        places.append(library() / name_or_path)
    for folder in places:
        if folder.is_dir():
            return folder
    known = sorted(path.name for path in library().glob("*") if path.is_dir())
    told = f"the library holds {', '.join(known)}" if known else "the library is empty"
    fetch = any(recipe.name == name_or_path for recipe in shipped_recipes())
    hint = f"; medimg bundle download {name_or_path} fetches it" if fetch else ""
    raise UsageError(f"no bundle {name_or_path!r}: no such folder, and {told}{hint}")


def chosen_recipe(folder: Path, recipe_path: Path | None = None) -> Recipe:
    """The recipe of the user, else the shipped one, else the one drawn from the metadata."""
    if recipe_path is not None:
        return read_recipe(recipe_path)
    return recipe_for(folder) or drawn_recipe(folder)


def _stages(recipe: Recipe) -> tuple[Stage, ...]:
    infer: dict[str, Any] = {"requires": list(recipe.requires)}
    stages = [Stage("select", {"prefer": recipe.prefer}), Stage("preprocess"), Stage("infer", infer)]
    if recipe.measure is not None:
        stages.append(Stage("measure", dict(recipe.measure)))
    return (*stages, Stage("report", {"formats": REPORT_FORMATS}))
