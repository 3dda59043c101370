"""Every case of the catalogue through `medimg preprocess`: the volumes that are true, and a reason for all else.

Beside each case lies a sound series of its own, which must come out whatever the case does.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conformance.cases import CASES, Case, Expected, Truth
from conformance.cases.case import CannotBeMadeError
from conformance.cases.phantom import Phantom, curved, line

from medimg import geometry
from medimg.errors import InputError
from medimg.stages.preprocess import preprocess_folder

NEIGHBOUR = Truth(5, add=777)
"""The sound series beside every case."""

NEIGHBOUR_UID = "2.25.8888"

AIR_HU = -1000


def differences(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of a NIfTI file, and the truth at their centres."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in array.shape], indexing="ij"), axis=-1)
    affine = geometry.swap_ras_lps(image.affine)
    return array, curved(index @ affine[:3, :3].T + affine[:3, 3])


def agrees(truth: Truth, slices: int, array: np.ndarray, field: np.ndarray) -> bool:
    right = np.abs(array - field - truth.add) <= truth.tolerance
    if truth.air:
        right |= array == AIR_HU
    return slices == truth.slices and bool(right.all())


def reasons(entries: list[dict[str, Any]]) -> Counter[str]:
    return Counter(entry["reason"] for entry in entries)


def files_under(folder: Path) -> set[str]:
    """Names, relative to the folder, of everything that is no folder, links to folders aside."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def accounted_for(manifest: dict[str, Any], output: Path) -> set[str]:
    """Every file that the manifest, or a sidecar that it names, has a word for."""
    named = {entry["path"] for entry in manifest["skipped"]}
    for series in manifest["series"]:
        named |= {*series["files"], *series["unused"], *(entry["path"] for entry in series["excluded"])}
        for volume in series["volumes"]:
            sidecar = json.loads((output / volume["path"].replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
            named |= set(sidecar["source"]["files"])
    return named


def check_volumes(volumes: list[dict[str, Any]], expected: Expected, output: Path) -> None:
    left = list(expected.volumes)
    for volume in volumes:
        array, field = differences(output / volume["path"])
        match = next((truth for truth in left if agrees(truth, volume["shape"][2], array, field)), None)
        assert match is not None, f"{volume} is none of {left}: off by {np.abs(array - field).max():.1f}"
        left.remove(match)
    assert left == [], "did not come out"


@pytest.mark.parametrize("case", CASES, ids=[f"{case.theme}-{case.name}" for case in CASES])
def test_a_case_ends_as_its_true_volumes_or_with_its_reason(case: Case, tmp_path: Path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    try:
        expected = case.write(Phantom(folder))
    except CannotBeMadeError as error:
        pytest.skip(str(error))
    Phantom(folder).slices(line(5, start=(40, 50, 60)), series=NEIGHBOUR_UID, subfolder="neighbour", add=777)
    output = tmp_path / "out"

    preprocess_folder(folder, output)

    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    neighbours = [series for series in manifest["series"] if series["series_uid"] == NEIGHBOUR_UID]
    check_volumes([volume for series in neighbours for volume in series["volumes"]], Expected((NEIGHBOUR,)), output)
    series = [series for series in manifest["series"] if series["series_uid"] != NEIGHBOUR_UID]
    check_volumes([volume for entry in series for volume in entry["volumes"]], expected, output)
    check_reasons(series, manifest["skipped"], expected)
    assert files_under(folder) - accounted_for(manifest, output) == set()
    assert {path.parent for path in tmp_path.rglob("*.nii.gz") if folder not in path.parents} == {output}


def check_reasons(series: list[dict[str, Any]], skipped: list[dict[str, Any]], expected: Expected) -> None:
    given = [entry["reason"] for entry in series if entry["status"] == "rejected"]
    allowed = [{str(each)} if isinstance(each, str) else set(map(str, each)) for each in expected.rejected]
    assert len(given) == len(allowed), series
    assert all(any(reason in each for each in allowed) for reason in given), given
    for entry in series:
        if entry["status"] == "rejected":
            assert entry["files"], "a rejection names its files"
            assert "\n" not in entry["message"]
    if expected.excluded:
        found = sum((reasons(entry["excluded"]) for entry in series), Counter())
        assert found == Counter({str(why): count for why, count in expected.excluded.items()})
    assert reasons(skipped) == Counter({str(why): count for why, count in expected.skipped.items()})


def test_names_of_cases_are_unique():
    names = Counter(case.name for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []


def test_a_folder_without_images_is_an_error(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="no DICOM image"):
        preprocess_folder(tmp_path / "in", tmp_path / "out")
