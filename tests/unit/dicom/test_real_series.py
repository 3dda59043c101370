"""Real scans: the same voxels at the same places as dcm2niix, an independent reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medimg.dicom.discover import discover
from medimg.dicom.options import ReadOptions
from medimg.dicom.series import read_series

dcm2niix = pytest.importorskip("dcm2niix", reason="the peer reader is not installed")

FOLDERS = [
    "dcm_qa_nih/In/20180918GE",  # told apart by instance order alone
    "dcm_qa_nih/In/20180918Si",  # mosaics, in the four phase-encoding directions
    "dcm_qa_12bit/In",  # mosaics with bits above the stored ones, three series numbers under one UID
    "dcm_qa_enh/In/Siemens",
    "dcm_qa_agfa/Siemens",
]

PADDING_HU = -3024
"""Outside the scanned circle LIDC-IDRI-0001 holds -2000 - 1024, which medimg makes air."""


def peer_volumes(folder: Path, output: Path, *options: str) -> list[nib.Nifti1Image]:
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "%j_%s_%e", *options, "-o", output, folder]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return [nib.load(path) for path in sorted(output.glob("*.nii"))]


@pytest.mark.real
def test_the_chest_ct_equals_dcm2niix(shared_data: Path, tmp_path: Path):
    folder = shared_data / "lung" / "LIDC-IDRI-0001"
    (series,) = discover(folder).series
    (volume,) = read_series(series).volumes
    (peer,) = peer_volumes(folder, tmp_path)
    assert volume.shape == peer.shape == (512, 512, 133)
    np.testing.assert_allclose(volume.spacing_mm, peer.header.get_zooms(), atol=1e-4)
    np.testing.assert_allclose(volume.affine_ras, peer.affine, atol=1e-4)
    expected = np.asarray(peer.dataobj)
    assert np.array_equal(volume.array, np.where(expected == PADDING_HU, -1000, expected))


@pytest.mark.real
@pytest.mark.parametrize("folder", FOLDERS)
def test_time_series_equal_dcm2niix_volume_by_volume(shared_data: Path, tmp_path: Path, folder: str):
    root = shared_data / "dicom" / folder
    volumes = [volume for series in discover(root).series for volume in read_series(series).volumes]
    peers = peer_volumes(root, tmp_path)
    arrays = [(peer.affine, np.atleast_3d(peer.dataobj).reshape(*peer.shape[:3], -1)) for peer in peers]
    expected = [(affine, array[..., t]) for affine, array in arrays for t in range(array.shape[3])]
    assert len(volumes) == len(expected)
    for volume in volumes:
        match = [affine for affine, voxels in expected if np.array_equal(volume.array, voxels)]
        assert match, volume.source.headers
        np.testing.assert_allclose(volume.affine_ras, match[0], atol=1e-4)


def canonical(voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One volume (I, J, K) with its affine to RAS mm, turned to the axes closest to R, A, S."""
    image = nib.as_closest_canonical(nib.Nifti1Image(voxels.astype(np.float64), affine))
    return np.asarray(image.dataobj), image.affine


@pytest.mark.real
@pytest.mark.parametrize("precise", [False, True], ids=["display values", "precise values of Philips"])
def test_every_volume_of_every_series_has_its_twin_in_dcm2niix(shared_data: Path, tmp_path: Path, precise: bool):
    """One folder with four vendors' series in it, read whole by both; no volume is left over on either side."""
    root = shared_data / "dicom"
    results = [read_series(series, ReadOptions(philips_precise=precise)) for series in discover(root).series]
    assert [result.rejection for result in results if result.rejection is not None] == []
    ours = [canonical(volume.array, volume.affine_ras) for result in results for volume in result.volumes]
    twins = []
    for peer in peer_volumes(root, tmp_path, "-p", "y" if precise else "n"):
        voxels = np.asarray(peer.dataobj).reshape(*peer.shape[:3], -1)
        twins += [canonical(voxels[..., t], peer.affine) for t in range(voxels.shape[3])]
    assert len(ours) == len(twins) == 65
    for voxels, affine in ours:
        found = next((n for n, twin in enumerate(twins) if same_values(voxels, twin[0])), None)
        assert found is not None, affine
        _, twin_affine = twins.pop(found)
        np.testing.assert_allclose(affine, twin_affine, atol=1e-2)
    assert twins == []


def same_values(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for rounding: dcm2niix's slope of the Philips field map is 6e-6 off the 1 / 4.095 of its header."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=1e-5 * np.ptp(b)))


@pytest.mark.real
def test_a_real_scan_without_some_slices_keeps_every_bit_of_the_others(shared_data: Path):
    (series,) = discover(shared_data / "lung" / "LIDC-IDRI-0001").series
    (whole,) = read_series(series).volumes
    missing = [20, 21, 77]
    series.frames = [frame for frame in series.frames if frame.path not in {whole.source.files[k] for k in missing}]
    (volume,) = read_series(series, ReadOptions(resample_gaps=True)).volumes
    np.testing.assert_allclose(volume.affine_ras, whole.affine_ras, atol=1e-4)
    scanned = np.setdiff1d(np.arange(133), missing)
    assert np.array_equal(volume.array[..., scanned], whole.array[..., scanned])
    assert not volume.made_up[..., scanned].any()
    assert volume.made_up[..., missing].all()
    between = (whole.array[..., 19].astype(float) + 2 * whole.array[..., 22]) / 3
    assert np.abs(volume.array[..., 21] - between).max() <= 0.501
