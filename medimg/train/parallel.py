"""Several processes, one training run: what torchrun started shares out the batches of every step.

Gradients and BatchNorm statistics are averaged over the batches of a step, whichever process made them, so that
one process and several give the same weights (but for the order of floating point sums).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

from medimg.errors import TrainingError

if TYPE_CHECKING:
    from medimg.train.task import Task


@dataclass(frozen=True)
class Group:
    """The processes of a run: how many, and which one this is. Process 0 validates and writes."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """True for the one process that validates, logs and saves."""
        return self.rank == 0

    def share(self, batches_per_step: int) -> range:
        """Numbers of this process' batches within a step. Raises TrainingError when they cannot be shared out."""
        if batches_per_step % self.size:
            raise TrainingError(
                f"batches_per_step is {batches_per_step}, which {self.size} processes cannot share; "
                f"make it a multiple of {self.size}"
            )
        return range(self.rank, batches_per_step, self.size)

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.size == 1:
            return
        for tensor in tensors:
            distributed.all_reduce(tensor)

    def from_leader(self, value: Any) -> Any:
        """What process 0 holds, in every process."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def refresh(self, task: Task, network: torch.nn.Module, step: int) -> None:
        """Let process 0 refresh its task, and the others take up its state."""
        if self.leads:
            task.refresh(network, step)
        if self.size > 1:
            task.load_state_dict(self.from_leader(task.state_dict() if self.leads else None))


@contextmanager
def process_group() -> Iterator[Group]:
    """The group torchrun started (RANK, WORLD_SIZE in the environment); one process where it did not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(int(os.environ["RANK"]), size)
    finally:
        distributed.destroy_process_group()


def local_device(name: str) -> str:
    """`auto` in a torchrun process on a CUDA machine: the GPU of its own; every other name as it is."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if name == "auto" and rank is not None and torch.cuda.is_available() else name
