"""A label map lies right on the original slices, or on none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conformance import results

from medimg.dicom.options import ReadOptions
from medimg.errors import InputError, Reason
from medimg.report.dicom.build import build_dicom
from medimg.report.dicom.original import read_original
from medimg.report.dicom.slices import on_slices

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

TILTED = (1.0, 0.0, 0.0, 0.0, 0.9659258262890683, 0.25881904510252074)


def random_labels(volume):
    return np.random.default_rng(0).integers(0, 4, volume.shape).astype(np.uint8)


def test_rows_and_columns_are_those_of_the_images(scanned):
    volume = scanned()
    labels = random_labels(volume)
    drawn = on_slices(labels, volume.affine_ras, read_original(volume.source))
    assert np.array_equal(drawn.labels, labels[:, ::-1].transpose(2, 1, 0))
    assert (drawn.lost, drawn.exact) == (0, True)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_a_label_map_may_be_stored_with_other_axes(scanned, axes):
    volume = scanned()
    labels = random_labels(volume)
    turned = labels.transpose(axes)[::-1]
    affine = volume.affine_ras[:, [*axes, 3]].copy()
    affine[:3, 3] += affine[:3, 0] * (turned.shape[0] - 1)
    affine[:3, 0] *= -1
    original = read_original(volume.source)
    expected = on_slices(labels, volume.affine_ras, original).labels
    assert np.array_equal(on_slices(turned, affine, original).labels, expected)


@pytest.mark.parametrize("lost", [0, 3, 7])
def test_a_source_without_one_of_the_slices_is_refused(scanned, lost):
    volume = scanned()
    original = read_original(volume.source)
    planes = tuple(plane for n, plane in enumerate(original.planes) if n != lost)
    with pytest.raises(InputError, match="1 of the 8 slices are missing") as caught:
        on_slices(random_labels(volume), volume.affine_ras, replace(original, planes=planes))
    assert caught.value.reason is Reason.GRID_MISMATCH


def test_a_source_with_a_slice_more_is_refused(scanned):
    volume = scanned()
    original = read_original(volume.source)
    with pytest.raises(InputError, match="lie elsewhere"):
        on_slices(random_labels(volume)[:, :, :-1], volume.affine_ras, original)
    twice = replace(original, planes=(*original.planes, original.planes[2]))
    with pytest.raises(InputError, match="there twice"):
        on_slices(random_labels(volume), volume.affine_ras, twice)


@pytest.mark.parametrize("shift", [(0.2, 0, 0), (0, 0.7, 0), (0, 0, 1.5)])
def test_a_grid_that_is_off_by_a_part_of_a_voxel_is_refused(scanned, shift):
    volume = scanned()
    affine = volume.affine_ras.copy()
    affine[:3, 3] += shift
    with pytest.raises(InputError, match="lie elsewhere"):
        on_slices(random_labels(volume), affine, read_original(volume.source))


def test_images_smaller_than_the_label_map_are_refused(scanned):
    volume = scanned()
    original = replace(read_original(volume.source), columns=9)
    with pytest.raises(InputError, match="another size"):
        on_slices(random_labels(volume), volume.affine_ras, original)


def test_labels_on_slices_that_were_never_scanned_are_counted_and_left_out(scanned):
    volume = scanned(without=(3,), options=ReadOptions(resample_gaps=True))
    assert volume.shape[2] == 8
    labels = random_labels(volume)
    drawn = on_slices(labels, volume.affine_ras, read_original(volume.source), resampled=True)
    kept = np.delete(labels, 3, axis=2)
    assert np.array_equal(drawn.labels, kept[:, ::-1].transpose(2, 1, 0))
    assert drawn.lost == np.count_nonzero(labels[:, :, 3])


def test_a_segmentation_of_an_interpolated_scan_warns_of_what_it_leaves_out(scanned):
    volume = scanned(without=(4,), options=ReadOptions(resample_gaps=True))
    report = results.labelled(volume)
    report.segmentation.array[2:6, 3:8, 4] = 1
    lost = np.count_nonzero(report.segmentation.array[:, :, 4])
    built = build_dicom(report, {"ct": volume}, ("seg", "sr"))
    assert built.failed == []
    assert f"{lost} voxels" in built.warnings[0]
    named = built.objects["segmentation.dcm"].ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert len(named) == 7


def test_labels_of_an_untilted_scan_go_back_to_the_tilted_slices(scanned):
    volume = scanned(orientation=TILTED, options=ReadOptions(untilt=True))
    original = read_original(volume.source)
    labels = np.zeros(volume.shape, np.uint8)
    labels[5:9, 10:16, 2:5] = 1
    drawn = on_slices(labels, volume.affine_ras, original, resampled=True)
    truth = results.points_of_labels(replace_labels(volume, labels), 1)
    points = []
    for plane, mask in zip(original.planes, drawn.labels, strict=True):
        rows, columns = np.nonzero(mask)
        across = columns[:, None] * original.cosines[0] * original.spacing_mm[1]
        points.append(np.array(plane.position) + across + rows[:, None] * original.cosines[1] * original.spacing_mm[0])
    found = np.concatenate(points)
    assert np.allclose(found.mean(axis=0), truth.mean(axis=0), atol=0.5)
    assert abs(len(found) - len(truth)) <= 0.05 * len(truth)


def replace_labels(volume, labels):
    report = results.labelled(volume)
    return replace(report, segmentation=replace(report.segmentation, array=labels))
