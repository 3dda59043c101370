"""The file of servers: what it may hold, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from medimg.errors import UsageError
from medimg.pacs.query import Query, parse_query
from medimg.pacs.servers import DicomWebServer, DimseServer, load_server, secret, variable_of

GOOD = """
servers:
  archive: {kind: dicomweb, url: "https://pacs.example.org/dicom-web", user: me}
  ward: {kind: dimse, host: 10.0.0.7, port: 104, aet: WARD, tls: {ca: ca.pem}}
"""


def config(folder: Path, text: str) -> Path:
    path = folder / "servers.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_kind_is_read(tmp_path):
    path = config(tmp_path, GOOD)
    archive, ward = load_server("archive", path), load_server("ward", path)
    assert isinstance(archive, DicomWebServer)
    assert isinstance(ward, DimseServer)
    assert (archive.url, ward.port, ward.tls.ca) == ("https://pacs.example.org/dicom-web", 104, "ca.pem")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{kind: dicomweb, url: 'https://a/b', password: geheim}", "holds a password"),
        ("{kind: dicomweb, url: 'https://me:geheim@a/b'}", "name no user"),
        ("{kind: ftp}", "kind must be one of dicomweb, dimse"),
        ("{kind: dicomweb}", "url"),
        ("{kind: dimse, host: a, port: 104, aet: A_TITLE_THAT_IS_TOO_LONG}", "no AE title"),
        ("{kind: dimse, host: a, port: 104000, aet: A}", "1 to 65535"),
        ("{kind: dimse, host: a, port: 104, aet: A, colour: red}", "colour is unknown"),
        ("{kind: dimse, host: a, port: 104, aet: A, retrieve: fetch}", "get or move"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_without_its_secret(tmp_path, entry, told):
    path = config(tmp_path, f"servers:\n  x: {entry}\n")
    with pytest.raises(UsageError, match=told) as caught:
        load_server("x", path)
    assert "geheim" not in str(caught.value)


def test_a_server_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(UsageError, match="archive, ward"):
        load_server("other", config(tmp_path, GOOD))
    with pytest.raises(UsageError, match=r"docs/pacs\.md"):
        load_server("other", tmp_path / "none.yaml")


def test_a_secret_comes_from_the_environment(monkeypatch):
    server = DicomWebServer("my-archive", "https://a", user="me")
    assert variable_of(server, "password") == "MEDIMG_PACS_MY_ARCHIVE_PASSWORD"
    assert secret(server, "password") is None
    monkeypatch.setenv("MEDIMG_PACS_MY_ARCHIVE_PASSWORD", "geheim")
    assert secret(server, "password") == "geheim"


def test_a_query_is_read_and_checked():
    assert parse_query("modality=CT, date=20240101-20240131") == Query(modality="CT", date="20240101-20240131")
    for text, told in (
        ("modality", "NAME=VALUE"),
        ("colour=red", "names are patient"),
        ("", "asks for nothing"),
        ("date=tomorrow", "YYYYMMDD"),
        ("study=1.2.x", "not a DICOM UID"),
    ):
        with pytest.raises(UsageError, match=told):
            parse_query(text)
