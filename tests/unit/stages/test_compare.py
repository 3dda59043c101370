"""Two scans of a phantom whose nodules grew by a known amount, moved, and were scanned on another grid."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import toy
from click.testing import CliRunner
from moving import grid_about, motion_of, scanned_again, volume_of

from medimg import NOT_A_MEDICAL_DEVICE, volumes
from medimg.cli import cli
from medimg.errors import InputError, UsageError
from medimg.measure.lesion import lesions
from medimg.measure.nodule import measure_nodule, segment_nodule
from medimg.phantoms.brain import Tumour, brain
from medimg.phantoms.nodules import Nodule
from medimg.phantoms.thorax import plan_thorax, scan
from medimg.report import write_report
from medimg.results import Finding, Report, Segmentation
from medimg.stages.case import describe_input
from medimg.stages.compare import Options, compare
from medimg.volumes import read_volume

MIDDLE = (-72.0, 0.0, 0.0)
SHAPE, SPACING_MM = (110, 110, 90), (1.0, 1.0, 1.25)
GROWING, STABLE = (-80.0, 10.0, 10.0), (-62.0, -12.0, -25.0)
GONE, CAME = (-90.0, -25.0, 20.0), (-95.0, 22.0, -18.0)
BEFORE = (Nodule(GROWING, 10.0), Nodule(STABLE, 9.0), Nodule(GONE, 8.0))
AFTER = (Nodule(GROWING, 13.0), Nodule(STABLE, 9.0), Nodule(CAME, 9.0))
MOTION = motion_of((3.0, -4.0, 5.0), (8.0, -12.0, 15.0))
OBLIQUE_SHAPE = (120, 116, 100)
DAYS = 180

HEAD_SHAPE = (110, 110, 72)


def write_case(folder, volume, nodules, motion=None, day=None, name="lung_nodule"):
    """The scan, and its report with every nodule found, outlined and measured by the project's own stage."""
    folder.mkdir()
    volumes.write_nifti(folder / "scan.nii.gz", volume.array, volume.affine_ras)
    volume = replace(read_volume(folder / "scan.nii.gz"), modality="CT")
    if day is not None:
        headers = {"StudyDate": day}
        (folder / "scan.json").write_text(json.dumps({"modality": "CT", "source": {"headers": headers}}))
        volume = replace(volume, source=replace(volume.source, headers=headers))
    labels, findings = np.zeros(volume.shape, np.uint8), []
    for number, nodule in enumerate(nodules, start=1):
        center = nodule.center_lps_mm if motion is None else tuple(motion.moved(nodule.center_lps_mm))
        outlined = segment_nodule(volume, center, nodule.diameter_mm)
        measured = measure_nodule(volume, outlined)
        labels[tuple(outlined.voxels().T)] = number
        findings.append(
            Finding(
                f"nodule-{number}",
                "nodule",
                center,
                nodule.diameter_mm,
                measured.pop("volume_mm3"),
                None,
                0.9,
                number,
                measured,
            )
        )
    report = Report(
        {"name": name, "version": "1", "sha256": "0" * 64}, [describe_input("ct", volume)], findings,
        Segmentation(labels, volume.affine_ras, {n + 1: f.id for n, f in enumerate(findings)}),
        advice=[{"rule": "any"}],
    )  # fmt: skip
    write_report(report, {"ct": volume}, folder / "report", ("json", "nifti"))
    return folder / "report"


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """(prior, current): the current scan is after MOTION, on an oblique grid of other spacing."""
    root = tmp_path_factory.mktemp("cases")
    scans = []
    for nodules in (BEFORE, AFTER):
        phantom = scan(plan_thorax(6, nodules=nodules, noise_hu=15.0), SHAPE, SPACING_MM, MIDDLE)
        scans.append(volume_of(phantom.array, phantom.affine_ras))
    grid = grid_about(MOTION.moved(MIDDLE), OBLIQUE_SHAPE, (0.9, 0.95, 1.2), (8.0, -5.0, 12.0))
    moved = scanned_again(scans[1], MOTION, OBLIQUE_SHAPE, grid)
    moved = volume_of(np.rint(moved.array).astype(np.int16), moved.affine_ras)
    return (
        write_case(root / "prior", scans[0], BEFORE, day="20250301"),
        write_case(root / "current", moved, AFTER, MOTION, day="20250828"),
    )


@pytest.fixture(scope="module")
def compared(cases, tmp_path_factory):
    output = tmp_path_factory.mktemp("compared")
    return compare(*cases, output, Options()), output


def by_status(comparison):
    return {change.growth.status: change for change in comparison.changes}


