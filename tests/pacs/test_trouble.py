"""What goes wrong at a real PACS: one line, the documented exit code, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys

import pydicom
import pytest
import requests
import yaml
from pacs_peers import chest, pixels, tls_front

from medimg.errors import NetworkError
from medimg.pacs.connect import connect
from medimg.pacs.fetch import fetch
from medimg.pacs.query import Query
from medimg.pacs.servers import load_server


@pytest.mark.parametrize("name", ["web", "get"])
def test_a_server_that_goes_down_while_it_is_sent_to_has_what_it_acknowledged(
    start_orthanc, tmp_path, monkeypatch, name
):
    monkeypatch.setattr("medimg.pacs.dicomweb.BATCH_INSTANCES", 5)
    files = chest(tmp_path / "study")
    (tmp_path / "orthanc").mkdir()
    with start_orthanc(tmp_path / "orthanc") as server:
        pacs = connect(load_server(name, server.servers))

        def kill_in_the_middle(_what, done, _total):
            if done == 10:
                server.process.kill()
                server.process.wait()

        result = pacs.send(files, kill_in_the_middle)
    assert result.done == files[:10]
    assert [path for path, _ in result.failed] == [str(path) for path in files[10:]]
    assert "cannot be reached" in result.failed[-1][1]


@pytest.mark.parametrize("name", ["web", "get"])
def test_a_series_that_breaks_off_leaves_nothing_that_looks_whole_and_comes_whole_later(start_orthanc, tmp_path, name):
    files = chest(tmp_path / "study")
    got = tmp_path / "got"
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        with start_orthanc(tmp_path / folder) as server:
            pacs = connect(load_server(name, server.servers))
            assert pacs.send(files).failed == []

            def kill_in_the_middle(what, done, _total, server=server):
                if what == "instances" and done == 3:
                    server.process.kill()
                    server.process.wait()

            if folder == "first":
                # Orthanc has the rest of so short a series on its way by now; what counts is that all or nothing stays
                result = fetch(pacs, Query({"modality": "CT"}), got, kill_in_the_middle)
                there = pixels(got.rglob("*.dcm"))
                assert there == ({} if result.transfer.failed else pixels(files))
                continue
            fetch(pacs, Query({"modality": "CT"}), got)
    assert pixels(got.rglob("*.dcm")) == pixels(files)
    assert not list(got.glob(".medimg-*-*"))


@pytest.mark.parametrize("name", ["web", "get"])
def test_what_a_server_refuses_is_named_and_the_rest_is_stored(orthanc, tmp_path, medimg_at, name):
    scan, other = chest(tmp_path / "study")[:2]
    dataset = pydicom.dcmread(other)
    del dataset.StudyInstanceUID
    dataset.save_as(other)
    result = medimg_at(orthanc, "pacs", "send", scan, other, "--server", name)
    assert (result.exit_code, result.stdout) == (3, f"1 objects sent to {name}\n")
    assert f"failed: {other}: refused, " in result.stderr
    assert len(orthanc.instances()) == 1


def test_over_tls_the_certificate_and_the_password_must_be_right(start_orthanc, tmp_path, monkeypatch, medimg_at):
    (tmp_path / "orthanc").mkdir()
    settings = {"AuthenticationEnabled": True, "RegisteredUsers": {"me": "geheim"}, "DicomCheckCalledAet": True}
    files = chest(tmp_path / "study")
    with start_orthanc(tmp_path / "orthanc", **settings) as server, tls_front(tmp_path, server.http_port) as (port, ca):
        document = yaml.safe_load(server.servers.read_text(encoding="utf-8"))
        web = {"kind": "dicomweb", "url": f"https://127.0.0.1:{port}/dicom-web", "user": "me", "retries": 0}
        document["servers"]["untrusted"] = web
        document["servers"]["trusted"] = {**web, "tls": {"ca": str(ca)}}
        document["servers"]["misnamed"] = {**document["servers"]["get"], "aet": "OTHER"}
        server.servers.write_text(yaml.safe_dump(document), encoding="utf-8")

        def told(name, *command):
            result = medimg_at(server, "pacs", *command, "--server", name)
            assert "geheim" not in result.output
            return result.exit_code, result.output

        for name in ("UNTRUSTED", "TRUSTED"):
            monkeypatch.setenv(f"MEDIMG_PACS_{name}_PASSWORD", "geheim")
        code, line = told("untrusted", "echo")
        assert (code, "the certificate is not trusted" in line) == (1, True)
        assert told("trusted", "echo")[0] == 0
        assert told("trusted", "send", files[0].parent) == (0, "24 objects sent to trusted\n")
        monkeypatch.setenv("MEDIMG_PACS_TRUSTED_PASSWORD", "geheim2")
        for command in (("echo",), ("send", files[0]), ("find", "modality=CT")):
            code, line = told("trusted", *command)
            assert (code, "answered 401; check user and secret" in line) == (1, True)
            assert line.count("\n") == 1
        monkeypatch.delenv("MEDIMG_PACS_TRUSTED_PASSWORD")
        code, line = told("trusted", "echo")
        assert (code, "MEDIMG_PACS_TRUSTED_PASSWORD" in line) == (2, True)
        code, line = told("misnamed", "echo")
        assert (code, "rejects MEDIMG" in line) == (1, True)


@pytest.mark.parametrize("name", ["gone", "gone-web"])
def test_a_server_that_is_away_is_one_line_whatever_is_asked(orthanc, tmp_path, medimg_at, name):
    files = chest(tmp_path / "study")
    for command in (
        ("echo",),
        ("find", "modality=CT"),
        ("get", "modality=CT", "-o", tmp_path / "got"),
        ("send", files[0].parent),
    ):
        result = medimg_at(orthanc, "pacs", *command, "--server", name)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "cannot be reached" in result.stderr
    with pytest.raises(NetworkError):
        connect(load_server(name, orthanc.servers)).send(files)


WITH_LITTLE_ROOM = """
import resource, sys
from medimg.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sys.argv[0] = "medimg"
main()
"""


@pytest.mark.parametrize("name", ["web", "get", "move"])
def test_a_disk_that_takes_no_more_ends_a_fetch_with_one_line_and_nothing_half(orthanc, tmp_path, medimg_at, name):
    files = chest(tmp_path / "study")
    assert medimg_at(orthanc, "pacs", "send", files[0].parent, "--server", "web").exit_code == 0
    command = ["pacs", "get", "modality=CT", "--server", name, "-o", str(tmp_path / "got")]
    ran = subprocess.run(
        [sys.executable, "-c", WITH_LITTLE_ROOM, *command], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 1
    assert "File too large; free space" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not list((tmp_path / "got").rglob("*.dcm"))


def test_the_names_of_servers_are_said_when_another_is_asked_for(orthanc, medimg_at):
    for command in (("echo",), ("find", "modality=CT")):
        result = medimg_at(orthanc, "pacs", *command, "--server", "elsewhere")
        assert result.exit_code == 2
        assert "no server 'elsewhere'; it has " in result.stderr
        assert "web, get, move" in result.stderr or "gone" in result.stderr


def test_what_is_found_is_json_for_programs(orthanc, tmp_path, medimg_at):
    requests.post(f"{orthanc.http}/instances", data=chest(tmp_path)[0].read_bytes(), timeout=20).raise_for_status()
    for name in ("web", "get"):
        document = json.loads(medimg_at(orthanc, "pacs", "find", "modality=CT", "--server", name, "--json").stdout)
        assert document["schema"] == "medimg.pacs/1"
        assert [series["instances"] for series in document["series"]] == [1]
