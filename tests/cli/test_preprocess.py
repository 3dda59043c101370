"""`medimg preprocess`: what it writes, what it prints, how it ends."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.dataset import Dataset, FileMetaDataset

from medimg.cli import cli
from medimg.results import MANIFEST_SCHEMA


def write_slice(path: Path, height: float, series: str = "2.25.1", **changes: object) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    uid = f"{series}.{abs(int(height * 10)) + 1}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "2.25.2", series, "2.25.3"
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "secret-id"
    dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = "CT", 2, "Chest/../ 1.25"
    dataset.ConvolutionKernel, dataset.KVP = "B30f", 120
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 5, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelSpacing, dataset.ImageOrientationPatient = [2, 1], [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [10, 20, height]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = (np.arange(20, dtype="<u2") + 1000 + int(height)).tobytes()
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        write_slice(tmp_path / "in" / f"IM{number}", 3.0 * number)
    (tmp_path / "in" / "readme.txt").write_text("junk")
    return tmp_path / "in"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["preprocess", *map(str, arguments)])


def manifest_of(output: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    return document


def test_a_sound_folder_becomes_volumes_sidecars_and_a_manifest(folder: Path, tmp_path: Path):
    output = tmp_path / "out"
    result = run(folder, "-o", output)
    assert result.exit_code == 0, result.output
    document = manifest_of(output)
    assert document["schema"] == MANIFEST_SCHEMA
    assert document["skipped"] == [{"path": "readme.txt", "reason": "not_dicom"}]
    (entry,) = document["series"]
    assert (entry["status"], entry["reason"], entry["message"]) == ("ok", None, None)
    assert (entry["study_uid"], entry["series_uid"], entry["modality"]) == ("2.25.2", "2.25.1", "CT")
    (volume,) = entry["volumes"]
    assert (volume["shape"], volume["spacing_mm"], volume["files"]) == ([5, 4, 4], [1, 2, 3], 4)
    image = nib.load(output / volume["path"])
    np.testing.assert_allclose(image.affine, volume["affine_ras"])
    assert image.get_data_dtype() == np.int16
    # column 2, first DICOM row, second slice
    assert image.dataobj[2, 3, 1] == 1000 + 2 + 3 - 1024


def test_names_are_safe_and_the_patient_is_in_no_output(folder: Path, tmp_path: Path):
    output = tmp_path / "out"
    run(folder, "-o", output)
    names = sorted(path.name for path in output.iterdir())
    assert [name.split("_")[:2] for name in names[:2]] == [["002", "Chest-1-25"]] * 2
    everything = b"".join(path.read_bytes() for path in output.glob("*.json"))
    assert b"secret-id" not in everything
    assert b"Doe" not in everything
    assert str(folder).encode() not in everything


def test_the_sidecar_says_what_the_volume_is(folder: Path, tmp_path: Path):
    output = tmp_path / "out"
    run(folder, "-o", output)
    (path,) = output.glob("*.nii.gz")
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar["units"] == {"length": "mm", "voxels": "HU"}
    assert sidecar["source"]["files"] == ["IM0", "IM1", "IM2", "IM3"]
    assert sidecar["source"]["headers"]["ConvolutionKernel"] == "B30f"
    assert sidecar["source"]["frame_of_reference_uid"] == "2.25.3"
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ sidecar["affine_lps"], sidecar["affine_ras"])


def test_a_rejected_series_ends_in_exit_code_3_and_the_others_still_come_out(folder: Path, tmp_path: Path):
    for height in (0, 3, 9, 12):
        write_slice(folder / "gap" / str(height), height, series="2.25.9")
    result = run(folder, "-o", tmp_path / "out")
    assert result.exit_code == 3
    entries = {entry["series_uid"]: entry for entry in manifest_of(tmp_path / "out")["series"]}
    assert entries["2.25.1"]["status"] == "ok"
    bad = entries["2.25.9"]
    assert (bad["status"], bad["reason"], bad["volumes"]) == ("rejected", "missing_slices", [])
    assert "1 slices missing" in bad["message"]
    assert sorted(bad["files"]) == ["gap/0", "gap/12", "gap/3", "gap/9"]
    assert "missing" in result.output


def test_running_again_writes_the_same_bytes(folder: Path, tmp_path: Path):
    outputs = []
    for _ in range(2):
        run(folder, "-o", tmp_path / "out")
        outputs.append({path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()})
    assert outputs[0] == outputs[1]


def test_series_of_one_number_and_description_do_not_overwrite_each_other(folder: Path, tmp_path: Path):
    for number in range(4):
        write_slice(folder / "b" / str(number), 3.0 * number, series="2.25.8")
    run(folder, "-o", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2


@pytest.mark.parametrize("junk", [0, 3])
def test_a_folder_without_dicom_is_one_clear_line(tmp_path: Path, junk: int):
    (tmp_path / "in").mkdir()
    for number in range(junk):
        (tmp_path / "in" / f"{number}.txt").write_text("text")
    result = run(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "holds no DICOM image" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert len(manifest_of(tmp_path / "out")["skipped"]) == junk


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path):
    result = run(tmp_path / "nowhere", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_an_output_path_that_is_a_file_is_refused_before_reading(folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = run(folder, "-o", tmp_path / "file")
    assert result.exit_code == 1
    assert "is a file" in result.stderr


def test_one_file_can_be_given_instead_of_a_folder(folder: Path, tmp_path: Path):
    result = run(folder / "IM0", "-o", tmp_path / "out")
    assert result.exit_code == 3
    (entry,) = manifest_of(tmp_path / "out")["series"]
    assert entry["reason"] == "single_slice"
    assert entry["files"] == ["IM0"]


def test_the_sound_files_of_a_rejected_series_are_named_too(folder, tmp_path):
    data = (folder / "IM1").read_bytes()
    (folder / "IM1").write_bytes(data[:-10])
    run(folder, "-o", tmp_path / "out")
    (series,) = manifest_of(tmp_path / "out")["series"]
    assert (series["reason"], series["files"]) == ("truncated", ["IM1"])
    assert series["unused"] == ["IM0", "IM2", "IM3"]


def test_file_names_that_are_no_utf8_are_in_the_manifest_and_lead_back_to_their_files(folder, tmp_path):
    (folder / "readme.txt").rename(folder / os.fsdecode(b"r\xcc\xff.txt"))
    (folder / "IM0").rename(folder / os.fsdecode(b"IM\xe9"))
    assert run(folder, "-o", tmp_path / "out").exit_code == 0
    (skipped,) = manifest_of(tmp_path / "out")["skipped"]
    assert (folder / skipped["path"]).read_text(encoding="utf-8") == "junk"
    (sidecar,) = (path for path in (tmp_path / "out").glob("*.json") if path.name != "manifest.json")
    files = json.loads(sidecar.read_bytes().decode("utf-8"))["source"]["files"]
    assert os.fsdecode(b"IM\xe9") in files
    assert all((folder / name).is_file() for name in files)
