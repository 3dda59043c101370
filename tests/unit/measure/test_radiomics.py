"""Radiomics by MIRP: named after the standard, equal to what is known, and a second opinion on our own measures."""

from __future__ import annotations

import csv
import json
from importlib import metadata

import numpy as np
import pytest

from medimg.errors import UsageError
from medimg.measure import measure_nodule, radiomics, segment_nodule
from medimg.phantoms import excerpt as phantoms
from medimg.report.radiomics import write_radiomics
from medimg.results import Finding, Segmentation

CENTER = (0.3, -0.2, 0.4)


@pytest.fixture(scope="module")
def case():
    """A 12 mm nodule: scan, what medimg measured, label map, its finding and one without an outline."""
    volume = phantoms.excerpt(phantoms.solid_sphere(CENTER, 12.0), side_mm=36.0, noise_hu=20.0).volume
    nodule = segment_nodule(volume, CENTER, 12.0)
    assert nodule is not None
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[tuple(nodule.voxels().T)] = 1
    found = [
        Finding("nodule-1", "nodule", CENTER, 12.0, None, None, segment=1),
        Finding("nodule-2", "nodule", CENTER, 4.0, None, None),
    ]
    segmentation = Segmentation(labels, volume.affine_ras, {1: "nodule-1"})
    return volume, measure_nodule(volume, nodule), segmentation, found


def test_without_mirp_the_error_says_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(radiomics.metadata, "version", missing)
    with pytest.raises(UsageError, match=r"medimg\[radiomics\]"):
        radiomics.check_radiomics()


def test_features_agree_with_what_is_known_and_with_our_own_measures(case, tmp_path):
    pytest.importorskip("mirp")
    volume, measured, segmentation, found = case
    document = radiomics.radiomics(found, segmentation, {"ct": volume})
    first, second = document["findings"]
    assert (second["features"], "not outlined" in second["why_not"]) == (None, True)
    features, inside = first["features"], segmentation.array == 1
    assert features["stat_mean"] == pytest.approx(float(volume.array[inside].mean()), abs=0.5)
    assert features["morph_vol_approx"] == pytest.approx(np.count_nonzero(inside), rel=1e-6)
    assert measured["volume_mm3"] == pytest.approx(features["morph_volume"], rel=0.05)
    assert measured["max_3d_diameter_mm"] == pytest.approx(features["morph_diam"], abs=1.0)
    # a mesh over voxels has stairs, so a ball of 1 mm voxels is less than a ball there
    assert features["morph_sphericity"] < measured["sphericity"] < features["morph_sphericity"] + 0.1
    assert len(features) > 100
    written = write_radiomics(document, tmp_path)
    assert json.loads(written[1].read_text(encoding="utf-8")) == document
    rows = list(csv.DictReader(written[0].open(encoding="utf-8", newline="")))
    assert [row["id"] for row in rows] == ["nodule-1", "nodule-2"]
    assert float(rows[0]["stat_mean"]) == features["stat_mean"]
    assert rows[1]["stat_mean"] == ""
