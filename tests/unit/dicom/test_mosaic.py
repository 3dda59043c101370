"""Siemens mosaics whose private header holds numbers that are none: found by the fuzzer."""

from __future__ import annotations

import pydicom
import pytest
from conformance.cases.mosaic import csa_header, mosaic
from conformance.cases.phantom import Phantom

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.errors import Reason


@pytest.mark.parametrize(
    ("count", "normal", "spacing"),
    [
        ("nan", (0, 0, 1), 3),
        ("inf", (0, 0, 1), 3),
        (5, ("nan", "nan", "nan"), 3),
        (5, (0, 0, 1), float("nan")),
        (1e300, (0, 0, 1), 3),
        (-5, (0, 0, 1), 3),
        (0, (0, 0, 1), 3),
    ],
)
def test_a_mosaic_that_does_not_say_where_its_tiles_lie_is_refused(tmp_path, count, normal, spacing):
    path = mosaic(Phantom(tmp_path), 5)
    dataset = pydicom.dcmread(path)
    dataset.private_block(0x29, "SIEMENS CSA HEADER")[0x10].value = csa_header(count, normal)
    dataset["SpacingBetweenSlices"]._value = str(spacing)
    dataset.save_as(path)
    (series,) = discover(tmp_path).series
    result = read_series(series)
    assert result.volumes == []
    assert result.rejection.reason in (Reason.UNSUPPORTED_KIND, Reason.NO_GEOMETRY)
