"""UIDs that come from outside: what is one, and what a file of that name is called."""

from __future__ import annotations

import hashlib
import re

FORM = re.compile(r"[0-9]+(\.[0-9]+)*")
LONGEST = 64
"""Form and length of a UID (PS3.5 section 9.1). Leading zeros in a part, which it forbids, are met in archives."""


def is_uid(text: str) -> bool:
    """Whether it has the form of a UID."""
    return len(text) <= LONGEST and FORM.fullmatch(text) is not None


def file_name(uid: str) -> str:
    """The UID itself where it is one; else digits and letters of its digest, which lead nowhere else."""
    uid = uid.strip(" \0")
    return uid if is_uid(uid) else hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()[:32]
