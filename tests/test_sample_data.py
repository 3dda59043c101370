"""sample_data/generate.py writes scans medimg can read, with their truth."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom
import pytest

from medimg import files
from medimg.volumes import read_volume

SCRIPT = Path(__file__).resolve().parent.parent / "sample_data" / "generate.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("generate_sample_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """The sample data in large voxels, and their arrays."""
    folder = tmp_path_factory.mktemp("sample")
    return folder, script.generate(folder, (64, 64, 24), (60, 60, 40))


def test_dicom_and_nifti_hold_the_same_scan(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, arrays = made
    volume = read_volume(folder / "chest_ct.nii.gz")
    np.testing.assert_array_equal(volume.array, arrays["chest_ct"])
    slices = [pydicom.dcmread(path) for path in (folder / "chest_ct_dicom").iterdir()]
    axial = [dataset for dataset in slices if "AXIAL" in dataset.ImageType]
    assert (len(axial), len(slices)) == (24, 26)
    last = max(axial, key=lambda dataset: dataset.ImagePositionPatient[2])
    np.testing.assert_array_equal(last.pixel_array.T.astype(int) - 1024, volume.array[:, :, -1])


def test_nodule_table_has_luna16_columns_and_the_series(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    with (made[0] / "truth" / "chest_ct_nodules.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "kind"]
    assert {row["kind"] for row in rows} == {"solid", "part_solid", "ground_glass"}
    series = {pydicom.dcmread(path).SeriesInstanceUID for path in (made[0] / "chest_ct_dicom").iterdir()}
    assert {row["seriesuid"] for row in rows} < series


def test_brain_contrasts_and_truth_share_one_grid(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, arrays = made
    seg = read_volume(folder / "truth" / "brain_seg.nii.gz")
    assert set(np.unique(seg.array)) == {0, 1, 2, 3}
    for name in ("t1n", "t1c", "t2w", "t2f"):
        volume = read_volume(folder / "brain_mr" / f"PHANTOM-GLI-00000-000-{name}.nii.gz")
        np.testing.assert_array_equal(volume.affine_ras, seg.affine_ras)
        np.testing.assert_array_equal(volume.array, arrays[f"brain_{name}"])


def test_sums_list_every_file(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    lines = (made[0] / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    written = {files.relative(path, made[0]) for path in made[0].rglob("*") if path.is_file()}
    assert set(listed) == written - {"SHA256SUMS"}
    assert all(files.sha256_of_file(made[0] / name) == digest for name, digest in listed.items())


def test_a_second_run_replaces_the_first(script: ModuleType, tmp_path: Path) -> None:
    script.generate(tmp_path, (16, 16, 8), (20, 20, 13))
    script.generate(tmp_path, (16, 16, 6), (20, 20, 13))
    assert len(list((tmp_path / "chest_ct_dicom").iterdir())) == 6 + 2


def test_published_checksums_name_every_array(script: ModuleType, made: tuple[Path, dict[str, np.ndarray]]) -> None:
    published = json.loads(script.CHECKSUMS.read_text(encoding="utf-8"))
    assert set(published) == set(made[1])
    assert published["chest_ct"]["shape"] == [320, 320, 120]
    assert published["brain_seg"]["shape"] == [240, 240, 155]


def test_a_rounded_voxel_is_told_from_another_scan(script: ModuleType) -> None:
    array = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    expected = {"scan": script.checksum(array)}
    rounded = array.copy()
    rounded[0, 0, 0] += 1
    assert script.differences({"scan": array}, expected) == []
    assert "rounding" in script.differences({"scan": rounded}, expected)[0]
    assert "as a whole" in script.differences({"scan": array + 5}, expected)[0]
    assert "no published checksum" in script.differences({"scan": array}, {})[0]


def test_an_output_that_cannot_be_written_ends_with_its_code(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    monkeypatch.setattr(script.generate, "__defaults__", ((16, 16, 8), (20, 20, 13)))
    assert script.main(["-o", str(taken)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
