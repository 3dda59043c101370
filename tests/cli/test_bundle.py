"""medimg infer --bundle from files and from DICOM, and what its errors say."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
import zoo
from click.testing import CliRunner
from monai.data import MetaTensor

from medimg import volumes
from medimg.bundle import load_bundle
from medimg.bundles.as_pipeline import bundle_pipeline
from medimg.bundles.home import library
from medimg.cli import cli
from medimg.inference.describe import described
from medimg.phantoms.dicom import write_ct_series
from medimg.pipeline import find_pipelines

CT = np.diag([-1.0, -1.0, 1.25, 1.0])
MR = np.diag([-1.0, -1.0, 1.0, 1.0])


def medimg(*arguments):
    return CliRunner().invoke(cli, [str(part) for part in arguments], prog_name="medimg")


def chest(shape=(24, 24, 14), seed=0):
    return np.random.default_rng(seed).integers(-1000, 300, shape).astype(np.int16)


def contrasts(folder, affine=MR, background=0):
    """Four contrasts of one grid, named as BraTS names them; a rim of background."""
    folder.mkdir(parents=True)
    for seed, role in enumerate(("t1c", "t1n", "t2w", "t2f")):
        array = np.full((24, 24, 20), background, np.float32)
        array[4:-4, 4:-4, 4:-4] = np.random.default_rng(seed).uniform(100, 1000, (16, 16, 12))
        if background:
            array += np.random.default_rng(seed + 9).uniform(0, 1, array.shape)
        volumes.write_nifti(folder / f"P-{role}.nii.gz", array.astype(np.float32), affine)
    return folder


@pytest.fixture(scope="module")
def brats(tmp_path_factory):
    return zoo.brats_bundle(tmp_path_factory.mktemp("zoo"), (24, 24, 24))


@pytest.fixture(scope="module")
def organs(tmp_path_factory):
    return zoo.organs_bundle(tmp_path_factory.mktemp("zoo"), (16, 16, 16), classes=5, filters=8)


def report_of(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


WITHOUT_TORCH = """
import sys
from medimg.cli import main
sys.argv = ["medimg", *sys.argv[1:]]
try:
    main()
finally:
    print("imported:", sorted({"monai", "torch"} & set(sys.modules)))
