"""What a batch is pointed at: lists of every kind."""

from __future__ import annotations

import pytest

from medimg.batch.exports import read_export
from medimg.batch.rows import Scan
from medimg.errors import InputError, UsageError
from medimg.spreadsheet import table


@pytest.fixture
def listed(tmp_path):
    """Writes a list file beside two folders and a file."""
    for name in ("a", "b, c"):
        (tmp_path / name).mkdir()
    (tmp_path / "scan.nii.gz").touch()

    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def scan(path, series_uid=""):
    return Scan(str(path.parent), "key", "series", "CT", "chest", (path,), "0", series_uid=series_uid)


def test_a_line_of_a_list_is_a_path_whatever_commas_it_has(listed, tmp_path):
    found = read_export(listed("list.txt", "# two\na\n\nb, c\na\n"))
    assert found.roots == (tmp_path / "a", tmp_path / "b, c")


def test_a_series_uid_that_a_spreadsheet_would_compute_is_read_as_it_was(tmp_path):
    (tmp_path / "scan").mkdir()
    (tmp_path / "failures.csv").write_text(table(["path", "series_uid"], [["scan", "=1+1"]]), encoding="utf-8")
    assert "'=1+1" in (tmp_path / "failures.csv").read_text(encoding="utf-8")
    assert read_export(tmp_path / "failures.csv").series == frozenset({"=1+1"})


def test_of_a_table_only_the_series_it_names_are_wanted_and_of_other_places_everything(listed, tmp_path):
    rows = 'series_uid,path\n1.2,a\n1.3,a\n,"b, c"\n9.9,scan.nii.gz\n'
    found = read_export(listed("failures.csv", rows))
    assert found.roots == (tmp_path / "a", tmp_path / "b, c", tmp_path / "scan.nii.gz")
    wanted = [found.wants(scan(tmp_path / "a" / "x" / "1.dcm", uid)) for uid in ("1.2", "1.3", "1.4")]
    assert wanted == [True, True, False]
    assert found.wants(scan(tmp_path / "b, c" / "1.dcm", "1.4"))
    assert found.wants(scan(tmp_path / "scan.nii.gz"))


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "path,series_uid\n", "series_uid,path\n1.2\n", "path\n,\n"])
def test_a_list_without_a_path_says_so(listed, text):
    with pytest.raises(UsageError, match="names no path"):
        read_export(listed("list.csv", text))


def test_what_is_listed_and_missing_is_named(listed):
    with pytest.raises(InputError, match="gone, which "):
        read_export(listed("list.txt", "gone\n"))
    path = listed("list.txt", "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="as UTF-8 text"):
        read_export(path)
