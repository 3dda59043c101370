from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medimg.report.preview import describe, preview_png
from medimg.report.sheet import ACCENT


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def near(pixels: np.ndarray, colour: str, tolerance: int = 40) -> int:
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return int((np.abs(pixels - wanted).max(axis=-1) < tolerance).sum())


def test_findings_are_shown_with_the_scan_in_tiles(detection, chest):
    pixels = picture(preview_png(detection, {"ct": chest}))
    height, width, _ = pixels.shape
    assert width > 1200
    assert 400 < height < 1000
    assert len(np.unique(pixels)) > 50
    assert near(pixels, ACCENT) > 500


def test_more_findings_than_fit_do_not_make_a_longer_sheet(detection, chest):
    detection.findings = [replace(detection.findings[0], id=f"nodule-{n}") for n in range(6)]
    six = picture(preview_png(detection, {"ct": chest})).shape
    detection.findings = [replace(detection.findings[0], id=f"nodule-{n}") for n in range(20)]
    assert picture(preview_png(detection, {"ct": chest})).shape == six


def test_regions_are_painted_in_the_legends_colours(tumour, brain):
    pixels = picture(preview_png(tumour, brain))
    assert near(pixels, "#56b4e9") > 300  # the legend's patch, at full strength
    tumour.segmentation = replace(tumour.segmentation, array=np.zeros_like(tumour.segmentation.array))
    assert near(picture(preview_png(tumour, brain)), "#56b4e9") < 300


def test_nothing_found_is_a_montage(detection, chest):
    detection.findings, detection.segmentation = [], None
    pixels = picture(preview_png(detection, {"ct": chest}))
    assert pixels.shape[1] > 1000
    assert near(pixels, ACCENT) == 0
    assert len(np.unique(pixels)) > 50


@pytest.mark.parametrize("slices", [2, 3])
def test_a_scan_of_few_slices_is_shown_too(slices, detection, chest):
    detection.findings, detection.segmentation = [], None
    thin = replace(chest, array=chest.array[:, :, :slices])
    assert picture(preview_png(detection, {"ct": thin})).size > 0


def test_a_contrast_on_another_grid_is_left_out(tumour, brain):
    both = picture(preview_png(tumour, brain))
    moved = brain["t2f"].affine_ras.copy()
    moved[0, 3] += 5
    brain["t2f"] = replace(brain["t2f"], affine_ras=moved)
    assert not np.array_equal(picture(preview_png(tumour, brain)), both)


def test_findings_outside_the_scan_or_without_a_size_are_drawn_all_the_same(detection, chest):
    detection.findings = [
        replace(detection.findings[1], center_lps_mm=(-500.0, 0.0, 900.0), diameter_mm=None),
        detection.findings[0],
    ]
    assert picture(preview_png(detection, {"ct": chest})).size > 0


def test_the_preview_is_described_in_words(detection, tumour):
    assert describe(detection) == (
        "Axial slice and close-up of nodule-1,  12.0 mm,  p 0.93; nodule-2,  5.0 mm,  p 0.41."
    )
    assert describe(tumour) == "Axial, coronal and sagittal slices through lesion-1,  34.0 mm."
    detection.findings = []
    assert "no findings" in describe(detection)


def test_the_same_report_gives_the_same_picture(detection, chest):
    assert preview_png(detection, {"ct": chest}) == preview_png(detection, {"ct": chest})
