"""Zip archives as folders: what is in them is read where it lies, and what is wrong with them is said."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from medimg.dicom import archive
from medimg.dicom.archive import is_archive, is_within, members, open_file
from medimg.dicom.discover import discover, medium_of
from medimg.dicom.series import read_series
from medimg.errors import InputError, Reason
from medimg.phantoms.dicom import write_ct_series

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> list[Path]:
    """The files of a CT of ten slices."""
    voxels = np.random.default_rng(0).integers(-1000, 400, (9, 8, 10)).astype(np.int16)
    return write_ct_series(voxels, AFFINE, tmp_path_factory.mktemp("scan") / "ct", seed=3)


def packed(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, data in content.items():
            target.writestr(name, data)
    return path


def scan_content(scan: list[Path], folder: str = "") -> dict[str, bytes]:
    return {folder + path.name: path.read_bytes() for path in scan}


def digest_of(root: Path) -> str | None:
    (series,) = discover(root).series
    (volume,) = read_series(series).volumes
    return volume.source.sha256


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_scan_in_an_archive_is_the_scan(scan, tmp_path, method):
    path = packed(tmp_path / "export", scan_content(scan, "a/b/"), method)
    assert digest_of(path) == digest_of(scan[0].parent)
    (series,) = discover(path).series
    assert series.root == path
    files = read_series(series).volumes[0].source.files
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [f"export/a/b/{name.name}" for name in scan]


def test_archives_in_a_folder_and_in_archives_are_searched(scan, tmp_path):
    inner = packed(tmp_path / "inner.zip", scan_content(scan[:4]))
    outer = packed(tmp_path / "outer.zip", {"x/inner.zip": inner.read_bytes(), **scan_content(scan[4:7], "y/")})
    inner.unlink()
    for path in scan[7:]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "readme.txt").write_text("hello")
    found = discover(tmp_path)
    (series,) = found.series
    assert len(series.frames) == 10
    assert series.root == tmp_path
    assert read_series(series).volumes[0].source.sha256 == digest_of(scan[0].parent)
    assert {frame.path for frame in series.frames} >= {outer / "x" / "inner.zip" / scan[0].name}
    assert [(skip.path.name, skip.reason) for skip in found.skipped] == [("readme.txt", Reason.NOT_DICOM)]


def test_nothing_is_written_beside_the_archive(scan, tmp_path):
    inner = packed(tmp_path / "inner.zip", scan_content(scan))
    packed(tmp_path / "outer.zip", {"inner.zip": inner.read_bytes()})
    inner.unlink()
    before = sorted(tmp_path.rglob("*"))
    digest_of(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_seeks_like_a_file(tmp_path):
    data = bytes(range(256)) * 4096
    path = packed(tmp_path / "a.zip", {"x": data}) / "x"
    with open_file(path) as stream:
        assert stream.seek(-10, io.SEEK_END) == len(data) - 10
        assert stream.read() == data[-10:]
        stream.seek(70_000)
        assert stream.read(5) == data[70_000:70_005]
        stream.seek(-3, io.SEEK_CUR)
        assert stream.read(3) == data[70_002:70_005]
        stream.seek(0)
        assert stream.read() == data
        with pytest.raises(OSError, match="seek"):
            stream.seek(-1)


def test_a_header_is_read_without_inflating_its_pixels(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.zip", {"x": b"header" + os.urandom(5 << 20)}) / "x"
    taken = []
    original = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: taken.append(n) or original(self, n))
    with open_file(path) as stream:
        assert stream.read(6) == b"header"
        assert sum(taken) <= archive.HEAD_BYTES


def test_the_frames_of_one_member_inflate_it_once(tmp_path, monkeypatch):
    data = os.urandom(3 << 20)
    path = packed(tmp_path / "a.zip", {"x": data}) / "x"
    opened = []
    original = zipfile.ZipFile.open
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda self, *a, **k: opened.append(a) or original(self, *a, **k))
    for start in range(0, len(data), 1 << 18):
        with open_file(path) as stream:
            stream.seek(start)
            assert stream.read(100) == data[start : start + 100]
    assert len(opened) == 1


def test_names_lead_nowhere(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("outside")
    names = ["../secret", "/secret", "a/../../secret", "..\\secret", "C:\\secret", "a//b", "./c", "line\nbreak"]
    (tmp_path / "inside").mkdir()
    path = packed(tmp_path / "inside" / "a.zip", dict.fromkeys(names, b"in"))
    found = members(path)
    assert len(set(found)) == len(names)
    for member in found:
        assert ".." not in member.parts
        assert path in member.parents
        assert str(member).isprintable()
        assert is_within(member)
        with open_file(member) as stream:
            assert stream.read() == b"in"


def test_members_of_one_name_and_files_that_are_folders_too_stay_apart(tmp_path):
    path = tmp_path / "a.zip"
    packed(path, {"x": b"1", "z": b"2", "x/y": b"3", "p/q": b"4", "p": b"5"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"z", b"x"))
    contents = []
    for member in members(path):
        with open_file(member) as stream:
            contents.append(stream.read())
    assert sorted(contents) == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("name", ["Thorax-Müller", "胸部", "Ünïcode/日本"])
def test_names_in_utf8_without_the_flag_are_read_as_such(tmp_path, name):
    placeholder = "n" * len(name.encode())
    data = packed(tmp_path / "a.zip", {placeholder: b"in"}).read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(placeholder.encode(), name.encode()))
    (member,) = members(tmp_path / "b.zip")
    assert member.relative_to(tmp_path / "b.zip").as_posix() == name
    with open_file(member) as stream:
        assert stream.read() == b"in"


def test_names_in_another_encoding_are_labels_all_the_same(scan, tmp_path):
    name = "胸部".encode("gb18030")
    data = packed(tmp_path / "a.zip", {"n" * len(name): scan[0].read_bytes()}).read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(b"n" * len(name), name))
    (series,) = discover(tmp_path / "b.zip").series
    assert series.frames[0].path.parent == tmp_path / "b.zip"


def encrypted(path: Path) -> None:
    """Set the flag of every member: what a reader without the password meets."""
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)


def test_encrypted_members_are_unreadable_and_told(scan, tmp_path):
    path = packed(tmp_path / "a.zip", scan_content(scan[:2]))
    encrypted(path)
    found = discover(path)
    assert found.series == []
    assert [(skip.reason, "encrypted" in skip.message) for skip in found.skipped] == [(Reason.UNREADABLE, True)] * 2
    assert found.damaged == [skip.path for skip in found.skipped]


def test_a_damaged_member_is_told_by_its_checksum_and_the_others_are_read(scan, tmp_path):
    path = packed(tmp_path / "a.zip", scan_content(scan), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(scan[4].read_bytes()[-50:])] ^= 1
    path.write_bytes(data)
    found = discover(path)
    assert [len(series.frames) for series in found.series] == [9]
    assert [(skip.path.name, skip.reason) for skip in found.skipped] == [(scan[4].name, Reason.UNREADABLE)]
    assert found.damaged == [path / scan[4].name]


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_an_archive_that_is_cut_short_is_damaged(scan, tmp_path, keep):
    path = packed(tmp_path / "a.zip", scan_content(scan))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    found = discover(path)
    assert [(skip.path, skip.reason) for skip in found.skipped] == [(path, Reason.UNREADABLE)]
    assert found.damaged == [path]


def test_an_archive_that_claims_a_thousandfold_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE_BYTES", 1 << 20)
    path = packed(tmp_path / "bomb.zip", {"x": bytes(8 << 20)})
    (skip,) = discover(path).skipped
    assert (skip.path, skip.reason) == (path, Reason.TOO_LARGE)
    assert "claims 1 files of 8 MiB" in skip.message


def test_a_member_that_is_too_large_is_told_and_the_others_are_read(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 1 << 20)
    path = packed(tmp_path / "a.zip", {"large": os.urandom(2 << 20), **scan_content(scan)})
    found = discover(path)
    assert len(found.series[0].frames) == 10
    assert [(skip.path.name, skip.reason) for skip in found.skipped] == [("large", Reason.TOO_LARGE)]


def test_a_member_that_lies_about_its_size_is_damaged(tmp_path):
    data = bytearray(packed(tmp_path / "a.zip", {"x": b"abc" * 100}).read_bytes())
    central = data.find(b"PK\x01\x02")
    struct.pack_into("<I", data, central + 24, 100_000)
    (tmp_path / "b.zip").write_bytes(data)
    with open_file(tmp_path / "b.zip" / "x") as stream, pytest.raises(InputError) as caught:
        stream.read()
    assert caught.value.reason is Reason.UNREADABLE


def test_archives_do_not_nest_for_ever(tmp_path):
    data = b"deepest"
    for depth in range(archive.MAX_DEPTH + 2):
        data = packed(tmp_path / "a.zip", {f"{depth}.zip" if depth else "x": data}).read_bytes()
    found = discover(tmp_path / "a.zip")
    assert [skip.reason for skip in found.skipped] == [Reason.TOO_LARGE]
    assert "in one another" in found.skipped[0].message


def test_documents_that_are_zip_files_are_not_searched(tmp_path):
    path = packed(tmp_path / "letter.docx", {"word/document.xml": b"<x/>"})
    assert not is_archive(path)
    assert [(skip.path.name, skip.reason) for skip in discover(tmp_path).skipped] == [("letter.docx", Reason.NOT_DICOM)]


def test_the_twins_that_macos_packs_are_no_damaged_dicom(scan, tmp_path):
    twins = {f"__MACOSX/._{path.name}.dcm": b"\0\5\x16\7 resource fork" for path in scan}
    found = discover(packed(tmp_path / "a.zip", {**scan_content(scan), **twins}))
    assert len(found.skipped) == len(scan)
    assert found.damaged == []
    broken = discover(packed(tmp_path / "b.zip", {**scan_content(scan), "last.dcm": b"resource fork"}))
    assert [path.name for path in broken.damaged] == ["last.dcm"]


def test_an_empty_archive_is_accounted_for(tmp_path):
    path = packed(tmp_path / "a.zip", {})
    assert [(skip.path, skip.reason) for skip in discover(tmp_path).skipped] == [(path, Reason.NOT_DICOM)]


def test_a_changed_archive_is_opened_anew(tmp_path):
    path = packed(tmp_path / "a.zip", {"x": b"old"})
    with open_file(path / "x") as stream:
        assert stream.read() == b"old"
    packed(path, {"x": b"newer"})
    with open_file(path / "x") as stream:
        assert stream.read() == b"newer"


def test_what_is_not_there_is_an_error_of_the_system_or_the_archive(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        open_file(tmp_path / "file" / "x")
    with pytest.raises(InputError, match="no such file in the archive"):
        open_file(packed(tmp_path / "a.zip", {"x": b""}) / "y")


def test_a_child_process_has_its_own_place_in_the_archive(scan, tmp_path):
    path = packed(tmp_path / "a.zip", scan_content(scan))
    first, second = members(path)[:2]
    with open_file(first) as stream:
        stream.read(10)
    expected = (scan[0].parent / second.name).read_bytes()
    child = os.fork() if hasattr(os, "fork") else None
    if child == 0:
        code = 2
        try:
            with open_file(second) as stream:
                code = int(stream.read() != expected)
        finally:
            os._exit(code)
    with open_file(second) as stream:
        assert stream.read() == expected
    if child is not None:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_dicomdir_stands_for_its_medium_whatever_its_name(scan, tmp_path):
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "2.25.50"
    directory.DirectoryRecordSequence = Sequence([])
    for path in scan:
        (tmp_path / "DICOM").mkdir(exist_ok=True)
        (tmp_path / "DICOM" / path.name).write_bytes(path.read_bytes())
    for name in ("DICOMDIR", "dicomdir;1"):
        directory.save_as(tmp_path / name, enforce_file_format=True)
        assert medium_of(tmp_path / name) == tmp_path
        assert digest_of(tmp_path / name) == digest_of(scan[0].parent)
    assert medium_of(scan[0]) == scan[0]
