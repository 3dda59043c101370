"""The shipped bundles: MONAI's own runner takes them without medimg, and gives the same answer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import toy

from medimg import geometry, volumes
from medimg.bundle import load_bundle
from medimg.errors import PipelineError
from medimg.inference.options import Engine
from medimg.phantoms.brain import brain
from medimg.phantoms.thorax import thorax
from medimg.pipeline import load_pipeline
from medimg.stages.chain import run_chain

FP32 = Engine(device="cpu", precision="fp32")

PADDED_SCORE_TOLERANCE = 0.1
"""MONAI pads a small crop to its whole window, medimg to the next multiple of 16: the margin is seen differently."""

METADATA_KEYS = {
    "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version",
    "name", "task", "description", "authors", "copyright", "data_source", "data_type", "image_classes", "label_classes",
    "pred_classes", "eval_metrics", "intended_use", "references", "network_data_format",
}  # fmt: skip
"""Every key of MONAI's metadata schema (meta_schema_20240725)."""

WITHOUT_MEDIMG = """
import runpy, sys
sys.modules["medimg"] = None  # an import of medimg fails from here on
sys.argv = ["monai.bundle", *sys.argv[1:]]
runpy.run_module("monai.bundle", run_name="__main__")
"""


def monai_bundle_run(pipeline, dataset_dir, output_dir):
    """`python -m monai.bundle run` in the bundle's folder, where medimg cannot be imported."""
    pytest.importorskip("ignite", reason="monai.bundle run needs pytorch-ignite: pip install 'medimg[bundle-run]'")
    pytest.importorskip("fire", reason="monai.bundle run needs fire: pip install 'medimg[bundle-run]'")
    arguments = ["run", "--config_file", "configs/inference.json", "--bundle_root", str(pipeline.bundle)]
    arguments += ["--dataset_dir", str(dataset_dir), "--output_dir", str(output_dir)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_MEDIMG, *arguments],
        cwd=pipeline.bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


NETWORK_ALONE = {"flips": False, "shape_weight": 0, "calibration": [1.0, 0.0], "threshold": 0.3}


def network_alone(pipeline):
    """The pipeline without mirrors, second opinion and calibration, which MONAI's own runner does not do."""
    stages = [replace(s, options=s.options | NETWORK_ALONE) if s.name == "infer" else s for s in pipeline.stages]
    return replace(pipeline, stages=tuple(stages))


@pytest.mark.parametrize("name", ["lung_nodule", "brain_tumour"])
def test_the_metadata_has_every_key_of_monais_schema(name):
    metadata = load_bundle(load_pipeline(name).bundle).metadata
    assert set(metadata) >= METADATA_KEYS
    roles = load_pipeline(name).roles
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == len(roles)


@pytest.mark.slow
def test_monai_segments_a_brain_as_medimg_does(tmp_path):
    phantom = brain(seed=5, shape=(120, 120, 78))
    for role, array in phantom.contrasts.items():
        volumes.write_nifti(tmp_path / "case" / f"P-{role}.nii.gz", array, phantom.affine_ras)
    pipeline = load_pipeline("brain_tumour")
    monai_bundle_run(pipeline, tmp_path / "case", tmp_path / "monai")
    run_chain([(None, tmp_path / "case")], tmp_path / "ours", pipeline, engine=FP32)
    (theirs,) = (tmp_path / "monai").rglob("*.nii.gz")
    whole = [
        np.squeeze(np.asanyarray(nib.load(path).dataobj)) > 0
        for path in (theirs, tmp_path / "ours/segmentation.nii.gz")
    ]
    assert whole[0].shape == phantom.labels.shape
    assert whole[1].any()
    assert 2 * np.count_nonzero(whole[0] & whole[1]) / (whole[0].sum() + whole[1].sum()) > 0.95


@pytest.mark.slow
def test_monai_finds_the_nodule_that_medimg_finds(tmp_path):
    truth = max(thorax(shape=(8, 8, 8), seed=22).nodules, key=lambda nodule: nodule.diameter_mm)
    crop = thorax(shape=(64, 64, 64), spacing_mm=(1.0, 1.0, 1.0), seed=22, center_lps_mm=truth.center_lps_mm)
    volumes.write_nifti(tmp_path / "crops" / "crop.nii.gz", crop.array, crop.affine_ras)
    pipeline = network_alone(load_pipeline("lung_nodule"))
    monai_bundle_run(pipeline, tmp_path / "crops", tmp_path / "monai")
    case = run_chain([(None, tmp_path / "crops")], tmp_path / "ours", pipeline, engine=FP32)
    (theirs,) = (tmp_path / "monai").rglob("*.nii.gz")
    image = nib.load(theirs)
    probability = np.asarray(image.dataobj)[..., 0]
    cell = np.unravel_index(probability.argmax(), probability.shape)
    first = case.report.findings[0]
    assert np.linalg.norm(geometry.ras_to_lps(geometry.to_world(image.affine, cell)) - first.center_lps_mm) < 3.0
    assert probability.max() == pytest.approx(first.probability, abs=PADDED_SCORE_TOLERANCE)
    assert np.linalg.norm(np.subtract(first.center_lps_mm, truth.center_lps_mm)) < truth.diameter_mm / 2


def test_weights_of_another_network_are_refused(tmp_path):
    folder = toy.detector(tmp_path / "detector")
    config = folder / "bundle" / "configs" / "inference.json"
    document = json.loads(config.read_text(encoding="utf-8"))
    document["network_def"]["out_channels"] = 3
    config.write_text(json.dumps(document))
    with pytest.raises(PipelineError, match="does not hold the weights of this bundle's network"):
        load_bundle(folder / "bundle", trusted=True).trained_network()


def test_a_weights_file_that_is_code_is_not_run(tmp_path):
    folder = toy.detector(tmp_path / "detector")
    evil = tmp_path / "was_run"
    payload = f"cposix\nsystem\n(S'touch {evil}'\ntR.".encode()
    (folder / "bundle" / "models" / "model.pt").write_bytes(payload)
    with pytest.raises(PipelineError, match="does not hold the weights"):
        load_bundle(folder / "bundle", trusted=True).trained_network()
    assert not evil.exists()


def test_missing_weights_say_how_to_get_them(tmp_path):
    folder = toy.detector(tmp_path / "detector")
    (folder / "bundle" / "models" / "model.pt").unlink()
    with pytest.raises(PipelineError, match="train them with medimg train"):
        load_bundle(folder / "bundle", trusted=True).trained_network()


def test_a_network_that_cannot_be_built_names_the_file(tmp_path):
    folder = toy.detector(tmp_path / "detector")
    config = folder / "bundle" / "configs" / "inference.json"
    document = json.loads(config.read_text(encoding="utf-8"))
    document["network_def"] = {"_target_": "torch.nn.NoSuchLayer"}
    config.write_text(json.dumps(document))
    with pytest.raises(PipelineError, match=r"inference\.json: cannot build network_def"):
        load_bundle(folder / "bundle", trusted=True).network()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("preprocessing", None, "no preprocessing with transforms"),
        ("inferer", {"_target_": "SimpleInferer"}, "must be a SlidingWindowInferer"),
    ],
)
def test_a_configuration_medimg_cannot_use_is_told(tmp_path, key, value, message):
    folder = toy.detector(tmp_path / "detector")
    config = folder / "bundle" / "configs" / "inference.json"
    document = {**json.loads(config.read_text(encoding="utf-8")), key: value}
    config.write_text(json.dumps(document))
    with pytest.raises(PipelineError, match=message):
        getattr(load_bundle(folder / "bundle", trusted=True), key)
