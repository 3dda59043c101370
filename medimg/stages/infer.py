"""infer: the pipeline's network on the chosen volumes; findings or a segmentation into the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medimg.bundles.as_pipeline import BundlePipeline
from medimg.inference.detect_options import DetectOptions
from medimg.inference.kept import kept
from medimg.inference.options import Engine
from medimg.inference.preconditions import check_scan
from medimg.inference.roi import Chest
from medimg.pipeline import Pipeline
from medimg.progress import Progress, silent
from medimg.results import Finding
from medimg.stages.ahead import engine_imported, imported
from medimg.stages.bundled import run_bundle
from medimg.stages.case import Case
from medimg.stages.detect import detect
from medimg.stages.known import known

if TYPE_CHECKING:
    from medimg.bundle import Bundle
    from medimg.inference.device import Device


def infer(case: Case, options: dict[str, Any], engine: Engine | None = None, progress: Progress = silent) -> None:
    """Run the case's pipeline and put what it finds into `case.report`.

    options: those of the pipeline's `infer` stage. Raises UnsuitableScanError for a scan it is not made for.
    """
    case.report.warnings += check_scan(case.pipeline, case.volumes)
    runner = _bundle if isinstance(case.pipeline, BundlePipeline) else RUNNERS[case.pipeline.task]
    with case.clock.time("infer"):
        used = runner(case, options, engine or Engine(), progress)
    case.report.provenance["device"] = used


def _detect(case: Case, options: dict[str, Any], engine: Engine, progress: Progress) -> dict[str, Any]:
    chosen = DetectOptions.from_stage(options)
    if chosen.method == "shape":
        detect(case, chosen, _no_network)
        return NO_DEVICE
    used: dict[str, Any] = {}

    def by_network(chest: Chest, asked: DetectOptions) -> tuple[list[Finding], list[str]]:
        device = _started(case, engine)
        from medimg.inference.find import find

        used.update(_described(device))
        bundle = _loaded(case.pipeline, engine)
        return find(bundle, chest, asked, device, progress, engine)

    detect(case, chosen, by_network)
    return used


def _no_network(_chest: Chest, _: DetectOptions) -> tuple[list[Finding], list[str]]:
    raise AssertionError("the classical detector has no network")


def _started(case: Case, engine: Engine) -> Device:
    """The device, once what runs on it is imported: those seconds are not the scan's."""
    with case.clock.time("import"):
        if known(case.pipeline, engine):
            # begun where another worker has told it only since; what hides packages from MONAI must have ended
            engine_imported()
        else:
            imported()
            import medimg.inference.answer
            import medimg.inference.find
            import medimg.inference.segment  # noqa: F401
        from medimg.inference.device import start_device

        return start_device(engine)


def _segment(case: Case, options: dict[str, Any], engine: Engine, progress: Progress) -> dict[str, Any]:
    device = _started(case, engine)
    from medimg.inference.prepare import with_blanks
    from medimg.inference.segment import SegmentOptions, segment

    bundle = _loaded(case.pipeline, engine)
    volumes = with_blanks(case.volumes, case.pipeline.roles)
    wanted = SegmentOptions.from_stage(options).seen_with(case.volumes)
    case.report.segmentation = segment(bundle, volumes, case.pipeline.roles, wanted, device, progress, engine)
    absent = [role for role in case.pipeline.roles if role not in case.volumes]
    case.report.warnings += wanted.losses(absent)
    if wanted.not_available:
        names = ", ".join(wanted.not_available)
        case.report.warnings.append(f"not available: {names} (not empty: they cannot be seen in these contrasts)")
    return _described(device)


def _bundle(case: Case, _options: dict[str, Any], engine: Engine, progress: Progress) -> dict[str, Any]:
    assert isinstance(case.pipeline, BundlePipeline)
    device = _started(case, engine)
    run_bundle(case, case.pipeline, device, engine, progress)
    return _described(device)


def _loaded(pipeline: Pipeline, engine: Engine) -> Bundle:
    from medimg.bundle import load_bundle

    key = ("bundle", pipeline.bundle, pipeline.sha256, pipeline.trusted)
    return kept(engine, key, lambda: load_bundle(pipeline.bundle, trusted=pipeline.trusted))


def _described(device: Device) -> dict[str, Any]:
    return {
        "chosen": device.reason,
        "engine": device.backend,
        "precision": device.precision,
        "threads": device.threads,
    }


NO_DEVICE = {"chosen": "cpu, no network", "precision": "fp64", "threads": 1}
"""What the classical detector runs on."""

RUNNERS = {"detection": _detect, "segmentation": _segment}
