"""Any sound series is read as it is, and any damage to one is seen: properties over random geometry and storage."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.cases.phantom import AXIAL, Phantom, curved, put, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.dicom.verdict import SeriesResult
from medimg.study import Volume

# the same examples every time, so that a failure is a failure for everybody; more of them by an environment variable
bounded = settings(
    max_examples=int(os.environ.get("MEDIMG_PROPERTY_EXAMPLES", "60")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

MAX_SHEAR = 30.0
"""Degrees: as far as gantries tilt."""

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
]


@dataclass(frozen=True)
class Series:
    """Where the slices of one series lie. order: in which they are written."""

    orientation: tuple[float, ...]
    positions: tuple[tuple[float, ...], ...]
    spacing: tuple[float, float]
    order: tuple[int, ...]

    @property
    def step(self) -> float:
        """Distance between neighbours in mm."""
        return float(np.linalg.norm(np.subtract(self.positions[1], self.positions[0])))


@dataclass(frozen=True)
class Storage:
    """How values are stored."""

    syntax: str
    signed: bool
    slope: float
    intercept: float
    numbers: tuple[int, ...]


@st.composite
def series(draw: st.DrawFn) -> Series:
    """Evenly spaced slices of any orientation, sheared by up to MAX_SHEAR."""
    rotation = _rotation(*[draw(st.floats(-1, 1)) for _ in range(4)])
    row, column, normal = rotation
    shear = np.tan(np.radians(draw(st.floats(0, MAX_SHEAR))))
    along = draw(st.floats(0, 2 * np.pi))
    distance = draw(st.floats(0.4, 6))
    sign = draw(st.sampled_from([1, -1]))
    step = distance * (sign * normal + shear * (np.cos(along) * row + np.sin(along) * column))
    first = np.array([draw(st.floats(-60, 60)) for _ in range(3)])
    count = draw(st.integers(5, 9))
    spacing = (draw(st.floats(0.3, 2.5)), draw(st.floats(0.3, 2.5)))
    places = tuple(tuple(np.round(first + k * step, 6).tolist()) for k in range(count))
    return Series(
        tuple(np.round(rotation[:2].ravel(), 9).tolist()), places, spacing, tuple(draw(st.permutations(range(count))))
    )


@st.composite
def storage(draw: st.DrawFn) -> Storage:
    """Signs, scales, transfer syntaxes, and instance numbers that mean nothing."""
    return Storage(
        syntax=draw(st.sampled_from(SYNTAXES)),
        signed=draw(st.booleans()),
        slope=draw(st.sampled_from([1.0, 0.5, 2.0, 0.1])),
        intercept=draw(st.sampled_from([-1024.0, 0.0, -1000.5, 12.25])),
        numbers=tuple(draw(st.lists(st.integers(0, 20), min_size=10, max_size=10))),
    )


def _rotation(w: float, x: float, y: float, z: float) -> Any:
    """Rows: three orthogonal unit vectors, right-handed, from any four numbers as a quaternion."""
    q = np.array([w, x, y, z])
    length = float(np.linalg.norm(q))
    w, x, y, z = q / length if length > 1e-3 else (1.0, 0.0, 0.0, 0.0)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@contextmanager
def scan() -> Iterator[Phantom]:
    with tempfile.TemporaryDirectory() as folder:
        yield Phantom(Path(folder), rows=7, columns=6)


def write(phantom: Phantom, shape: Series, edit: Any = None, add: float = 0.0) -> None:
    places = [shape.positions[index] for index in shape.order]
    phantom.slices(places, orientation=shape.orientation, spacing=shape.spacing, edit=edit, add=add)


def stored_as(how: Storage) -> Any:
    """An edit that stores the values anew. MR, so that any scale is one."""

    def edit(dataset: Dataset, number: int) -> None:
        values = stored(dataset) - 1024.0
        words = np.round((values - how.intercept) / how.slope)
        limits = (-32768, 32767) if how.signed else (0, 65535)
        if words.min() < limits[0] or words.max() > limits[1]:
            # the scale does not hold the values: keep the intercept below them
            dataset.RescaleIntercept = float(np.floor(values.min()))
            words = np.round((values - float(dataset.RescaleIntercept)) / how.slope)
        else:
            dataset.RescaleIntercept = how.intercept
        dataset.RescaleSlope = how.slope
        dataset.PixelRepresentation = int(how.signed)
        order = ">" if how.syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = words.astype(f"{order}{'i' if how.signed else 'u'}2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.InstanceNumber = how.numbers[number]
        if how.syntax == RLELossless:
            dataset.compress(RLELossless)
        dataset.file_meta.TransferSyntaxUID = how.syntax

    return edit


def result_of(phantom: Phantom) -> SeriesResult:
    (headers,) = discover(phantom.folder).series
    return read_series(headers)


def error_of(volume: Volume, add: float = 0.0) -> float:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij"), axis=-1)
    world = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    return float(np.abs(curved(world) + add - volume.array).max())


@bounded
@given(series(), storage())
def test_every_voxel_has_the_value_of_its_place(shape: Series, how: Storage):
    with scan() as phantom:
        write(phantom, shape, stored_as(how))
        result = result_of(phantom)
        assert result.rejection is None
        (volume,) = result.volumes
        assert volume.shape == (6, 7, len(shape.positions))
        # half a grey value of the phantom, half a step of the scale, 1e-6 mm of rounding
        assert error_of(volume) <= 0.5 + how.slope / 2 + 0.01


@bounded
@given(series(), st.data())
def test_a_slice_dropped_inside_the_stack_is_missed(shape: Series, data: st.DataObject):
    gone = data.draw(st.integers(1, len(shape.positions) - 2))
    with scan() as phantom:
        write(phantom, Series(shape.orientation, *_without(shape, gone)))
        result = result_of(phantom)
        assert result.volumes == []
        assert result.rejection is not None


def _without(shape: Series, gone: int) -> tuple[Any, Any, Any]:
    kept = tuple(place for index, place in enumerate(shape.positions) if index != gone)
    return kept, shape.spacing, tuple(range(len(kept)))


@bounded
@given(series(), st.data())
def test_a_slice_that_moved_is_noticed(shape: Series, data: st.DataObject):
    which = data.draw(st.integers(0, len(shape.positions) - 1))
    direction = _rotation(*[data.draw(st.floats(-1, 1)) for _ in range(4)])[0]
    # more than what least squares and a hundredth of the spacing let pass, less than a new stack
    distance = data.draw(st.floats(0.08, 0.45)) * max(shape.step, 1.0)
    places = list(shape.positions)
    places[which] = tuple((np.array(places[which]) + distance * direction).tolist())
    moved = Series(shape.orientation, tuple(places), shape.spacing, shape.order)
    with scan() as phantom:
        # the pixels are of the new place, where an even grid has no slice
        write(phantom, moved)
        result = result_of(phantom)
        assert result.rejection is not None or result.volumes
        assert max(map(error_of, result.volumes), default=0.0) <= 0.52


@bounded
@given(series(), st.data())
def test_a_duplicate_is_dropped_when_it_is_a_copy_and_refused_when_it_is_not(shape: Series, data: st.DataObject):
    which = data.draw(st.integers(0, len(shape.positions) - 1))
    add = data.draw(st.sampled_from([0.0, 40.0]))
    with scan() as phantom:
        write(phantom, shape, put(InstanceNumber=1))
        again = Series(shape.orientation, (shape.positions[which],), shape.spacing, (0,))
        write(phantom, again, put(InstanceNumber=1), add=add)
        result = result_of(phantom)
        if add:
            assert result.volumes == []
            assert result.rejection is not None
        else:
            assert result.rejection is None
            assert error_of(*result.volumes) <= 0.52
            assert len(result.excluded) == 1


@pytest.mark.parametrize("name", ["a", "Ünï", "x" * 120, "1.2.3", "-o"])
def test_file_names_do_not_matter(name: str):
    with scan() as phantom:
        for number, path in enumerate(phantom.slices([(0, 0, 3 * k) for k in range(5)], orientation=AXIAL)):
            path.rename(path.with_name(f"{name}{9 - number}"))
        assert error_of(*result_of(phantom).volumes) <= 0.51
