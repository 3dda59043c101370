"""What the engine does with a network's output, be it a numpy array or a torch tensor. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A numpy array or a torch tensor on any device: both know slices, arithmetic and comparisons."""


def to_numpy(array: Array) -> NDArray[Any]:
    """The values in the computer's memory, not copied when they are there already."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.detach().cpu().numpy())


def like(values: NDArray[Any], pattern: Array) -> Array:
    """`values` as the same kind of array on the same device as `pattern`."""
    if isinstance(pattern, np.ndarray):
        return values
    import torch

    return torch.from_numpy(values).to(pattern.device)


def argmax(logits: Array) -> NDArray[np.uint16]:
    """The channel with the highest value, the lowest number among equals: (C, I, J, K) -> (I, J, K)."""
    if not isinstance(logits, np.ndarray):
        return to_numpy(logits.argmax(0)).astype(np.uint16)
    # channel after channel: numpy's own argmax over the first axis walks through memory in strides
    best = logits[0].copy()
    label = np.zeros(best.shape, np.uint16)
    for channel in range(1, len(logits)):
        higher = logits[channel] > best
        label[higher] = channel
        np.maximum(best, logits[channel], out=best)
    return label


def sigmoid(logits: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    if isinstance(logits, np.ndarray):
        from scipy.special import expit

        return expit(logits)
    return logits.sigmoid()


def mean_probability_logit(outputs: list[Array], activation: str) -> Array:
    """The logits whose probabilities are the mean of those of `outputs` (B, C, I, J, K).

    activation "sigmoid": channels are independent; "softmax": they exclude each other, and the result is the
    logarithm of the mean, which has the same argmax and the same softmax.
    """
    tiny = np.finfo(np.float32).tiny
    if activation == "sigmoid":
        mean = sum(map(sigmoid, outputs)) / len(outputs)
        return _log(mean.clip(tiny, None)) - _log((1 - mean).clip(tiny, None))
    return _log((sum(map(_softmax, outputs)) / len(outputs)).clip(tiny, None))


def _softmax(logits: Array) -> Array:
    if isinstance(logits, np.ndarray):
        from scipy.special import softmax

        return softmax(logits, axis=1)
    return logits.softmax(1)


def _log(values: Array) -> Array:
    return np.log(values) if isinstance(values, np.ndarray) else values.log()


def flipped(array: Array, axes: tuple[int, ...]) -> Array:
    """Mirrored along `axes`, itself without any."""
    if not axes:
        return array
    return np.flip(array, axes) if isinstance(array, np.ndarray) else array.flip(axes)
