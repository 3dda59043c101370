"""Recipes: what a bundle leaves unsaid, so that a scan can be given to it. YAML, or drawn from its metadata.

docs/bundles.md describes the file. A recipe says which scans the bundle takes and in which order, what must hold of
them, what its outputs mean, and which ids of its configuration are to be other than it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from medimg.bundles.folder import read_mapping, read_metadata
from medimg.errors import PipelineError
from medimg.pipeline import NUMBER, PRECONDITIONS, TASKS, WEIGHTS, PipelineInput

SCHEMA = "medimg.recipe/1"
FOLDER = Path(__file__).with_name("recipes")

FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": str,
    "name": str,
    "version": str,
    "title": str,
    "task": str,
    "licence": str,
    "bundle_names": list,
    "trusts": list,
    "inputs": list,
    "prefer": str,
    "orientation": str,
    "requires": list,
    "spacing_mm": list,
    "preconditions": list,
    "config": dict,
    "weights": str,
    "channels": list,
    "labels": dict,
    "paint": dict,
    "threshold": NUMBER,
    "classes": list,
    "measure": dict,
}
"""Field -> type; nothing else may stand in a recipe."""

NEEDED = ("schema", "name", "task", "inputs")


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    version: of the bundle it was written for, "" for any. bundle_names: `name` of the metadata of such bundles.
    trusts: digests of configurations known to be what they should be. inputs: in channel order. orientation: axis
    codes a scan is turned to before the bundle's own preprocessing, None where that turns it itself. requires,
    spacing_mm: checked before the network runs; preconditions: told, because nothing can check them.
    config: top-level ids of the inference configuration to be set otherwise. channels: names of the outputs in their
    order; labels: value -> name of the label map; paint: channel -> value, later over earlier. classes: what a
    detector's classes are called. measure: options of the stage, None: nothing is measured.
    shipped: it comes with medimg.
    """

    name: str
    task: str
    inputs: tuple[PipelineInput, ...]
    version: str = ""
    title: str = ""
    licence: str = "see the bundle"
    bundle_names: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    prefer: str = "only"
    orientation: str | None = None
    requires: tuple[str, ...] = ()
    spacing_mm: tuple[float, float, float] | None = None
    preconditions: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: str = WEIGHTS.as_posix()
    channels: tuple[str, ...] = ()
    labels: Mapping[int, str] = field(default_factory=dict)
    paint: Mapping[str, int] = field(default_factory=dict)
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    measure: Mapping[str, Any] | None = None
    shipped: bool = False

    def applied(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The bundle's configuration as this recipe wants it. Raises PipelineError when it is not what it expects."""
        if absent := sorted(set(self.config) - set(config)):
            raise PipelineError(
                f"recipe {self.name} changes {', '.join(absent)}, which this bundle's configuration does not have; "
                f"it is for version {self.version or '?'}: write another recipe (docs/bundles.md)"
            )
        return {**config, **self.config}

    def fits(self, folder: Path, metadata: Mapping[str, Any]) -> bool:
        """Whether it was written for the bundle in this folder, by the metadata's name or the folder's."""
        names = {self.name, *self.bundle_names}
        return metadata.get("name") in names or folder.resolve().name in names


@cache
def shipped_recipes() -> tuple[Recipe, ...]:
    """The recipes that come with medimg, by name."""
    return tuple(read_recipe(path, shipped=True) for path in sorted(FOLDER.glob("*.yaml")))


def recipe_for(folder: Path) -> Recipe | None:
    """The shipped recipe that was written for this bundle, None when there is none."""
    metadata = read_metadata(folder)
    return next((recipe for recipe in shipped_recipes() if recipe.fits(folder, metadata)), None)


def read_recipe(path: Path, *, shipped: bool = False) -> Recipe:
    """Read and check a recipe. Raises PipelineError naming what is wrong and where."""
    document = read_mapping(path)
    if document.get("schema") != SCHEMA:
        raise PipelineError(f'{path} is no recipe: it must say "schema: {SCHEMA}"; see docs/bundles.md')
    if missing := [name for name in NEEDED if not document.get(name)]:
        raise PipelineError(f"{path}: {', '.join(missing)} not given; see docs/bundles.md")
    for name, value in document.items():
        if name not in FIELDS:
            raise PipelineError(f"{path}: a recipe has no field {name!r}; it has {', '.join(FIELDS)}")
        if not isinstance(value, FIELDS[name]) or isinstance(value, bool):
            raise PipelineError(f"{path}: {name} cannot be {value!r}; see docs/bundles.md")
    try:
        made = _made({name: value for name, value in document.items() if name != "schema"}, shipped)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise PipelineError(f"{path}: {error}; see docs/bundles.md") from error
    _check(path, made)
    return made


def _made(fields: dict[str, Any], shipped: bool) -> Recipe:
    for name in ("bundle_names", "trusts", "requires", "preconditions", "channels", "classes"):
        if name in fields:
            fields[name] = tuple(map(str, fields[name]))
    fields["inputs"] = tuple(PipelineInput(str(entry["role"]), str(entry["modality"])) for entry in fields["inputs"])
    if "labels" in fields:
        fields["labels"] = {int(value): str(name) for value, name in fields["labels"].items()}
    if "paint" in fields:
        fields["paint"] = {str(channel): int(value) for channel, value in fields["paint"].items()}
    if "spacing_mm" in fields:
        i, j, k = map(float, fields["spacing_mm"])
        fields["spacing_mm"] = (i, j, k)
    return Recipe(**fields, shipped=shipped)


def _check(path: Path, made: Recipe) -> None:
    if made.task not in TASKS:
        raise PipelineError(f"{path}: task {made.task!r}; choose one of {', '.join(TASKS)}")
    if unknown := sorted(set(made.requires) - set(PRECONDITIONS)):
        raise PipelineError(f"{path}: requires {', '.join(unknown)}; known are {', '.join(PRECONDITIONS)}")
    if made.orientation is not None and not _is_orientation(made.orientation):
        raise PipelineError(f"{path}: orientation {made.orientation!r}; write three axis codes such as RAS or LPS")
    if set(made.paint) - set(made.channels) or set(made.paint.values()) - set(made.labels):
        raise PipelineError(f"{path}: paint names channels or labels that are not listed")
    if not all(0 < value < 256 for value in made.labels):
        raise PipelineError(f"{path}: values of labels lie between 1 and 255")


def _is_orientation(codes: str) -> bool:
    pairs = ("RL", "AP", "SI")
    return len(codes) == 3 and all(sum(letter in pair for letter in codes) == 1 for pair in pairs)
