"""A finding's measurements as content items."""

from __future__ import annotations

from medimg.report.dicom.values import evaluations, measurements
from medimg.results import Finding


def finding(**measured) -> Finding:
    return Finding("nodule-1", "nodule", (0.0, 0.0, 0.0), 5.0, None, None, 0.5, 1, measured)


def numbers(item: Finding) -> dict[str, float]:
    return {each[0].name.meaning: float(each[0].value) for each in measurements(item)}


def test_what_could_not_be_measured_is_left_out_and_never_0():
    said = numbers(finding(long_axis_mm=None, mean_hu=float("nan"), short_axis_mm=0.0))
    assert said == {"Certainty of Finding": 50.0, "Diameter": 5.0, "Short Axis": 0.0}


def test_nested_and_listed_numbers_go_out_under_joined_names():
    said = numbers(finding(parts={"core_mm3": 3, "rim_mm3": None}, moments=[1.5, 2.5]))
    assert said["parts core mm3"] == 3
    assert (said["moments 1"], said["moments 2"]) == (1.5, 2.5)


def test_the_ends_of_a_line_are_no_numbers_of_their_own():
    assert not any("ends" in name for name in numbers(finding(long_axis_ends_lps_mm=[0, 0, 0, 3, 4, 0])))


def test_words_and_yes_or_no_are_evaluations():
    said = {
        each[0].name.meaning: each[0].value.meaning
        for each in evaluations(finding(side="left", calcified=False, note="odd", empty="", mean_hu=3.0))
    }
    assert said == {"side": "Left", "calcified": "No", "note": "odd"}
