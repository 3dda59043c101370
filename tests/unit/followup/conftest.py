"""A chest and a head to be scanned again."""

from __future__ import annotations

import pytest
from moving import CHEST_SHAPE, CHEST_SPACING_MM, NODULES, volume_of

from medimg.phantoms.brain import brain
from medimg.phantoms.thorax import plan_thorax, scan
from medimg.study import Volume


@pytest.fixture(scope="session")
def chest() -> Volume:
    """A whole chest with thick slices, its middle at LPS (0, 0, 0)."""
    phantom = scan(plan_thorax(4, nodules=NODULES, noise_hu=20.0), CHEST_SHAPE, CHEST_SPACING_MM)
    return volume_of(phantom.array, phantom.affine_ras)


@pytest.fixture(scope="session")
def head() -> Volume:
    """FLAIR of a stripped head."""
    phantom = brain(2, (80, 80, 52))
    return volume_of(phantom.contrasts["t2f"], phantom.affine_ras, "MR")
