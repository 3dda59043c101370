"""The one way from a network and an image to an answer: plan windows -> run -> stitch -> decide.

Every pipeline and every bundle goes through `predict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError
from medimg.inference.arrays import Array, flipped, mean_probability_logit
from medimg.inference.decide import Collector, Decision
from medimg.inference.memory import Footprint, give_back, within_limit
from medimg.inference.network import Network, Runner
from medimg.inference.options import Engine
from medimg.inference.plan import Plan, Windows, plan_windows, whole
from medimg.inference.runners import start_runner
from medimg.inference.stitch import Stitcher
from medimg.progress import Progress, silent

if TYPE_CHECKING:
    from medimg.inference.device import Device

MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (4,))
"""Axes of (B, C, I, J, K) flipped for test-time averaging: none, and each alone (four passes)."""

Floats = NDArray[np.float32]


def predict(
    networks: Sequence[Network],
    image: Floats,
    windows: Windows,
    decision: Decision,
    device: Device,
    progress: Progress = silent,
    *,
    engine: Engine | None = None,
    region: NDArray[np.bool_] | None = None,
    activation: str = "sigmoid",
) -> Any:
    """What `decision` makes of the networks' answer to image (C, I, J, K) on their own grid.

    region: (I, J, K); windows that hold no true voxel of it are not run, and what no window has seen is background; in
    the region the answer is the same. An empty region is none: everything is searched.
    activation: "sigmoid" or "softmax", how the outputs of several networks become the probabilities whose mean is
    taken. Raises PipelineError when the output does not fit the windows or the decision, MemoryLimitError when it
    cannot be done within the engine's limit.
    """
    engine = engine or Engine()
    if engine.tta and not decision.mirrors:
        raise UsageError("--tta averages maps over mirror images; boxes cannot be averaged, leave it out")
    region = region if region is not None and region.any() else None
    plan = plan_windows(image.shape[1:], windows.as_asked(engine), region)
    run = _Passes([start_runner(network, device, engine) for network in networks], activation, engine.tta)
    plan = within_limit(plan, len(image), run.footprint, engine.memory_limit, decision.bytes_a_voxel)
    run.prepare((plan.windows.batch, len(image), *plan.size))
    answer = _Answer(plan, decision, networks[0].name)
    for indices, batch in _batches(plan, image):
        answer.take(indices, run(batch))
        if engine.memory_limit is not None:
            give_back()
        progress("network", indices[-1] + 1, len(plan.chosen))
    return answer.result()


class _Passes:
    """The networks' mean over mirror images and over each other."""

    def __init__(self, runners: Sequence[Runner], activation: str, tta: bool) -> None:
        self._runners = runners
        self._activation = activation
        self._mirrors = MIRRORS if tta else MIRRORS[:1]

    def footprint(self, shape: Sequence[int]) -> Footprint:
        """Of the most demanding of them, and the answers that are kept for the mean."""
        costs = [runner.footprint(shape) for runner in self._runners]
        kept = len(self._runners) + len(self._mirrors) - 2
        answers = 4 * shape[0] * sum(channels * cells for channels, cells in costs[0].outputs)
        return Footprint(max(cost.working for cost in costs) + kept * answers, costs[0].outputs)

    def prepare(self, shape: Sequence[int]) -> None:
        """For batches of `shape`."""
        for runner in self._runners:
            runner.prepare(shape)

    def __call__(self, batch: Floats) -> list[Array]:
        """float32 (B, C, i, j, k) to logits, one (B, C', i', j', k') an output."""
        each = [self._mirrored(runner, batch) for runner in self._runners]
        if len(each) == 1:
            return each[0]
        return [mean_probability_logit(list(outputs), self._activation) for outputs in zip(*each, strict=True)]

    def _mirrored(self, runner: Runner, batch: Floats) -> list[Array]:
        sums: list[Array] = []
        for axes in self._mirrors:
            # flipped back; a copy, since a compiled network gives the same memory again
            outputs = [flipped(output, axes) for output in runner(flipped(batch, axes))]
            sums = [total + output for total, output in zip(sums, outputs, strict=True)] if sums else outputs
        return sums if len(self._mirrors) == 1 else [total / len(self._mirrors) for total in sums]


class _Answer:
    """Stitches the outputs of one plan and hands what is finished to the decision."""

    def __init__(self, plan: Plan, decision: Decision, name: str) -> None:
        self._plan = plan
        self._decision = decision
        self._name = name
        self._stitchers: list[Stitcher] = []
        self._collector: Collector | None = None

    def take(self, indices: Sequence[int], outputs: Sequence[Array]) -> None:
        """The outputs of the windows `indices`, (B, C', i', j', k') each."""
        if self._collector is None:
            self._stitchers = [Stitcher(self._plan, output[0], self._name) for output in outputs]
            self._collector = self._decision.open([stitcher.grid for stitcher in self._stitchers])
        for position, index in enumerate(indices):
            for number, (stitcher, output) in enumerate(zip(self._stitchers, outputs, strict=True)):
                for logits, start in stitcher.add(index, output[position]):
                    self._collector.take(number, logits, start)

    def result(self) -> Any:
        """The decision."""
        assert self._collector is not None, "a plan has at least one window"
        return self._collector.result()


def _batches(plan: Plan, image: Floats) -> Iterator[tuple[range, Floats]]:
    """Windows in the plan's order: their numbers and (B, C, i, j, k)."""
    padded = plan.padded(image)
    for first in range(0, len(plan.chosen), plan.windows.batch):
        indices = range(first, min(first + plan.windows.batch, len(plan.chosen)))
        spans = [
            tuple(slice(start, start + size) for start, size in zip(plan.start(index), plan.size, strict=True))
            for index in indices
        ]
        if len(spans) == 1:
            yield indices, padded[whole(spans[0])][None]
        else:
            yield indices, np.stack([padded[whole(span)] for span in spans])
