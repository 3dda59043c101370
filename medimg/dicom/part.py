"""The frames of one candidate volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from medimg.dicom.header import Frame
from medimg.errors import InputError


@dataclass(frozen=True)
class Part:
    """Frames of one candidate volume.

    split: header -> value that tells it from the series' other parts. copies: frames left out because another
    frame of the same place has the same pixels. problem: why it is no whole volume, however even its slices lie.
    """

    frames: list[Frame]
    split: dict[str, Any] = field(default_factory=dict)
    copies: list[Frame] = field(default_factory=list)
    problem: InputError | None = None