def test_each_nodule_is_followed_to_less_than_a_millimetre(compared):
    comparison, _ = compared
    assert comparison.counts == {"grown": 1, "stable": 1, "new": 1, "resolved": 1}
    for status in ("grown", "stable"):
        assert by_status(comparison)[status].distance_mm < 1.0
    assert comparison.registration.motion.distance_mm(MOTION, np.array([GROWING, STABLE, GONE])) < 1.0


def test_growth_and_doubling_time_are_those_of_the_phantom(compared):
    comparison, _ = compared
    grown, stable = by_status(comparison)["grown"].growth, by_status(comparison)["stable"].growth
    true_ratio = (13 / 10) ** 3
    assert comparison.days == DAYS
    assert 1 + grown.volume_change_percent / 100 == pytest.approx(true_ratio, rel=0.12)
    assert grown.mean_axis_change_mm == pytest.approx(3.0, abs=1.0)
    true_days = DAYS * math.log(2) / math.log(true_ratio)
    assert grown.doubling_days == pytest.approx(true_days, rel=0.15)
    low, high = grown.doubling_range_days
    assert low < true_days < high
    assert abs(stable.volume_change_percent) < 12


def test_the_files_say_the_same(compared):
    _, output = compared
    document = json.loads((output / "comparison.json").read_text(encoding="utf-8"))
    assert document["schema"] == "medimg.comparison/1"
    assert document["days"] == DAYS
    assert (output / document["prior"]["path"] / "report.json").is_file()
    with (output / "comparison.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == [entry["status"] for entry in document["findings"]]
    assert rows[0]["volume_change_percent"] == str(document["findings"][0]["volume_change_percent"])
    page = (output / "comparison.html").read_text(encoding="utf-8")
    assert NOT_A_MEDICAL_DEVICE in page
    assert page.count("data:image/png;base64,") == 1
    assert re.search("https?://", page) is None
    assert "identity_unknown" in page


def test_unknown_identity_is_a_named_warning_and_the_advice_knows_the_prior(compared):
    comparison, _ = compared
    assert [warned.code for warned in comparison.warnings] == ["identity_unknown"]
    rads = {entry["finding_id"]: entry for entry in comparison.advice if entry["rule"] == "Lung-RADS v2022"}
    assert rads["nodule-1"]["inputs"]["status"]["value"] == "growing"
    assert rads["nodule-2"]["inputs"]["status"]["value"] == "stable"
    assert rads["nodule-3"]["inputs"]["status"]["value"] == "new"
    assert rads["nodule-1"]["inputs"]["prior_ct"]["from"] == "comparison with the prior scan"


def test_a_page_that_cannot_be_drawn_costs_nothing_else(cases, tmp_path, monkeypatch):
    def no_ink(*_arguments):
        raise RuntimeError("no ink left")

    monkeypatch.setattr("medimg.followup.writers.picture_png", no_ink)
    result = run(*cases, "-o", tmp_path / "out")
    assert result.exit_code == 3
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert document["warnings"][-1]["code"] == "not_drawn"
    assert "no ink left" in document["warnings"][-1]["message"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"comparison.json", "comparison.csv"}


def run(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)], prog_name="medimg")


