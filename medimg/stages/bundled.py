"""The infer stage of a bundle: what its network says, as findings or a segmentation in the report."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.bundles.as_pipeline import BundlePipeline
from medimg.errors import OutputError
from medimg.inference.kept import kept
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.preconditions import check_spacing
from medimg.progress import Progress
from medimg.results import Finding, Segmentation
from medimg.stages.ahead import imported
from medimg.stages.case import Case
from medimg.stages.known import key_of, known
from medimg.study import Volume

if TYPE_CHECKING:
    import torch

    from medimg.inference.device import Device
    from medimg.inference.model import Boxes, Decision, DetectionModel, SegmentationModel
    from medimg.inference.plain import PlainModel


def run_bundle(case: Case, pipeline: BundlePipeline, device: Device, engine: Engine, progress: Progress) -> None:
    """Run the bundle on the case's volumes and put what it says into the report, with what nobody checked."""
    from medimg.inference.model import DetectionModel, SegmentationModel

    recipe = pipeline.recipe
    if recipe.spacing_mm is not None:
        check_spacing(pipeline.name, recipe.spacing_mm, list(case.volumes.values()))
    case.report.provenance["bundles"] = [
        {"path": each.bundle.name, "sha256": each.sha256} for each in pipeline.with_members
    ]
    plain = known(pipeline, engine)
    models = [] if plain else [_model(each, engine) for each in pipeline.with_members]
    if engine.backend == "openvino" and not plain:
        plain = _remembered(pipeline, models)
    if plain:
        networks = _networks(pipeline, plain, models, engine)
        case.report.segmentation = _plain_segmentation(case, plain[0], networks, device, engine, progress)
    elif segmenters := [model for model in models if isinstance(model, SegmentationModel)]:
        case.report.segmentation = _segmentation(case, segmenters, device, engine, progress)
    else:
        detectors = [model for model in models if isinstance(model, DetectionModel)]
        case.report.findings = _findings(case, detectors, device, engine, progress)
    case.report.warnings += [f"taken for granted: {condition}" for condition in recipe.preconditions]
    if recipe.version and pipeline.version != recipe.version:
        case.report.warnings.append(f"the recipe was written for version {recipe.version}, this is {pipeline.version}")


def _model(pipeline: BundlePipeline, engine: Engine) -> SegmentationModel | DetectionModel:
    from medimg.bundle import load_bundle
    from medimg.inference.describe import described

    def load() -> SegmentationModel | DetectionModel:
        bundle = load_bundle(pipeline.bundle, trusted=pipeline.trusted, recipe=pipeline.recipe)
        return described(bundle, pipeline.recipe)

    return kept(engine, ("model", pipeline.bundle, pipeline.sha256, pipeline.trusted), load)


def _segmentation(
    case: Case, models: list[SegmentationModel], device: Device, engine: Engine, progress: Progress
) -> Segmentation:
    from medimg.inference.answer import segment_labels

    model, *members = models
    labels = segment_labels(model, _scans(case), device, progress, engine, members)
    return _named(case, labels, model.decision)


def _remembered(pipeline: BundlePipeline, described: list[SegmentationModel | DetectionModel]) -> list[PlainModel]:
    """The networks as plain data, remembered from now on; none where one of them cannot be told."""
    from medimg.inference.describe_plain import plain_model
    from medimg.inference.model import SegmentationModel
    from medimg.inference.plain import remember

    told = [plain_model(model) for model in described if isinstance(model, SegmentationModel)]
    models = [model for model in told if model is not None]
    if len(models) < len(described):
        return []
    for each, model in zip(pipeline.with_members, models, strict=True):
        with suppress(OutputError, ImportError):  # it saves time, no more
            remember(key_of(each), model)
    return models


def _networks(
    pipeline: BundlePipeline,
    plain: list[PlainModel],
    described: list[SegmentationModel | DetectionModel],
    engine: Engine,
) -> list[Network]:
    """Those that were built already, where they were; else each is built only if it has to be compiled."""
    if described:
        from medimg.inference.answer import network_of

        return [network_of(model) for model in described]
    told = zip(pipeline.with_members, plain, strict=True)
    return [Network(partial(_built, each, engine), model.digest, model.name) for each, model in told]


def _plain_segmentation(
    case: Case, model: PlainModel, networks: list[Network], device: Device, engine: Engine, progress: Progress
) -> Segmentation:
    from medimg.inference.plain import plain_labels

    labels = plain_labels(model, networks, _scans(case), device, progress, engine)
    return _named(case, labels, model.decision)


def _built(pipeline: BundlePipeline, engine: Engine) -> torch.nn.Module:
    """The network itself, where it is remembered and not compiled (for another window or precision)."""
    imported()
    import torch

    if engine.threads:
        torch.set_num_threads(engine.threads)
    return _model(pipeline, engine).network


def _scans(case: Case) -> list[Volume]:
    """In the order of the network's channels."""
    return [case.volumes[role] for role in case.pipeline.roles]


def _named(case: Case, labels: NDArray[np.uint8], decision: Decision) -> Segmentation:
    found = {int(value) for value in np.unique(labels)} - {0}
    names = {**{value: f"label {value}" for value in found}, **decision.labels}
    return Segmentation(labels, case.first.affine_ras, dict(sorted(names.items())))


def _findings(
    case: Case, models: list[DetectionModel], device: Device, engine: Engine, progress: Progress
) -> list[Finding]:
    from medimg.inference.answer import find_boxes

    model, *members = models
    boxes = find_boxes(model, case.first, device, progress, engine, members)
    return [_finding(boxes, index, model.classes[int(label)]) for index, label in enumerate(boxes.labels)]


def _finding(boxes: Boxes, index: int, label: str) -> Finding:
    """A box as a finding. Its diameter is the mean side: LUNA16's boxes are cubes of the nodule's diameter."""
    low, high = boxes.voxels[index, :3].astype(np.float64), boxes.voxels[index, 3:].astype(np.float64)
    x, y, z = geometry.ras_to_lps(geometry.to_world(boxes.affine_ras, (low + high) / 2))
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
    world = geometry.ras_to_lps(geometry.to_world(boxes.affine_ras, corners))
    box = tuple(float(value) for value in (*world.min(axis=0), *world.max(axis=0)))
    sides = (high - low) * geometry.spacing_mm(boxes.affine_ras)
    return Finding(
        id=f"{label}-{index + 1}",
        label=label,
        center_lps_mm=(float(x), float(y), float(z)),
        diameter_mm=float(sides.mean()),
        volume_mm3=None,
        box_lps_mm=(box[0], box[1], box[2], box[3], box[4], box[5]),
        probability=float(boxes.scores[index]),
        measurements={"detected_box_lps_mm": [round(value, 3) for value in box]},
    )
