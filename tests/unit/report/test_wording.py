from __future__ import annotations

import numpy as np
import pytest

from medimg.report import wording
from medimg.results import Segmentation


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("long_axis_mm", 12.34, ("long axis", "12.3 mm")),
        ("et_mm3", 523.6, ("et", "524 mm³")),
        ("et_mm3", 8496.0, ("et", "8.50 ml")),
        ("mean_hu", -31.4, ("mean", "-31 HU")),
        ("touches_border", True, ("touches border", "yes")),
        ("et_mm3", None, ("et", "\N{EN DASH}")),
        ("texture", "solid", ("texture", "solid")),
        ("ratio", 0.12345, ("ratio", "0.123")),
        ("product_mm2", 123.4, ("product", "123 mm²")),
        ("mass_mg", 812.3, ("mass", "812 mg")),
        ("long_axis_ends_lps_mm", [1.0, -2.0], ("long axis ends lps", "1.0, -2.0 mm")),
    ],
)
def test_measurements_are_said_with_their_unit(name, value, said):
    assert wording.measurement(name, value) == said


def test_what_is_not_known_is_never_zero():
    assert wording.millimetres(None) == wording.volume(None) == wording.probability(None) == wording.MISSING


def test_label_volumes_count_every_voxel_in_either_memory_order():
    array = np.zeros((5, 6, 7), dtype=np.uint8)
    array[1:3, 1:3, 1:3] = 4
    for memory in (array, np.asfortranarray(array)):
        (entry,) = wording.label_volumes(Segmentation(memory, np.diag([1.0, 2.0, 3.0, 1.0]), {4: "four"}))
        assert entry["volume_mm3"] == pytest.approx(48.0)
        assert entry["name"] == "four"
