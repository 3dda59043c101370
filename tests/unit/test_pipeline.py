"""pipeline.yaml: read and checked before anything runs."""

from __future__ import annotations

import pytest
import yaml

from medimg.errors import PipelineError, UsageError
from medimg.pipeline import find_pipelines, load_pipeline, read_pipeline

GOOD = {
    "schema": "medimg.pipeline/1",
    "name": "mine",
    "version": "0.1",
    "title": "My pipeline",
    "task": "detection",
    "licence": "MIT",
    "inputs": [{"role": "ct", "modality": "CT"}],
    "stages": [{"select": {}}, {"infer": {"threshold": 0.5}}, {"report": None}],
}


def write(folder, **changes):
    document = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document))
    return folder / "pipeline.yaml"


def test_a_pipeline_is_loaded_by_file_folder_or_bundle(tmp_path):
    path = write(tmp_path)
    (tmp_path / "bundle").mkdir()
    for spelling in (path, tmp_path, tmp_path / "bundle"):
        pipeline = load_pipeline(str(spelling))
        assert (pipeline.name, pipeline.bundle) == ("mine", tmp_path / "bundle")
    assert pipeline.options("infer") == {"threshold": 0.5}
    assert pipeline.options("measure") == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "x"}, "not a pipeline"),
        ({"title": ...}, "title not given"),
        ({"task": "magic"}, "choose one of detection, segmentation"),
        ({"inputs": [{"role": "ct"}]}, "an input is"),
        ({"inputs": [{"role": "ct", "modality": "CT", "optional": "no"}]}, "optional is true or false"),
        ({"inputs": [{"role": "ct", "modality": "CT", "spare": True}]}, "an input is"),
        ({"stages": [{"cook": {}}]}, "unknown stage 'cook'"),
        ({"stages": [{"report": {}}, {"infer": {}}]}, "in the order"),
        ({"stages": [{"infer": {}}, {"infer": {}}]}, "at most once"),
        ({"stages": [{"infer": [1]}]}, "not a mapping"),
        ({"stages": ["infer"]}, "one name with its options"),
        ({"stages": 5}, "stages must be a list"),
        ({"inputs": 5}, "inputs must be a list"),
        ({"stages": [{"infer": {"treshold": 0.5}}]}, "stage infer has no option 'treshold'"),
        ({"stages": [{"infer": {"channels": ["A"]}}]}, "has no option 'channels'"),
        ({"stages": [{"infer": {"threshold": "high"}}]}, "threshold cannot be 'high'"),
        ({"stages": [{"infer": {"requires": ["skull_striped"]}}]}, "requires skull_striped; known are skull_stripped"),
        ({"stages": [{"infer": {}}, {"report": {"formats": "html"}}]}, "formats cannot be 'html'"),
        ({"stages": [{"select": {}}, {"report": {}}]}, "need an infer stage"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, message):
    with pytest.raises(PipelineError, match=message):
        read_pipeline(write(tmp_path, **changes))


def test_yaml_that_cannot_be_read_is_told_in_one_line(tmp_path):
    (tmp_path / "pipeline.yaml").write_text("a: [")
    with pytest.raises(PipelineError, match="cannot read") as caught:
        read_pipeline(tmp_path / "pipeline.yaml")
    assert "\n" not in str(caught.value)


def test_the_digest_follows_the_weights_and_the_configuration(tmp_path):
    (tmp_path / "bundle" / "models").mkdir(parents=True)
    first = read_pipeline(write(tmp_path)).sha256
    (tmp_path / "bundle" / "models" / "model.pt").write_bytes(b"weights")
    second = read_pipeline(write(tmp_path)).sha256
    third = read_pipeline(write(tmp_path, version="0.2")).sha256
    assert len({first, second, third}) == 3


def test_the_shipped_pipelines_are_found_and_whole():
    found = {pipeline.name: pipeline for pipeline in find_pipelines()}
    assert {"lung_nodule", "brain_tumour"} <= set(found)
    assert found["brain_tumour"].roles == ("t1c", "t1n", "t2w", "t2f")
    assert all(pipeline.weights.is_file() and pipeline.model_card.is_file() for pipeline in found.values())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="lung_nodule"):
        load_pipeline("nonsense")
