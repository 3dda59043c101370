"""What a pipeline brings to training; `medimg.train.fit` brings everything else."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn


class Task(Protocol):
    """Patches, loss and validation of one pipeline.

    Built with `data` (path) and `seed` (int) among its options, and with `fold` ("k/n") when `--fold` is given.

    cases: use ("training", "validation", ...) -> names of the cases, for the record of the run.
    """

    cases: dict[str, list[str]]

    def batch(self, index: int) -> dict[str, Tensor]:
        """Training batch: "image" (B, C, *S) float32 and targets; a pure function of (seed, index, refreshed state).

        The index counts batches from 0; it is the step where a step has one batch.
        """
        ...

    def loss(self, output: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars; the one named "loss" is minimised, the others are logged."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Metrics of `network` (averaged weights, eval mode) on held-out cases; "score": higher is better."""
        ...

    def refresh(self, network: nn.Module, step: int) -> None:
        """Renew what depends on the network, such as mined hard negatives. Called every `refresh_every` steps."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Refreshed state as tensors and plain values, for the checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state saved by `state_dict`."""
        ...
