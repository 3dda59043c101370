"""The page that `medimg view --serve` serves: the whole scan, over loopback, in a real browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from browser_case import CENTERS_LPS, NODULE_HU, SHAPE, make_case

from medimg.volumes import read_volume, write_nifti

pytestmark = pytest.mark.browser

LONG_S = 60


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address of the page, served by the program itself from a report folder and the scan it was made of."""
    folder = tmp_path_factory.mktemp("served")
    case = make_case(folder / "out")
    volume = case.volumes["ct"]
    scan = folder / "chest.nii.gz"
    write_nifti(scan, volume.array, volume.affine_ras, "phantom")
    digest = read_volume(scan).source.sha256
    case.report.inputs[0].update(path=str(scan), kind="nifti", role="ct", files=1, sha256=digest)
    case.write()
    command = [sys.executable, "-m", "medimg", "view", str(folder / "out"), "--serve", "--no-browser"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        try:
            assert program.stdout is not None
            yield program.stdout.readline().strip()
        finally:
            program.send_signal(signal.SIGINT)
            assert program.wait(LONG_S) == 0


@pytest.fixture(scope="module")
def page(served, open_page):
    return open_page(served)


def test_it_loads_without_a_complaint_and_asks_this_machine_alone(served, page):
    assert served.startswith("http://127.0.0.1:")
    assert page.said == []
    assert {address.split("#")[0] for address in page.asked_for} == {
        served,
        f"{served}data-scan-0.nii.gz",
        f"{served}data-labels.nii.gz",
    }


SHAPE_OF_SCAN = """
fetch('data-scan-0.nii.gz')
  .then(answer => new Response(answer.body.pipeThrough(new DecompressionStream('gzip'))).arrayBuffer())
  .then(file => Array.from(new Int16Array(file, 42, 3)))
"""
"""The dimensions in the header of the NIfTI file that the page is given (bytes 42 to 47)."""


def test_it_shows_the_scan_at_its_full_resolution(page):
    assert sorted(page.page.evaluate(SHAPE_OF_SCAN)) == sorted(SHAPE)
    drawn = page.pixels()
    assert len(np.unique(drawn.sum(axis=-1))) > 20
    page.keep("served")


def test_a_click_on_a_finding_moves_the_crosshair_to_it(page):
    for value in (2, 1):
        page.page.click(f"tr[data-finding='{value - 1}'] .jump")
        np.testing.assert_allclose(page.lps, CENTERS_LPS[value], atol=0.02)
        assert page.page.inner_text("#grey") == f"{NODULE_HU[value]} HU"
        assert page.page.inner_text("#under") == f"nodule-{value}"