def one_line(result):
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def test_dates_the_wrong_way_round_are_a_usage_error(cases, tmp_path):
    result = run(*cases, "--prior-date", "2026-01-01", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "later than the current one" in one_line(result)


def test_one_folder_twice_and_an_output_that_is_an_input_are_usage_errors(cases, tmp_path):
    prior, current = cases
    assert "name two" in one_line(run(prior, prior, "-o", tmp_path / "out"))
    assert "choose another folder" in one_line(run(prior, current, "-o", current))


def test_a_report_whose_scan_is_gone_is_refused(cases, tmp_path):
    prior, _ = cases
    document = json.loads((prior / "report.json").read_text(encoding="utf-8"))
    document["inputs"][0]["path"] = "gone.nii.gz"
    document["segmentation"] = None
    (tmp_path / "edited").mkdir()
    (tmp_path / "edited" / "report.json").write_text(json.dumps(document))
    result = run(tmp_path / "edited", prior, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "is gone" in one_line(result)


def test_a_ct_and_an_mr_cannot_be_compared(cases, tmp_path):
    prior, _ = cases
    document = json.loads((prior / "report.json").read_text(encoding="utf-8"))
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    volumes.write_nifti(tmp_path / "x_t2f.nii.gz", np.arange(1000, dtype=np.int16).reshape(10, 10, 10), affine)
    volume = read_volume(tmp_path / "x_t2f.nii.gz")
    document["inputs"] = [describe_input("t2f", replace(volume, modality="MR"))]
    document["segmentation"] = None
    (tmp_path / "mr").mkdir()
    (tmp_path / "mr" / "report.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="share no role"):
        compare(prior, tmp_path / "mr", tmp_path / "out", Options())


def test_two_scans_are_searched_first_and_the_command_says_what_became_of_them(cases, tmp_path):
    pipeline = toy.detector(tmp_path / "toy")
    scans = [case.parent / "scan.nii.gz" for case in cases]
    dates = ["--prior-date", "2025-03-01", "--current-date", "20250828"]
    result = run(*scans, *dates, "--pipeline", pipeline, "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "interval: 180 days" in result.stdout
    assert "registration: 7." in result.stdout
    for name in ("prior", "current"):
        assert (tmp_path / "out" / name / "report.json").is_file()
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert document["prior"]["path"] == "prior"
    assert document["advice"] == []


def test_dates_a_century_apart_are_refused_as_dates(cases, tmp_path):
    with pytest.raises(UsageError, match="no patient is scanned on 1900-01-01 and on"):
        compare(*cases, tmp_path / "out", Options(prior_day=date(1900, 1, 1), current_day=date(2025, 3, 1)))


def test_an_option_day_beats_the_header(cases, tmp_path):
    comparison = compare(*cases, tmp_path / "out", Options(current_day=date(2025, 3, 1)))
    assert comparison.days == 0
    assert "same_day" in {warned.code for warned in comparison.warnings}
    with pytest.raises(UsageError, match="choose another"):
        compare(*cases, cases[0], Options())


def write_head(folder, phantom, motion=None, grid=None, shape=None):
    """FLAIR and the true label map of a head, scanned again after `motion`; lesions measured by the project."""
    volume = volume_of(phantom.contrasts["t2f"], phantom.affine_ras, "MR")
    labels = volume_of(phantom.labels, phantom.affine_ras, "MR")
    if motion is not None:
        volume = scanned_again(volume, motion, shape, grid)
        labels = scanned_again(labels, motion, shape, grid, order=0)
    folder.mkdir()
    volumes.write_nifti(folder / "case_t2f.nii.gz", np.rint(volume.array).astype(np.int16), volume.affine_ras)
    read = replace(read_volume(folder / "case_t2f.nii.gz"), modality="MR")
    segmentation = Segmentation(
        np.rint(labels.array).astype(np.uint8), read.affine_ras, {1: "necrotic", 2: "oedema", 3: "et"}
    )
    groups = {"whole_tumour": (1, 2, 3), "tumour_core": (1, 3), "enhancing": (3,)}
    report = Report(
        {"name": "brain_tumour", "version": "1", "sha256": "0" * 64}, [describe_input("t2f", read)],
        lesions(segmentation, groups, 500.0, "tumour"), segmentation,
    )  # fmt: skip
    write_report(report, {"t2f": read}, folder / "report", ("json", "nifti"))
    return folder / "report"


def test_a_tumour_that_grew_is_followed_region_by_region(tmp_path):
    """A core of 14 mm radius that grows to 17 mm, in a head that moved: the truth is that of the label maps."""
    before = brain(2, HEAD_SHAPE, tumour=Tumour((-32.0, 5.0, 12.0), 14.0, 4.0, 8.0))
    after = brain(2, HEAD_SHAPE, tumour=Tumour((-32.0, 5.0, 12.0), 17.0, 4.0, 8.0))
    motion = motion_of((-3.0, 2.0, 5.0), (3.0, 8.0, -6.0))
    middle, shape = np.array([117.0, -115.0, 66.0]), (90, 100, 80)
    grid = grid_about(motion.moved(middle), shape, (2.2, 2.2, 2.2), (4.0, -6.0, 8.0))
    prior = write_head(tmp_path / "prior", before)
    current = write_head(tmp_path / "current", after, motion, grid, shape)
    comparison = compare(prior, current, tmp_path / "out", Options())
    assert comparison.registration.motion.distance_mm(motion, middle + 40 * np.eye(3)) < 1.0
    main = max(comparison.changes, key=lambda change: change.finding.volume_mm3 or 0)
    voxel = abs(np.linalg.det(before.affine_ras[:3, :3]))
    for name, values in {"whole_tumour_mm3": (1, 2, 3), "tumour_core_mm3": (1, 3)}.items():
        truth = [np.isin(phantom.labels, values).sum() * voxel for phantom in (before, after)]
        entry = comparison.regions[name]
        assert entry["prior_mm3"] == pytest.approx(truth[0], rel=0.05)
        assert entry["change_percent"] == pytest.approx(100 * (truth[1] / truth[0] - 1), abs=8)
    assert main.growth.criterion.startswith("volume +40 %")
    assert main.to_dict()["regions"]["tumour_core_mm3"]["rano_volume"].startswith("progression")
    assert comparison.advice == []
    assert "RANO" in (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
