"""How pixels are stored. Imported by the decoding processes too, so it needs nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Image pixel description (PS3.3 section C.7.6.3); frames: how many the file says it holds."""

    rows: int
    columns: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    transfer_syntax: str
    frames: int = 1

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame."""
        return self.rows * self.columns * self.allocated
