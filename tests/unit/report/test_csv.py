from __future__ import annotations

from medimg.report.csv import findings_csv

HEADER = "seriesuid,coordX,coordY,coordZ,probability,diameter_mm"


def test_the_columns_are_those_of_luna16_and_the_diameter(detection):
    detection.inputs[0]["series_uid"] = "1.2.3"
    assert findings_csv(detection).splitlines() == [
        HEADER,
        "1.2.3,20.0,30.0,30.0,0.9312,12.0",
        "1.2.3,45.0,12.0,10.0,0.41,5.0",
    ]


def test_without_a_series_uid_the_file_names_the_series(detection):
    assert findings_csv(detection).splitlines()[1].startswith("chest,")


def test_what_is_not_known_is_empty_not_zero(tumour):
    assert findings_csv(tumour).splitlines()[1].split(",")[4:] == ["", "34.0"]


def test_nothing_found_is_a_header_alone(detection):
    detection.findings = []
    assert findings_csv(detection) == HEADER + "\n"
