"""What a user may ask for: gaps filled and tilt undone, right at every point, and every voxel not scanned marked."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.dicom.discover import discover
from medimg.dicom.options import ReadOptions
from medimg.dicom.series import outline_series, read_series
from medimg.dicom.verdict import SeriesResult
from medimg.errors import Reason
from medimg.study import Volume

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TILT = np.radians(15)
TILTED = (1.0, 0.0, 0.0, 0.0, float(np.cos(TILT)), float(np.sin(TILT)))
TILTED_BACK = (1.0, 0.0, 0.0, 0.0, float(np.cos(2 * TILT)), float(-np.sin(2 * TILT)))

GAPS = ReadOptions(resample_gaps=True)
UNTILT = ReadOptions(untilt=True)
BOTH = ReadOptions(untilt=True, resample_gaps=True)

ROUNDED_TWICE = 1.01
"""Where the phantom itself is rounded to whole HU, and what was interpolated from it again."""


def read(phantom, options: ReadOptions) -> SeriesResult:
    (series,) = discover(phantom.folder).series
    return read_series(series, options)


def read_volume(phantom, options: ReadOptions) -> Volume:
    result = read(phantom, options)
    assert result.rejection is None
    (volume,) = result.volumes
    return volume


def heights(*values: float) -> list[tuple[float, float, float]]:
    return [(-9.0, -4.0, value) for value in values]


def errors(volume: Volume) -> np.ndarray:
    """Difference from the phantom's 2x + 3y + 5z at every voxel, (I, J, K)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij"), axis=-1)
    world = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    return np.abs(world @ np.array([2.0, 3.0, 5.0]) - volume.array)


def made_up_slices(volume: Volume) -> list[int]:
    """Slices that are made up as a whole; no slice may be in part."""
    whole = volume.made_up.all(axis=(0, 1))
    assert np.array_equal(whole, volume.made_up.any(axis=(0, 1)))
    return np.flatnonzero(whole).tolist()


@pytest.mark.parametrize("missing", [[2], [2, 3, 6], [1, 3, 6]])
@pytest.mark.parametrize("step", [(0, 0, 3), (0, 0, -3), (0, 1, 3)], ids=["ascending", "descending", "sheared"])
def test_missing_slices_are_interpolated_and_marked(phantom, positions, missing, step):
    places = positions(9, step=step)
    phantom.slices(places)
    whole = read_volume(phantom, GAPS)
    phantom.fresh().slices([place for k, place in enumerate(places) if k not in missing])
    volume = read_volume(phantom, GAPS)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.affine_ras, whole.affine_ras, atol=1e-9)
    assert np.array_equal(volume.array, whole.array)
    expected = missing if step[2] > 0 else sorted(8 - k for k in missing)
    assert made_up_slices(volume) == expected
    (said,) = volume.source.resampling
    assert (said["kind"], said["reason"]) == ("resample_gaps", "missing_slices")
    assert (said["slices_scanned"], said["slices_kept"]) == (9 - len(missing),) * 2
    assert (said["slices_made_up"], said["made_up_slices"]) == (len(missing), expected)


def test_a_head_scan_of_two_spacings_gets_the_finer_one(phantom):
    phantom.slices(heights(*np.arange(0, 20.1, 2.5), *np.arange(25, 50.1, 5)))
    volume = read_volume(phantom, GAPS)
    assert volume.spacing_mm[2] == pytest.approx(2.5)
    assert volume.shape[2] == 21
    assert made_up_slices(volume) == [9, 11, 13, 15, 17, 19]
    assert errors(volume).max() <= 0.51


def test_a_block_that_does_not_fall_on_the_grid_of_the_other_is_interpolated(phantom):
    phantom.slices(heights(*np.arange(0, 20.1, 2), *np.arange(23.5, 40, 4)))
    volume = read_volume(phantom, GAPS)
    assert volume.spacing_mm[2] == pytest.approx(2)
    assert made_up_slices(volume) == list(range(11, 21))
    # the grid ends half a slice beyond the last one, which it repeats there
    assert volume.affine_lps[2, 3] + 20 * 2 == pytest.approx(40)
    assert errors(volume)[..., :20].max() <= 0.51
    assert volume.source.resampling[0]["reason"] == "uneven_spacing"


