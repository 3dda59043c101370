"""medimg: a scan goes in, findings come out. Not a medical device."""

from __future__ import annotations

__version__ = "0.1.0"

NOT_A_MEDICAL_DEVICE = "For research use only. Not a medical device; not for diagnosis."
"""Said wherever results are shown."""
