"""Where cases go: whole or not at all, in a folder and in a store."""

from __future__ import annotations

import json

import pytest

from medimg.batch.place import STAGED, Place, opened_store
from medimg.errors import OutputError, UsageError

fsspec = pytest.importorskip("fsspec")

REPORT = {"inputs": [{"path": "../scan.nii.gz"}], "provenance": {}, "segmentation": {"path": "segmentation.nii.gz"}}


@pytest.fixture(params=["staged folder", "file", "memory"])
def place(request, tmp_path):
    """A folder that cases are moved to, and two stores."""
    roots = {"staged folder": str(tmp_path), "file": f"file://{tmp_path}", "memory": "memory://results"}
    yield Place(roots[request.param], staged=True)
    fsspec.filesystem("memory").rm("/", recursive=True)


def write(folder, name="findings.csv"):
    (folder / name).write_text("1", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(REPORT), encoding="utf-8")


def names(place):
    store, path = opened_store(place.of("case"))
    return {entry.rpartition("/")[2] for entry in store.ls(path, detail=False)} if store.exists(path) else set()


def test_a_case_is_there_when_it_is_whole(place):
    with place.folder("case") as folder:
        write(folder)
        assert names(place) == set()
    assert names(place) == {"findings.csv", "report.json"}
    with place.earlier("case") as there:
        assert (there / "findings.csv").is_file()


def test_a_case_that_ends_in_the_middle_leaves_nothing(place, tmp_path):
    def fail():
        with place.folder("case") as folder:
            write(folder)
            raise ValueError("the scan")

    with pytest.raises(ValueError, match="the scan"):
        fail()
    assert names(place) == set()
    assert not list(tmp_path.glob(f"{STAGED}*"))


def test_nothing_of_an_earlier_result_is_left(place):
    with place.folder("case") as folder:
        write(folder, "segmentation.nii.gz")
    with place.folder("case") as folder:
        write(folder)
    assert names(place) == {"findings.csv", "report.json"}


def test_from_a_store_absolute_paths_lead_to_the_scans():
    place = Place("memory://results")
    with place.folder("case") as folder:
        write(folder)
        scan = str(folder.resolve().parent / "scan.nii.gz")
    with place.earlier("case") as there:
        report = json.loads((there / "report.json").read_text(encoding="utf-8"))
    assert report["inputs"] == [{"path": scan}]
    assert report["segmentation"] == {"path": "segmentation.nii.gz"}


def test_what_a_lost_machine_left_is_cleaned_up(tmp_path):
    (tmp_path / f"{STAGED}1").mkdir()
    Place(str(tmp_path), staged=True).clean()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_nothing_says_so(tmp_path):
    (tmp_path / "file").touch()
    place = Place(f"file://{tmp_path}/file")
    with pytest.raises(OutputError, match="name another place"), place.folder("case") as made:
        write(made)
    with pytest.raises(UsageError, match="no place that fsspec knows"):
        opened_store("nowhere://x")
