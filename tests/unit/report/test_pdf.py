from __future__ import annotations

import re

import pypdfium2
import pytest

import medimg
from medimg.report.pdf import report_pdf
from medimg.report.preview import preview_png


def text_of(data: bytes) -> str:
    pages = pypdfium2.PdfDocument(data)
    return re.sub(r"\s+", " ", " ".join(page.get_textpage().get_text_bounded() for page in pages))


def test_it_says_what_was_found_by_what(detection, chest):
    text = text_of(report_pdf(detection, preview_png(detection, {"ct": chest})))
    for words in ("2 findings", "lung_nodule 0.1.0", "nodule-1", "0.93", "12.0 mm", "905 mm³", "L 20.0 P 30.0 S 30.0",
                  "slices are thick", "ab" * 32, "cut by the edge", medimg.NOT_A_MEDICAL_DEVICE):  # fmt: skip
        assert words in text, words


def test_it_speaks_chinese(detection):
    text = text_of(report_pdf(detection, None, "zh"))
    assert "\u53d1\u73b0 2 \u5904" in text
    assert "\u4e0d\u5f97\u7528\u4e8e\u8bca\u65ad" in text


@pytest.mark.parametrize(
    "name",
    [
        "<b>&amp;</para>",
        "\u738b\u5c0f\u4e1c",
        "\u0130zmir \u0416\u0438\u0432\u0430\u0433\u043e",
        "\x1b[31m\x00",
        "x" * 500,
    ],
)
def test_any_name_is_printed_as_it_is(name, detection):
    detection.warnings.append(name)
    detection.inputs[0]["description"] = name
    text = text_of(report_pdf(detection, None))
    shown = "".join(letter for letter in name if letter.isprintable())
    assert shown[:40] in text.replace("\ufffe", "")


def test_nothing_found_is_said(detection):
    detection.findings = []
    assert "Nothing was found" in text_of(report_pdf(detection, None))


def test_many_findings_go_on_in_more_tables(detection):
    detection.findings = [detection.findings[0]] * 23
    assert text_of(report_pdf(detection, None)).count("long axis, axial") == 5


def test_the_same_report_gives_the_same_bytes(detection):
    assert report_pdf(detection, None) == report_pdf(detection, None)


def test_what_fills_more_than_a_page_goes_on_on_the_next(detection):
    """A CT with a hundred findings has a hundred tracking UIDs in one row, and that lost the whole case."""
    uids = {f"nodule-{number}": f"2.25.{10**38 + number}" for number in range(400)}
    detection.dicom = {"tracking_uids": uids}
    detection.findings[0].measurements["remark"] = "word " * 4000
    text = text_of(report_pdf(detection, None))
    assert all(uid in text.replace(" ", "") for uid in list(uids.values())[::399])
