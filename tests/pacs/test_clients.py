"""find, get and send against a real Orthanc, by each protocol."""

from __future__ import annotations

import subprocess

import pydicom
import pytest
from pacs_peers import pixels

from medimg.errors import NetworkError
from medimg.pacs.connect import connect
from medimg.pacs.query import Match, Query
from medimg.pacs.servers import load_server

BY_ALL = pytest.mark.parametrize("name", ["web", "get", "move"])


def client(orthanc, name):
    return connect(load_server(name, orthanc.servers))


@BY_ALL
def test_what_is_sent_is_found_and_comes_back_the_same(orthanc, ct_series, tmp_path, name):
    pacs = client(orthanc, name)
    assert pacs.echo()
    sent = pacs.send(ct_series)
    assert (sorted(sent.done), sent.failed) == (sorted(ct_series), [])
    (match,) = pacs.find(Query({"modality": "CT"}))
    first = pydicom.dcmread(ct_series[0])
    assert (match.study_uid, match.series_uid) == (first.StudyInstanceUID, first.SeriesInstanceUID)
    assert (match.modality, match.description, match.instances) == ("CT", "Thorax", 24)
    got = pacs.get(match, tmp_path / "got")
    assert got.failed == []
    assert pixels(got.done) == pixels(ct_series)
    assert not list((tmp_path / "got").glob(".medimg-*"))


@BY_ALL
def test_what_does_not_match_is_not_found(orthanc, ct_series, name):
    pacs = client(orthanc, name)
    pacs.send(ct_series[:2])
    uid = str(pydicom.dcmread(ct_series[0]).StudyInstanceUID)
    assert list(pacs.find(Query({"modality": "MR"}))) == []
    assert list(pacs.find(Query({"date": "19000101-19000102"}))) == []
    assert list(pacs.find(Query({"study": "1.2.3"}))) == []
    assert len(list(pacs.find(Query({"study": uid})))) == 1


@pytest.mark.parametrize("name", ["gone", "gone-web"])
def test_a_server_that_is_away_is_named(orthanc, name):
    with pytest.raises(NetworkError, match=rf"{name} \(.*cannot be reached"):
        client(orthanc, name).echo()


@BY_ALL
def test_a_series_that_is_not_there_is_a_failure_with_its_name(orthanc, tmp_path, name):
    result = client(orthanc, name).get(Match("1.2.3", "1.2.3.4", instances=5), tmp_path)
    assert result.done == []
    assert [uid for uid, _ in result.failed] == ["1.2.3.4"]


def test_a_foreign_client_sends_what_ours_finds(orthanc, ct_series, tmp_path):
    storescu = ["storescu", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port), *map(str, ct_series)]
    subprocess.run(storescu, check=True, capture_output=True, timeout=60)
    (match,) = client(orthanc, "web").find(Query({"patient": pydicom.dcmread(ct_series[0]).PatientID}))
    assert pixels(client(orthanc, "get").get(match, tmp_path).done) == pixels(ct_series)
