"""Only what medimg needs of a configuration reaches MONAI's parser."""

from __future__ import annotations

import json

import pytest
import zoo

from medimg.bundles.closure import needed
from medimg.bundles.trust import PINS, audit, why_trusted
from medimg.errors import PipelineError
from medimg.pipeline import find_pipelines


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        (zoo.brats_config(), {"imports", "network_def", "preprocessing", "inferer", "postprocessing"}),
        (
            zoo.organs_config(),
            {"imports", "network_def", "preprocessing", "inferer", "postprocessing", "image_key", "pixdim"}
            | {"displayable_configs"},
        ),
        (
            zoo.lung_config(),
            {"imports", "network_def", "network", "preprocessing", "detector", "detector_ops", "spatial_dims"}
            | {"num_classes", "size_divisible", "infer_patch_size", "anchor_generator", "backbone"}
            | {"feature_extractor", "whether_raw_luna16", "whether_resampled_luna16"},
        ),
    ],
)
def test_reading_saving_and_ignite_are_left_out(config, ids):
    assert set(needed(config)) == ids
    text = json.dumps(needed(config))
    assert not any(word in text for word in ("LoadImage", "SaveImage", "Invertd", "CheckpointLoader", "evaluator"))


def test_references_are_followed_in_every_spelling():
    config = {
        "network_def": {"a": "@one", "b": {"c": "@::d", "d": "$@two::0 + @three#x"}, "e": "%four", "f": "@::b::c"},
        "one": 1,
        "two": ["@five"],
        "three": {"x": 3},
        "four": {"_target_": "torch.nn.Identity"},
        "five": 5,
        "spare": "not needed",
        "text": "someone@example.org",
    }
    assert set(needed(config)) == {"network_def", "one", "two", "three", "four", "five"}


def test_a_reference_to_nothing_is_told():
    with pytest.raises(PipelineError, match="refers to @nowhere"):
        needed({"network_def": "$@nowhere()"})


@pytest.mark.parametrize("name", [zoo.BRATS, zoo.LUNG])
def test_the_recipes_know_the_exact_configurations_of_the_zoo(tmp_path, name):
    config = {zoo.BRATS: zoo.brats_config, zoo.LUNG: zoo.lung_config}[name]()
    assert why_trusted(audit(tmp_path, config).digest) == f"pinned by the recipe {name}"


def test_other_paths_for_data_and_output_change_nothing_about_trust(tmp_path):
    config = {**zoo.brats_config(), "dataset_dir": "/elsewhere", "output_dir": "/tmp", "spare": "$1 + 1"}
    assert audit(tmp_path, config).digest == audit(tmp_path, zoo.brats_config()).digest


def test_the_pins_of_the_shipped_pipelines_are_up_to_date():
    found = {p.name: audit(p.bundle).digest for p in find_pipelines() if p.has_network}
    assert json.loads(PINS.read_text(encoding="utf-8")) == found, f"a shipped bundle changed: write {found} to {PINS}"
