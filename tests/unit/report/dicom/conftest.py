"""A small DICOM scan to make results for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.cases.phantom import Edit, Phantom, line

from medimg.dicom.discover import discover
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.series import read_series
from medimg.study import Volume

Scanned = Callable[..., Volume]


@pytest.fixture
def scanned(tmp_path: Path) -> Scanned:
    """Writes an axial CT of eight slices and reads it: the slices `without` are not there, `edit` changes each."""

    def scan(edit: Edit | None = None, without=(), options: ReadOptions = AS_SCANNED, **slices) -> Volume:
        folder = tmp_path / f"dicom{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        Phantom(folder).slices(line(8, without=without), edit=edit, **slices)
        (series,) = discover(folder).series
        result = read_series(series, options)
        assert result.rejection is None, result.rejection
        (volume,) = result.volumes
        return volume

    return scan