"""


def test_a_bundle_that_openvino_ran_before_needs_neither_torch_nor_monai(tmp_path, brats):
    pytest.importorskip("openvino", reason="pip install 'medimg[openvino]'")
    case = contrasts(tmp_path / "case")
    said = []
    for turn in ("first", "second"):
        arguments = ["infer", "--bundle", brats, "--trust", "--volume", case, "-o", tmp_path / turn]
        command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments), "--engine", "openvino"]
        environment = {**os.environ, "MEDIMG_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines()[-1])
    assert said == ["imported: ['monai', 'torch']", "imported: []"]
    first, second = (nib.load(tmp_path / turn / "segmentation.nii.gz") for turn in ("first", "second"))
    assert np.array_equal(first.dataobj, second.dataobj)
    assert len(np.unique(first.dataobj)) > 1


def test_a_case_folder_of_four_contrasts_is_segmented(tmp_path, brats):
    result = medimg(
        "infer", "--bundle", brats, "--trust", "--volume", contrasts(tmp_path / "case"), "-o", tmp_path / "o"
    )
    assert result.exit_code == 0, result.stderr
    report = report_of(tmp_path / "o")
    assert (report["pipeline"]["name"], report["pipeline"]["version"]) == (zoo.BRATS, "0.5.2")
    assert [entry["role"] for entry in report["inputs"]] == ["t1c", "t1n", "t2w", "t2f"]
    assert report["segmentation"]["labels"]["4"] == "enhancing tumour"
    assert any("taken for granted" in warning for warning in report["warnings"])
    assert any("measurements" in finding for finding in report["findings"])
    found = nib.load(tmp_path / "o" / "segmentation.nii.gz")
    assert found.shape == (24, 24, 20)
    assert set(np.unique(np.asanyarray(found.dataobj))) <= {0, 1, 2, 4}


def test_a_bundle_in_the_library_is_known_by_its_name_and_its_trust_kept(tmp_path, organs):
    assert medimg("bundle", "import", organs, "--name", "organs", "--trust").exit_code == 0
    volumes.write_nifti(tmp_path / "ct.nii.gz", chest(), CT)
    result = medimg("infer", "--bundle", "organs", "--volume", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    report = report_of(tmp_path / "out")
    assert report["findings"] == []
    assert report["segmentation"]["labels"] == {str(n): f"organ {n}" for n in range(1, 5)}
    assert "organs" in medimg("bundle", "list").stdout
    assert medimg("bundle", "verify", "organs").exit_code == 0
    (library() / "organs" / "models" / "model.pt").write_bytes(b"damaged")
    assert medimg("bundle", "verify", "organs").exit_code == 1


def test_the_list_says_of_a_pipeline_what_it_is_for_and_not_what_its_bundle_looks_like():
    rows = [line.split("\t") for line in medimg("bundle", "list").stdout.splitlines()]
    tasks = {row[0]: row[3] for row in rows if row[2:3] == ["comes with medimg"]}
    assert tasks == {pipeline.name: pipeline.task for pipeline in find_pipelines() if pipeline.has_network}


def test_a_bundle_named_as_a_pipeline_is_told_of_its_option(tmp_path, organs):
    result = medimg("bundle", "export", organs, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "a MONAI bundle is named with --bundle" in result.stderr


@pytest.mark.slow
def test_a_dicom_chest_gives_nodules_and_their_boxes(tmp_path):
    bundle = zoo.lung_bundle(tmp_path, (32, 32, 16))
    write_ct_series(chest((20, 20, 12)), CT, tmp_path / "dicom")
    result = medimg("infer", "--bundle", bundle, "--trust", "--volume", tmp_path / "dicom", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    report = report_of(tmp_path / "out")
    assert report["inputs"][0]["kind"] == "dicom"
    assert len(report["findings"]) > 0
    first = report["findings"][0]
    assert first["label"] == "nodule"
    assert len(first["measurements"]["detected_box_lps_mm"]) == 6
    low, high = np.split(np.array(first["measurements"]["detected_box_lps_mm"]), 2)
    assert np.allclose((low + high) / 2, first["center_lps_mm"], atol=2e-3)
    assert (tmp_path / "out" / "report.dcm").is_file()


def test_organs_of_a_dicom_scan_go_back_as_dicom(tmp_path, organs):
    write_ct_series(chest((20, 20, 12)), CT, tmp_path / "dicom")
    result = medimg("infer", "--bundle", organs, "--trust", "--volume", tmp_path / "dicom", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    segments = pydicom.dcmread(tmp_path / "out" / "segmentation.dcm").SegmentSequence
    names = report_of(tmp_path / "out")["segmentation"]["labels"].values()
    assert {segment.SegmentLabel for segment in segments} <= set(names)
    assert (tmp_path / "out" / "report.dcm").is_file()


@pytest.mark.parametrize(
    ("affine", "background", "words"),
    [
        (np.diag([-1.0, -1.0, 2.0, 1.0]), 0, "resample it to 1 x 1 x 1 mm first"),
        (MR, 50, "the skull is still there"),
    ],
)
def test_what_the_bundle_takes_for_granted_is_checked(tmp_path, brats, affine, background, words):
    case = contrasts(tmp_path / "case", affine, background)
    result = medimg("infer", "--bundle", brats, "--trust", "--volume", case, "-o", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_missing_contrast_is_named(tmp_path, brats):
    case = contrasts(tmp_path / "case")
    (case / "P-t2w.nii.gz").unlink()
    result = medimg("infer", "--bundle", brats, "--trust", "--volume", case, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "missing t2w" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--bundle", "no_such"], "no bundle 'no_such'", 2),
        (["--bundle", zoo.BRATS], f"medimg bundle download {zoo.BRATS} fetches it", 2),
        (["--bundle", "x", "--pipeline", "y"], "give one of them", 2),
        (["--trust"], "name it with --bundle or --pipeline", 2),
        (["--bundle", "."], "is no MONAI bundle", 1),
    ],
)
def test_a_bundle_that_cannot_be_is_one_line(tmp_path, monkeypatch, arguments, words, code):
    monkeypatch.chdir(tmp_path)
    volumes.write_nifti(tmp_path / "ct.nii.gz", chest(), CT)
    result = medimg("infer", *arguments, "--volume", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == code
    (line,) = result.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preprocessing": zoo.compose(zoo.component("EnsureTyped", keys="image"))}, "orientation: RAS or LPS"),
        ({"postprocessing": zoo.compose(zoo.component("Activationsd", keys="pred", softmax=True))}, "maps, not one"),
        (
            {"postprocessing": zoo.compose(zoo.component("AsDiscreted", keys="pred", threshold=0.5))},
            "which label each becomes",
        ),
        (
            {"postprocessing": zoo.compose(zoo.component("Lambdad", keys="pred", func="$lambda x: x[:1].sigmoid()"))},
            "fractions, not labels",
        ),
        ({"inferer": zoo.component("monai.inferers.SliceInferer", roi_size=[8, 8])}, "inferer"),
    ],
)
def test_what_a_bundle_leaves_unsaid_is_asked_for(tmp_path, changes, words):
    config = {**zoo.organs_config((16, 16, 16), 5, 8), **changes}
    bundle = zoo.write(tmp_path / "b", config, zoo.organs_metadata(5), zoo.seg_res_net(config))
    volumes.write_nifti(tmp_path / "ct.nii.gz", chest((16, 16, 10)), CT)
    result = medimg("infer", "--bundle", bundle, "--trust", "--volume", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert words in line


def test_a_bundle_in_which_only_the_largest_part_of_an_organ_counts_keeps_its_own_steps(tmp_path):
    config = zoo.organs_config((16, 16, 16), 3, 8)
    config["postprocessing"]["transforms"].insert(
        2, zoo.component("KeepLargestConnectedComponentd", keys="pred", applied_labels=[1, 2])
    )
    bundle = zoo.write(tmp_path / "b", config, zoo.organs_metadata(3), zoo.seg_res_net(config))
    volumes.write_nifti(tmp_path / "ct.nii.gz", chest((16, 16, 10)), CT)
    result = medimg("infer", "--bundle", bundle, "--trust", "--volume", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert report_of(tmp_path / "out")["segmentation"]["labels"] == {"1": "organ 1", "2": "organ 2"}


def test_labels_that_a_bundle_computes_in_its_own_way_are_not_given_the_names_of_channels(tmp_path):
    config = zoo.organs_config((16, 16, 16), 3, 8)
    config["postprocessing"] = zoo.compose(
        zoo.component("Lambdad", keys="pred", func="$lambda x: torch.where(x[:1] > x[1:2], 7, 0)")
    )
    bundle = zoo.write(tmp_path / "b", config, zoo.organs_metadata(3), zoo.seg_res_net(config))
    volumes.write_nifti(tmp_path / "ct.nii.gz", chest((16, 16, 10)), CT)
    result = medimg("infer", "--bundle", bundle, "--trust", "--volume", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert report_of(tmp_path / "out")["segmentation"]["labels"] == {"7": "label 7"}


def test_a_threshold_without_a_sigmoid_is_one_of_what_the_network_gives(tmp_path):
    config = zoo.organs_config((16, 16, 16), 1, 8)
    config["postprocessing"] = zoo.compose(zoo.component("AsDiscreted", keys="pred", threshold=0.5))
    about = zoo.metadata("x", "1", "CT", ["image"], ["lesion"])
    network = zoo.seg_res_net(config)
    bundle = zoo.write(tmp_path / "b", config, about, network)
    pipeline = bundle_pipeline(str(bundle), trusted=True)
    rule = described(load_bundle(bundle, trusted=True, recipe=pipeline.recipe), pipeline.recipe).decision
    assert rule.rule == "own"
    given = torch.tensor([-1.0, 0.4, 0.6]).reshape(1, 1, 1, 3)
    assert rule.before(given).flatten().tolist() == [0.0, 0.0, 1.0]


def test_the_bundle_commands_without_network_end_in_one_line(tmp_path):
    result = medimg("bundle", "download", "somewhere", "--url", "http://127.0.0.1:9/x.zip")
    assert result.exit_code == 1
    # no bar where there is no terminal
    (line,) = result.stderr.splitlines()
    assert "cannot download somewhere" in line
    assert medimg("bundle", "info", "no_such").exit_code == 2
    assert medimg("bundle", "download", "../x").exit_code == 2


def test_bundles_that_differ_in_their_weights_are_averaged(tmp_path):
    config = zoo.organs_config((16, 16, 16), 4, 8)
    made = [
        zoo.write(tmp_path / name, config, zoo.organs_metadata(4), zoo.seg_res_net(config, seed))
        for seed, name in enumerate(("a", "b"))
    ]
    volumes.write_nifti(tmp_path / "ct.nii.gz", chest((16, 16, 16)), np.diag([-1.5, -1.5, 1.5, 1.0]))
    options = ("--trust", "--precision", "fp32", "--volume", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    result = medimg("infer", "--bundle", made[0], "--bundle", made[1], *options)
    assert result.exit_code == 0, result.stderr
    models = []
    for path in made:
        pipeline = bundle_pipeline(str(path), trusted=True)
        models.append(described(load_bundle(path, trusted=True, recipe=pipeline.recipe), pipeline.recipe))
    affine = np.diag([-1.5, -1.5, 1.5, 1.0])
    scan = MetaTensor(torch.from_numpy(chest((16, 16, 16)))[None].float(), affine=torch.from_numpy(affine))
    image = models[0].preprocess({"image": scan})["image"]
    with torch.no_grad():
        mean = sum(model.network(image[None]).as_tensor().softmax(1) for model in models) / 2
    found = np.asanyarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj)
    expected = nib.Nifti1Image(mean.argmax(1)[0].numpy().astype(np.uint8), image.affine.numpy())
    turn = nib.orientations.ornt_transform(*map(nib.orientations.io_orientation, (expected.affine, affine)))
    np.testing.assert_array_equal(found, np.asanyarray(expected.as_reoriented(turn).dataobj))
    assert [entry["path"] for entry in report_of(tmp_path / "out")["provenance"]["bundles"]] == ["a", "b"]


def test_bundles_that_prepare_otherwise_or_are_the_same_are_no_ensemble(tmp_path, brats):
    config = zoo.brats_config((16, 16, 16))
    other = zoo.write(
        tmp_path / "other",
        config,
        json.loads((brats / "configs" / "metadata.json").read_text()),
        zoo.seg_res_net(config, 3),
    )
    volume = ("--trust", "--volume", contrasts(tmp_path / "case"), "-o", tmp_path / "o")
    assert "differ in their network alone" in medimg("infer", "--bundle", brats, "--bundle", other, *volume).stderr
    assert "given twice" in medimg("infer", "--bundle", brats, "--bundle", brats, *volume).stderr
