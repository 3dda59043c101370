"""Recipes: read, checked, and drawn from metadata where that says enough."""

from __future__ import annotations

import pytest
import yaml
import zoo

from medimg.bundles.as_pipeline import bundle_pipeline
from medimg.bundles.metadata import drawn_recipe
from medimg.bundles.recipe import read_recipe, recipe_for, shipped_recipes
from medimg.errors import PipelineError

GOOD = {
    "schema": "medimg.recipe/1",
    "name": "mine",
    "task": "segmentation",
    "inputs": [{"role": "ct", "modality": "CT"}],
    "channels": ["lesion"],
    "labels": {1: "lesion"},
    "paint": {"lesion": 1},
}


def written(tmp_path, **changes):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**GOOD, **changes}.items() if value is not None}))
    return path


def test_the_shipped_recipes_say_what_must_hold():
    brats, lung = shipped_recipes()
    assert brats.spacing_mm == (1.0, 1.0, 1.0)
    assert brats.requires == ("skull_stripped",)
    assert [entry.role for entry in brats.inputs] == ["t1c", "t1n", "t2w", "t2f"]
    assert (brats.version, lung.version) == ("0.5.2", "0.6.8")
    assert all(recipe.preconditions and recipe.trusts for recipe in (brats, lung))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "other"}, "is no recipe"),
        ({"task": "translation"}, "task 'translation'"),
        ({"inputs": None}, "inputs not given"),
        ({"inputs": [{"role": "ct"}]}, "'modality'"),
        ({"surprise": 1}, "no field 'surprise'"),
        ({"threshold": True}, "threshold cannot be True"),
        ({"orientation": "RAR"}, "three axis codes"),
        ({"paint": {"other": 1}}, "paint names"),
        ({"labels": {300: "x"}, "paint": {"lesion": 300}}, "between 1 and 255"),
        ({"requires": ["clean hands"]}, "requires clean hands"),
        ({"spacing_mm": [1, 1]}, "unpack"),
    ],
)
def test_a_recipe_that_means_nothing_is_told(tmp_path, changes, message):
    with pytest.raises(PipelineError, match=message):
        read_recipe(written(tmp_path, **changes))


def test_a_recipe_for_another_version_is_told(tmp_path):
    recipe = read_recipe(written(tmp_path, config={"no_such_id": 1}))
    with pytest.raises(PipelineError, match="changes no_such_id, which this bundle's configuration does not have"):
        recipe.applied(zoo.organs_config())


def test_a_bundle_is_known_by_its_folder_or_its_metadata(tmp_path):
    by_name = zoo.write(tmp_path / "anything", zoo.brats_config(), zoo.BRATS_METADATA, None)
    by_folder = zoo.write(tmp_path / zoo.LUNG, zoo.lung_config(), {}, None)
    other = zoo.write(tmp_path / zoo.ORGANS, zoo.organs_config(), zoo.organs_metadata(), None)
    assert recipe_for(by_name).name == zoo.BRATS
    assert recipe_for(by_folder).name == zoo.LUNG
    assert recipe_for(other) is None


def test_metadata_gives_roles_labels_and_version(tmp_path):
    organs = drawn_recipe(zoo.write(tmp_path / zoo.ORGANS, zoo.organs_config(), zoo.organs_metadata(), None))
    assert [(entry.role, entry.modality) for entry in organs.inputs] == [("ct", "CT")]
    assert (organs.channels[0], organs.channels[104]) == ("background", "organ 104")
    brats = drawn_recipe(zoo.write(tmp_path / "b", zoo.brats_config(), zoo.BRATS_METADATA, None))
    assert [entry.role for entry in brats.inputs] == ["t1c", "t1n", "t2w", "t2f"]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({}, "names 0 inputs"),
        (zoo.metadata("x", "1", "RGB", ["image"], ["a"]), "modality 'RGB'"),
        (zoo.metadata("x", "1", "MR", ["a", "a"], ["a"]), "2 channels"),
    ],
)
def test_what_metadata_does_not_say_is_asked_for(tmp_path, about, message):
    folder = zoo.write(tmp_path / "x", zoo.organs_config(), about, None)
    with pytest.raises(PipelineError, match=message) as raised:
        bundle_pipeline(str(folder), trusted=True)
    assert "--recipe" in str(raised.value)
