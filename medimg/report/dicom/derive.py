"""A UID made from words: always the same from the same ones, and nobody else's."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.UUID("5a3f6f6e-3c0e-5f0b-9c65-6d6564696d67")
"""medimg's own name space of version 5 UUIDs (RFC 9562 section 5.5)."""


def derived(*parts: object) -> str:
    """A UID under 2.25 (PS3.5 section B.2): a version 5 UUID of the parts and nothing else."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '|'.join(str(part) for part in parts)).int}"
