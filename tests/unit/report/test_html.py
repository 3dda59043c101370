from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import medimg
from medimg.report.html import report_html
from medimg.results import Segmentation

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Collects elements and text; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_it_says_what_was_found_by_what(detection):
    text = Page(report_html(detection, b"png")).text
    for words in ("lung_nodule 0.1.0: 2 findings", "nodule-1", "0.93", "12.0 mm", "905 mm", "20.0 30.0 30.0",
                  "long axis 12.1 mm", "mean 28 HU", "slices are thick", "ab" * 32, "in 3.5 s",
                  medimg.NOT_A_MEDICAL_DEVICE):  # fmt: skip
        assert words in text


def test_nothing_found_is_said(detection):
    detection.findings = []
    assert "no findings" in Page(report_html(detection, None)).text


@pytest.mark.parametrize("place", ["description", "warning", "label", "segment", "pipeline", "provenance", "measure"])
def test_whatever_headers_hold_is_escaped(place, detection):
    evil = "<script>alert('x')</script>\"><img src=http://evil>"
    if place == "description":
        detection.inputs[0]["description"] = evil
    elif place == "warning":
        detection.warnings.append(evil)
    elif place == "label":
        object.__setattr__(detection.findings[0], "label", evil)
        object.__setattr__(detection.findings[0], "id", evil)
    elif place == "segment":
        detection.segmentation = Segmentation(
            detection.segmentation.array, detection.segmentation.affine_ras, {1: evil}
        )
    elif place == "pipeline":
        detection.pipeline["name"] = evil
    elif place == "provenance":
        detection.provenance["host"] = evil
    else:
        detection.findings[0].measurements[evil] = evil
    text = report_html(detection, b"png")
    page = Page(text)
    assert "<script" not in text
    assert page.all("script") == []
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert "alert('x')" in page.text


def test_nothing_is_loaded_from_anywhere(detection):
    page = Page(report_html(detection, b"png"))
    loads = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert loads == ["data:image/png;base64,cG5n"]
    assert {"link", "script", "iframe", "object"}.isdisjoint(tag for tag, _ in page.elements)
    assert "url(" not in report_html(detection, None)
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")


def test_it_can_be_read_without_seeing_it(detection):
    page = Page(report_html(detection, b"png"))
    (image,) = page.all("img")
    assert "nodule-1" in image["alt"]
    assert page.all("html") == [{"lang": "en"}]
    assert all("scope" in heading for heading in page.all("th"))
    labelled = {section["aria-labelledby"] for section in page.all("section")}
    assert labelled <= {heading.get("id") for heading in page.all("h2")}


def test_without_a_picture_there_is_none(detection):
    assert Page(report_html(detection, None)).all("img") == []


def test_labels_have_volumes_and_colours(tumour):
    page = Page(report_html(tumour, None))
    assert "necrotic core 1 1.20 ml" in page.text
    assert "background: #e69f00" in str(page.all("span"))


def test_a_report_with_hardly_anything_in_it_still_renders(detection):
    detection.inputs, detection.provenance, detection.pipeline = [], {}, {"name": "x"}
    detection.segmentation = None
    assert "x: 2 findings" in Page(report_html(detection, None)).text


def test_dark_paper_and_print_are_thought_of(detection):
    text = report_html(detection, None)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
