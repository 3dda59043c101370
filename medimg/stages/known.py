"""What an earlier run told of a bundle, so that this one needs neither torch nor MONAI. Imports neither."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from medimg.bundles.as_pipeline import BundlePipeline
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline

if TYPE_CHECKING:
    from medimg.inference.plain import PlainModel


def known(pipeline: Pipeline | None, engine: Engine) -> list[PlainModel]:
    """The networks of a bundle that OpenVINO is to run, as plain data; none where one of them is not known."""
    if not isinstance(pipeline, BundlePipeline) or engine.backend != "openvino":
        return []
    from medimg.inference.plain import remembered

    models = [remembered(key_of(each)) for each in pipeline.with_members]
    found = [model for model in models if model is not None]
    return found if len(found) == len(models) else []


def key_of(pipeline: BundlePipeline) -> str:
    """Of all that decides what is remembered of one bundle: recipe, configuration, weights and code."""
    return hashlib.sha256(f"{pipeline.sha256} {pipeline.executes}".encode()).hexdigest()
