"""Keeping a limit: windows one at a time, in another order, or cut down where that changes nothing; else refused."""

from __future__ import annotations

import ctypes
import itertools
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medimg.errors import MemoryLimitError
from medimg.inference.plan import FITTED_MULTIPLE, Plan, plan_windows, triple

FLOAT = 4
"""Bytes of a logit."""

MIB = 1 << 20

SMALLEST_WINDOW = 64
"""Voxels along an axis under which a fitted window is not cut down: the networks look about as far around."""

SLACK = 1.25
"""On what tensors hold: the allocator's losses and the convolutions' own buffers. Measured by test_memory.py."""

OVERHEAD = 64 * MIB
"""Code and threads that the first pass of a network brings in."""


@dataclass(frozen=True)
class Footprint:
    """What one pass over a batch holds: bytes, outputs included, and (channels, cells of one window) of each output."""

    working: int
    outputs: tuple[tuple[int, int], ...]


Measure = Callable[[tuple[int, ...]], Footprint]
"""The footprint of a pass over a batch of shape (B, C, i, j, k)."""


def within_limit(plan: Plan, channels: int, measure: Measure, limit: int | None, result: Callable[[int], int]) -> Plan:
    """The plan, or one like it that keeps the whole process below `limit` bytes.

    channels: of the image. result: bytes a voxel of the answer, given the channels of the output. Raises
    MemoryLimitError with what would be needed when there is none.
    """
    if limit is None:
        return plan
    held = resident_bytes()
    least: int | None = None
    for candidate in _candidates(plan):
        cost = measure((candidate.windows.batch, channels, *candidate.size))
        needed = held + _needed(candidate, cost, result)
        if needed <= limit:
            return candidate
        least = needed if least is None else min(least, needed)
    other = "" if plan.windows.fitted else ", or cut the window down with --fast (docs/performance.md: what it changes)"
    raise MemoryLimitError(
        f"windows of {'x'.join(map(str, plan.size))} voxels on this scan need about {_mib(least or 0)}, more than the "
        f"limit of {_mib(limit)}; raise --memory-limit{other}"
    )


def resident_bytes() -> int:
    """Memory the process holds now; on other systems than Linux, the most it ever held."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _needed(plan: Plan, cost: Footprint, result: Callable[[int], int]) -> int:
    """Bytes beyond what is held already."""
    window = plan.size[0] * plan.size[1] * plan.size[2]
    # a window that waits for its neighbours is copied, and its weights beside it
    waiting = sum((channels + 1) * FLOAT * plan.waiting_voxels() * cells // window for channels, cells in cost.outputs)
    image = plan.shape[0] * plan.shape[1] * plan.shape[2]
    answer = sum(result(channels) * image * cells // window for channels, cells in cost.outputs)
    return int(SLACK * (cost.working + waiting)) + answer + OVERHEAD


def give_back() -> None:
    """Return freed memory to the system now, where the C library can: glibc keeps what it may want again.

    Without it the peak of one and the same run differs by half the working memory of a window.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)


def _candidates(plan: Plan) -> Iterator[Plan]:
    """What to try, the least changed first."""
    yield plan
    single = replace(plan, windows=replace(plan.windows, batch=1))
    yield single
    yield _least_waiting(single)
    while single.windows.fitted and max(single.size) > SMALLEST_WINDOW:
        single = _cut_down(single)
        yield _least_waiting(single)


def _least_waiting(plan: Plan) -> Plan:
    """The order of windows in which the fewest voxels wait."""
    return min(map(plan.ordered, itertools.permutations(range(3))), key=Plan.waiting_voxels)


def _cut_down(plan: Plan) -> Plan:
    """Half the window along its longest axis; every window is run again, a region's margin with it."""
    axis = max(range(3), key=lambda a: plan.size[a])
    half = max(SMALLEST_WINDOW, -(-plan.size[axis] // 2 // FITTED_MULTIPLE) * FITTED_MULTIPLE)
    size = triple(half if a == axis else n for a, n in enumerate(plan.size))
    return plan_windows(plan.shape, replace(plan.windows, size=size))


def _mib(size: int) -> str:
    return f"{size / MIB:.0f} MiB"
