"""Memory that ran out: how to tell, and how much the next attempt may take."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from medimg.inference.memory import resident_bytes
from medimg.inference.options import Engine

SAYINGS = ("can't allocate memory", "out of memory", "bad_alloc", "failed to allocate memory", "not enough memory")
"""How torch (CPU, CUDA), C++ and ITK say it, in RuntimeErrors; lower case."""

CGROUP = Path("/sys/fs/cgroup")
"""Limits of a container, cgroup v2: the kernel's Documentation/admin-guide/cgroup-v2.rst, memory.max."""


def ran_out(error: BaseException | None) -> bool:
    """Whether the error, or what it was raised from, is memory that ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, RuntimeError) and any(saying in str(error).lower() for saying in SAYINGS):
            return True
        error = error.__cause__
    return False


def squeezed(engine: Engine, times: int) -> Engine:
    """The engine for a case that ran out of memory `times` times: half of what this process may have now, or less.

    What it may have: its limit, else what it holds and what is free. The engine then takes smaller windows where that
    changes no answer (medimg/inference/memory.py).
    """
    if times == 0:
        return engine
    may_have = engine.memory_limit or resident_bytes() + free_bytes()
    return replace(engine, memory_limit=may_have >> times)


def free_bytes() -> int:
    """What can still be taken on this machine, or in this container."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    with contextlib.suppress(OSError, ValueError):
        most, now = (int((CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, most - now))
    return free
