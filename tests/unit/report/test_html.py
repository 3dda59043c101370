from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

import medimg
from medimg.report import viewer
from medimg.report.embed import embed
from medimg.report.html import Show, report_html
from medimg.results import Segmentation

VOID = {"meta", "br", "img", "input"}

CODE = "var niivue = 1;"


class Page(HTMLParser):
    """Collects elements and text outside scripts; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words, self.code = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.code if self.open and self.open[-1] in ("script", "style") else self.words).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def policy(self):
        (policy,) = [meta["content"] for meta in self.all("meta") if "http-equiv" in meta]
        return policy

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def bundle(monkeypatch):
    """A page with a viewer, whether or not NiiVue was fetched here."""
    monkeypatch.setattr(viewer, "bundle", lambda: CODE)


@pytest.fixture
def show(bundle, detection, chest):
    return Show({"ct": chest}, embed(detection, {"ct": chest}))


def test_it_says_what_was_found_by_what(detection):
    text = Page(report_html(detection, b"png")).text
    for words in ("2 findings", "lung_nodule 0.1.0", "nodule-1", "0.93", "12.0 mm", "905 mm³", "L 20.0 P 30.0 S 30.0",
                  "long axis, axial", "12.1 mm", "mean density", "28 HU", "slices are thick", "ab" * 32,
                  "in 3.5 s", medimg.NOT_A_MEDICAL_DEVICE):  # fmt: skip
        assert words in text


def test_nothing_found_is_said(detection):
    detection.findings = []
    assert "No findings" in Page(report_html(detection, None)).text


@pytest.mark.parametrize("place", ["description", "warning", "label", "segment", "pipeline", "provenance", "measure"])
def test_whatever_headers_hold_is_escaped(place, detection, show):
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
            detection.segmentation.array, detection.segmentation.affine_ras, {1: evil, 2: evil}
        )
    elif place == "pipeline":
        detection.pipeline["name"] = evil
    elif place == "provenance":
        detection.provenance["host"] = evil
    else:
        detection.findings[0].measurements[evil] = evil
    page = Page(report_html(detection, b"png", show))
    assert len([script for script in page.all("script") if "type" not in script]) == 2
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert "alert('x')" in page.text


def test_nothing_is_loaded_from_anywhere(detection, show):
    for page in (Page(report_html(detection, b"png")), Page(report_html(detection, b"png", show))):
        loads = [value for _, found in page.elements for name, value in found.items() if name in ("src", "href")]
        assert loads == ["data:image/png;base64,cG5n"]
        assert {"link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.elements)
        assert "url(" not in "".join(page.code)
        assert page.policy.startswith("default-src 'none'")
        assert "connect-src 'none'" in page.policy
        assert "unsafe" not in page.policy


def test_the_policy_names_every_script_and_the_style_by_their_digests(detection, show):
    text = report_html(detection, None, show)
    blocks = re.findall(r"<(script|style)>(.*?)</", text, re.DOTALL)
    assert len(blocks) == 3
    for kind, code in blocks:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert re.search(rf"{kind}-src [^;]*'sha256-{re.escape(digest)}'", Page(text).policy)


def scene_of(text):
    return json.loads(re.search(r'id="scene">(.*?)</script>', text, re.DOTALL)[1])


def test_the_viewer_is_given_every_finding_label_and_window(detection, show):
    scene = scene_of(report_html(detection, None, show))
    assert [one["center_lps_mm"] for one in scene["findings"]] == [[20.0, 30.0, 30.0], [45.0, 12.0, 10.0]]
    assert scene["labels"]["entries"] == [{"value": 1, "name": "nodule nodule-1", "colour": "#e69f00"}]
    assert scene["scans"][0]["windows"][0] == {"low": -1350.0, "high": 150.0}
    assert scene["window"] == 0


def test_a_served_page_holds_no_scan_and_asks_its_server(detection, show):
    text = report_html(detection, None, Show(show.volumes, None))
    assert "connect-src 'self'" in Page(text).policy
    assert Page(text).all("script")[0] == {"type": "application/json", "id": "scene"}
    assert scene_of(text)["scans"][0]["url"] == "data-scan-0.nii.gz"


def test_without_niivue_or_a_scan_the_page_says_so(detection, show, monkeypatch):
    assert "scan was not at hand" in report_html(detection, b"png")
    monkeypatch.setattr(viewer, "bundle", lambda: None)
    page = Page(report_html(detection, b"png", show))
    assert "not part of this installation" in page.text
    assert len(page.all("img")) == 1
    assert page.all("canvas") == []


def test_what_is_shown_of_the_scan_is_said(detection, chest, bundle):
    coarse = Show({"ct": chest}, embed(detection, {"ct": chest}, max_bytes=15_000))
    text = Page(report_html(detection, None, coarse)).text
    assert "each the mean of" in text
    assert "60 \N{MULTIPLICATION SIGN} 60 \N{MULTIPLICATION SIGN} 30 voxels" in text


def test_advice_has_its_rule_its_source_and_what_is_not_known(detection, monkeypatch):
    entry = {"rule": "Lung-RADS v2022", "category": "4A", "text": "CT in 3 months", "source": "doi:10.1/x",
             "finding_id": "nodule-1", "missing": ["age", "smoking"],
             "inputs": {"mean_diameter_mm": {"value": 9.1, "from": "nodule-1"}, "age": {"value": None}}}  # fmt: skip
    whole = detection.to_dict
    monkeypatch.setattr(detection, "to_dict", lambda path=None: {**whole(path), "advice": [entry], "context": {"k": 1}})
    text = Page(report_html(detection, None)).text
    for words in ("Lung-RADS v2022", "4A", "CT in 3 months", "doi:10.1/x", "mean diameter 9.1 mm (nodule-1)",
                  "age \N{EN DASH}", "age, smoking", "Context"):  # fmt: skip
        assert words in text


def test_what_was_measured_on_the_case_as_a_whole_is_there_even_without_findings(detection, monkeypatch):
    detection.findings = []
    whole = {"enhancing_sum_of_products_mm2": 812.0, "wt_mm3": 5230.0, "long_axis_ends_lps_mm": [[1, 2, 3], [4, 5, 6]]}
    given = detection.to_dict
    monkeypatch.setattr(detection, "to_dict", lambda path=None: {**given(path), "measurements": whole})
    text = Page(report_html(detection, None)).text
    assert "whole tumour" in text
    assert "5.23 ml" in text
    assert "ends" not in text


def test_it_opens_in_the_language_asked_for_and_holds_both(detection):
    page = Page(report_html(detection, None, language="zh"))
    assert page.all("html") == [{"lang": "zh"}]
    assert "2 findings" in page.text
    assert "\u53d1\u73b0 2 \u5904" in page.text


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
    assert {"class": "swatch c0"} in page.all("span")


def test_a_report_with_hardly_anything_in_it_still_renders(detection):
    detection.inputs, detection.provenance, detection.pipeline = [], {}, {"name": "x"}
    detection.segmentation = None
    assert "2 findings" in Page(report_html(detection, None)).text


def test_dark_paper_and_print_are_thought_of(detection):
    text = report_html(detection, None)
    assert "light-dark(" in text
    assert "@media print" in text
