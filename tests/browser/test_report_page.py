"""report.html as people use it, in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from browser_case import CENTERS_LPS, NODULE_HU, make_case

pytestmark = pytest.mark.browser


def rotation(degrees: float) -> np.ndarray:
    """Oblique axes: turned about z, then about x."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_x @ about_z


def grid(axes: np.ndarray, spacing=(1.0, 1.0, 2.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    return affine


GRIDS = {
    "sagittal slices": grid(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]), (1.2, 1.2, 1.5)),
    "oblique": grid(rotation(24) @ np.diag([-1, -1, 1])),
}


def test_it_loads_without_a_complaint_and_asks_for_nothing(opened):
    opened.page.mouse.move(400, 400)
    opened.page.mouse.wheel(0, 200)
    assert opened.said == []
    assert opened.asked_for == [opened.page.url.partition("#")[0]]
    opened.keep("report")


def test_the_scan_is_drawn_in_three_planes(opened):
    drawn = opened.pixels()
    height, width, _ = drawn.shape
    right = int(width * 0.62)
    for part in (drawn[:, :right], drawn[: height // 2, right:], drawn[height // 2 :, right:]):
        assert len(np.unique(part.sum(axis=-1))) > 20


def check_jumps(opened):
    """The crosshair goes to the finding; not only does it say so: the voxel there is the nodule's, and the label."""
    for value in (2, 1):
        opened.page.click(f"tr[data-finding='{value - 1}'] .jump")
        np.testing.assert_allclose(opened.lps, CENTERS_LPS[value], atol=0.02)
        assert opened.page.inner_text("#grey") == f"{NODULE_HU[value]} HU"
        assert opened.page.inner_text("#under") == f"nodule-{value}"
        assert opened.page.get_attribute(f"tr[data-finding='{value - 1}'] .jump", "aria-pressed") == "true"


def test_a_click_on_a_finding_moves_the_crosshair_to_it(opened):
    check_jumps(opened)


@pytest.mark.parametrize("name", GRIDS)
def test_it_does_so_on_any_grid_and_begins_at_the_first_finding(name, tmp_path, open_page):
    opened = open_page(make_case(tmp_path, GRIDS[name]).write())
    np.testing.assert_allclose(opened.lps, CENTERS_LPS[1], atol=0.02)
    check_jumps(opened)


def test_of_a_hundred_findings_the_last_is_clicked_with_the_scan_still_in_sight(case, open_page):
    last = case.report.findings[-1]
    case.report.findings += [replace(last, id=f"more-{n}", segment=None) for n in range(100)]
    page = open_page(case.write()).page
    page.click("tr[data-finding='101'] .jump")
    box = page.locator("#canvas").bounding_box()
    assert 0 < box["y"] + box["height"] / 2 < page.viewport_size["height"]


def test_the_patients_right_is_on_the_left_of_the_picture(opened):
    box = opened.page.locator("#canvas").bounding_box()
    x, y, _ = CENTERS_LPS[1]
    opened.page.mouse.click(box["x"] + box["width"] * 0.28, box["y"] + box["height"] * 0.45)
    assert opened.lps[0] < x
    assert opened.lps[1] < y


def colourful(drawn: np.ndarray) -> int:
    """Pixels that are not grey: mask, crosshair, letters."""
    return int((np.ptp(drawn, axis=-1) > 25).sum())


def test_the_mask_fades_with_its_opacity(opened):
    colours = []
    for percent in (0, 40, 100):
        opened.set_opacity(percent)
        assert opened.page.inner_text("#opacity-value") == f"{percent} %"
        colours.append(colourful(opened.pixels()))
    assert colours[0] < colours[1] <= colours[2]
    assert colours[1] > colours[0] + 200
    # the outline alone leaves the nodule itself in grey
    opened.page.click("#outline")
    assert colours[0] < colourful(opened.pixels()) < colours[2]
    opened.page.click("#outline")
    assert colourful(opened.pixels()) == colours[2]


def test_presets_change_the_grey_levels_and_say_so(opened):
    assert opened.page.inner_text("#window") == "W 1500 L -600 HU"
    pictures = []
    for index, words in enumerate(("W 1500 L -600", "W 400 L 40", "W 1800 L 400", "W 80 L 40")):
        opened.page.click(f"[data-window='{index}']")
        assert opened.page.inner_text("#window") == f"{words} HU"
        assert opened.page.get_attribute(f"[data-window='{index}']", "aria-pressed") == "true"
        pictures.append(opened.pixels())
    # lung is grey in its own window and black in that of soft tissue
    assert np.median(pictures[0]) > np.median(pictures[1]) + 20
    assert (pictures[1] != pictures[2]).any()


def test_keys_do_what_the_page_says_they_do(opened):
    page = opened.page
    page.focus("#canvas")
    x, y, z = opened.lps
    for key, moved in {"ArrowLeft": (-1, 0, 0), "ArrowUp": (0, -1, 0), "PageUp": (0, 0, 2)}.items():
        page.keyboard.press(key)
        np.testing.assert_allclose(opened.lps, np.add((x, y, z), moved), atol=0.03)
        x, y, z = opened.lps
    page.keyboard.press("n")
    np.testing.assert_allclose(opened.lps, CENTERS_LPS[2], atol=0.02)
    page.keyboard.press("p")
    np.testing.assert_allclose(opened.lps, CENTERS_LPS[1], atol=0.02)
    page.keyboard.press("2")
    assert page.inner_text("#window") == "W 400 L 40 HU"
    page.keyboard.press("+")
    assert page.inner_text("#zoom") == "125 %"
    page.keyboard.press("0")
    assert page.inner_text("#zoom") == "100 %"
    page.keyboard.press("]")
    assert page.inner_text("#opacity-value") == "45 %"
    for key, what in (
        ("c", "planes='coronal'"),
        ("m", "planes='all'"),
        ("d", "drag='measurement'"),
        ("Escape", "drag='crosshair'"),
    ):
        page.keyboard.press(key)
        assert page.get_attribute(f"[data-{what}]", "aria-pressed") == "true"
    assert opened.said == []


def test_what_is_near_the_crosshair_stays_in_the_middle_when_zoomed(opened):
    opened.page.click("[data-planes='axial']")
    for _ in range(6):
        opened.page.click("[data-zoom='in']")
    box = opened.page.locator("#canvas").bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    np.testing.assert_allclose(opened.lps, CENTERS_LPS[1], atol=1.0)


def test_a_distance_is_that_between_its_ends(opened):
    page = opened.page
    page.click("[data-planes='axial']")
    box = page.locator("#canvas").bounding_box()
    ends = [
        (box["x"] + box["width"] * part, box["y"] + box["height"] * down) for part, down in ((0.42, 0.35), (0.6, 0.7))
    ]
    places = []
    for end in ends:
        page.mouse.click(*end)
        places.append(opened.lps)
    page.click("[data-drag='measurement']")
    page.mouse.move(*ends[0])
    page.mouse.down()
    page.mouse.move(*ends[1], steps=5)
    page.mouse.up()
    said = float(page.inner_text("#distances li").removesuffix(" mm"))
    assert said == pytest.approx(np.linalg.norm(np.subtract(*places)), abs=0.6)
    page.focus("#canvas")
    page.keyboard.press("Delete")
    assert page.locator("#distances li").count() == 0


def test_it_speaks_chinese_when_asked(opened):
    assert opened.page.locator("h1").inner_text() == "2 findings"
    opened.page.click("[data-language='zh']")
    assert opened.page.locator("h1").inner_text() == "发现 2 处"
    assert opened.page.title() == "lung_nodule 0.2.0\uff1a发现 2 处"
    assert opened.page.get_attribute("html", "lang") == "zh"
    assert "Window" not in opened.page.inner_text(".tools")
    opened.keep("report_zh")
    opened.page.evaluate("location.hash = 'en'")
    opened.page.wait_for_selector("html[lang='en']", state="attached")


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_it_is_dark_where_the_system_is_and_at_the_press_of_a_button(opened):
    assert background(opened.page) == "rgb(255, 255, 255)"
    opened.page.emulate_media(color_scheme="dark")
    assert background(opened.page) == "rgb(20, 24, 28)"
    opened.keep("report_dark")
    opened.page.click("#theme")
    assert background(opened.page) == "rgb(255, 255, 255)"
    opened.page.evaluate("document.documentElement.style.colorScheme = ''")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(scheme, opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened.page.emulate_media(color_scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
    for language in ("en", "zh"):
        opened.page.click(f"[data-language='{language}']")
        found = axe.run(opened.page)
        assert found.violations_count == 0, found.generate_report()


def test_it_fits_a_telephone(opened):
    opened.page.set_viewport_size({"width": 390, "height": 844})
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.keep("report_phone")


def test_on_paper_the_still_picture_takes_the_viewers_place(opened):
    assert not opened.page.is_visible("#still")
    opened.page.emulate_media(media="print")
    assert opened.page.is_visible("#still")
    assert not opened.page.is_visible("#canvas")
    assert opened.page.is_visible("text=Not a medical device")


EVIL = (
    "<img src=x onerror='window.pwned=1'></script><script>window.pwned=1</script><!--<script>window.pwned=1</script>"
    "'\"><svg onload=window.pwned=1></title></style><iframe src=javascript:parent.pwned=1>{{ 7 * 7 }}<b>"
)


def test_html_in_whatever_reaches_the_page_is_only_text(case, open_page):
    report, evil = case.report, EVIL
    report.pipeline.update(name=evil, version=evil)
    report.inputs[0].update(description=evil, modality="CT", series_uid=evil, role=evil)
    report.inputs[0]["headers"].update(PatientName=evil, PatientID=evil, StudyDate=evil, Manufacturer=evil, KVP=evil)
    report.findings = [
        replace(one, id=f"{evil}{n}", label=evil, measurements={evil: evil, "long_axis_mm": evil, "list": [evil]})
        for n, one in enumerate(report.findings)
    ]
    report.segmentation = replace(report.segmentation, labels={1: evil, 2: evil, 3: evil})
    report.provenance.update(
        started=evil,
        device={"chosen": evil},
        software={evil: evil},
        selection={"why": evil, "not_chosen": [{"why": evil}]},
    )
    report.warnings = [evil]
    said = dict.fromkeys(("rule", "category", "text", "finding_id", "missing", "source", evil), evil)
    report.advice = [{**said, "inputs": {evil: {"value": evil, "from": evil}}}]
    case.volumes = {evil: case.volumes["ct"]}
    opened = open_page(case.write())
    opened.page.click("tr[data-finding='1'] .jump")
    opened.page.click("[data-language='zh']")
    assert opened.page.evaluate("window.pwned") is None
    assert opened.said == []
    assert len(opened.asked_for) == 1
    assert (
        opened.page.evaluate(
            "document.querySelectorAll('svg, b, iframe, img:not(#still img), script:not([type])').length"
        )
        == 2
    )
    assert evil in opened.page.inner_text(".warnings")
    assert opened.page.inner_text("#under") == evil


def test_a_viewer_that_stops_drawing_gives_way_to_the_still_picture(open_page, case):
    opened = open_page(case.write())
    opened.page.evaluate(
        "document.getElementById('canvas').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    )
    opened.page.wait_for_selector("html[data-viewer='failed']", state="attached")
    assert opened.page.is_visible("#still")
    assert not opened.page.is_visible("#canvas")


def test_without_webgl_the_still_picture_is_shown_and_the_page_says_why(case, open_page):
    script = "HTMLCanvasElement.prototype.getContext = () => null"
    opened = open_page(case.write(), state="failed", script=script)
    assert opened.page.is_visible("#still")
    assert not opened.page.is_visible("#viewer")
    assert "WebGL" in opened.page.inner_text("#viewer-failed")
    assert opened.page.is_visible("text=nodule-2")


def test_without_scripts_everything_but_the_viewer_is_there(case, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(case.write())
    assert page.is_visible("text=nodule-2")
    assert page.is_visible("#still")
    assert page.is_visible("noscript p")
    context.close()


def test_contrasts_are_chosen_by_their_buttons(tmp_path, open_page):
    case = make_case(tmp_path)
    scan = replace(case.volumes["ct"], modality="MR")
    dark = replace(scan, array=(scan.array // 4).astype(np.float32))
    case.volumes = {"t1c": scan, "t2f": dark}
    case.report.inputs = [{"role": "t1c", "modality": "MR"}, {"role": "t2f", "modality": "MR"}]
    opened = open_page(case.write())
    before = opened.pixels()
    value = float(opened.page.inner_text("#grey"))
    opened.page.click("[data-scan='1']")
    assert opened.page.get_attribute("[data-scan='1']", "aria-pressed") == "true"
    opened.page.focus("#canvas")
    opened.page.keyboard.press("p")
    opened.page.keyboard.press("n")
    assert float(opened.page.inner_text("#grey")) == pytest.approx(value / 4, abs=3)
    assert before.shape == opened.pixels().shape
    assert re.search("Automatic", opened.page.inner_text(".tools"))
    assert opened.said == []
