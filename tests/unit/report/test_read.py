from __future__ import annotations

import json

import pytest

from medimg.errors import InputError
from medimg.report import read_report, write_report


def test_a_folder_without_a_report_is_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no report\.json"):
        read_report(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "medimg.report/9"}'])
def test_another_document_is_refused(text, tmp_path):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=r"report\.json.*run infer again"):
        read_report(tmp_path)


def test_a_missing_label_map_is_named(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    (tmp_path / "segmentation.nii.gz").unlink()
    with pytest.raises(InputError, match=r"segmentation\.nii\.gz"):
        read_report(tmp_path)


def test_a_cut_label_map_is_named(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    path = tmp_path / "segmentation.nii.gz"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match=r"segmentation\.nii\.gz"):
        read_report(tmp_path)


def test_a_finding_without_its_fields_is_refused(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json"])
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    del document["findings"][0]["center_lps_mm"]
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="center_lps_mm"):
        read_report(tmp_path)
