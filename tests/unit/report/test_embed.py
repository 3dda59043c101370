from __future__ import annotations

import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from medimg import geometry
from medimg.errors import OutputError
from medimg.report.embed import GREY_LEVELS, embed, nifti_gz, whole


def read(data: bytes):
    return nib.Nifti1Image.from_bytes(gzip.decompress(data))


def test_a_small_scan_is_embedded_voxel_by_voxel(detection, chest):
    embedded = embed(detection, {"ct": chest})
    assert embedded.steps == (1, 1, 1)
    image = read(embedded.scans[0].nifti_gz)
    # air all around the ball was cut off
    assert np.prod(image.shape) < chest.array.size
    ball = geometry.to_voxel(image.affine, geometry.lps_to_ras((20.0, 30.0, 30.0)))
    assert image.get_fdata()[tuple(np.rint(ball).astype(int))] == 30
    start = np.rint(geometry.to_voxel(chest.affine_ras, image.affine[:3, 3])).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(start, image.shape, strict=True))
    np.testing.assert_array_equal(image.get_fdata(), chest.array[part])
    np.testing.assert_array_equal(read(embedded.labels_gz).get_fdata(), detection.segmentation.array[part])


def test_a_scan_that_is_too_large_is_averaged_and_every_position_stays(detection, chest):
    noisy = replace(chest, array=np.random.default_rng(0).integers(-1000, 1000, chest.shape).astype(np.int16))
    embedded = embed(detection, {"ct": noisy}, max_bytes=20_000)
    assert embedded.steps != (1, 1, 1)
    assert len(embedded.scans[0].nifti_gz) <= 20_000
    image = read(embedded.scans[0].nifti_gz)
    assert image.shape == embedded.shape
    np.testing.assert_allclose(geometry.spacing_mm(image.affine), embedded.spacing_mm)
    # the labels' centre of mass is where it was
    labels = np.argwhere(read(embedded.labels_gz).get_fdata() == 1)
    full = np.argwhere(detection.segmentation.array == 1)
    np.testing.assert_allclose(
        geometry.to_world(image.affine, labels.mean(axis=0)),
        geometry.to_world(chest.affine_ras, full.mean(axis=0)),
        atol=0.5,
    )


def test_ct_is_exact_and_other_scans_have_grey_levels(tumour, brain):
    embedded = embed(tumour, brain)
    assert {scan.levels for scan in embedded.scans} == {GREY_LEVELS + 1}
    image = read(embedded.scans[0].nifti_gz)
    array = brain["t1c"].array
    start = np.rint(geometry.to_voxel(brain["t1c"].affine_ras, image.affine[:3, 3])).astype(int)
    part = array[tuple(slice(a, a + n) for a, n in zip(start, image.shape, strict=True))]
    step = np.quantile(array, 0.999) / GREY_LEVELS
    below = part < np.quantile(array, 0.99)
    np.testing.assert_allclose(image.get_fdata()[below], part[below], atol=step)


def test_a_contrast_on_another_grid_is_left_out_and_named(tumour, brain):
    moved = brain["t2f"].affine_ras.copy()
    moved[0, 3] += 5
    brain["t2f"] = replace(brain["t2f"], affine_ras=moved)
    embedded = embed(tumour, brain)
    assert [scan.role for scan in embedded.scans] == ["t1c"]
    assert embedded.left_out == ("t2f",)


def test_a_finding_outside_everything_else_is_in_the_page(detection, chest):
    far = replace(detection.findings[1], center_lps_mm=(58.0, 58.0, 56.0), box_lps_mm=None)
    detection.findings.append(far)
    image = read(embed(detection, {"ct": chest}).scans[0].nifti_gz)
    voxel = geometry.to_voxel(image.affine, geometry.lps_to_ras(far.center_lps_mm))
    assert (np.rint(voxel) < image.shape).all()


@pytest.mark.parametrize("value", [-2000, 0, 7])
def test_a_scan_of_one_value_is_embedded_too(value, detection, chest):
    flat = replace(chest, array=np.full(chest.shape, value, dtype=np.int16))
    for modality in ("CT", "MR", None):
        scan = replace(flat, modality=modality)
        image = read(embed(detection, {"ct": scan}).scans[0].nifti_gz)
        np.testing.assert_allclose(image.get_fdata(), value)


def test_the_same_scan_gives_the_same_bytes(detection, chest):
    assert embed(detection, {"ct": chest}) == embed(detection, {"ct": chest})


def test_a_page_that_can_be_made_no_smaller_is_refused(detection, chest):
    with pytest.raises(OutputError, match="--format"):
        embed(detection, {"ct": chest}, max_bytes=10)


def test_a_served_scan_is_whole(chest):
    image = read(whole("ct", chest).nifti_gz)
    np.testing.assert_array_equal(image.get_fdata(), chest.array)
    np.testing.assert_allclose(image.affine, chest.affine_ras)


def test_slope_and_intercept_give_the_values_back():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_allclose(read(nifti_gz(array, np.eye(4), (0.5, -3.0))).get_fdata(), array * 0.5 - 3.0)
