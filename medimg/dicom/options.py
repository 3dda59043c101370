"""What a user may allow a reader to do beyond placing slices where the headers say: nothing, unless asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class ReadOptions:
    """How a series may be read; every option is off by default, and what it did is said with the volume.

    untilt: resample a stack that a tilted gantry sheared to an orthogonal grid. resample_gaps: interpolate missing or
    unevenly spaced slices onto an even grid. philips_precise: undo Philips' display scaling of MR, see `vendor`.
    """

    untilt: bool = False
    resample_gaps: bool = False
    philips_precise: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that are on."""
        return tuple(option.name for option in fields(self) if getattr(self, option.name))

    @classmethod
    def named(cls, names: Iterable[str]) -> ReadOptions:
        """The options of those names; the inverse of `given`. Raises TypeError for a name that is none."""
        return cls(**dict.fromkeys(names, True))


AS_SCANNED = ReadOptions()
"""Nothing resampled, the values of the standard's rescaling."""
