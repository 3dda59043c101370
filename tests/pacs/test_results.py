"""DICOM results through a real Orthanc, by STOW and WADO and by C-STORE and C-GET: they come back as they went."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from conformance import results

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.pacs.connect import connect
from medimg.pacs.query import Query
from medimg.pacs.servers import load_server
from medimg.report.dicom.build import KINDS


@pytest.fixture(scope="module")
def objects(ct_series, tmp_path_factory) -> dict[str, Path]:
    """Every kind of result of the CT series, as files."""
    (series,) = discover(ct_series[0].parent).series
    (volume,) = read_series(series).volumes
    folder = tmp_path_factory.mktemp("results")
    built = results.build(volume, tuple(KINDS))
    for name, dataset in built.objects.items():
        dataset.save_as(folder / name, enforce_file_format=True)
    return {kind: folder / name for kind, name in KINDS.items()}


@pytest.mark.parametrize("name", ["web", "get"])
def test_every_result_lies_in_the_scans_study_and_comes_back_the_same(orthanc, ct_series, objects, tmp_path, name):
    pacs = connect(load_server(name, orthanc.servers))
    sent = pacs.send([*ct_series, *objects.values()])
    assert sent.failed == []
    study = str(pydicom.dcmread(ct_series[0]).StudyInstanceUID)
    found = {match.modality: match for match in pacs.find(Query({"study": study}))}
    assert set(found) == {"CT", "SEG", "SR", "DOC", "OT", "RTSTRUCT"}
    for modality in set(found) - {"CT"}:
        (back,) = pacs.get(found[modality], tmp_path / modality).done
        dataset = pydicom.dcmread(back)
        (original,) = [path for path in objects.values() if pydicom.dcmread(path).Modality == modality]
        assert dataset == pydicom.dcmread(original)


def test_sending_a_rerun_adds_nothing(orthanc, objects):
    pacs = connect(load_server("web", orthanc.servers))
    for _ in range(2):
        assert pacs.send(list(objects.values())).failed == []
    assert len(orthanc.instances()) == len(objects)
