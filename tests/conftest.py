"""Fixtures for every test."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# before matplotlib is imported anywhere: no test needs a display
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

# no test reads or writes what this user has trusted or downloaded; before any test makes a toy pipeline
_HOME = tempfile.TemporaryDirectory(prefix="medimg-home-")
os.environ["MEDIMG_HOME"] = _HOME.name

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans, which are not part of the project; the test is skipped where it is missing."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("MEDIMG_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder}; set MEDIMG_SHARED_DATA to their folder")
    return folder
