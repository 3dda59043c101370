"""Regions of a label map: which labels make up each, and which labels there may be at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError

BRATS = {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (3, 4)}
"""Whole tumour, tumour core, enhancing tumour: 1 necrotic core, 2 oedema, enhancing 3 from BraTS 2023 on, before 4."""

BRATS_REGIONS = "brats"
"""What --regions calls them."""

ENHANCING = (3, 4)
"""Both in one map is neither challenge's set: from 2024 on 4 is the resection cavity."""

FORM = re.compile(r"\s*([A-Za-z_][\w -]*?)\s*=\s*(\d+(?:\s*,\s*\d+)*)\s*")


@dataclass(frozen=True)
class Regions:
    """Name -> label values, in the order shown. `exclusive`: labels of which a map may hold one only."""

    values: dict[str, tuple[int, ...]]
    exclusive: tuple[int, ...] = ()

    @property
    def labels(self) -> frozenset[int]:
        """Every label value that belongs to a region."""
        return frozenset(value for values in self.values.values() for value in values)

    def mask(self, labels: NDArray[np.uint8], name: str) -> NDArray[np.bool_]:
        """Where a label map (I, J, K) holds the region."""
        chosen = np.zeros(256, bool)
        chosen[list(self.values[name])] = True
        return chosen[labels]

    def problem(self, present: Sequence[int]) -> str | None:
        """Why a map that holds these labels cannot be scored, or None."""
        known = ", ".join(map(str, sorted(self.labels)))
        if outside := sorted(set(present) - self.labels - {0}):
            return f"holds labels {', '.join(map(str, outside))}; the regions know {known}"
        if len(self.exclusive) > 1 and set(self.exclusive) <= set(present):
            both = " and ".join(map(str, self.exclusive))
            return f"holds labels {both}, of which BraTS uses one only"
        return None


def parse_regions(text: str) -> Regions:
    """ "brats", or "NAME=1,2;NAME=3" with label values 1..255. Raises UsageError."""
    if text.strip().lower() == BRATS_REGIONS:
        return Regions(dict(BRATS), ENHANCING)
    values: dict[str, tuple[int, ...]] = {}
    for part in filter(str.strip, text.split(";")):
        match = FORM.fullmatch(part)
        labels = tuple(int(value) for value in match[2].split(",")) if match else ()
        if match is None or not all(0 < value < 256 for value in labels) or match[1] in values:
            raise UsageError(f"--regions {part.strip()!r} is not NAME=1,2 with labels 1..255 and each name once")
        values[match[1]] = labels
    if not values:
        raise UsageError('--regions names none; write brats, or for instance "tumour=1,2;core=1"')
    return Regions(values)
