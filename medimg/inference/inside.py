"""The engine's answer where there is something to see, on the whole of an image. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.errors import PipelineError
from medimg.inference.decide import NEVER_SEEN, Argmax, Keep, Paint
from medimg.inference.decide import Decision as Rule
from medimg.inference.engine import predict
from medimg.inference.model import ARGMAX, PAINT, Decision
from medimg.inference.narrow import body_region, brain_box
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.plan import Windows, whole
from medimg.progress import Progress
from medimg.study import Volume

if TYPE_CHECKING:
    from medimg.inference.device import Device

ACTIVATIONS = {ARGMAX: "softmax", PAINT: "sigmoid"}
"""Rule of a decision -> what makes probabilities of the logits."""

MAX_LABEL = 255
"""A uint8 label map holds no more."""


def answer_inside(
    networks: Sequence[Network],
    values: NDArray[np.float32],
    affine_ras: geometry.Affine,
    first: Volume,
    windows: Windows,
    decision: Decision,
    device: Device,
    progress: Progress,
    engine: Engine,
) -> NDArray[Any]:
    """Labels (I, J, K), or logits (C, I, J, K) where `decision` cannot be taken at once, of values (C, I, J, K).

    affine_ras: of the values. first: the scan they were made of. A CT is searched where the patient is, an MRI under
    --fast where the brain is; the rest is background. Raises PipelineError when the mean of several networks is asked
    for and nothing says of which probabilities.
    """
    region = body_region(first, values.shape[1:], affine_ras)
    box = brain_box(values, affine_ras) if engine.fast and first.modality == "MR" else None
    start, stop = box or ((0, 0, 0), values.shape[1:])
    part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    rule = _rule(decision)
    answer = predict(
        networks,
        values[whole(part)],
        windows,
        rule,
        device,
        progress,
        engine=engine,
        region=None if region is None else region[part],
        activation=_activation(networks, decision),
    )
    return _put_back(answer, values.shape[1:], part, rule)


def decided_at_once(decision: Decision) -> bool:
    """Whether logits become labels window by window: not where scores go back to the source grid first."""
    return not isinstance(_rule(decision), Keep)


def label_map(labels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Labels as they are written. Raises PipelineError for those that fit no 8 bits."""
    if labels.size and not 0 <= (low := float(labels.min())) <= (high := float(labels.max())) <= MAX_LABEL:
        raise PipelineError(f"{name}: labels from {low:g} to {high:g} fit no 8-bit label map")
    return labels.astype(np.uint8, copy=False)


def _activation(networks: Sequence[Network], decision: Decision) -> str:
    """How the outputs become the probabilities that an ensemble averages."""
    if len(networks) > 1 and decision.rule not in ACTIVATIONS:
        raise PipelineError(
            f"{networks[0].name}: its postprocessing does not say which probabilities to average; write a recipe with "
            "a decision by argmax or by threshold"
        )
    return ACTIVATIONS.get(decision.rule, "sigmoid")


def _rule(decision: Decision) -> Rule:
    if decision.scores_go_back or decision.before is not None:
        return Keep()
    if decision.rule == ARGMAX:
        return Argmax()
    layers = tuple((channel, value, decision.threshold) for channel, value in decision.paint)
    return Paint(layers, inclusive=True) if decision.rule == PAINT else Keep()


def _put_back(answer: NDArray[Any], shape: Sequence[int], part: tuple[slice, ...], rule: Rule) -> NDArray[Any]:
    """The answer to a part of an image, on the whole of it; background elsewhere."""
    if answer.shape[-3:] == tuple(shape):
        return answer
    outside = NEVER_SEEN if isinstance(rule, Keep) else 0
    everything = np.full((*answer.shape[:-3], *shape), outside, answer.dtype)
    everything[whole(part)] = answer
    return everything
