"""Small scans and reports to render."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.results import Finding, Report, Segmentation
from medimg.study import Source, Volume

LPS_AXES = np.diag([-1.0, -1.0, 2.0, 1.0])


def box(center, radius):
    return (*(c - radius for c in center), *(c + radius for c in center))


@pytest.fixture
def chest() -> Volume:
    """60x60x30 in LPS order: air with a bright ball at voxel (20, 30, 15), LPS (20, 30, 30)."""
    random = np.random.default_rng(3)
    array = random.normal(-860, 20, (60, 60, 30)).astype(np.int16)
    i, j, k = np.indices(array.shape)
    array[(i - 20) ** 2 + (j - 30) ** 2 + (2 * (k - 15)) ** 2 <= 36] = 30
    return Volume(array, LPS_AXES, Source(Path("/scans/chest.nii.gz"), "nifti"), "CT", "chest")


@pytest.fixture
def detection(chest) -> Report:
    labels = np.zeros(chest.shape, dtype=np.uint8)
    labels[chest.array > -200] = 1
    findings = [
        Finding("nodule-1", "nodule", (20.0, 30.0, 30.0), 12.0, 905.0, box((20, 30, 30), 6.0), 0.9312, 1,
                {"long_axis_mm": 12.1, "mean_hu": 28.0, "touches_border": False}),
        Finding("nodule-2", "nodule", (45.0, 12.0, 10.0), 5.0, None, None, 0.41, None, {}),
    ]  # fmt: skip
    return Report(
        pipeline={"name": "lung_nodule", "version": "0.1.0", "sha256": "ab" * 32},
        inputs=[{"role": "ct", "path": "/scans/chest.nii.gz", "modality": "CT", "description": "chest",
                 "shape": [60, 60, 30], "spacing_mm": [1.0, 1.0, 2.0], "series_uid": None}],
        findings=findings,
        segmentation=Segmentation(labels, chest.affine_ras, {1: "nodule nodule-1"}),
        provenance={"started": "2026-11-23T10:00:00+00:00", "seconds": {"read": 1.5, "infer": 2.0}},
        warnings=["slices are thick"],
    )  # fmt: skip


@pytest.fixture
def brain() -> dict[str, Volume]:
    """Two contrasts, 40x50x30, zero outside a head."""
    i, j, k = np.indices((40, 50, 30))
    head = ((i - 20) / 16) ** 2 + ((j - 25) / 20) ** 2 + ((k - 15) / 12) ** 2 <= 1
    affine = np.array([[0, 2.0, 0, -50], [2.0, 0, 0, -40], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    random = np.random.default_rng(5)
    return {
        role: Volume(
            (head * random.uniform(100, 400, head.shape)).astype(np.float32),
            affine,
            Source(Path(f"/scans/{role}.nii.gz"), "nifti"),
            "MR",
            role,
        )
        for role in ("t1c", "t2f")
    }


@pytest.fixture
def tumour(brain) -> Report:
    volume = brain["t1c"]
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[10:20, 15:30, 8:18] = 2
    labels[13:17, 20:25, 10:15] = 1
    x, y, z = -(-50 + 2 * 22.0), -(-40 + 2 * 14.5), 3 * 12.5
    lesion = Finding("lesion-1", "tumour", (x, y, z), 34.0, 18000.0, box((x, y, z), 20.0), None, None,
                     {"ncr_mm3": 1200.0})  # fmt: skip
    return Report(
        pipeline={"name": "brain_tumour", "version": "0.1.0", "sha256": "cd" * 32},
        inputs=[{"role": role, "path": f"/scans/{role}.nii.gz"} for role in brain],
        findings=[lesion],
        segmentation=Segmentation(labels, volume.affine_ras, {1: "necrotic core", 2: "oedema"}),
    )
