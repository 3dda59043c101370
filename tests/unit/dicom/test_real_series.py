"""Real scans: the same voxels at the same places as dcm2niix, an independent reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medimg.dicom.discover import discover
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


def peer_volumes(folder: Path, output: Path) -> list[nib.Nifti1Image]:
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "%j_%s_%e", "-o", output, folder]
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
