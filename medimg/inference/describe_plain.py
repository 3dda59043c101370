"""Which models can be told as plain data: those of BraTS-like bundles, that see z-scores on the scan's own grid."""

from __future__ import annotations

from typing import Any

import torch
from monai.transforms import Compose, EnsureTyped, NormalizeIntensityd

from medimg.inference.chain import plain_z_score
from medimg.inference.inside import decided_at_once
from medimg.inference.model import SegmentationModel
from medimg.inference.plain import PlainModel, ZScore


def plain_model(model: SegmentationModel) -> PlainModel | None:
    """The model as plain data; None where its transforms do more than that to a float32 image in memory."""
    chain = [transform for transform in model.preprocess.transforms if not _is_nothing(transform)]
    if type(model.preprocess) is not Compose or model.orientation is None or not decided_at_once(model.decision):
        return None
    # not for subclasses: they do something else
    if not all(type(transform) is NormalizeIntensityd and plain_z_score(transform) for transform in chain):
        return None
    normalizers = [transform.normalizer for transform in chain]
    return PlainModel(
        name=model.name,
        digest=model.digest,
        orientation=model.orientation,
        steps=tuple(ZScore(bool(each.channel_wise), bool(each.nonzero)) for each in normalizers),
        windows=model.windows,
        decision=model.decision,
    )


def _is_nothing(transform: Any) -> bool:
    """Whether it leaves a float32 tensor on the CPU as it is."""
    return (
        type(transform) is EnsureTyped
        and transform.converter.data_type == "tensor"
        and set(transform.dtype) <= {None, torch.float32}
        and transform.converter.device in (None, torch.device("cpu"))
    )
