"""infer: the pipeline's network on the chosen volumes; findings or a segmentation into the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medimg.bundle import load_bundle
from medimg.inference.device import Device, choose_device
from medimg.inference.preconditions import check_scan
from medimg.progress import Progress, silent
from medimg.stages.case import Case


@dataclass(frozen=True)
class Engine:
    """How to run: device name, precision and threads (0: torch's choice)."""

    device: str = "auto"
    precision: str = "auto"
    threads: int = 0

    def start(self) -> Device:
        """The device as asked for. Raises UsageError when it is not there."""
        return choose_device(self.device, self.precision, self.threads)


def infer(case: Case, options: dict[str, Any], engine: Engine | None = None, progress: Progress = silent) -> None:
    """Run the case's pipeline and put what it finds into `case.report`.

    options: those of the pipeline's `infer` stage. Raises UnsuitableScanError for a scan it is not made for.
    """
    device = (engine or Engine()).start()
    case.report.warnings += check_scan(case.pipeline, case.volumes)
    run = RUNNERS[case.pipeline.task]
    with case.clock.time("infer"):
        run(case, options, device, progress)
    case.report.provenance["device"] = {
        "chosen": device.reason,
        "precision": device.precision,
        "threads": device.threads,
    }


def _detect(case: Case, options: dict[str, Any], device: Device, progress: Progress) -> None:
    from medimg.inference.find import DetectOptions, find

    bundle = load_bundle(case.pipeline.bundle)
    findings, warnings = find(bundle, case.first, DetectOptions.from_stage(options), device, progress)
    case.report.findings = findings
    case.report.warnings += warnings


def _segment(case: Case, options: dict[str, Any], device: Device, progress: Progress) -> None:
    from medimg.inference.prepare import with_blanks
    from medimg.inference.segment import SegmentOptions, segment

    bundle = load_bundle(case.pipeline.bundle)
    volumes = with_blanks(case.volumes, case.pipeline.roles)
    wanted = SegmentOptions.from_stage(options).seen_with(case.volumes)
    case.report.segmentation = segment(bundle, volumes, wanted, device, progress)
    absent = [role for role in case.pipeline.roles if role not in case.volumes]
    case.report.warnings += [f"without {role}: {wanted.without.get(role, LESS)}" for role in absent]
    if wanted.not_available:
        names = ", ".join(wanted.not_available)
        case.report.warnings.append(f"not available: {names} (not empty: they cannot be seen in these contrasts)")


LESS = "expect less than with all contrasts, see the model card"

RUNNERS = {"detection": _detect, "segmentation": _segment}
