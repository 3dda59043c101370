"""What one volume costs the run it is in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.dicom.verdict import SeriesResult
from medimg.errors import OutputError
from medimg.stages.preprocess import _Run, _written
from medimg.study import Source, Volume


def volume(array: np.ndarray) -> Volume:
    return Volume(array, np.eye(4), Source(Path("a.nii"), "nifti", files=(Path("a.nii"),)))


def result() -> SeriesResult:
    """Two volumes, of which the first fits no NIfTI file."""
    sound = np.arange(27).reshape(3, 3, 3)
    found = SeriesResult("", "", "", "a")
    found.volumes = [volume(sound + (1 << 40)), volume(sound)]
    return found


def test_a_volume_that_fits_no_file_is_a_rejection_of_its_entry_alone(tmp_path):
    entry = _written(result(), "a", _Run(tmp_path, tmp_path), None)
    assert (entry["status"], entry["reason"]) == ("rejected", "unsupported_kind")
    assert "values do not fit int32" in entry["message"]
    assert str(tmp_path) not in entry["message"]
    assert [told["path"] for told in entry["volumes"]] == ["a_2.nii.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_2.json", "a_2.nii.gz"]


def test_a_disk_that_takes_nothing_ends_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        _written(SeriesResult("", "", "", "a", volumes=[volume(np.arange(27).reshape(3, 3, 3))]), "a",
                 _Run(tmp_path, tmp_path / "file"), None)  # fmt: skip