def test_positions_that_jitter_are_evened_out_from_the_first_to_the_last(phantom):
    at = np.arange(12) * 3 + np.random.default_rng(0).uniform(-0.1, 0.1, 12).round(2)
    phantom.slices(heights(*at))
    volume = read_volume(phantom, GAPS)
    assert volume.shape[2] == 12
    z = volume.affine_lps[2, 3] + np.array([0, 11]) * volume.affine_lps[2, 2]
    np.testing.assert_allclose(z, [at[0], at[-1]], atol=0.01)
    assert errors(volume).max() <= ROUNDED_TWICE
    assert not volume.made_up[..., [0, -1]].any()


@pytest.mark.parametrize("options", [GAPS, UNTILT, BOTH], ids=["gaps", "untilt", "both"])
@pytest.mark.parametrize("missing", [(), (2, 3)], ids=["whole", "gappy"])
@pytest.mark.parametrize("orientation", [AXIAL, TILTED, TILTED_BACK], ids=["upright", "tilted", "tilted back"])
def test_headers_alone_tell_the_grid_that_a_repair_will_give(phantom, positions, options, missing, orientation):
    places = [place for k, place in enumerate(positions(9)) if k not in missing]
    phantom.slices(places, orientation=orientation)
    (series,) = discover(phantom.folder).series
    outline, whole = outline_series(series, options), read_series(series, options)
    assert (outline.rejection is None) == (whole.rejection is None)
    assert len(outline.volumes) == len(whole.volumes)
    for told, volume in zip(outline.volumes, whole.volumes, strict=True):
        assert told.shape == volume.shape
        assert told.source.resampling == volume.source.resampling
        np.testing.assert_array_equal(told.affine_ras, volume.affine_ras)
        assert (told.made_up is None) == (volume.made_up is None)


