"""medimg view: the page, or one line that says why not."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from browser_case import make_case
from click.testing import CliRunner

from medimg.cli import cli
from medimg.stages.case import describe_input
from medimg.volumes import read_volume, write_nifti


def view(*arguments):
    return CliRunner().invoke(cli, ["view", *map(str, arguments)], prog_name="medimg")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A report whose scan lies beside it."""
    case = make_case(tmp_path / "out")
    scan = tmp_path / "chest.nii.gz"
    write_nifti(scan, case.volumes["ct"].array, case.volumes["ct"].affine_ras)
    case.report.inputs = [describe_input("ct", read_volume(scan))]
    case.write()
    return case.folder


@pytest.mark.parametrize("name", ["", "report.html", "report.json"])
def test_the_pages_address_is_printed(name, folder):
    shown = view(folder / name, "--no-browser")
    assert shown.exit_code == 0
    assert shown.stdout.strip() == (folder / "report.html").as_uri()
    assert "Not a medical device" in shown.stderr


def test_the_browser_is_asked_to_open_it_in_the_language_wanted(folder, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    assert view(folder, "--lang", "zh").exit_code == 0
    assert opened == [(folder / "report.html").as_uri() + "#zh"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda folder: (folder / "report.json").unlink(), "holds no report.json"),
        (lambda folder: (folder / "report.html").unlink(), "holds no report.html"),
        (lambda folder: (folder / "report.json").write_text("{broken"), "is not a medimg report"),
        (lambda folder: (folder / "segmentation.nii.gz").write_bytes(b"no"), "label map cannot be read"),
        (lambda folder: (folder / "segmentation.nii.gz").unlink(), "label map cannot be read"),
        (lambda folder: (folder / "report.html").write_text("<html>"), "cut short or edited"),
    ],
)
def test_a_folder_edited_by_hand_is_one_clear_line(edit, said, folder):
    edit(folder)
    shown = view(folder, "--no-browser")
    assert shown.exit_code == 1
    assert said in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert "unexpected" not in shown.stderr


def test_a_label_map_of_another_shape_is_refused(folder):
    document = json.loads((folder / "report.json").read_text())
    document["inputs"][0]["shape"][2] += 1
    (folder / "report.json").write_text(json.dumps(document))
    assert "not on the scan's grid" in view(folder, "--no-browser").stderr


def test_a_path_that_is_not_there_is_a_wrong_command_line(tmp_path):
    assert view(tmp_path / "gone").exit_code == 2


def test_a_scan_that_is_gone_cannot_be_served(folder):
    (folder.parent / "chest.nii.gz").unlink()
    shown = view(folder, "--serve", "--no-browser")
    assert shown.exit_code == 1
    assert "bring it back or infer again" in shown.stderr


def test_the_whole_scan_is_served_until_it_is_ended(folder):
    command = [sys.executable, "-u", "-m", "medimg", "view", str(folder), "--serve", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        address = serving.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"2 findings" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address[:-3], timeout=60)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
        assert "ended" in serving.stderr.read()
