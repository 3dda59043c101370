"""The file of servers: what it may hold, and what is said of what it may not."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from medimg.errors import UsageError
from medimg.pacs.connect import connect
from medimg.pacs.query import Match, Query, parse_query
from medimg.pacs.servers import DicomWebServer, DimseServer, load_server, secret, variable_of
from medimg.pacs.tls import Tls
from medimg.pacs.uids import file_name

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
        ("{kind: dimse, host: 10, port: 104, aet: A}", "host must be text, not 10"),
        ("{kind: dimse, host: a, port: true, aet: A}", "1 to 65535"),
        ("{kind: dimse, host: a, port: 104, aet: A, calling_aet: yes}", "calling_aet must be text, not True"),
        ("{kind: dicomweb, url: 'https://a/b', user: 7}", "user must be text, not 7; put it in quotes"),
        ("{kind: dicomweb, url: 'https://a/b', timeout: soon}", "timeout must be seconds above 0, not 'soon'"),
        ("{kind: dicomweb, url: 'https://a/b', timeout: 0}", "timeout must be seconds above 0, not 0"),
        ("{kind: dicomweb, url: 'https://a/b', retries: -1}", "retries must be a number from 0, not -1"),
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
    assert parse_query("modality=CT, date=20240101-20240131") == Query({"modality": "CT", "date": "20240101-20240131"})
    for text, told in (
        ("modality", "NAME=VALUE"),
        ("colour=red", "knows no 'colour'; names are patient"),
        ("", "asks for nothing"),
        ("date=tomorrow", "YYYYMMDD"),
        ("study=1.2.x", "not a DICOM UID"),
    ):
        with pytest.raises(UsageError, match=told):
            parse_query(text)


def test_a_series_that_a_server_should_not_have_answered_with_is_left_out():
    query = Query({"modality": "CT", "description": "*lung*"})
    assert query.accepts(Match("1", "2", modality="CT", description="Thin LUNG 1.0"))
    assert not query.accepts(Match("1", "2", modality="SR", description="Thin LUNG 1.0"))
    assert not query.accepts(Match("1", "2", modality="CT", description="Abdomen"))


def test_a_secret_comes_from_the_keyring_where_the_environment_has_none(monkeypatch):
    keyring = pytest.importorskip("keyring")
    backend = pytest.importorskip("keyring.backend")

    class Drawer(backend.KeyringBackend):
        """A keyring in memory, of the library's own kind."""

        priority = 1

        def get_password(self, service, username):
            return {("medimg-pacs", "archive/password"): "geheim"}.get((service, username))

        def set_password(self, service, username, password): ...

        def delete_password(self, service, username): ...

    before = keyring.get_keyring()
    keyring.set_keyring(Drawer())
    try:
        server = DicomWebServer("archive", "https://a", user="me")
        assert secret(server, "password") == "geheim"
        assert secret(server, "token") is None
        monkeypatch.setenv("MEDIMG_PACS_ARCHIVE_PASSWORD", "other")
        assert secret(server, "password") == "other"
    finally:
        keyring.set_keyring(before)


def test_a_user_without_a_password_is_told_where_to_put_it():
    pytest.importorskip("dicomweb_client")
    with pytest.raises(UsageError, match="MEDIMG_PACS_ARCHIVE_PASSWORD or the keyring"):
        connect(DicomWebServer("archive", "https://a.example", user="me"))


def test_tls_files_that_cannot_be_used_are_named_before_anything_is_sent(tmp_path):
    pytest.importorskip("dicomweb_client")
    (tmp_path / "ca.pem").write_text("no certificate", encoding="ascii")
    for ca in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(UsageError, match=ca.name):
            connect(DicomWebServer("archive", "https://a.example", tls=Tls(ca=str(ca))))


def test_a_name_from_outside_leads_nowhere_else():
    assert file_name("1.2.840.1 \0") == "1.2.840.1"
    for hostile in ("../../etc/passwd", "1.2/../3", "", "1." * 40 + "1", "\x1b[2J"):
        assert set(file_name(hostile)) <= set("0123456789abcdef")
        assert len(file_name(hostile)) == 32
    assert file_name("1.2x") != file_name("1.2y")


def test_the_example_of_a_file_of_servers_is_one(repository, tmp_path):
    page = (repository / "docs" / "pacs.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    path = config(tmp_path, example)
    archive, ward = load_server("archive", path), load_server("ward", path)
    assert (archive.user, ward.retrieve, ward.move_port) == ("medimg", "move", 11113)
    known = {field.name for server in (archive, ward) for field in fields(server)} - {"name"}
    assert [name for name in known if f"`{name}`" not in page] == []