def test_float_voxels_stay_float_and_exact(phantom, positions):
    def halve(dataset, _number):
        values = np.frombuffer(dataset.PixelData, "<u2").astype(int) * 2 - 1024
        dataset.PixelData = values.astype("<u2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5, -512

    phantom.slices([place for k, place in enumerate(positions(6)) if k != 3], edit=halve, modality="MR")
    volume = read_volume(phantom, GAPS)
    assert volume.array.dtype == np.float32
    assert errors(volume).max() == 0


@pytest.mark.parametrize("orientation", [TILTED, TILTED_BACK])
@pytest.mark.parametrize("step", [3, -3])
def test_a_tilted_stack_becomes_orthogonal_and_nothing_of_it_is_cut(phantom, positions, orientation, step):
    phantom.slices(positions(6, step=(0, 0, step)), orientation=orientation)
    tilted, volume = read_volume(phantom, ReadOptions()), read_volume(phantom, UNTILT)
    axes = volume.affine_ras[:3, :3] / volume.spacing_mm
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(axes[:, :2], tilted.affine_ras[:3, :2] / tilted.spacing_mm[:2], atol=1e-9)
    assert volume.array.dtype == np.int16
    assert errors(volume)[~volume.made_up].max() <= ROUNDED_TWICE
    assert (volume.array[volume.made_up] == -1000).all()
    corners = np.array([(i, j, k, 1) for i in (0, 5) for j in (0, 6) for k in (0, 5)])
    at = (np.linalg.inv(volume.affine_ras) @ tilted.affine_ras @ corners.T)[:3].T
    assert (at >= -1e-3).all()
    assert (at <= np.array(volume.shape) - 1 + 1e-3).all()


def test_exactly_what_lies_outside_the_scan_is_marked(phantom, positions):
    phantom.slices(positions(5, step=(0.5, 1, 3)), modality="MR")
    volume = read_volume(phantom, UNTILT)
    assert volume.shape == (6 + 2, 7 + 2, 5)
    np.testing.assert_allclose(volume.spacing_mm, [1, 2, 3], atol=1e-9)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij"), axis=-1)
    world = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    within = np.round(world - np.array([-9, -4, -20]) - index[..., 2:] * np.array([0.5, 1, 3]), 6)
    inside = ((within >= 0) & (within <= np.array([5, 12, 0]))).all(axis=-1)
    assert np.array_equal(volume.made_up, ~inside)
    assert errors(volume)[inside].max() <= 0.51
    assert (volume.array[~inside] == 0).all()
    (said,) = volume.source.resampling
    assert (said["kind"], said["outside_value"], said["grown_voxels"]) == ("untilt", 0, [2, 2, 0])
    assert said["tilt_degrees"] == pytest.approx(np.degrees(np.arctan2(np.hypot(0.5, 1), 3)), abs=1e-3)


def test_gaps_of_a_tilted_stack_are_filled_with_the_tilt_kept_or_undone(phantom, positions):
    places = positions(7, step=(0, 1, 3))
    phantom.slices([place for k, place in enumerate(places) if k != 4])
    kept, undone = read_volume(phantom, GAPS), read_volume(phantom, BOTH)
    assert made_up_slices(kept) == [4]
    assert errors(kept).max() <= 0.51
    assert undone.made_up[..., 4].all()
    assert not undone.made_up[:, 3, :4].any()
    outside = undone.made_up & (np.arange(7) != 4)
    assert (undone.array[outside] == -1000).all()
    assert errors(undone)[..., 4][undone.array[..., 4] != -1000].max() <= 0.51
    assert errors(undone)[~undone.made_up].max() <= 0.51
    assert [step["kind"] for step in undone.source.resampling] == ["resample_gaps", "untilt"]


@pytest.mark.parametrize("options", [GAPS, UNTILT, BOTH])
def test_a_sound_series_is_left_alone_whatever_is_allowed(phantom, positions, options):
    rng = np.random.default_rng(0)

    def jitter(dataset, _number):
        dataset.ImageOrientationPatient = (np.array(AXIAL) + rng.uniform(-1e-4, 1e-4, 6)).round(9).tolist()

    phantom.slices(positions(6), edit=jitter)
    plain, volume = read_volume(phantom, ReadOptions()), read_volume(phantom, options)
    assert (volume.made_up, volume.source.resampling) == (None, ())
    assert np.array_equal(volume.affine_ras, plain.affine_ras)
    assert np.array_equal(volume.array, plain.array)
    assert volume.source.sha256 == plain.source.sha256


@pytest.mark.parametrize("at", [(0, 3, 9, 12), (0, 3, 7, 10)])
def test_without_the_option_it_is_refused_and_the_advice_names_it(phantom, at):
    phantom.slices(heights(*at))
    error = read(phantom, UNTILT).rejection
    assert error.reason in {Reason.MISSING_SLICES, Reason.UNEVEN_SPACING}
    assert "--resample-gaps" in str(error)


def test_different_images_of_one_place_are_still_refused(phantom, positions):
    phantom.slices(positions(5))
    phantom.slices(positions(5)[2:3], subfolder="other", add=7)
    assert read(phantom, GAPS).rejection.reason is Reason.DUPLICATE_POSITION


def test_images_of_nearly_one_place_are_not_merged(phantom):
    phantom.slices(heights(0, 3, 3.02, 9, 12, 15))
    assert read(phantom, GAPS).rejection.reason is Reason.DUPLICATE_POSITION


def test_a_wide_gap_still_separates_two_stacks(phantom, positions):
    phantom.slices(positions(5) + positions(4, start=(-9, -4, 92)))
    result = read(phantom, GAPS)
    assert [volume.shape[2] for volume in result.volumes] == [5, 4]
    assert all(volume.made_up is None for volume in result.volumes)


def test_slices_that_wander_sideways_are_refused_and_no_option_is_advised(phantom, positions):
    places = [(x + 0.3 * (k % 2), y, z) for k, (x, y, z) in enumerate(positions(6))]
    phantom.slices(places)
    error = read(phantom, GAPS).rejection
    assert error.reason is Reason.UNEVEN_SPACING
    assert "off a straight" in str(error)
    assert "--resample-gaps" not in str(error)


def test_a_grid_that_would_be_mostly_invention_is_refused(phantom):
    phantom.slices(heights(0, 0.5, 1, 40, 80))
    error = read(phantom, GAPS).rejection
    assert error.reason is Reason.UNEVEN_SPACING
    assert "161 slices for 5" in str(error)
