"""Trying again what a network may spoil for a moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from medimg.errors import NetworkError

Result = TypeVar("Result")

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


def with_retries(action: Callable[[], Result], retries: int) -> Result:
    """What `action` gives; tried `retries` times more when it raises a NetworkError that may pass.

    Waits 0.5, 1, 2, ... seconds, each up to a quarter longer by chance, so that many clients do not come back at once.
    """
    for attempt in range(retries + 1):
        try:
            return action()
        except NetworkError as error:
            if not error.may_pass or attempt == retries:
                raise
        time.sleep(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt) * random.uniform(1, 1.25))
    raise AssertionError("unreachable")
