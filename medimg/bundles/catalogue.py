"""What there is: the bundles of this machine and those that medimg has recipes for, told without executing any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg.bundles.as_pipeline import chosen_recipe
from medimg.bundles.closure import is_detection
from medimg.bundles.folder import inside, read_config, read_metadata
from medimg.bundles.home import library
from medimg.bundles.recipe import Recipe, recipe_for, shipped_recipes
from medimg.bundles.trust import audit, why_trusted
from medimg.errors import MedimgError
from medimg.pipeline import WEIGHTS, find_pipelines


def entries() -> list[dict[str, Any]]:
    """name, version, where, task, trusted (why, None when it is not): shipped, in the library, to be downloaded."""
    found = [
        # a pipeline says what it is for: its bundle may find nodules by a map, which looks like a segmentation
        {**_entry(p.name, p.bundle, "comes with medimg"), "task": p.task}
        for p in find_pipelines()
        if p.has_network
    ]
    kept = sorted(path for path in library().glob("*") if path.is_dir() and not path.name.startswith("."))
    found += [_entry(path.name, path, "in the library") for path in kept]
    there = {path.name for path in kept}
    found += [_to_fetch(recipe) for recipe in shipped_recipes() if recipe.name not in there]
    return found


def described(folder: Path) -> dict[str, Any]:
    """What a bundle takes, gives and needs. Raises PipelineError when its configuration cannot be read."""
    metadata, found = read_metadata(folder), audit(folder)
    recipe, recipe_in_words = _recipe_of(folder)
    weights = inside(folder, recipe.weights if recipe else WEIGHTS.as_posix())
    return {
        "folder": str(folder.resolve()),
        "version": str(metadata.get("version", "unknown")),
        "title": str(metadata.get("name", "")) or (recipe.title if recipe else ""),
        "task": "detection" if is_detection(read_config(folder)) else "segmentation",
        "inputs": [f"{entry.role} ({entry.modality})" for entry in recipe.inputs] if recipe else [],
        "outputs": list(recipe.channels or recipe.classes) if recipe else [],
        "labels": {str(value): label for value, label in recipe.labels.items()} if recipe else {},
        "recipe": recipe_in_words,
        "requires": _requirements(recipe) if recipe else [],
        "weights": str(weights) if weights.is_file() else None,
        "digest": found.digest,
        "trusted": why_trusted(found.digest),
        "executed": [{"where": e.where, "kind": e.kind, "text": e.text} for e in found.executed],
        "scripts": list(found.scripts),
    }


def _recipe_of(folder: Path) -> tuple[Recipe | None, str]:
    try:
        recipe = chosen_recipe(folder)
    except MedimgError as error:
        return None, f"none, and one is needed: {error}"
    shipped = recipe_for(folder)
    return recipe, f"medimg's own, {shipped.name} {shipped.version}" if shipped else "drawn from its metadata"


def _requirements(recipe: Recipe) -> list[str]:
    told = [f"spacing {' x '.join(f'{mm:g}' for mm in recipe.spacing_mm)} mm"] if recipe.spacing_mm else []
    told += [f"turned to {recipe.orientation}"] if recipe.orientation else []
    return [*told, *recipe.requires, *recipe.preconditions]


def _entry(name: str, folder: Path, where: str) -> dict[str, Any]:
    try:
        document = described(folder)
    except MedimgError as error:
        return {"name": name, "version": "", "where": where, "task": f"cannot be read: {error}", "trusted": None}
    return {"name": name, "where": where, **{key: document[key] for key in ("version", "task", "trusted", "folder")}}


def _to_fetch(recipe: Recipe) -> dict[str, Any]:
    trusted = f"pinned by the recipe {recipe.name}" if recipe.trusts else None
    where = f"to be fetched: medimg bundle download {recipe.name}"
    return {"name": recipe.name, "version": recipe.version, "where": where, "task": recipe.task, "trusted": trusted}
