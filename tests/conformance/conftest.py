"""Fixtures of the conformance tests: the phantom of the catalogue, and how far a volume is from its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.cases.phantom import Phantom, line, linear

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.dicom.verdict import SeriesResult
from medimg.study import Volume


class ReadPhantom(Phantom):
    """A phantom that reads its folder back."""

    def read(self) -> list[SeriesResult]:
        return [read_series(series) for series in discover(self.folder).series]

    def read_one(self) -> SeriesResult:
        (result,) = self.read()
        return result


def error_of(volume: Volume, add: float = 0.0) -> float:
    """Largest difference from the truth over all voxels, in world coordinates."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij"), axis=-1)
    world = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    return float(np.abs(linear(world) + add - volume.array).max())


@pytest.fixture
def phantom(tmp_path: Path) -> ReadPhantom:
    """Slices of 7 x 6 pixels of the linear field."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    return ReadPhantom(folder, rows=7, columns=6, truth=linear)


@pytest.fixture
def world_error() -> Callable[..., float]:
    return error_of


@pytest.fixture
def positions() -> Callable[..., list[Any]]:
    return line
