"""Atomic writes: whole or not at all."""

import json
import os
from pathlib import Path

import pydicom
import pytest

from medimg import files
from medimg.errors import OutputError


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_write_is_whole_and_leaves_nothing_beside_it(tmp_path):
    files.write_json(tmp_path / "deep" / "a.json", {"x": 1})
    assert json.loads((tmp_path / "deep" / "a.json").read_text(encoding="utf-8")) == {"x": 1}
    assert names(tmp_path / "deep") == ["a.json"]


def test_a_failed_write_keeps_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def half_written():
        with files.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_written()
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_json_refuses_numbers_that_are_not_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="is a file; name a folder"):
        files.output_folder(tmp_path / "out")


def test_writing_below_a_file_says_where_and_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*choose another folder"):
        files.write_text(tmp_path / "file" / "a.txt", "x")


def test_paths_are_told_relative_to_the_folder_that_holds_the_document(tmp_path):
    assert files.relative(tmp_path / "scan.nii", tmp_path / "out") == "../scan.nii"


def test_a_relative_path_leads_back_from_a_folder_that_is_a_link(tmp_path):
    (tmp_path / "real" / "deep" / "out").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "real" / "deep" / "out")
    (tmp_path / "scan.nii").write_text("scan")
    told = files.relative(tmp_path / "scan.nii", tmp_path / "out")
    assert (tmp_path / "out" / told).read_text(encoding="utf-8") == "scan"


def test_a_relative_path_keeps_the_name_of_a_linked_file(tmp_path):
    (tmp_path / "object-17").write_text("scan")
    (tmp_path / "scan.nii").symlink_to(tmp_path / "object-17")
    assert files.relative(tmp_path / "scan.nii", tmp_path) == "scan.nii"


def test_what_is_flushed_is_open_for_writing(tmp_path, monkeypatch):
    """Windows flushes no handle that cannot write; a write of nothing tells."""
    flushed = []
    monkeypatch.setattr(files.os, "fsync", lambda handle: flushed.append(os.write(handle, b"")))
    with files.atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
        temporary.chmod(0o400)
    assert flushed == [0]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "x"


def test_the_digest_of_several_files_depends_on_each_and_that_of_one_is_its_own(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("a")
    b.write_text("b")
    assert files.sha256_of_files([a]) == files.sha256_of_file(a)
    assert len({files.sha256_of_files(parts) for parts in ([a], [a, b], [b, a], [b])}) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_in_the_middle_of_a_dicom_object_is_one_line_without_pydicoms_traceback(tmp_path):
    dataset = pydicom.Dataset()
    dataset.ContentSequence = [pydicom.Dataset()]
    dataset.ContentSequence[0].TextValue = "x" * 100_000
    with (
        pytest.raises(OutputError, match=r"cannot write \S+: No space left on device; free space or [^\n]*$"),
        files.atomic_path(tmp_path / "report.dcm"),
        Path("/dev/full").open("wb") as full,
    ):
        pydicom.dcmwrite(full, dataset, implicit_vr=False, little_endian=True)
