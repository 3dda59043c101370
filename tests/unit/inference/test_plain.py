"""A bundle told as plain data answers as the bundle itself, and what cannot be told so is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zoo
from monai.transforms import Compose, NormalizeIntensityd, ScaleIntensityd

from medimg.bundle import load_bundle
from medimg.bundles.as_pipeline import bundle_pipeline
from medimg.inference.answer import segment_labels
from medimg.inference.describe import described
from medimg.inference.describe_plain import plain_model
from medimg.inference.device import Device
from medimg.inference.network import Network
from medimg.inference.plain import plain_labels, remember, remembered
from medimg.study import Source, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    made = {}
    for path in (zoo.brats_bundle(folder, (32, 32, 32)), zoo.organs_bundle(folder, (32, 32, 32), 20, 8)):
        pipeline = bundle_pipeline(str(path), trusted=True)
        made[path.name] = described(load_bundle(path, trusted=True, recipe=pipeline.recipe), pipeline.recipe)
    return made


@pytest.fixture
def brain(models):
    return models["brats_mri_segmentation"]


def head(affine, seed=0):
    """Four contrasts, whose outermost voxels are zero."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(4):
        array = np.zeros((36, 30, 24), np.float32)
        array[4:-4, 4:-4, 4:-4] = rng.gamma(4.0, 100.0, size=(28, 22, 16))
        made.append(Volume(array, affine, Source(None, "nifti"), modality="MR"))
    return made


@pytest.mark.parametrize("affine", [np.eye(4), LPS], ids=["RAS", "LPS"])
def test_the_labels_are_those_of_the_bundle(brain, affine):
    device, scans = Device("cpu", "fp32", ""), head(affine)
    plain = plain_model(brain)
    labels = plain_labels(plain, [Network(lambda: brain.network, plain.digest)], scans, device)
    assert len(np.unique(labels)) > 1
    assert np.array_equal(labels, segment_labels(brain, scans, device))


def test_what_is_remembered_is_what_was_told(brain, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMG_HOME", str(tmp_path))
    assert remembered("key") is None
    remember("key", plain_model(brain))
    assert remembered("key") == plain_model(brain)
    assert remembered("another") is None


def test_a_damaged_memory_is_none(brain, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMG_HOME", str(tmp_path))
    remember("key", plain_model(brain))
    (path,) = (tmp_path / "compiled").glob("plain-*.json")
    for damaged in ("", "{", "[]", "{}", path.read_text(encoding="utf-8").replace('"size"', '"sizes"')):
        path.write_text(damaged, encoding="utf-8")
        assert remembered("key") is None


def test_transforms_that_do_more_are_not_told(models, brain):
    assert plain_model(models["wholeBody_ct_segmentation"]) is None
    for more in (
        ScaleIntensityd("image"),
        NormalizeIntensityd("image", subtrahend=1.0),
        NormalizeIntensityd("image", divisor=2.0),
    ):
        assert plain_model(replace(brain, preprocess=Compose([*brain.preprocess.transforms, more]))) is None
    assert plain_model(replace(brain, orientation=None)) is None
    assert plain_model(replace(brain, decision=replace(brain.decision, scores_go_back=True))) is None
